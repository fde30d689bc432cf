"""Views for the map and the table, taken from the arrays of a simulator."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.kernel.arrays import DOWN
from og_env.render import view_of
from og_env.render.map import HEIGHT_PX, WIDTH_PX
from og_env.render.view import MapView, _by_gateway, _flow_rps, _nearest_gateway
from og_env.scenario import loading


def test_flows_recover_a_softmax_router() -> None:
    rng = np.random.default_rng(3)
    distance = rng.uniform(0, 4, (6, 6))
    attraction = np.exp(-distance) * rng.uniform(0.2, 2, 6)
    demand_rps = np.zeros((6, 2))
    demand_rps[[1, 4]] = rng.uniform(5, 20, (2, 2))
    exact = [demand_rps[:, [m]] * attraction / attraction.sum(axis=1, keepdims=True) for m in range(2)]
    served = np.stack([flow.sum(axis=0) for flow in exact])
    assert _flow_rps(demand_rps, served, distance) == pytest.approx(sum(exact), rel=0.02, abs=0.02)


def test_flows_go_only_where_something_is_served() -> None:
    served = np.array([[0.0, 10.0, 0.0], [0.0, 0.0, 0.0]])
    flow = _flow_rps(np.array([[20.0, 5.0], [0.0, 0.0], [0.0, 0.0]]), served, np.ones((3, 3)))
    assert flow == pytest.approx(np.array([[0, 10, 0], [0, 0, 0], [0, 0, 0]]))


def test_regions_use_their_nearest_live_gateway() -> None:
    near_user = np.array([[2, 0, 1, 3], [1, 2, 0, 3]], np.int32)
    assert _nearest_gateway(near_user, np.array([True, False, True])).tolist() == [2, 2]
    assert _nearest_gateway(near_user, np.array([True, False, False])).tolist() == [0, 0]
    assert _nearest_gateway(near_user, np.zeros(3, bool)).tolist() == [-1, -1]
    arriving = _by_gateway(np.array([[1.0], [2.0]]), np.array([-1, 2]), 3)
    assert arriving.tolist() == [[0], [0], [2]]


def test_a_running_environment_is_drawn_from_its_arrays() -> None:
    spec = loading.override(loading.load("provider-blackout"), {"episode.operations_per_step": 1})
    env = NetworkEnv(scenario=spec, render_mode="ansi")
    env.reset(seed=0)
    before = env.render()
    for _ in range(100):
        _, _, _, _, info = env.step(1)
    sim = env.simulator
    view = view_of(sim.world_of(0).resolved, sim.world, sim.tape, sim.state, sim.output)
    assert view.step == 100
    assert (view.status & DOWN > 0).sum() == info["sites_down"] > 0
    assert view.warm.sum() == info["replicas_warm"]
    assert view.loading.sum() == info["replicas_loading"]
    assert view.load_rps.sum() == pytest.approx(info["demand_rps"], rel=1e-5)
    assert view.flow_rps.sum() == pytest.approx(info["served_rps"], rel=1e-4)
    assert view.flow_rps.sum(axis=0) / view.flow_rps.sum() == pytest.approx(view.share, abs=1e-4)
    assert before != env.render()
    assert env.render().count("DOWN") == info["sites_down"]
    env.render_mode = "rgb_array"
    assert env.render().shape == (HEIGHT_PX, WIDTH_PX, 3)
    env.close()


def test_grey_and_blind_sites_are_those_that_the_metrics_count() -> None:
    spec = loading.override(loading.load("random-24"), {"condition.grey_per_day": 8.0, "condition.blind_per_day": 8.0})
    env = NetworkEnv(scenario=spec)
    env.reset(seed=0)
    counts = []
    for _ in range(60):
        info = env.step(0)[4]
        view = present(env)
        assert (view.grey.sum(), view.blind.sum()) == (info["sites_grey"], info["sites_blind"])
        assert not (view.grey & (view.status & DOWN > 0)).any()
        counts.append((info["sites_grey"], info["sites_blind"]))
    assert np.min(np.max(counts, axis=0)) > 0
    env.close()


def test_refusals_and_steering_are_those_of_the_state() -> None:
    env = NetworkEnv(scenario="global-24", task="routing", interface="sites")
    env.reset(seed=0)
    assert not present(env).steer.any() and not present(env).refused.any()
    levels = np.linspace(-1, 1, 24, dtype=np.float32)
    for _ in range(12):
        env.step(levels)
    view = present(env)
    assert view.steer == pytest.approx(4 * levels, abs=1e-6)
    assert np.array_equal(view.refused, env.simulator.state.shown_refused[0]) and 0 < view.refused.max() <= 1
    env.close()


def present(env: NetworkEnv) -> MapView:
    sim = env.simulator
    return view_of(sim.world_of(0).resolved, sim.world, sim.tape, sim.state, sim.output)
