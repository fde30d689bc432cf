"""Rules that choose among all operations: where each places, what triggers it, and that it plays every scenario."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.evaluation import playing
from og_agents.heuristics import place_rules
from og_env.env import NetworkEnv
from og_env.kernel.arrays import ABSENT, DOWN, LOADING, ON_DISK, WARM
from og_env.scenario import loading
from og_env.simulator import describe_operation
from tests.cases.as_stated import AS_STATED

A, B, C = 0, 1, 2
RULES = tuple(place_rules.PLACES)
CONSTANTS = {"high": 0.75, "low": 0.5, "arriving": 0.9, "refused": 0.5}


def scene(at: str = "a", rps: float = 9.0, **changes: Any) -> NetworkEnv:
    """The toy after a step: replicas at some of sites a, b and c, which serve 10 requests/s each; users are at a."""
    spec = loading.override(
        loading.load("toy-3"),
        AS_STATED | {"start.replica_sites": {"unit": tuple(at)}, "demand.requests_per_s": rps} | changes,
    )
    env = NetworkEnv(scenario=spec, interface="operations")
    env.reset(seed=0)
    env.step(0)
    return env


def does(env: NetworkEnv, name: str, **constants: float) -> str:
    """The operation of a rule, in words."""
    simulator = env.simulator
    models, sites = simulator.state.phase.shape[1:]
    possible = place_rules.possible_of(env.action_masks(), models, sites)
    chosen = place_rules.operation(name, place_rules.Scene(simulator, 0), possible, CONSTANTS | constants)
    assert env.action_masks()[chosen]
    return describe_operation(chosen, ["a", "b", "c"], ["unit"])


def test_each_rule_launches_where_its_name_says() -> None:
    """From a, site b is nearer than c but twice as dear, and shares the provider."""
    env = scene("a")
    state, world = env.simulator.state, env.simulator.world
    assert [does(env, name) for name in ("nearest", "cheapest", "spread")] == [
        "launch unit at b",
        "launch unit at c",
        "launch unit at c",
    ]
    world.usd_per_gpu_hour[0, B] = 0.5
    assert (does(env, "cheapest"), does(env, "spread")) == ("launch unit at b", "launch unit at c")
    for site, words in ((B, "launch unit at b"), (C, "launch unit at c")):
        state.phase[0, 0, [B, C]] = ABSENT
        state.phase[0, 0, site] = ON_DISK
        assert does(env, "warm_first") == words
        world.gpu_count[0, [B, C]] = 1
        world.gpu_count[0, site] = 2
        assert does(env, "least_loaded") == words


def test_spread_sees_no_domain_that_is_hidden() -> None:
    env = scene("c", 9.0)
    assert does(env, "spread") == "launch unit at a", "b shares a grid with c"
    domains = env.simulator.world.site_domain[0]
    shared = set(domains[B]) & set(domains[C]) - {-1}
    env.simulator.world.domain_visible[0, list(shared)] = 0
    env.simulator.world.domain_visible[0, list(set(domains[A]) & set(domains[B]) - {-1})] = 1
    assert place_rules.Scene(env.simulator, 0).shared_domains(np.array([False, False, True]))[B] == 0


def test_nearest_serves_demand_that_nobody_near_has_room_for() -> None:
    """Two replicas far away with room make the near site worth most; a near one with room makes it worth nothing."""
    env = scene("bc", 18.0)
    assert does(env, "nearest") == "launch unit at a"
    view = place_rules.Scene(env.simulator, 0)
    env.simulator.state.load_rps[0, 0] = [0, 1, 9]
    with_room = place_rules.PLACES["nearest"].launch(view, 0, 0.75)
    env.simulator.state.load_rps[0, 0] = [0, 9, 9]
    without = place_rules.PLACES["nearest"].launch(view, 0, 0.75)
    assert with_room[A] < without[A]
    assert with_room[B] == pytest.approx(0, abs=1e-3) and without[B] > 1, "b saves nothing while b itself has room"


@pytest.mark.parametrize("name", RULES)
def test_load_refusals_and_arrivals_trigger(name: str) -> None:
    env = scene("a", 7.0)
    state = env.simulator.state
    assert does(env, name) == "do nothing", "0.7 of its capacity"
    assert does(env, name, high=0.65).startswith("launch")
    state.model_refused_share[0] = 0.6
    assert does(env, name).startswith("launch"), "more than half is refused"
    state.phase[0, 0, C] = LOADING
    assert does(env, name) == "do nothing", "one is on its way"


def test_each_rule_retires_what_it_wants_least() -> None:
    env = scene("abc", 6.0)
    state, world = env.simulator.state, env.simulator.world
    assert does(env, "nearest") == "retire unit at c"
    assert does(env, "cheapest") == "retire unit at b", "the dear one"
    assert does(env, "spread") == "retire unit at b", "it shares a provider with a, and a grid with c"
    state.shown_load[0] = [0.1, 0.2, 0.9]
    assert does(env, "least_loaded") == "retire unit at c"
    world.load_ms[0, 0] = [9000, 2000, 9000]
    assert does(env, "warm_first") == "retire unit at b", "it is back soonest"
    assert does(env, "warm_first", low=0.25) == "do nothing"
    state.phase[0, 0] = [WARM, ABSENT, ABSENT]
    assert does(env, "nearest", low=2.0, high=2.0) == "do nothing", "the last one stays"


def test_no_retirement_calls_for_a_launch() -> None:
    assert does(scene("ab", 7.8), "nearest", low=0.9) == "do nothing", "0.78 of a alone is above `high`"


@pytest.mark.parametrize("name", RULES)
def test_a_dead_role_is_replaced_and_leaves_again(name: str) -> None:
    env = scene("abc", 18.0, **{"start.verifier_sites": ("a",), "start.verifiers": 1})
    assert does(env, name) == "do nothing"
    env.simulator.state.status[0, A] |= DOWN
    env.simulator.world.usd_per_vm_hour[0, C] = 0.05
    env.simulator.state.shown_load[0] = [0, 0.9, 0.1]
    env.simulator.state.phase[0, 0] = [WARM, ABSENT, WARM]
    site = {"nearest": "b", "spread": "b"}.get(name, "c")
    assert does(env, name, high=9.0, low=0.0) == f"add verifier at {site}"
    env.simulator.state.status[0, A] = 0
    env.simulator.state.role_ms[0, 0, B] = 0
    env.step(0)
    assert does(env, name, high=9.0, low=0.0).startswith("remove verifier at")


@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=pytest.mark.slow if name == "global-512" else ()) for name in loading.names()]
)
def test_rules_play_every_scenario_without_an_impossible_operation(scenario: str) -> None:
    spec = loading.override(loading.load(scenario), {"episode.steps": 10})
    for name in (*RULES, "random"):
        for task in ("placement", "joint"):
            if scenario != "global-24" and task == "joint":
                continue
            played = playing.run(heuristics.make(name, task), spec, task, episodes=2)
            impossible = played.metric("impossible_operations") - played.metric("refused_launches")
            assert np.isfinite(played.returns).all() and not impossible.any(), "no rule knows where capacity is scarce"


def test_rules_are_not_the_same_policy() -> None:
    spec = loading.override(loading.load("global-24"), {"episode.steps": 48})
    returns = {name: playing.run(heuristics.make(name), spec, episodes=2).returns.mean() for name in RULES}
    assert len({round(value, 6) for value in returns.values()}) == len(RULES)


def test_a_rule_says_what_it_needs() -> None:
    env = scene("a")
    observation, info = env.reset(seed=0)
    with pytest.raises(ValueError, match=r"attach\(env\) first"):
        heuristics.make("spread").predict(observation, action_masks=info["action_mask"])


def test_a_replica_is_ready_after_its_fetch_and_its_load_in_seconds() -> None:
    env = scene("a")
    state, world = env.simulator.state, env.simulator.world
    state.phase[0, 0, B], state.load_left_ms[0, 0, B], state.phase[0, 0, C] = LOADING, 7000, ABSENT
    seconds = place_rules.ready_s(place_rules.Scene(env.simulator, 0), 0)
    load_s = world.load_ms[0, 0] / 1000
    assert seconds[B] == pytest.approx(7)
    speed = min(float(world.link_mb_per_s[0, C]), float(np.ravel(world.store_mb_per_s)[0]))
    assert seconds[C] == pytest.approx(world.weights_mb[0, 0] / speed + load_s[C])
