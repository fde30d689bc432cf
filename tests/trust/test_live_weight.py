"""Votes that are drawn agree with the exact distribution of the live weight."""

from __future__ import annotations

import numpy as np

from og_env.trust import live_weight, quorum_downtime, quorum_outage
from tests.cases.small_fleets import large_fleet


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
