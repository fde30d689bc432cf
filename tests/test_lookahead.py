"""Copies that run ahead: their tapes, their numbers, and that the episode is not touched."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.lookahead import Copies, idle
from og_env.simulator import Settings, Simulator, source_of

STEP, HORIZON = 100, 12


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    """Two environments of global-24 after 100 steps of random offers."""
    simulator = Simulator("global-24", 2, Settings("placement", "proposals", True, 10, "train", 1.0))
    for b in range(2):
        simulator.load_episode(b, 70 + b)
    simulator.start(np.arange(2))
    rng = np.random.default_rng(0)
    for _ in range(STEP):
        simulator.advance(rng.integers(0, 4, 2))
    return simulator


def test_the_forecast_goes_on_with_the_expected_curve(simulator: Simulator) -> None:
    copies = Copies(source_of(simulator), 2, 3, HORIZON)
    copies.load(np.arange(2))
    tape, ahead = simulator.tape, copies.tape
    for copy in range(6):
        b = copy // 3
        hours = (int(tape.start_step[b]) + STEP + np.arange(HORIZON + 1)) % 288
        curve = simulator.world.diurnal[0][hours]
        assert ahead.regional[copy] == pytest.approx(tape.regional[b, STEP] * curve / curve[0], rel=1e-5)
        assert (ahead.model[copy] == tape.model[b, STEP]).all()
        assert (ahead.status[copy] == simulator.state.status[b]).all()
        assert (ahead.signal[copy] == tape.signal[b, STEP]).all() and not ahead.attack[copy].any()
        assert ahead.start_step[copy] == (int(tape.start_step[b]) + STEP) % 288


def test_with_the_true_tape_a_copy_does_what_the_episode_does(simulator: Simulator) -> None:
    copies = Copies(source_of(simulator), 2, 1, HORIZON)
    copies.load(np.arange(2), truth=True)
    before = [array.copy() for array in simulator.state]
    rewards = copies.run(np.zeros(2, np.int64), idle)
    assert all(np.array_equal(array, old) for array, old in zip(simulator.state, before, strict=True))
    for i in range(HORIZON):
        simulator.advance(np.zeros(2, np.int64))
        assert np.array_equal(rewards[:, i], simulator.output.reward.astype(np.float64))
