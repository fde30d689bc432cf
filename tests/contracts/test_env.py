"""The environments keep Gymnasium's contract, and single, vector and threaded runs give the same numbers."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import og_env
from og_agents.validation.speed import bytes_per_env
from og_env.env import NetworkEnv
from og_env.observation import fields
from og_env.scenario import loading
from og_env.simulator import METRICS, SPLITS, Task
from og_env.vector_env import NetworkVectorEnv

SHORT = {"episode.steps": 12}


def limits(env: NetworkVectorEnv):
    """Number of choices of a Discrete or MultiDiscrete action."""
    space = env.single_action_space
    assert isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete)
    return space.n if isinstance(space, gym.spaces.Discrete) else space.nvec


def short(name: str):
    return loading.override(loading.load(name), SHORT)


@pytest.mark.parametrize("env_id", og_env.IDS.values())
@pytest.mark.parametrize("scenario", loading.names())
def test_check_env_has_no_warning(env_id, scenario):
    check_env(gym.make(env_id, scenario=scenario).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("kwargs", [{"interface": "operations"}, {"flatten": True}, {"knobs": "levels"}])
@pytest.mark.parametrize("task", og_env.IDS)
def test_check_env_has_no_warning_for_other_interfaces(task, kwargs):
    check_env(NetworkEnv(task, "toy-3", **kwargs), skip_render_check=True)


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize(
    ("task", "kwargs"),
    [
        ("routing", {"interface": "knobs"}),
        ("routing", {"interface": "sites"}),
        ("joint", {"steering": "sites"}),
        ("joint", {"steering": "domains", "interface": "operations"}),
    ],
)
def test_check_env_has_no_warning_for_steering(task, kwargs, flatten):
    check_env(NetworkEnv(task, "toy-3", flatten=flatten, **kwargs), skip_render_check=True)


@pytest.mark.parametrize("scenario", loading.names())
@pytest.mark.parametrize("env_id", og_env.IDS.values())
def test_stable_baselines_check_has_no_warning(env_id, scenario):
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="needs the extra train")
    checker.check_env(gym.make(env_id, scenario=scenario, flatten=True).unwrapped, skip_render_check=True)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", loading.names())
def test_a_hundred_random_episodes_stay_finite_and_inside_the_space(scenario):
    large, spec = scenario == "global-512", loading.load(scenario)
    if large:  # an episode has thousands of operations
        spec = loading.override(spec, {"episode.operations_per_step": 1})
    env = NetworkVectorEnv(100, "joint", spec, interface="operations" if large else "proposals")
    env.reset(seed=77)
    rng = np.random.default_rng(3)
    ended = np.zeros(100, np.bool_)
    while not ended.all():
        _, rewards, _, truncated, _ = env.step(rng.integers(0, limits(env), size=env.action_space.shape))
        ended |= truncated
        assert np.isfinite(rewards).all() and (rewards <= 0).all()
        assert np.isfinite(env.simulator.observation).all() and np.abs(env.simulator.observation).max() <= 1


def test_id_with_module_prefix_registers():
    assert gym.make("og_env:og_env/Joint-v1", scenario="toy-3").reset(seed=0)[1]["demand_rps"] == 0


@pytest.mark.parametrize("interface", ["proposals", "operations"])
@pytest.mark.parametrize("scenario", loading.names())
def test_random_actions_stay_finite_and_inside_the_space(scenario, interface):
    episodes = 2 if scenario == "global-512" else 4
    env = NetworkVectorEnv(episodes, "joint", short(scenario), interface=interface)
    env.reset(seed=5)
    rng = np.random.default_rng(1)
    for _ in range(13):
        actions = np.stack([rng.integers(0, limits(env)) for _ in range(episodes)])
        observations, rewards, _, _, infos = env.step(actions)
        assert np.isfinite(rewards).all()
        for table in observations.values():
            assert np.isfinite(table).all() and np.abs(table).max() <= 1
        assert all(np.isfinite(value).all() for name, value in infos.items() if name.startswith("term_"))


def rollout(env: NetworkVectorEnv, steps: int, seed: int = 3) -> list[tuple]:
    """Observations, rewards and metrics of a run whose actions depend on the masks and the step only."""
    env.reset(seed=seed)
    result = []
    for step in range(steps):
        actions = choose(env.action_masks(), step)
        _, rewards, _, truncated, _ = env.step(actions)
        simulator = env.simulator
        result.append(
            (simulator.observation.copy(), rewards, simulator.output.metrics.copy(), truncated, actions.copy())
        )
    return result


def choose(masks: np.ndarray, step: int) -> np.ndarray:
    counts = masks.sum(axis=-1)
    return np.array([np.flatnonzero(row)[step * 7 % n] for row, n in zip(masks, counts, strict=True)])


@pytest.mark.parametrize("scenario", ["global-16", "random-24"])
@pytest.mark.parametrize("interface", ["proposals", "operations"])
def test_single_vector_and_threads_agree_bit_for_bit(scenario, interface):
    spec, steps = short(scenario), 30
    reference = rollout(NetworkVectorEnv(64, "placement", spec, interface=interface, threads=1), steps)
    for batch in (1, 7):
        other = rollout(NetworkVectorEnv(batch, "placement", spec, interface=interface, threads=1), steps)
        for one, many in zip(other, reference, strict=True):
            assert all(np.array_equal(a, b[:batch]) for a, b in zip(one, many, strict=True))
    threaded = NetworkVectorEnv(64, "placement", spec, interface=interface, threads=2)
    threaded.simulator.threaded_cells = 0
    for one, many in zip(rollout(threaded, steps), reference, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, many, strict=True))
    single = NetworkEnv("placement", spec, interface=interface)
    single.reset(seed=3)
    for step in range(steps):
        action = choose(single.action_masks()[None], step)[0]
        _, reward, _, truncated, info = single.step(action)
        assert reward == reference[step][1][0]
        if truncated:
            single.reset()
        else:
            assert info["exposure"] == reference[step][2][0][METRICS.index("exposure")]
        assert np.array_equal(single.simulator.observation[0], reference[step][0][0])


def test_what_no_interface_shows_is_not_kept():
    def room(scenario: str, **kwargs) -> tuple[int, int]:
        output = NetworkEnv("placement", scenario, **kwargs).simulator.output
        return output.offer.shape[1], output.domain_loss.shape[1]

    domains = NetworkEnv("placement", "global-16").simulator.sizes["F"]
    assert room("global-16") == (10, domains)
    assert room("global-16", flatten=True) == (10, domains)
    assert room("global-16", interface="operations") == (0, domains)
    assert room("global-16", interface="operations", flatten=True) == (0, 0)
    assert room("hidden-facility", interface="operations", flatten=True)[1] > 0  # `info["truth"]` has them
    size = bytes_per_env("global-64")
    # answers in flight by replica, what shows of every site, its bias; its supply, since when it refuses, and a count:
    # options of `reset` can take a part of a site away in every scenario
    assert size["state"] <= 15_000 + 4_500 + 64 + 4 * 64 + 4
    assert size["tape"] <= 64_000 + 2 * 289 * 64  # the condition and the supply of every site in every row


def test_a_part_that_fails_fails_the_step():
    env = NetworkVectorEnv(64, "placement", short("global-16"), interface="operations", threads=2)
    env.simulator.threaded_cells = 0
    env.reset(seed=0)
    work, failed = env.simulator.advance_slice, []

    def advance(low: int, *others) -> None:
        if low >= 32:
            failed.append(low)
            raise RuntimeError("no more")
        work(low, *others)

    env.simulator.advance_slice = advance  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no more"):
        env.step(np.zeros(64, np.int64))
    assert failed
    env.close()


def test_final_observation_is_the_one_of_the_ended_episode():
    spec = short("global-16")
    env, twin = NetworkVectorEnv(3, "placement", spec), NetworkEnv("placement", spec)
    env.reset(seed=8)
    twin.reset(seed=8)
    for _ in range(12):
        _, _, terminated, truncated, infos = env.step(np.zeros(3, np.int64))
        last, *_ = twin.step(0)
    assert truncated.all() and not terminated.any()
    assert infos["_final_obs"].all() and infos["_final_info"].all()
    for name, table in infos["final_obs"].items():
        assert np.array_equal(table[0], last[name])
    assert infos["final_info"]["demand_rps"][0] > 0 and infos["demand_rps"][0] == 0


def test_partial_reset_leaves_the_others_alone():
    env = NetworkVectorEnv(3, "placement", short("global-16"))
    env.reset(seed=8)
    env.step(np.ones(3, np.int64))
    before = env.simulator.observation.copy()
    env.reset(seed=9, options={"reset_mask": np.array([False, True, False])})
    after = env.simulator.observation
    assert np.array_equal(before[[0, 2]], after[[0, 2]]) and not np.array_equal(before[1], after[1])


def digest(task: Task) -> str:
    """Hash of a rollout: rewards, metrics and observations of two episodes."""
    env = NetworkVectorEnv(4, task, short("global-16"), knobs="levels", threads=1)
    env.reset(seed=11)
    rng = np.random.default_rng(2)
    total = hashlib.sha256()
    for _ in range(24):
        actions = rng.integers(0, limits(env), size=env.action_space.shape)
        _, rewards, *_ = env.step(actions)
        total.update(rewards.astype(np.float32).tobytes())
        total.update(env.simulator.observation.tobytes())
        total.update(env.simulator.output.metrics.tobytes())
    return total.hexdigest()[:16]


def test_same_seed_gives_the_same_hash_in_other_processes():
    code = "import sys; from tests.contracts.test_env import digest; print(digest('joint'))"
    command = [sys.executable, "-c", code]
    hashes = {subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)}
    assert len(hashes) == 1 and len(hashes.pop().strip()) == 16


@pytest.mark.parametrize(
    ("action", "message"), [(11, "outside the space"), (-1, "outside the space"), (1.5, "not integer"), ([1, 2], "not")]
)
def test_bad_actions_are_one_line(action, message):
    env = NetworkEnv("placement", short("toy-3"))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message) as error:
        env.step(action)
    assert "\n" not in str(error.value)


def test_step_before_reset_and_after_the_end_is_an_error():
    env = NetworkEnv("placement", short("toy-3"))
    with pytest.raises(ValueError, match="before reset"):
        env.step(0)
    env.reset(seed=0)
    for _ in range(12):
        env.step(0)
    with pytest.raises(ValueError, match="before reset"):
        env.step(0)
    with pytest.raises(ValueError, match="before reset"):
        NetworkVectorEnv(2, "placement", short("toy-3")).step([0, 0])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"scenario": "globl-24"}, "global-24"),
        ({"interface": "operation"}, "proposals, operations"),
        ({"split": "held-out"}, "train, validation, test"),
        ({"render_mode": "human"}, "rgb_array"),
        ({"proposals": 0}, "proposals is 0"),
    ],
)
def test_bad_arguments_name_the_valid_ones(kwargs, message):
    with pytest.raises(ValueError, match=message):
        NetworkEnv(**kwargs)


def test_splits_share_no_tape():
    seeds = {}
    for split in SPLITS:
        env = NetworkEnv("placement", short("toy-3"), split=split)
        seeds[split] = {env.simulator.tape_seed(np.random.default_rng(i)) for i in range(100)}
    assert len(set.union(*seeds.values())) == 400
    # the parts that splits had before there were sealed episodes
    assert (
        {min(found) >> 60 for found in seeds.values()} == {max(found) >> 60 for found in seeds.values()} == {0, 1, 2, 3}
    )
    assert [min(seeds[split]) >> 60 for split in ("train", "validation", "test")] == [0, 1, 2]


def test_sealed_episodes_have_fleets_and_demand_of_their_own():
    fleets, demand = {}, {}
    for split in SPLITS:
        env = NetworkVectorEnv(6, "placement", short("random-24"), split=split, threads=1)
        env.reset(seed=0)
        fleets[split] = {tuple(site.name for site in world.resolved.sites) for world in env.simulator.compiled}
        demand[split] = {tuple(row) for row in env.simulator.tape.regional[:, 0].round(9).tolist()}
        env.close()
    for drawn in (fleets, demand):
        assert all(len(found) == 6 for found in drawn.values())
        assert len(set.union(*drawn.values())) == 24


def test_simulate_leaves_the_episode_alone_and_predicts_a_quiet_step():
    env = NetworkEnv("placement", short("toy-3"))
    env.reset(seed=0)
    env.step(0)
    before = env.simulator.observation.copy()
    outlook = env.simulate(np.arange(4), horizon=3)
    assert outlook.rewards.shape == (4, 3)
    assert np.array_equal(before, env.simulator.observation)
    _, reward, *_ = env.step(0)
    assert outlook.rewards[0, 0] == pytest.approx(reward, rel=1e-5)


def test_the_hour_of_alarms_is_a_mean_of_what_was_heard():
    env = NetworkVectorEnv(4, "placement", "global-24")
    observation, _ = env.reset(seed=2)
    domains, at = fields.column("domains", "signal"), fields.column("proposals", "alarm_hour")
    world, heard = env.simulator.world, []
    for _ in range(30):
        signal = env.simulator.tape.signal[np.arange(4), env.simulator.state.step] / 127.5 - 0.25
        heard.append(signal)
        shared = signal.shape[1]
        assert np.allclose(observation["domains"][:, :shared, domains], np.clip(signal, 0, 1), atol=1e-6)
        mean = np.clip(np.mean(heard[-12:], axis=0), 0, 1)
        offer = env.simulator.output.offer
        for b, i in np.argwhere(offer > 0):
            of_site = world.site_domain[0, (offer[b, i] - 1) % world.site_domain.shape[1]]
            seen = [mean[b, f] for f in of_site if 0 <= f < shared and world.domain_visible[0, f]]
            assert observation["proposals"][b, i, at] == pytest.approx(max(seen, default=0.0), abs=1e-5)
        observation, *_ = env.step(np.zeros(4, np.int64))
    assert observation["proposals"][..., at].max() > 0.05
