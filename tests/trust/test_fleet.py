"""A fleet says who shares what, joins by name, and is refused where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.trust import availability, build_fleet, correlation_matrix, dense, join, pairs, shapley
from og_env.trust.fleet import node_types
from tests.cases.small_fleets import failure, large_fleet, table_of


def test_a_missing_value_keeps_the_availability_but_not_the_company():
    fleet = build_fleet(list("abc"), {"provider": ["x", "x", ""]}, table_of)
    up = availability(fleet.load, fleet.hit)
    assert up[0] == up[2]
    rho = correlation_matrix(*dense(fleet))
    assert rho[0, 1] > 0 and rho[0, 2] == 0


def test_a_dependency_that_a_node_does_not_have_raises_its_availability():
    fleet = build_fleet(list("ab"), {"provider": ["x", None]}, table_of)
    assert np.diff(availability(fleet.load, fleet.hit))[0] > 0


def test_hit_probability_follows_the_host_class():
    fleet = build_fleet(list("abc"), {"grid": ["g"] * 3}, table_of, host_class=["home", "bare_metal", "hyperscale"])
    assert fleet.hit[:, 0].tolist() == [1.0, 0.5, 0.3]


def test_joining_fleets_matches_domains_by_name():
    a = build_fleet(["a"], {"provider": ["x"]}, table_of)
    b = build_fleet(["b", "c"], {"provider": ["y", "x"]}, table_of)
    both = join(a, b)
    assert both.domain[0, 0] == both.domain[2, 0] != both.domain[1, 0]
    spelled = join(a, build_fleet(["e"], {"provider": ["X"]}, table_of))
    assert spelled.domain[0, 0] == spelled.domain[1, 0] and spelled.names[0] == ("x",)
    with pytest.raises(ValueError, match="differ in kinds"):
        join(a, build_fleet(["d"], {"country": ["u"]}, table_of))


def test_bad_fleets_are_refused():
    with pytest.raises(ValueError, match="no nodes"):
        build_fleet([], {"provider": []}, table_of)
    with pytest.raises(ValueError, match="has 1 values for 2 nodes"):
        build_fleet(["a", "b"], {"provider": ["x"]}, table_of)
    with pytest.raises(ValueError, match="not negative"):
        build_fleet(["a", "b"], {"provider": ["x", "x"]}, table_of, weight=[1, -1])
    with pytest.raises(ValueError, match="active shocks"):
        build_fleet(["a"], {"provider": ["x"]}, lambda label, name: failure(rate=1e6))
    with pytest.raises(ValueError, match="must lie in"):
        correlation_matrix(np.array([[1.5]]), np.array([1.0]))
    with pytest.raises(ValueError, match="at least 2"):
        shapley(large_fleet(), pairs(large_fleet()), rounds=1)


def test_types_are_the_distinct_rows_in_order():
    fleet = large_fleet(n=200, seed=1)
    fleet.hit[::3, 1] = 0.25
    types = node_types(fleet)
    rows = np.column_stack([fleet.domain, fleet.hit, fleet.load])
    members = [np.flatnonzero((rows == rows[i]).all(axis=1)) for i in range(200)]
    assert types.size[types.of_node].tolist() == [len(nodes) for nodes in members]
    for part in ("domain", "hit", "load"):
        np.testing.assert_array_equal(getattr(types, part)[types.of_node], getattr(fleet, part))
    np.testing.assert_array_equal(types.profiles[types.profile], types.hit)
    np.testing.assert_array_equal(types.profiles, np.unique(fleet.hit, axis=0))
    assert types.domain.tolist() == sorted(types.domain.tolist())
