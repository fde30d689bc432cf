"""Steering to and away from sites: which action moves which site, how long it stays, and what it does to the traffic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.fields import column
from og_env.kernel.arrays import State
from og_env.scenario import loading
from og_env.scenario.specs import SampledSites
from og_env.simulator import STEER_RANGE
from og_env.simulator.live_state import LiveState, describe, place
from og_env.simulator.steered_providers import most_steered, steered
from og_env.vector_env import NetworkVectorEnv
from og_env.world import compile_world, most_shared

SHORT = {"episode.steps": 12}


def short(name: str, **changes: Any) -> Any:
    return loading.override(loading.load(name), SHORT | changes)


def started(task: Any, scenario: Any = "toy-3", **kwargs: Any) -> NetworkEnv:
    env = NetworkEnv(task, scenario, **kwargs)
    env.reset(seed=0)
    return env


def state_of(env: NetworkEnv) -> State:
    return env.simulator.state


def test_levels_of_sites_leave_the_knobs_and_last_until_they_are_set_again() -> None:
    env = started("routing", interface="sites")
    usual = state_of(env).knobs.copy()
    assert not state_of(env).steer.any()
    env.step(np.array([0.5, 0, -1], np.float32))
    assert state_of(env).steer[0].tolist() == [STEER_RANGE / 2, 0, -STEER_RANGE]
    env.simulator.advance(np.zeros(1, np.int64))
    assert state_of(env).steer[0].tolist() == [STEER_RANGE / 2, 0, -STEER_RANGE]
    assert np.array_equal(state_of(env).knobs, usual)
    env.reset(seed=1)
    assert not state_of(env).steer.any()


def test_where_no_site_is_steered_nothing_changes() -> None:
    numbers = []
    for kwargs in ({"interface": "sites"}, {"interface": "knobs"}):
        env = started("routing", "global-16", **kwargs)
        actions = np.zeros(env.action_space.shape or (), np.float32)
        numbers.append([env.step(actions)[1] for _ in range(10)])
    assert numbers[0] == numbers[1]


def test_traffic_leaves_a_site_that_is_steered_away_from() -> None:
    spec = loading.override(short("global-24"), {"demand.requests_per_s": 12.0})  # room at every site
    shares = []
    for level in (-1.0, 0.0, 1.0):
        env = NetworkEnv("routing", spec, interface="sites")
        env.reset(seed=2)
        for _ in range(2):  # the first step finds the busiest site, which the second steers
            busiest = int(state_of(env).site_share[0].argmax())
            actions = np.zeros(env.action_space.shape or (), np.float32)
            actions[busiest] = level if state_of(env).step[0] > 0 else 0
            env.step(actions)
        shares.append(float(state_of(env).site_share[0, busiest]))
    assert shares[0] < shares[1] - 0.01 and shares[1] < shares[2] - 0.01


def test_padded_sites_take_no_level() -> None:
    env = started("routing", interface="sites")
    env.simulator.world.site_valid[0, 2] = 0
    env.step(np.ones(3, np.float32))
    assert state_of(env).steer[0].tolist() == [STEER_RANGE, STEER_RANGE, 0]


def test_joint_sets_levels_of_sites_or_of_the_providers_that_sites_share() -> None:
    by_site = started("joint", steering="sites")
    assert by_site.action_space.nvec.tolist() == [11, 5, 5, 5]  # type: ignore[attr-defined]
    assert by_site.action_masks().shape == (11 + 15,)
    by_site.step(np.array([0, 0, 2, 3]))
    assert state_of(by_site).steer[0].tolist() == [-STEER_RANGE, 0, STEER_RANGE / 2]
    by_provider = started("joint", steering="domains")  # a and b share P; c alone has Q
    assert by_provider.action_space.nvec.tolist() == [11, 5]  # type: ignore[attr-defined]
    assert by_provider.action_masks().shape == (11 + 5,)
    by_provider.step(np.array([0, 1]))
    assert state_of(by_provider).steer[0].tolist() == [-STEER_RANGE / 2, -STEER_RANGE / 2, 0]
    assert np.array_equal(state_of(by_provider).knobs, by_provider.simulator.world.knobs)


def test_every_random_fleet_is_steered_by_its_own_providers() -> None:
    env = NetworkVectorEnv(6, "joint", short("random-24"), steering="domains")
    env.reset(seed=4)
    parts, met = len(env.single_action_space.nvec) - 1, set()  # type: ignore[attr-defined]
    for _ in range(3):
        env.step(np.concatenate([np.zeros((6, 1), np.int64), np.tile(np.arange(parts) % 5, (6, 1))], axis=1))
        for b in range(6):
            world = env.simulator.world_of(b)
            providers = [site.provider for site in world.resolved.sites]
            shared = [domain for domain in world.domains[: world.sizes["S"]] if domain.kind == "provider"]
            levels = {domain.name: (k % 5) / 2 - 1 for k, domain in enumerate(shared)}
            expected = [STEER_RANGE * levels.get(name, 0) for name in providers]
            assert env.simulator.state.steer[b, : len(providers)].tolist() == expected
            assert len(shared) <= parts
            met.add(tuple(providers))
        env.reset()
    assert len(met) == 18


def test_fixed_fleets_have_as_many_levels_as_shared_providers_and_random_ones_their_bound() -> None:
    random = loading.load("random-24")
    fixed = loading.override(random, {"fleet": "fixed"})
    worlds = {spec.fleet: compile_world(loading.resolve(spec)) for spec in (random, fixed)}
    assert isinstance(random.sites, SampledSites)
    assert most_steered(random, worlds["random"]) == most_shared(random.sites)["provider"]
    assert most_steered(fixed, worlds["fixed"]) == len(steered(worlds["fixed"])) < most_shared(random.sites)["provider"]


def test_no_provider_that_the_agent_is_not_told_of_can_be_steered() -> None:
    line = r"^steering is 'domains', but no sites of \S+ share a provider that the agent is told of; take sites$"
    for name in ("toy-3", "random-24"):
        with pytest.raises(ValueError, match=line):
            NetworkEnv("joint", short(name, **{"failures.hidden": ["provider"]}), steering="domains")


@pytest.mark.parametrize(
    ("task", "kwargs", "wrong", "line"),
    [
        ("routing", {"interface": "sites"}, np.full(3, 1.5), "action outside the space: sites must lie in"),
        ("routing", {}, np.full(5, 1.5), "action outside the space: knobs must lie in"),
        ("routing", {"interface": "sites"}, np.zeros(5), r"action is float64 \(1, 5\), not \(1, 3\)"),
        ("joint", {"steering": "domains"}, np.array([0, 5]), "action outside the space"),
        ("joint", {"steering": "sites"}, np.array([0, 2, 2]), r"action is int64 \(1, 3\), not \(1, 4\)"),
    ],
)
def test_a_wrong_action_is_told_in_one_line(task: Any, kwargs: Any, wrong: np.ndarray, line: str) -> None:
    with pytest.raises(ValueError, match=line) as raised:
        started(task, **kwargs).step(wrong)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("task", "kwargs"), [("routing", {"interface": "sites"}), ("joint", {"steering": "sites"})])
def test_an_outlook_keeps_the_levels_of_its_first_action(task: Any, kwargs: Any) -> None:
    two = {"start.replica_sites": {"unit": ["a", "c"]}, "demand.requests_per_s": 12.0, "condition.drift_sd": 0.0}
    env = started(task, short("toy-3", **two), **kwargs)
    count = env.simulator.sizes["N"]
    levels = np.array([1, 2, 3])
    action = levels / 2 - 1 if task == "routing" else np.concatenate([[0], levels])
    usual = np.zeros_like(action) if task == "routing" else np.concatenate([[0], np.full(count, 2)])
    ahead = env.simulate(np.stack([action, usual]), horizon=4)
    assert (ahead.rewards[0] != ahead.rewards[1]).all(), "the levels stay in force"
    assert not state_of(env).steer.any(), "the episode is not touched"
    steered = [env.step(action)[1] for _ in range(4)]
    assert steered == pytest.approx(ahead.rewards[0].tolist(), rel=1e-4)


def test_steering_is_written_to_a_live_state_and_read_back() -> None:
    env, twin = (started("routing", "global-24", interface="sites") for _ in range(2))
    env.step(np.linspace(-1, 1, env.simulator.sizes["N"], dtype=np.float32))
    written = describe(env.simulator)
    assert len(written["steer"]) == env.simulator.sizes["N"] and min(written["steer"].values()) == -STEER_RANGE
    place(twin.simulator, LiveState.parse(written))
    assert np.array_equal(state_of(twin).steer, state_of(env).steer)
    with pytest.raises(ValueError, match=r"state: steer\.\S*nowhere"):
        place(twin.simulator, LiveState.parse(written | {"steer": {"nowhere": 1.0}}))
    with pytest.raises(ValueError, match="steer"):
        LiveState.parse(written | {"steer": {next(iter(written["steer"])): 5.0}})


def test_the_observation_shows_the_levels_in_force() -> None:
    env = started("routing", interface="sites")
    levels = np.array([0.25, -1, 1], np.float32)
    assert not env.step(np.zeros(3, np.float32))[0]["sites"][:, column("sites", "steer")].any()
    assert env.step(levels)[0]["sites"][:, column("sites", "steer")].tolist() == levels.tolist()


def test_threads_and_batches_steer_alike() -> None:
    rng, spec = np.random.default_rng(0), short("global-16")
    actions = rng.uniform(-1, 1, (8, 6, 16)).astype(np.float32)
    numbers = []
    for threads in (1, 2):
        env = NetworkVectorEnv(6, "routing", spec, interface="sites", threads=threads)
        env.simulator.threaded_cells = 0
        env.reset(seed=9)
        numbers.append([(env.step(each)[1], env.simulator.observation.copy()) for each in actions])
    for one, other in zip(*numbers, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
