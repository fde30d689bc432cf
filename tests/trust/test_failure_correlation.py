"""Availability, correlation and n_eff equal brute force and a simulated shock process."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from og_env.trust import (
    active_shocks,
    availability,
    correlation_matrix,
    dense,
    fleet_n_eff,
    joint_down,
    mean_duration_h,
    n_eff,
    pairs,
    prefix_n_eff,
)
from tests.cases.brute_force_trust import all_up, brute_rho, brute_worth, mask_of
from tests.cases.small_fleets import failure, fleets


@settings(max_examples=25, deadline=None)
@given(fleets(max_nodes=12))
def test_correlation_and_n_eff_equal_brute_force(fleet):
    n, up = len(fleet.nodes), all_up(fleet)
    hit, load = dense(fleet)
    rho = correlation_matrix(hit, load)
    np.testing.assert_allclose(rho, brute_rho(fleet), atol=1e-10)
    down = [[1 - up[1 << i] - up[1 << j] + up[1 << i | 1 << j] for j in range(n)] for i in range(n)]
    np.testing.assert_allclose(joint_down(hit, load), down, atol=1e-13)
    worth = brute_worth(fleet)
    assert fleet_n_eff(fleet) == pytest.approx(worth[-1], rel=1e-9)
    assert n_eff(fleet.weight, rho) == pytest.approx(worth[-1], rel=1e-9)
    order = np.arange(n)[::-1].copy()
    grown = prefix_n_eff(fleet, pairs(fleet), order)
    np.testing.assert_allclose(grown, [worth[mask_of(order[: k + 1])] for k in range(n)], rtol=1e-9)


def test_active_shocks_count_only_effects_that_stop_a_vote():
    kind = failure(rate=8760.0, duration_sigma=0.0, heavy_duration_sigma=0.0, effects={"DOWN": 0.25, "FROZEN": 0.75})
    assert mean_duration_h(kind) == pytest.approx(0.85 * 5 + 0.15 * 20)
    assert active_shocks(kind) == pytest.approx(0.25 * 7.25)
    assert active_shocks(kind, ("DOWN", "FROZEN")) == pytest.approx(7.25)


def test_mean_durations_up_to_a_limit_match_drawn_ones():
    kind = failure(duration_h=2.0, duration_sigma=1.0, heavy_duration_h=30.0, heavy_duration_sigma=0.7)
    rng = np.random.default_rng(3)
    ordinary = 2.0 * np.exp(rng.standard_normal(200_000))
    heavy = 30.0 * np.exp(0.7 * rng.standard_normal(200_000))
    drawn = np.where(rng.random(200_000) < kind.heavy_weight, heavy, ordinary)
    for limit in (0.5, 3.0, 48.0, math.inf):
        assert mean_duration_h(kind, limit) == pytest.approx(np.minimum(drawn, limit).mean(), rel=0.02)
    fixed = failure(duration_h=2.0, duration_sigma=0.0, heavy_duration_h=30.0, heavy_duration_sigma=0.0)
    assert mean_duration_h(fixed, 10.0) == pytest.approx(0.85 * 2 + 0.15 * 10)


def test_a_registry_takes_its_frozen_clients_down_after_half_an_hour():
    kind = failure("facilitator", rate=8760.0, effects={"FROZEN": 1.0}, duration_sigma=0.0, heavy_duration_sigma=0.0)
    assert active_shocks(kind, ("FROZEN",)) == pytest.approx(0.5)
    assert active_shocks(kind, ("DOWN",)) == pytest.approx(0.85 * 4.5 + 0.15 * 19.5)
    assert active_shocks(kind, ("DOWN", "FROZEN")) == pytest.approx(mean_duration_h(kind))
    assert active_shocks(failure("region", effects={"FROZEN": 1.0})) == 0


def test_closed_form_matches_a_simulated_shock_process():
    """10^6 hours of two nodes with one shared and two own domains; shares of time down and joint, within 5 standard errors."""
    rng = np.random.default_rng(11)
    hours, kind = 1_000_000, failure(rate=200.0, hit=0.6, duration_h=2.0, heavy_duration_h=6.0)
    shared = active_shocks(kind)
    hit = np.array([[0.6, 1.0, 0.0], [0.6, 0.0, 1.0]])
    load = np.array([shared, shared / 2, shared / 2])
    down = np.zeros((2, hours), np.int64)
    for d, factor in enumerate((1.0, 0.5, 0.5)):
        count = rng.poisson(kind.rate_per_year * factor * hours / 8760)
        start = rng.uniform(0, hours, count)
        heavy = rng.random(count) < kind.heavy_weight
        ordinary = kind.duration_h * np.exp(kind.duration_sigma * rng.standard_normal(count))
        long = kind.heavy_duration_h * np.exp(kind.heavy_duration_sigma * rng.standard_normal(count))
        end = start + np.where(heavy, long, ordinary)
        for i in range(2):
            struck = rng.random(count) < hit[i, d]
            change = np.zeros(hours + 1, np.int64)
            np.add.at(change, np.ceil(start[struck]).astype(int).clip(0, hours), 1)
            np.add.at(change, np.ceil(end[struck]).astype(int).clip(0, hours), -1)
            down[i] += np.cumsum(change[:hours])
    is_down = down > 0
    up = availability(np.tile(load, (2, 1)), hit)
    rho = correlation_matrix(hit, load)[0, 1]
    joint_down = 1 - float(up.sum()) + math.exp(-float(np.sum(load * (1 - np.prod(1 - hit, axis=0)))))
    for times, expected in ((is_down[0], 1 - float(up[0])), (is_down.all(axis=0), joint_down)):
        blocks = times.reshape(1000, -1).mean(axis=1)
        error = float(blocks.std()) / math.sqrt(1000)
        assert error < 0.05 * expected
        assert abs(float(blocks.mean()) - expected) < 5 * error
    assert np.asarray(np.corrcoef(is_down))[0, 1] == pytest.approx(rho, abs=0.03)
