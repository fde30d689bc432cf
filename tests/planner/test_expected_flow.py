"""The traffic of a fleet on trial."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.kernel.arrays import KNOB, WARM, environment
from og_env.kernel.compile import njit
from og_env.kernel.views import opened
from og_env.planner.expected_flow import append_expected, expected_flow
from og_env.planner.expected_gain import begin_trials, price_fleet
from og_env.simulator import Settings, Simulator


@njit
def served_on_trial(table, site):
    """Requests/s of model 0 that are asked for, and those served if it had one more replica at a site."""
    env = environment(opened(table), 0, 0)
    price_fleet(env, env.state.step)
    replicas = begin_trials(env, 0)
    append_expected(env, 0, site, replicas)
    return env.scratch.asked[0], expected_flow(env, 0, replicas + 1).served_rps


def test_a_trial_serves_no_more_than_is_asked_for_however_heavy_the_penalty_of_load() -> None:
    simulator = Simulator("global-24", 1, Settings("placement", "proposals"))
    simulator.load_episode(0, simulator.tape_seed(np.random.default_rng(0)))
    simulator.start(np.arange(1))
    free = int(np.flatnonzero((simulator.state.phase[0, 0] != WARM) & (simulator.world.capacity_rps[0, 0] > 0))[0])
    used = simulator.state.phase[0, 0] == WARM
    assert 0 < used.sum() < 8
    simulator.state.load_rps[0, 0] = np.where(used, 0.9 * simulator.world.capacity_rps[0, 0], 0)
    simulator.state.knobs[0, KNOB.load_penalty] = 700
    asked_rps, served_rps = served_on_trial(simulator.table, free)
    assert 0 < served_rps <= asked_rps * (1 + 1e-9)


@njit
def late_of_fleet(table):
    """Requests/s of model 0 that are expected to be late."""
    env = environment(opened(table), 0, 0)
    price_fleet(env, env.state.step)
    return expected_flow(env, 0, begin_trials(env, 0)).late_rps


def test_the_planner_expects_the_traffic_that_steering_brings() -> None:
    simulator = Simulator("global-24", 1, Settings("placement", "proposals"))
    simulator.load_episode(0, simulator.tape_seed(np.random.default_rng(0)))
    simulator.start(np.arange(1))
    simulator.tape.regional[:] *= 0.5  # no replica is full
    usual = late_of_fleet(simulator.table)
    simulator.state.steer[0] = 2
    assert late_of_fleet(simulator.table) == pytest.approx(usual, rel=1e-9), "for all alike is for none"
    used = np.flatnonzero(simulator.state.phase[0, 0] == WARM)
    simulator.state.steer[0] = 0
    simulator.state.steer[0, used[0]] = 4
    assert abs(late_of_fleet(simulator.table) - usual) > 0.05 * usual
