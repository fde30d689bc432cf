"""Drawn demand: on paper without chance, against the closed forms of its processes with it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from og_env.tape.demand import DemandProcess
from og_env.tape.draw import tape_world
from tests.cases.compiled_worlds import compiled
from tests.cases.drawn_tapes import SIGMAS, drawing, episodes, off_by, steady

COLUMNS = 400


def bursts(count: int = 50, rows: int = 49, **changes: float) -> np.ndarray:
    """Regional burst factors [count x COLUMNS, rows]; columns are independent."""
    process = steady(burst_sd=0.4, burst_memory_steps=24.0, **changes)
    tape = episodes(count, rows, drawing(demand=process, diurnal=np.ones((24, COLUMNS))))
    return tape.regional.transpose(0, 2, 1).reshape(-1, rows).astype(np.float64)


def test_without_chance_demand_is_the_diurnal_curve_from_the_start_step_on():
    curve = np.arange(48.0).reshape(24, 2) + 1
    tape = episodes(3, 60, drawing(diurnal=curve, start_step=20), models=3)
    assert np.array_equal(tape.regional[1], curve[(20 + np.arange(60)) % 24])
    assert (tape.model == 1).all() and (tape.start_step == 20).all()


def test_bursts_have_mean_one_at_every_row():
    factors = bursts()
    spread = math.sqrt((math.exp(0.4**2) - 1) / len(factors))
    assert np.abs(factors.mean(axis=0) - 1).max() < SIGMAS * spread


def test_bursts_are_a_stationary_autoregression():
    logs = np.log(bursts())
    n = len(logs)
    assert np.abs(logs.mean(axis=0) + 0.4**2 / 2).max() < SIGMAS * 0.4 / math.sqrt(n)
    assert np.abs(logs.var(axis=0) / 0.4**2 - 1).max() < SIGMAS * math.sqrt(2 / n)
    for lag in (1, 24, 48):
        related = np.corrcoef(logs[:, 0], logs[:, lag])[0, 1]
        expected = math.exp(-lag / 24)
        assert abs(related - expected) < SIGMAS * (1 - expected**2) / math.sqrt(n)


def test_bursts_of_regions_and_models_are_unrelated():
    process = steady(burst_sd=0.4, burst_memory_steps=24.0)
    tape = episodes(4_000, 1, drawing(demand=process, diurnal=np.ones((24, 3))), models=3)
    logs = np.log(np.concatenate([tape.regional[:, 0], tape.model[:, 0]], axis=1))
    related = np.corrcoef(logs.T)[np.triu_indices(6, 1)]
    assert np.abs(related).max() < SIGMAS / math.sqrt(4_000)
    assert np.log(tape.model).var() / 0.4**2 == pytest.approx(1, abs=SIGMAS * math.sqrt(2 / 12_000))


def flashes() -> tuple[np.ndarray, np.ndarray]:
    """Flash crowds lifting each region [4000, 30, 5] and each model [4000, 30, 2]: one in 20 steps, of 12 on average."""
    process = steady(flashes_per_step=0.05, flash_factor=9.0, flash_length_steps=12.0)
    tape = episodes(4_000, 30, drawing(demand=process, diurnal=np.ones((24, 5))), models=2)
    return np.log(tape.regional) / math.log(3), np.log(tape.model) / math.log(3)


def test_a_flash_lifts_one_region_and_one_model_by_the_root_of_its_factor():
    regional, model = flashes()
    assert regional.max() > 0.9
    assert np.abs(regional - regional.round()).max() < 1e-5 and np.abs(model - model.round()).max() < 1e-5
    assert np.array_equal(regional.sum(axis=2).round(), model.sum(axis=2).round())


def test_flashes_are_poisson_of_exponential_length_and_under_way_at_the_start():
    regional, _ = flashes()
    active = regional.sum(axis=2)
    mean = 0.05 * (12 + 1)  # a row shows every flash that touches it
    for row in (0, 15, 29):
        assert abs(active[:, row].mean() - mean) < SIGMAS * math.sqrt(mean / 4_000)
        assert abs(active[:, row].var() / mean - 1) < SIGMAS * math.sqrt((2 + 1 / mean) / 4_000)
    # both rows show what begins before row 1 and is still there at row 12: rate x integral of the exponential's tail
    both = (active[:, 0] - mean) * (active[:, 12] - mean)
    assert off_by(both, 0.05 * 12 * math.exp(-11 / 12)) < SIGMAS


def test_flashes_choose_every_region_and_model_alike():
    regional, model = flashes()
    for lifted in (regional, model):
        for column in range(lifted.shape[2]):
            share = lifted[:, :, column].mean(axis=1)
            assert off_by(share.astype(np.float64), 0.05 * (12 + 1) / lifted.shape[2]) < SIGMAS


def test_a_scenario_is_read_in_steps():
    world = compiled(
        demand__burst_sd=0.3,
        demand__burst_memory_h=3.0,
        demand__flashes_per_day=4.8,
        demand__flash_factor=2.0,
        demand__flash_h=0.5,
    )
    found = tape_world(world).drawing.demand  # steps of a minute
    assert found == pytest.approx(DemandProcess(0.3, 180.0, 4.8 / 1440, 2.0, 30.0))


def test_large_factors_stay_finite():
    process = steady(burst_sd=3.0, flashes_per_step=2.0, flash_length_steps=50.0)
    tape = episodes(5, 200, drawing(demand=process, diurnal=np.ones((24, 4))), models=4)
    assert np.isfinite(tape.regional).all() and (tape.regional > 0).all() and np.isfinite(tape.model).all()


def test_mean_over_episodes_is_independent_of_burst_memory():
    for memory in (1e-3, 1.0, 1e6):
        tape = episodes(3_000, 2, drawing(demand=steady(burst_sd=0.3, burst_memory_steps=memory)))
        assert off_by(tape.regional[:, 1, 0].astype(np.float64), 1.0) < SIGMAS
