"""Every figure of trust equals brute force on small fleets, and sampling agrees with enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from trust_cases import TABLE, fleets, large_fleet

from og_env.trust import (
    build_fleet,
    correlation_matrix,
    dense,
    fleet_n_eff,
    has_quorum,
    leave_one_out,
    live,
    n1_live_without,
    n_eff,
    outage,
    pairs,
    prefix_n_eff,
    quorum_outage,
    select,
    shapley,
    survival,
)


def up_together(fleet, members):
    """P(all members up): no active shock of any domain has hit one of them."""
    hit, load = dense(fleet)
    missed = np.prod(1 - hit[list(members)], axis=0)
    return math.exp(-float(np.sum(load * (1 - missed))))


def brute_rho(fleet):
    n = len(fleet.nodes)
    rho = np.eye(n)
    for i, j in itertools.permutations(range(n), 2):
        a, b = up_together(fleet, [i]), up_together(fleet, [j])
        rho[i, j] = (up_together(fleet, [i, j]) - a * b) / math.sqrt(a * (1 - a) * b * (1 - b))
    return rho


def brute_n_eff(fleet, members):
    if len(members) == 0:
        return 0.0
    part = select(fleet, list(members))
    return part.weight.sum() ** 2 / float(part.weight @ brute_rho(part) @ part.weight)


def brute_hours(fleet):
    """Hours a year without quorum from the probabilities of all 2^N sets of live nodes, by inclusion and exclusion."""
    n = len(fleet.nodes)
    exact = np.array([up_together(fleet, [i for i in range(n) if mask >> i & 1]) for mask in range(2**n)])
    for i in range(n):
        without = [mask for mask in range(2**n) if not mask >> i & 1]
        exact[without] -= exact[[mask | 1 << i for mask in without]]
    live_weight = np.array([sum(fleet.weight[i] for i in range(n) if mask >> i & 1) for mask in range(2**n)])
    return 8760 * float(exact[~has_quorum(live_weight, fleet.weight.sum())].sum())


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


@settings(max_examples=25, deadline=None)
@given(fleets())
def test_correlation_and_n_eff_equal_brute_force(fleet):
    rho = correlation_matrix(*dense(fleet))
    np.testing.assert_allclose(rho, brute_rho(fleet), atol=1e-10)
    everyone = range(len(fleet.nodes))
    assert fleet_n_eff(fleet) == pytest.approx(brute_n_eff(fleet, everyone), rel=1e-9)
    assert n_eff(fleet.weight, rho) == pytest.approx(brute_n_eff(fleet, everyone), rel=1e-9)
    order = np.arange(len(fleet.nodes))[::-1].copy()
    grown = prefix_n_eff(fleet, pairs(fleet), order)
    np.testing.assert_allclose(grown, [brute_n_eff(fleet, order[: k + 1]) for k in range(len(order))], rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(fleets())
def test_quorum_figures_equal_brute_force(fleet):
    worst = survival(fleet)
    assert worst.n1_live == pytest.approx(brute_live(fleet, 1), abs=1e-12)
    assert worst.n2_live == pytest.approx(brute_live(fleet, 2), abs=1e-12)
    assert worst.n1_survives == bool(has_quorum(np.array(brute_live(fleet, 1)), 1.0))
    n = len(fleet.nodes)
    rest = [select(fleet, [j for j in range(n) if j != i]) for i in range(n)]
    np.testing.assert_allclose(n1_live_without(fleet), [brute_live(part, 1) for part in rest], atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(fleets(max_nodes=6))
def test_quorum_probability_equals_brute_force_with_and_without_every_node(fleet):
    outage = quorum_outage(fleet)
    n = len(fleet.nodes)
    rest = [select(fleet, [j for j in range(n) if j != i]) for i in range(n)]
    slack = 6 * outage.standard_error + outage.truncation + 1e-6 * brute_hours(fleet) + 1e-9
    assert abs(outage.hours_per_year - brute_hours(fleet)) <= slack
    if outage.method == "enumeration":
        np.testing.assert_allclose(outage.hours_without, [brute_hours(part) for part in rest], rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(fleets(max_nodes=6))
def test_marginal_contributions_equal_brute_force(fleet):
    n = len(fleet.nodes)
    everyone = brute_n_eff(fleet, range(n))
    without = [everyone - brute_n_eff(fleet, [j for j in range(n) if j != i]) for i in range(n)]
    np.testing.assert_allclose(leave_one_out(fleet, pairs(fleet)), without, atol=1e-9)
    subsets = [subset for size in range(n + 1) for subset in itertools.combinations(range(n), size)]
    worth = {frozenset(subset): brute_n_eff(fleet, subset) for subset in subsets}
    value = np.zeros(n)
    for order in itertools.permutations(range(n)):
        for place, i in enumerate(order):
            value[i] += worth[frozenset(order[: place + 1])] - worth[frozenset(order[:place])]
    np.testing.assert_allclose(shapley(fleet, pairs(fleet)).value, value / math.factorial(n), atol=1e-9)


def test_twelve_nodes_with_odd_weights_equal_brute_force():
    rng = np.random.default_rng(5)
    columns = {kind: [f"d{i}" for i in rng.integers(0, 4, 12)] for kind in ("provider", "country")}
    fleet = build_fleet(
        [str(i) for i in range(12)], columns, lambda label, name: TABLE.get(label), weight=rng.random(12)
    )
    mild = fleet._replace(load=fleet.load / 20)
    outage = quorum_outage(mild)
    assert outage.method == "enumeration" and outage.standard_error == 0
    assert outage.hours_per_year == pytest.approx(brute_hours(mild), rel=1e-6)
    assert shapley(mild, pairs(mild)).value.sum() == pytest.approx(fleet_n_eff(mild))


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
    monkeypatch.setattr(live, "MAX_NODES", 0)
    monkeypatch.setattr(outage, "VOTES_DRAWN", 2_000_000)
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


def test_shapley_uses_common_random_numbers():
    fleet = large_fleet()
    again = shapley(fleet, pairs(fleet), rounds=4)
    np.testing.assert_array_equal(again.value, shapley(fleet, pairs(fleet), rounds=4).value)
    assert np.any(again.value != shapley(fleet, pairs(fleet), rounds=4, seed=1).value)
