"""Futures drawn from the failure process as it looks now."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.simulator import CODES_PER_UNIT, DOWN, SIGNAL_LOW, Simulator
from og_env.tape.outages_ahead import drawn_status, fragile_chances

SPAN, FUTURES = 37, 300


def begun(scenario: str = "one-cloud", **changes: Any) -> Simulator:
    env = NetworkEnv("placement", scenario, **changes)
    env.reset(seed=0)
    return env.simulator


def code(level: float) -> int:
    return round((level - SIGNAL_LOW) * CODES_PER_UNIT)


def test_the_chance_of_a_fragile_domain_is_bayes_rule() -> None:
    simulator = begun()
    world = simulator.tape_worlds[0]
    process, shared = world.drawing.shocks, world.drawing.sources.shared
    counts = np.bincount(shared[shared >= 0], minlength=len(world.drawing.visible))
    domain = int(np.flatnonzero((counts == 1) & world.drawing.visible)[0])
    for level in (0.0, 0.5, 1.0):
        signal = np.full(len(counts), code(0.0), np.uint8)
        signal[domain] = code(level)
        shown = signal[domain] / CODES_PER_UNIT + SIGNAL_LOW
        noise = math.hypot(process.signal_noise, 0.3 / CODES_PER_UNIT)
        fit = [math.exp(-((shown - share) ** 2) / 2 / noise**2) for share in (0, 1)]
        prior = float(world.drawing.sources.fragile_share[shared == domain][0])
        expected = prior * fit[1] / (prior * fit[1] + (1 - prior) * fit[0])
        assert fragile_chances(world, signal)[domain] == pytest.approx(expected, rel=1e-6)


def test_an_alarm_brings_outages_and_calm_few() -> None:
    simulator = begun()
    world = simulator.tape_worlds[0]
    members = world.compiled.domains
    provider = next(i for i, d in enumerate(members) if d.kind == "provider" and len(d.members) > 2)
    seeds, well = np.arange(FUTURES, dtype=np.uint64), np.zeros(simulator.sizes["N"], np.uint8)
    down = []
    for level in (0.0, 1.0):
        signal = np.full(simulator.tape.signal.shape[2], code(0.0), np.uint8)
        signal[provider] = code(level)
        drawn = drawn_status(world, signal, well, SPAN, seeds)
        assert drawn.shape == (FUTURES, SPAN, len(well)) and not drawn[:, 0].any()
        down.append((drawn[:, -1][:, list(members[provider].members)] > 0).mean())
    assert down[1] > 2 * down[0] > 0


def test_what_is_broken_is_repaired_at_the_rate_of_its_domain() -> None:
    simulator = begun(**{})
    world = simulator.tape_worlds[0]
    quiet = world._replace(drawing=world.drawing._replace(signal_share=np.zeros(0)))
    provider = next(d for d in world.compiled.domains if d.kind == "provider" and len(d.members) > 2)
    status = np.zeros(simulator.sizes["N"], np.uint8)
    status[list(provider.members)] = DOWN
    signal = np.full(simulator.tape.signal.shape[2], code(0.0), np.uint8)
    drawn = drawn_status(quiet, signal, status, SPAN, np.arange(FUTURES, dtype=np.uint64))
    broken = drawn[:, :, list(provider.members)]
    assert (broken[:, 0] == DOWN).all() and not np.delete(drawn, provider.members, axis=2).any()
    assert (broken == broken[:, :, :1]).all(), "they come back together"
    index = world.compiled.domains.index(provider)
    mean_h = float(world.compiled.arrays.domain_mean_h[0, index])
    hours = world.drawing.shocks.step_h * (SPAN - 1)
    expected = math.exp(-hours / mean_h)
    assert (broken[:, -1, 0] == DOWN).mean() == pytest.approx(expected, abs=5 * math.sqrt(expected / FUTURES))
