"""Concentration equals brute force and figures worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from og_env.trust import build_fleet, concentration, measures_of, nakamoto, nakamoto_at
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


def test_measures_equal_published_vectors():
    assert measures_of([5, 4, 3, 2, 1])["gini"] == pytest.approx(0.26667, abs=1e-5)
    assert measures_of([1, 1, 3, 0, 0])["gini"] == pytest.approx(0.56)
    assert measures_of([3, 2, 1])["shannon_bits"] == pytest.approx(1.459, abs=5e-4)
    assert measures_of([3, 2, 1])["theil"] == pytest.approx(0.087, abs=5e-4)
    assert measures_of([8, 6, 3, 3])["hhi_points"] == pytest.approx(2950)
    equal = measures_of([2, 2, 2, 2])
    assert (
        equal["shannon_percent"] == equal["renyi_percent"] == pytest.approx(100)
        and equal["gini"] == equal["theil"] == 0
    )
    assert measures_of([4, 3, 2, 1])["top_3"] == pytest.approx(0.9)
    assert measures_of([2, 1, 1])["renyi_bits"] == pytest.approx(-np.log2(6 / 16))


@pytest.mark.parametrize(
    ("weights", "count"), [([1], 1), ([1] * 13, 5), ([1, 1, 2, 3, 5, 1, 2], 2), ([6, 3, 2, 1, 1], 1), ([4, 4, 3, 2], 2)]
)
def test_nakamoto_at_a_third_equals_published_vectors(weights, count):
    assert nakamoto_at(np.array(weights, float), 1 / 3) == count


def test_a_share_equal_to_the_threshold_is_not_enough():
    assert nakamoto_at(np.array([5.0, 4, 3, 3]), 1 / 3) == 2
    assert nakamoto_at(np.array([1.0, 1]), 0.5) == 2 and nakamoto_at(np.array([1.0, 1]), 0.4999) == 1
