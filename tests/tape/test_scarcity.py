"""Spells of scarcity: how often sites refuse, how alike those of a region are, and what a withdrawal writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_env.kernel.arrays import LEAVING, SCARCE, TAKEN
from og_env.scenario import loading
from og_env.scenario.specs import ScarcitySpec
from og_env.tape.draw import drawn_tapes, tape_world
from og_env.tape.scarcity import notice_rows, withdraw_rows
from og_env.world import compile_world
from og_env.world.scarcity import fill_scarcity, refused_shares, spells_of
from tests.cases.compiled_worlds import compiled

STEP_H = 300 / 3600


def drawn(count: int, steps: int, **changes: Any) -> np.ndarray:
    """Supply [count, steps + 1, N] of so many short episodes of the scenario, with other keys of [scarcity]."""
    keys = {f"scarcity.{key}": value for key, value in changes.items()} | {"episode.steps": steps}
    world = tape_world(compile_world(loading.resolve(loading.override(loading.load("scarcity"), keys))))
    return np.array([tape.supply[0].copy() for tape in drawn_tapes(world, range(count))])


def test_sites_refuse_as_often_as_stated_and_those_of_a_region_together():
    # a row counts where a spell touches it, which adds little where spells are long
    scarce = (drawn(20_000, 1, withdrawn_share=0.0, mean_h=6.0)[:, 0] & SCARCE) != 0
    on_demand, spot = np.arange(15) % 3 == 0, np.arange(15) % 3 != 0
    assert scarce[:, on_demand].mean() == pytest.approx(0.3, abs=0.01)
    assert scarce[:, spot].mean() == pytest.approx(0.6, abs=0.01)
    alike = np.corrcoef(scarce[:, spot].T)
    within = np.array([alike[i, i + 1] for i in range(0, 10, 2)])
    between = alike[0::2, 0::2][~np.eye(5, dtype=bool)]
    assert within == pytest.approx(0.43, abs=0.035)
    assert between.mean() == pytest.approx(0.14, abs=0.02)


def test_spells_are_as_long_as_stated_and_withdraw_only_spot_after_a_notice():
    supply = drawn(300, 287, refused_share=0.02, within_region=0.0, between_regions=0.0, withdrawn_share=1.0)
    on_demand, spot = supply[:, :, 0::3], supply[:, :, 1::3]
    assert not (on_demand & (LEAVING | TAKEN)).any() and not (spot & SCARCE).any()
    begins = (spot[:, 1:] & TAKEN != 0) & (spot[:, :-1] & TAKEN == 0)
    assert (spot[:, :-1][begins] & LEAVING).all(), "every withdrawal is announced in the step before"
    hours = (spot & TAKEN != 0).sum() * STEP_H
    # 0.04 of the time in spells of 2 h; a row counts where a spell touches it
    assert hours / (300 * 24 * 5) == pytest.approx(0.04 * (2 + STEP_H) / 2, rel=0.12)


def test_a_withdrawal_is_announced_in_the_rows_before():
    supply = np.zeros((6, 1), np.uint8)
    withdraw_rows.py_func(supply, 0, 3, 5, 2)
    assert supply[:, 0].tolist() == [0, LEAVING, LEAVING, TAKEN, TAKEN, 0]
    assert [notice_rows(ScarcitySpec(notice_s=s), STEP_H) for s in (0.0, 120.0, 300.0, 301.0)] == [0, 1, 1, 2]


def test_without_scarcity_nothing_is_drawn_and_every_launch_is_expected_to_succeed():
    world = compiled()
    assert len(spells_of(world.resolved).rate_per_h) == 0
    assert (world.arrays.launch_chance == 1).all() and (world.arrays.kept_share == 1).all()
    assert not world.arrays.spot.any()


def test_shares_follow_the_kind_of_gpu_and_the_market():
    spec = loading.override(loading.load("scarcity"), {"scarcity.refused_by_gpu": {"H100": 0.1}})
    shares = refused_shares(spec.scarcity, loading.resolve(spec).sites)
    assert shares[:3].tolist() == [0.1, 0.2, 0.2]


def test_what_is_expected_of_a_site_and_what_spot_costs():
    resolved = loading.resolve(loading.load("scarcity"))
    arrays = compiled("scarcity").arrays
    assert arrays.launch_chance[0, :3] == pytest.approx([0.7, 0.4, 0.4])
    # -ln 0.4 spells at a time of 2 h, half of which withdraw: 0.229 an hour, over a horizon of 3 h
    expected = -np.log(0.4) / 2 * 0.5 * 3
    assert arrays.kept_share[0, :3] == pytest.approx([1, *[(1 - np.exp(-expected)) / expected] * 2])
    list_price = resolved.sites[0].usd_per_gpu_hour
    assert arrays.usd_per_gpu_hour[0, :2] == pytest.approx([list_price, 0.45 * list_price])
    assert arrays.region_of[0, :6].tolist() == [0, 0, 0, 3, 3, 3]
    fill_scarcity(arrays, resolved, 1e-9)
    assert arrays.kept_share[0, :3] == pytest.approx([1, 1, 1])


def test_regions_are_no_less_alike_than_stated():
    with pytest.raises(ValueError, match=r"between_regions is 0\.5; it must be at most within_region, 0\.43"):
        loading.override(loading.load("scarcity"), {"scarcity.between_regions": 0.5})
