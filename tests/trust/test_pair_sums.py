"""Effective nodes at the extremes: independent nodes, one shared failure, and domains that merge."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from og_env.trust import build_fleet, correlation_matrix, dense, fleet_n_eff, pair_sums, pairs
from og_env.trust.failure_correlation import n_eff, ranks
from tests.cases.small_fleets import KINDS, failure, fleets, table_of


def certain(label, name):
    return failure("provider", rate=50, hit=1.0) if label == "provider" else None


def test_independent_equal_nodes_count_fully_and_a_certain_shared_failure_leaves_one():
    alone = build_fleet(list("abcde"), {"provider": list("vwxyz")}, certain)
    together = build_fleet(list("abcde"), {"provider": ["v"] * 5}, certain)
    assert fleet_n_eff(alone) == pytest.approx(5, rel=1e-12)
    assert fleet_n_eff(together) == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(correlation_matrix(*dense(together)), 1.0)


@settings(max_examples=40, deadline=None)
@given(fleets(), st.sampled_from(KINDS))
def test_n_eff_never_rises_when_two_domains_merge(fleet, kind):
    k = fleet.kinds.index(kind)
    for a, b in itertools.combinations(range(len(fleet.names[k])), 2):
        domain = fleet.domain.copy()
        domain[domain[:, k] == b, k] = a
        assert fleet_n_eff(fleet._replace(domain=domain)) <= fleet_n_eff(fleet) * (1 + 1e-9)


def nested_fleet(n=40):
    """A fleet whose providers lie each in one country, so that sharing both is sharing the provider."""
    columns = {"provider": [f"p{i % 6}" for i in range(n)], "country": [f"c{i % 3}" for i in range(n)]}
    weight = 1.0 + np.arange(n) % 4
    return build_fleet([str(i) for i in range(n)], columns, table_of, weight=weight)


@pytest.mark.parametrize("held", [1, 4_000_000])
def test_equal_classes_are_worked_out_once_and_the_sums_stay_those_of_all_pairs(monkeypatch, held):
    monkeypatch.setattr(pair_sums, "HELD", held)
    fleet = nested_fleet()
    shared = pairs(fleet)
    assert [overlap.first for overlap in shared.overlaps] == [0, 0, 2]
    assert shared.overlaps[1].group is shared.overlaps[0].group
    rho = correlation_matrix(*dense(fleet))
    for order in (np.arange(40), np.arange(40)[::-1]):
        grown = pair_sums.prefix_n_eff(fleet, shared, order)
        for count in (1, 7, 40):
            some = order[:count]
            assert grown[count - 1] == pytest.approx(n_eff(fleet.weight[some], rho[np.ix_(some, some)]), rel=1e-12)
    assert fleet_n_eff(fleet, shared) == pytest.approx(n_eff(fleet.weight, rho), rel=1e-12)


@pytest.mark.parametrize("value", [[3, 0, 3, 5], [10**9, 2, 10**9, 0], []])
def test_ranks_count_the_distinct_values_below(value):
    assert ranks(np.array(value, np.int64)).tolist() == [len({v for v in value if v < each}) for each in value]
