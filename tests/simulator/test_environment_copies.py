"""Copies of environments: they tell the future exactly where they are told it, and leave the episode alone."""

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.kernel.arrays import BLIND, CALM_SPEED, GAIN, LEAVING, NO_LAUNCHES, SCARCE, TAKEN
from og_env.kernel.random_streams import later_noise
from og_env.scenario import loading
from og_env.simulator import Copies, idle
from og_env.vector_env import NetworkVectorEnv


@pytest.fixture
def env():
    spec = loading.override(loading.load("global-24"), {"episode.operations_per_step": 1})
    made = NetworkVectorEnv(3, "placement", spec, split="validation", threads=1)
    made.reset(seed=4)
    for _ in range(5):
        made.step(np.ones(3, np.int64))
    yield made
    made.close()


def autoscaled(env, copies):
    output = env.simulator.output
    gains = np.where(output.offer != 0, output.offer_gain[:, :, GAIN.total], -np.inf)
    return np.where(gains.max(axis=1) > 0.002, gains.argmax(axis=1) + 1, 0)


def test_on_the_tape_copies_do_what_the_environments_then_do(env):
    rows = np.arange(3)
    copies = Copies(env.simulator, 3, 2, 10)
    copies.load(rows, truth=True)
    rewards = copies.run(copies.greedy(copies.output.offer, copies.output.offer_gain), copies.greedy)
    happened = np.stack([env.step(autoscaled(env, copies))[1] for _ in range(10)], axis=1)
    assert np.array_equal(rewards[::2], happened)
    assert np.array_equal(rewards[1::2], happened)


def test_steps_beyond_the_end_count_nothing(env):
    for _ in range(280):
        env.step(np.zeros(3, np.int64))
    simulator = env.simulator
    assert (simulator.state.step == 285).all()
    copies = Copies(simulator, 3, 1, 10)
    copies.load(np.arange(3), truth=True)
    rewards = copies.run(np.zeros(3, np.int64), idle)
    assert (rewards[:, :3] < 0).all() and not rewards[:, 3:].any()


def test_the_forecast_goes_on_with_the_expected_curve_and_present_outages(env):
    simulator = env.simulator
    simulator.state.status[1, 7] = 1
    copies = Copies(simulator, 2, 2, 12)
    copies.load(np.array([1, 2]))
    world, tape = simulator.world, simulator.tape
    for b, row in ((0, 1), (3, 2)):
        hours = (int(tape.start_step[row]) + 5 + np.arange(13)) % 288
        curve = world.diurnal[0][hours]
        assert copies.tape.regional[b] == pytest.approx(tape.regional[row, 5] * curve / curve[0], rel=1e-5)
        assert (copies.tape.model[b] == tape.model[row, 5]).all()
        assert (copies.tape.signal[b] == tape.signal[row, 5]).all()
        assert (copies.tape.status[b] == simulator.state.status[row]).all()
        assert copies.tape.start_step[b] == hours[0] and not copies.tape.attack[b].any()


def test_only_the_true_tape_tells_how_fast_sites_are(env):
    simulator, rows = env.simulator, np.array([2, 0])
    simulator.tape.condition[2, 9, 3] |= BLIND
    copies = Copies(simulator, 2, 2, 10)
    copies.load(rows, truth=True)
    assert np.array_equal(copies.tape.condition[::2], simulator.tape.condition[rows, 5:16])
    assert np.array_equal(copies.tape.condition[::2], copies.tape.condition[1::2])
    later = later_noise(simulator.tape.noise[rows], np.array([5, 5]))
    assert np.array_equal(copies.tape.noise, later.repeat(2))
    copies.load(rows)
    assert (copies.tape.condition == CALM_SPEED).all()
    assert np.array_equal(copies.tape.noise[::2], copies.tape.noise[1::2])
    assert not np.isin(copies.tape.noise, [simulator.tape.noise[rows], later]).any()


def test_rare_action_steps_are_idle_in_between(env):
    copies = Copies(env.simulator, 3, 1, 6)
    copies.load(np.arange(3))
    acts = []

    def follow(offer, gain):
        acts.append((offer != 0).any())
        return np.zeros(3, np.int64)

    rare = copies.run(np.zeros(3, np.int64), follow, every=3)
    copies.load(np.arange(3))
    assert acts == [True] and np.array_equal(rare, copies.run(np.zeros(3, np.int64), idle))


def test_simulate_follows_greedily_where_asked_on_either_interface():
    first = {}
    for interface in ("proposals", "operations"):
        env = NetworkEnv("placement", "global-24", interface=interface)
        env.reset(seed=1)
        quiet = env.simulate(np.zeros(1, np.int64), horizon=6)
        greedy = env.simulate(np.zeros(1, np.int64), horizon=6, follow="greedy")
        assert greedy.metrics.shape == quiet.metrics.shape
        assert quiet.rewards[0, 0] == greedy.rewards[0, 0] and quiet.rewards[0, 5] != greedy.rewards[0, 5]
        first[interface] = greedy.returns()
        with pytest.raises(ValueError, match="valid are nothing, greedy"):
            env.simulate(np.zeros(1, np.int64), follow="random")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="horizon is 0"):
            env.simulate(np.zeros(1, np.int64), horizon=0)
    assert np.array_equal(first["proposals"], first["operations"])


def test_a_forecast_takes_what_leaves_for_gone_and_knows_of_no_hidden_scarcity():
    env = NetworkVectorEnv(1, scenario="scarcity")
    env.reset(seed=0)
    simulator = env.simulator
    simulator.state.supply[0] = 0
    simulator.state.supply[0, :3] = SCARCE, LEAVING, NO_LAUNCHES
    copies = Copies(simulator, 1, 1, 3)
    copies.load(np.array([0]))
    assert copies.state.supply[0, :3].tolist() == [0, LEAVING, NO_LAUNCHES]
    assert copies.tape.supply[0, :, 1].tolist() == [LEAVING, TAKEN, TAKEN, TAKEN]
    assert not copies.tape.supply[0, :, 0].any() and (copies.tape.supply[0, :, 2] == NO_LAUNCHES).all()
    copies.load(np.array([0]), truth=True)
    assert np.array_equal(copies.tape.supply[0], simulator.tape.supply[0, :4])
    assert copies.state.supply[0, 0] == SCARCE
