"""N-1 and N-2 of the quorum equal brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from og_env.trust import build_fleet, has_quorum, n1_live_without, select, survival
from tests.cases.brute_force_trust import brute_live
from tests.cases.small_fleets import fleets, table_of


@settings(max_examples=25, deadline=None)
@given(fleets(max_nodes=12))
def test_survival_equals_brute_force(fleet):
    worst = survival(fleet)
    assert worst.n1_live == pytest.approx(brute_live(fleet, 1), abs=1e-12)
    assert worst.n2_live == pytest.approx(brute_live(fleet, 2), abs=1e-12)
    assert worst.n1_survives == bool(has_quorum(np.array(brute_live(fleet, 1)), 1.0))
    assert worst.n2_survives == bool(has_quorum(np.array(brute_live(fleet, 2)), 1.0))
    n = len(fleet.nodes)
    rest = [select(fleet, [j for j in range(n) if j != i]) for i in range(n)]
    np.testing.assert_allclose(n1_live_without(fleet), [brute_live(part, 1) for part in rest], atol=1e-12)


def test_weights_move_the_quorum_exactly_at_two_thirds():
    columns = {"provider": list("xyz")}
    assert not survival(build_fleet(list("abc"), columns, table_of)).n1_survives
    heavier = build_fleet(list("abcd"), {"provider": list("wxyz")}, table_of)
    assert survival(heavier).n1_survives and not survival(heavier).n2_survives
