"""Growth curves end at the whole fleet, and candidates come in greedy order."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.trust import best_additions, build_fleet, curve_as_listed, curve_greedy, fleet_n_eff, join, pairs, select
from tests.cases.small_fleets import large_fleet, table_of


def test_growth_curves_end_at_the_whole_fleet_and_greedy_leads():
    fleet = large_fleet(n=80, scale=1.0)
    listed, greedy = curve_as_listed(fleet, pairs(fleet)), curve_greedy(fleet, pairs(fleet))
    assert listed.nodes[-1] == greedy.nodes[-1] == 80
    assert listed.n_eff[-1] == pytest.approx(greedy.n_eff[-1]) == pytest.approx(fleet_n_eff(fleet))
    assert greedy.n_eff[19] >= listed.n_eff[19]


def test_candidates_come_in_greedy_order_per_dollar():
    fleet = build_fleet(list("abc"), {"provider": ["x", "x", "y"], "country": ["u", "v", "v"]}, table_of)
    offered = build_fleet(["p", "q", "r"], {"provider": ["x", "new", "new"], "country": ["u", "u", "w"]}, table_of)
    plain = best_additions(fleet, offered)
    gains = [fleet_n_eff(join(fleet, select(offered, [i]))) - fleet_n_eff(fleet) for i in range(3)]
    assert plain[0].candidate == int(np.argmax(gains)) == 2
    assert plain[0].gain == pytest.approx(max(gains)) and plain[0].usd is None
    assert plain[-1].n_eff == pytest.approx(fleet_n_eff(join(fleet, offered)))
    dear = best_additions(fleet, offered, np.array([1.0, 1.0, 50.0]))
    assert dear[0].candidate == 1 and dear[-1].candidate == 2
    assert dear[0].gain_per_usd == pytest.approx(gains[1])
