"""The best swap of nodes is the best of all swaps; limits name the domains that break them."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.trust import best_replacements, broken_limits, build_fleet, fleet_n_eff, join, limits_from_words, select
from tests.cases.small_fleets import large_fleet, table_of


def brute(fleet, offered):
    best = 0.0
    for out in range(len(fleet.nodes)):
        rest = select(fleet, np.arange(len(fleet.nodes)) != out)
        for into in range(len(offered.nodes)):
            new = select(offered, [into])._replace(nodes=("new",), weight=fleet.weight[[out]])
            best = max(best, fleet_n_eff(join(rest, new)))
    return best


@pytest.mark.parametrize("weighted", [False, True])
def test_the_first_swap_is_the_best_of_all(weighted):
    weight = np.arange(1.0, 13.0) if weighted else None
    fleet, others = large_fleet(n=12, seed=1, weight=weight), large_fleet(n=9, seed=7)
    others = others._replace(nodes=tuple(f"c{name}" for name in others.nodes))
    for offered in (None, others):
        steps = best_replacements(fleet, offered, 2)
        assert steps[0].n_eff == pytest.approx(brute(fleet, fleet if offered is None else offered))
        assert steps[0].gain == pytest.approx(steps[0].n_eff - fleet_n_eff(fleet))
        assert all(step.gain > 0 for step in steps) and len(steps) == 2
        assert steps[1].n_eff == pytest.approx(steps[0].n_eff + steps[1].gain)


def test_a_fleet_that_cannot_gain_has_no_swap():
    fleet = build_fleet(list("abc"), {"provider": ["x", "y", "z"]}, table_of)
    assert best_replacements(fleet) == []


def test_limits_by_hand():
    fleet = build_fleet(list("abcde"), {"provider": ["x", "x", "x", "y", ""]}, table_of, weight=[1, 1, 1, 1, 6])
    [entry] = broken_limits(fleet, limits_from_words(["provider=2"]))
    assert (entry["name"], entry["nodes"], entry["over"], entry["limit"]) == ("x", 3, 1, "2 nodes")
    by_share = broken_limits(fleet, limits_from_words(["provider=25%"]))
    assert [entry["name"] for entry in by_share] == ["e", "x"] and by_share[0]["share"] == pytest.approx(0.6)
    assert broken_limits(fleet, limits_from_words(["provider=3"])) == []
    assert broken_limits(fleet, limits_from_words(["provider=60%"])) == []
