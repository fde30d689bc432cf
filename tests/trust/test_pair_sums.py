"""Effective nodes at the extremes: independent nodes, one shared failure, and domains that merge."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from og_env.trust import build_fleet, correlation_matrix, dense, fleet_n_eff
from tests.cases.small_fleets import KINDS, failure, fleets


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
