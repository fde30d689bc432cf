"""Every figure of trust equals brute force on small fleets, and sampling agrees with enumeration."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from og_env.trust import (
    build_fleet,
    concentration,
    correlation_matrix,
    dense,
    fleet_n_eff,
    has_quorum,
    joint_down,
    leave_one_out,
    live_weight,
    n1_live_without,
    n_eff,
    pairs,
    prefix_n_eff,
    quorum_downtime,
    quorum_outage,
    select,
    shapley,
    survival,
)
from tests.cases.small_fleets import TABLE, fleets, large_fleet


def all_up(fleet):
    """[2^N] P(all members of a set up), sets as bits: no active shock of any domain has hit one of them."""
    hit, load = dense(fleet)
    missed = np.ones((1, len(load)))
    for row in 1 - hit:
        missed = np.vstack([missed, missed * row])
    return np.exp(-np.sum(load * (1 - missed), axis=1))


def brute_rho(fleet):
    n, up = len(fleet.nodes), all_up(fleet)
    rho = np.eye(n)
    for i, j in itertools.permutations(range(n), 2):
        a, b, both = up[1 << i], up[1 << j], up[1 << i | 1 << j]
        rho[i, j] = (both - a * b) / math.sqrt(a * (1 - a) * b * (1 - b))
    return rho


def brute_worth(fleet):
    """[2^N] n_eff of every set of nodes, from the sums over its pairs."""
    rho, weight = brute_rho(fleet), fleet.weight
    total, spread = np.zeros(1), np.zeros(1)
    row = np.zeros((1, len(weight)))
    for i, w in enumerate(weight):
        spread = np.concatenate([spread, spread + w * w + 2 * w * row[:, i]])
        total = np.concatenate([total, total + w])
        row = np.vstack([row, row + w * rho[i]])
    return np.divide(total**2, spread, out=np.zeros_like(total), where=spread > 0)


def mask_of(nodes):
    return sum(1 << int(i) for i in nodes)


def brute_shapley(worth, n):
    """Mean gain over the orders: a set of size k comes before a node in k! (n - 1 - k)! of the n! orders."""
    value = np.zeros(n)
    for mask in range(2**n):
        size = mask.bit_count()
        for i in range(n):
            if not mask >> i & 1:
                share = math.factorial(size) * math.factorial(n - 1 - size) / math.factorial(n)
                value[i] += share * (worth[mask | 1 << i] - worth[mask])
    return value


def brute_hours(fleet, without=None):
    """Hours a year without quorum, from the probabilities of all 2^N sets of live nodes by inclusion and exclusion."""
    n = len(fleet.nodes)
    masks = np.arange(2**n)
    exact = all_up(fleet)
    for i in range(n):
        others = masks[masks >> i & 1 == 0]
        exact[others] -= exact[others | 1 << i]
    weight = np.array([0.0 if i == without else w for i, w in enumerate(fleet.weight)])
    live_weight = (masks[:, None] >> np.arange(n) & 1) @ weight
    return 8760 * float(exact[~has_quorum(live_weight, weight.sum())].sum())


def brute_domains(fleet):
    """Members of every domain that can break, private machines included."""
    found = [{i} for i in range(len(fleet.nodes))]
    for k in range(len(fleet.kinds)):
        found += [set(np.flatnonzero(fleet.domain[:, k] == d)) for d in set(fleet.domain[:, k]) if d >= 0]
    return found


def brute_live(fleet, broken):
    """Least share of the weight that is left when `broken` domains break."""
    total = fleet.weight.sum()
    sets = itertools.combinations_with_replacement(brute_domains(fleet), broken)
    return min(sum(fleet.weight[i] for i in range(len(fleet.nodes)) if i not in set().union(*s)) / total for s in sets)


def brute_nakamoto(shares, part):
    """Fewest domains that together hold more than a part."""
    for size in range(1, len(shares) + 1):
        if max(map(sum, itertools.combinations(shares, size))) > float(part) * (1 + 1e-9):
            return size
    raise AssertionError("all domains together hold everything")


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


@settings(max_examples=25, deadline=None)
@given(fleets(max_nodes=12))
def test_survival_and_concentration_equal_brute_force(fleet):
    worst = survival(fleet)
    assert worst.n1_live == pytest.approx(brute_live(fleet, 1), abs=1e-12)
    assert worst.n2_live == pytest.approx(brute_live(fleet, 2), abs=1e-12)
    assert worst.n1_survives == bool(has_quorum(np.array(brute_live(fleet, 1)), 1.0))
    assert worst.n2_survives == bool(has_quorum(np.array(brute_live(fleet, 2)), 1.0))
    n = len(fleet.nodes)
    rest = [select(fleet, [j for j in range(n) if j != i]) for i in range(n)]
    np.testing.assert_allclose(n1_live_without(fleet), [brute_live(part, 1) for part in rest], atol=1e-12)
    figures = concentration(fleet, "provider")
    held = {}
    for i, d in enumerate(fleet.domain[:, 0]):
        key = d if d >= 0 else f"own {i}"
        held[key] = held.get(key, 0.0) + fleet.weight[i] / fleet.weight.sum()
    assert figures.hhi == pytest.approx(sum(share**2 for share in held.values()))
    for part in ("1/3", "1/2", "2/3"):
        assert figures.nakamoto[part] == brute_nakamoto(list(held.values()), Fraction(part))


@settings(max_examples=20, deadline=None)
@given(fleets(max_nodes=12))
def test_quorum_probability_equals_brute_force_with_and_without_every_node(fleet):
    outage = quorum_outage(fleet)
    expected = brute_hours(fleet)
    slack = 6 * outage.standard_error + outage.truncation + 1e-6 * expected + 1e-9
    assert abs(outage.hours_per_year - expected) <= slack
    if outage.method == "enumeration":
        without = [brute_hours(fleet, without=i) for i in range(len(fleet.nodes))]
        np.testing.assert_allclose(outage.hours_without, without, rtol=1e-6, atol=1e-9 + outage.truncation)


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


def test_twelve_nodes_with_odd_weights_are_enumerated():
    rng = np.random.default_rng(5)
    columns = {kind: [f"d{i}" for i in rng.integers(0, 4, 12)] for kind in ("provider", "country")}
    fleet = build_fleet(
        [str(i) for i in range(12)], columns, lambda label, name: TABLE.get(label), weight=rng.random(12)
    )
    mild = fleet._replace(load=fleet.load / 20)
    outage = quorum_outage(mild)
    assert outage.method == "enumeration" and outage.standard_error == 0
    assert outage.hours_per_year == pytest.approx(brute_hours(mild), rel=1e-6)


def test_sampling_agrees_with_enumeration():
    fleet = large_fleet(scale=0.02)
    exact = quorum_outage(fleet, method="enumeration")
    assert exact.standard_error == 0 and exact.truncation < 1e-6
    misses = []
    for seed in range(8):
        sampled = quorum_outage(fleet, method="sampling", samples=4096, seed=seed)
        assert sampled.standard_error > 0
        misses.append((sampled.hours_per_year - exact.hours_per_year) / sampled.standard_error)
        np.testing.assert_allclose(sampled.hours_without, exact.hours_without, rtol=0.3)
    # Mean of 8 standard normals beyond 4 / sqrt(8) by chance: 6e-5.
    assert abs(np.mean(misses)) < 4 / math.sqrt(8)
    assert np.max(np.abs(misses)) < 5


def test_drawing_votes_agrees_with_the_distribution_of_sums(monkeypatch):
    fleet = large_fleet(n=30, scale=0.05)
    exact = quorum_outage(fleet, method="enumeration")
    monkeypatch.setattr(live_weight, "MAX_NODES", 0)
    monkeypatch.setattr(quorum_downtime, "VOTES_DRAWN", 2_000_000)
    drawn = quorum_outage(fleet, method="enumeration")
    assert 0 < drawn.standard_error < 0.1 * exact.hours_per_year
    # Five standard errors: one run in 2 million misses by chance.
    assert abs(drawn.hours_per_year - exact.hours_per_year) < 5 * drawn.standard_error
    np.testing.assert_allclose(drawn.hours_without, exact.hours_without, rtol=0.25)


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
