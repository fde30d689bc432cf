"""Routers: where each sends requests, by numbers on paper, and that the convex one solves what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_agents import planners
from og_agents.evaluation import playing
from og_agents.load_policies import load_policies
from og_agents.planners import convex_descent, convex_router, routers
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.simulator import CALM_SPEED, KNOBS, SPEEDS_PER_OCTAVE, STEER_RANGE
from tests.cases.as_stated import AS_STATED
from tests.cases.planner_worlds import short

A, B, C = 0, 1, 2


def toy(at: str = "ac", rps: float = 12.0, **changes: Any) -> Any:
    """Users at a; c is 3,002 km away; a site serves 10 requests/s."""
    held = {"least_replicas": {"unit": len(at)}, "most_replicas": {"unit": len(at)}}
    placed = {"start.replica_sites": {"unit": tuple(at)}, "demand.requests_per_s": rps, "limits": held}
    return loading.override(loading.load("toy-3"), AS_STATED | placed | changes)


def played(name: str, spec: Any, steps: int = 40, **constants: float) -> tuple[NetworkEnv, float]:
    """The toy after some steps of a router, and the return."""
    policy: Any = planners.make(name, spec, "routing", constants=constants)
    env = NetworkEnv("routing", loading.override(spec, policy.overrides), **policy.env_kwargs)
    policy.attach(env)
    observation, _ = env.reset(seed=0)
    memory, total = None, 0.0
    for _ in range(steps):
        action, memory = policy.predict(observation, memory, np.zeros(1, bool))
        observation, reward, *_ = env.step(action)
        total += reward
    return env, total


def levels_of(name: str, env: NetworkEnv, **constants: float) -> Any:
    """Levels [N] that a router gives the sites of an environment as it is."""
    policy: Any = planners.make(name, env.simulator.spec, "routing", constants=constants)
    policy.attach(env)
    return policy.predict(np.zeros(3))[0]


def at_rest(at: str = "abc") -> NetworkEnv:
    """The toy after a step with levels 0."""
    env = NetworkEnv("routing", toy(at), interface="sites")
    env.reset(seed=0)
    env.step(np.zeros(3, np.float32))
    return env


def test_uniform_and_nearest_are_the_two_ends() -> None:
    load = played("uniform", toy(rps=8.0), 2)[0].simulator.state.load_rps[0, 0]
    assert load[[A, C]] == pytest.approx([4, 4], rel=1e-3)
    load = played("nearest", toy(rps=8.0), 2)[0].simulator.state.load_rps[0, 0]
    assert load[[A, C]] == pytest.approx([8, 0], abs=1e-3)


def test_power_of_two_weighs_by_rank() -> None:
    """Of nine pairs of three sites the least loaded is the lesser one in five, the next in three, the last in one."""
    env = at_rest()
    env.simulator.state.shown_load[0] = [0.9, 0.2, 0.5]
    env.simulator.state.shown_slowness_log2[0] = 0
    weights = np.exp(STEER_RANGE * levels_of("power_of_two", env).astype(np.float64))
    assert weights / weights.sum() == pytest.approx(np.array([1, 5, 3]) / 9, rel=1e-4)
    env.simulator.state.shown_slowness_log2[0, B] = 3
    weights = np.exp(STEER_RANGE * levels_of("power_of_two", env).astype(np.float64))
    assert weights / weights.sum() == pytest.approx(np.array([3, 1, 5]) / 9, rel=1e-4), "a slow site is a loaded one"
    env.simulator.state.shown_load[0], env.simulator.state.shown_slowness_log2[0] = 0.5, 0
    assert levels_of("power_of_two", env) == pytest.approx([levels_of("power_of_two", env)[0]] * 3), "equal loads"


def test_least_loaded_prefers_the_idle_site() -> None:
    env = at_rest()
    env.simulator.state.shown_load[0], env.simulator.state.shown_slowness_log2[0] = [0.9, 0.2, 0.5], 0
    assert levels_of("least_loaded", env).tolist() == pytest.approx([-0.8, 0.6, 0.0])


def test_ewma_latency_remembers_what_was_slow() -> None:
    env = at_rest()
    state = env.simulator.state
    state.shown_slowness_log2[0], state.shown_wait_s[0] = [0, 1, 0], [0.3, 0, 0]
    prefill, way = 0.2, env.simulator.world.rtt_ms[0, A] / 1000
    assert routers.first_token_s(env.simulator, 0.0)[0] == pytest.approx([0.3 + prefill, 2 * prefill, prefill])
    far = routers.first_token_s(env.simulator, 1.0)[0] - routers.first_token_s(env.simulator, 0.0)[0]
    assert far == pytest.approx(way * env.simulator.world.round_trips[0], rel=1e-5)
    constants = {"rate": 0.5, "scale_s": 1.0, "distance": 0.0}
    rule = routers.ROUTERS["ewma_latency"].rule
    assert rule is not None
    levels, mean = rule(env.simulator, constants, np.zeros((1, 3)), np.ones((1, 1), bool))
    assert mean[0] == pytest.approx([0.5, 0.4, 0.2])
    assert levels[0] == pytest.approx(np.mean([0.5, 0.4, 0.2]) - mean[0])
    state.shown_wait_s[0] = [1.3, 0, 0]
    after = rule(env.simulator, constants, mean, np.zeros((1, 1), bool))[1]
    assert after[0] == pytest.approx([1.0, 0.4, 0.2])


def test_fixed_knobs_are_the_constants() -> None:
    levels = {knob: round(0.1 * i, 1) for i, knob in enumerate(KNOBS)}
    policy = planners.make("tuned_knobs", "toy-3", "routing", constants=levels)
    action, _ = policy.predict({"globals": np.zeros((2, 7))})
    assert action == pytest.approx(np.tile(np.arange(5) * 0.1, (2, 1)))


def small_flow() -> convex_descent.Flow:
    """Flow of the toy with three sites."""
    env = at_rest()
    return convex_router.flow_of(env.simulator, np.array([[1.0, 1.3, 0.9]]), 1.0)


def cost_of(flow: convex_descent.Flow, share: np.ndarray) -> tuple[float, np.ndarray]:
    """Cost of a division [U, M, N] in the first environment, and the marginal costs."""
    marginal = np.zeros(share.shape)
    return convex_descent.charge(flow, 0, share, marginal), marginal


def cost_at(flow: convex_descent.Flow, levels: np.ndarray) -> float:
    """Cost of the division that levels [N] bring in the first environment."""
    share = np.zeros((*flow.demand.shape[1:], len(levels)))
    convex_descent.divide(flow, 0, levels, share)
    assert share.sum(axis=2) == pytest.approx(1)
    return cost_of(flow, share)[0]


def test_the_marginal_cost_is_the_slope_of_the_cost() -> None:
    flow = small_flow()
    share = np.array([0.5, 0.3, 0.2]).reshape(1, 1, 3)
    cost, marginal = cost_of(flow, share)
    assert cost > 0
    for site in range(3):
        more = share.copy()
        more[..., site] += 1e-5
        slope = (cost_of(flow, more)[0] - cost) / 1e-5
        assert marginal[..., site].item() == pytest.approx(slope, rel=0.05, abs=1e-3)


def test_the_descent_finds_the_best_levels_of_a_grid() -> None:
    flow = small_flow()
    least = cost_at(flow, convex_descent.solve(flow, np.zeros((1, 3)), 0.3)[0])
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 11)] * 3), axis=-1).reshape(-1, 3)
    best, start = min(cost_at(flow, point) for point in grid), cost_at(flow, np.zeros(3))
    assert start - best > 1e-3, "there is something to win"
    assert least <= best + 0.05 * (start - best)


@pytest.mark.filterwarnings("error")
def test_where_no_site_hosts_all_levels_are_0_without_a_warning() -> None:
    flow = small_flow()
    found = convex_descent.solve(flow._replace(serves=np.zeros_like(flow.serves)), np.full((1, 3), 0.5), 0.3)
    assert not found.any()


def test_convex_serves_what_the_nearest_site_would_refuse() -> None:
    env, convex = played("convex", toy(rps=14.0))
    _, nearest = played("nearest", toy(rps=14.0))
    load = env.simulator.state.load_rps[0, 0]
    assert convex > nearest + 1 and load[[A, C]].sum() == pytest.approx(14, rel=0.02)


def test_only_the_reference_sees_a_slow_site_before_it_shows() -> None:
    env = at_rest("ac")
    blind = levels_of("convex", env)
    seeing = levels_of("convex_true", env)
    env.simulator.tape.condition[0, :, A] = CALM_SPEED - 2 * SPEEDS_PER_OCTAVE
    assert np.array_equal(levels_of("convex", env), blind)
    slow = levels_of("convex_true", env)
    assert slow[A] - slow[C] < seeing[A] - seeing[C] - 0.1
    assert "convex_true" in planners.REFERENCES


def test_all_routers_are_the_baselines_of_routing() -> None:
    spec = short("global-24")
    policies, learned = load_policies(["all"], spec, "routing")
    baselines = {"random", "static", *planners.ROUTERS} - {"convex_true"}
    assert set(policies) == baselines | {"ppo_routing"} and learned == ["ppo_routing"]
    returns = {
        name: playing.run(policy, spec, "routing", episodes=2).returns.mean() for name, policy in policies.items()
    }
    assert len({round(value, 9) for value in returns.values()}) >= len(policies) - 1, "tuned_knobs may be static"


LONG = ("global-512",)
"""scenarios that take most of a minute"""


@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in loading.names()]
)
def test_routers_play_every_scenario(scenario: str) -> None:
    spec = loading.override(loading.load(scenario), {"episode.steps": 5})
    for name in planners.ROUTERS:
        result = playing.run(planners.make(name, spec, "routing"), spec, "routing", episodes=2)
        impossible = result.metric("impossible_operations") - result.metric("refused_launches")
        assert np.isfinite(result.returns).all() and not impossible.any(), "a refusal is the site's, not the router's"


def test_a_router_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"attach\(env\) first"):
        planners.make("convex", "toy-3", "routing").predict(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="uniform has no constant 'rate'"):
        planners.make("uniform", "toy-3", "routing", constants={"rate": 1.0})
