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


def test_tilts_are_those_of_each_state_alone():
    """The logarithms that states have in common change nothing, to the last bit."""
    rng = np.random.default_rng(5)
    voters = live_weight.voters(rng.pareto(1.2, 300) + 1, np.arange(300))
    up = np.tile(rng.uniform(0.9, 1.0, 300), (20, 1))
    up[rng.random(up.shape) < 0.3] *= 0.4
    assert live_weight._tilts(voters, up) == [live_weight._tilts(voters, state[None])[0] for state in up]


def test_weights_far_apart_leave_the_distribution_whole():
    fleet = large_fleet(n=40, scale=0.05)
    heavy = np.full(40, 32e18)
    heavy[0] = 1.0
    found = quorum_outage(fleet._replace(weight=heavy), method="enumeration")
    none = quorum_outage(fleet._replace(weight=np.where(heavy > 1, heavy, 0.0)), method="enumeration")
    assert np.isfinite(found.hours_without).all()
    assert found.hours_per_year == none.hours_per_year > 0
