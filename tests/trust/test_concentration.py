"""Concentration equals brute force and figures worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from og_env.trust import build_fleet, concentration, nakamoto
from tests.cases.brute_force_trust import brute_nakamoto
from tests.cases.small_fleets import fleets, table_of


@settings(max_examples=25, deadline=None)
@given(fleets(max_nodes=12))
def test_concentration_equals_brute_force(fleet):
    figures = concentration(fleet, "provider")
    held = {}
    for i, d in enumerate(fleet.domain[:, 0]):
        key = d if d >= 0 else f"own {i}"
        held[key] = held.get(key, 0.0) + fleet.weight[i] / fleet.weight.sum()
    assert figures.hhi == pytest.approx(sum(share**2 for share in held.values()))
    for part in ("1/3", "1/2", "2/3"):
        assert figures.nakamoto[part] == brute_nakamoto(list(held.values()), Fraction(part))


def test_concentration_by_hand():
    fleet = build_fleet(list("abcdefgh"), {"provider": ["x", "x", "x", "x", "y", "y", "z", ""]}, table_of)
    figures = concentration(fleet, "provider")
    assert figures.hhi == pytest.approx((16 + 4 + 1 + 1) / 64)
    assert figures.effective == pytest.approx(64 / 22)
    assert figures.nakamoto == {"1/3": 1, "1/2": 2, "2/3": 2}
    assert nakamoto(np.full(10, 0.1)) == {"1/3": 4, "1/2": 6, "2/3": 7}
    with pytest.raises(ValueError, match="no kind planet"):
        concentration(fleet, "planet")
