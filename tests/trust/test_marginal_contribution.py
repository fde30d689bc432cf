"""Leave-one-out figures and Shapley values equal brute force, and sampling agrees with every coalition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from og_env.trust import build_fleet, fleet_n_eff, leave_one_out, pairs, select, shapley
from tests.cases.brute_force_trust import brute_shapley, brute_worth, mask_of
from tests.cases.small_fleets import TABLE, fleets, large_fleet, table_of


@settings(max_examples=12, deadline=None)
@given(fleets(max_nodes=12))
def test_marginal_contributions_equal_brute_force(fleet):
    n, worth = len(fleet.nodes), brute_worth(fleet)
    everyone = 2**n - 1
    without = [worth[everyone] - worth[everyone ^ 1 << i] for i in range(n)]
    np.testing.assert_allclose(leave_one_out(fleet, pairs(fleet)), without, atol=1e-9)
    np.testing.assert_allclose(shapley(fleet, pairs(fleet)).value, brute_shapley(worth, n), atol=1e-9)


@settings(max_examples=5, deadline=None)
@given(fleets(max_nodes=6))
def test_shapley_is_the_mean_over_all_orders(fleet):
    n, worth = len(fleet.nodes), brute_worth(fleet)
    gains = np.array(
        [
            [worth[mask_of(order[: order.index(i) + 1])] - worth[mask_of(order[: order.index(i)])] for i in range(n)]
            for order in itertools.permutations(range(n))
        ]
    )
    np.testing.assert_allclose(shapley(fleet, pairs(fleet)).value, gains.mean(axis=0), atol=1e-9)


def test_sampled_shapley_agrees_with_every_coalition():
    fleet = select(large_fleet(scale=1.0), np.arange(10))
    exact, sampled = shapley(fleet, pairs(fleet)), shapley(fleet, pairs(fleet), rounds=400)
    assert exact.permutations == 0 and sampled.permutations == 800
    # Ten values, five standard errors each: 6e-6 by chance.
    assert np.all(np.abs(exact.value - sampled.value) < 5 * sampled.standard_error + 1e-9)
    assert sampled.value.sum() == pytest.approx(fleet_n_eff(fleet))


def test_standard_errors_of_shapley_cover_the_exact_values():
    """95 % intervals of 60 samplings of 12 nodes; with 30 rounds Student's t puts 2.05 errors there."""
    fleet = select(large_fleet(scale=1.0), np.arange(12))
    shared = pairs(fleet)
    exact = shapley(fleet, shared).value
    sampled = [shapley(fleet, shared, rounds=30, seed=seed) for seed in range(60)]
    z = np.array([(one.value - exact) / one.standard_error for one in sampled])
    assert abs(float((np.abs(z) < 2.05).mean()) - 0.95) < 0.03
    assert abs(float(z.mean())) < 0.2


def test_shapley_uses_common_random_numbers():
    fleet = large_fleet()
    again = shapley(fleet, pairs(fleet), rounds=4)
    np.testing.assert_array_equal(again.value, shapley(fleet, pairs(fleet), rounds=4).value)
    assert np.any(again.value != shapley(fleet, pairs(fleet), rounds=4, seed=1).value)


def test_twenty_thousand_different_nodes_are_left_out_one_by_one():
    rng = np.random.default_rng(0)
    sizes = {"provider": 300, "country": 80, "grid": 2000}
    columns = {kind: [f"{i}" for i in rng.integers(0, size, 20_000)] for kind, size in sizes.items()}
    fleet = build_fleet([str(i) for i in range(20_000)], columns, table_of)
    figures = leave_one_out(fleet, pairs(fleet))
    assert len(figures) == 20_000 and np.isfinite(figures).all()


def test_a_copy_of_a_node_adds_almost_nothing():
    nodes = [f"n{i}" for i in range(20)]
    fleet = build_fleet([*nodes, "copy"], {"site": [*nodes, "n0"]}, lambda label, name: TABLE["site"])
    assert leave_one_out(fleet, pairs(fleet))[-1] < 1e-9
    assert shapley(select(fleet, np.arange(10, 21)), pairs(select(fleet, np.arange(10, 21)))).value.min() > 0.9
