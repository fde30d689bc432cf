"""Hours without quorum equal brute force, and sampling agrees with enumeration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from og_env.trust import build_fleet, quorum_downtime, quorum_outage
from og_env.trust.quorum_downtime import enumerate_states
from tests.cases.brute_force_trust import brute_hours
from tests.cases.small_fleets import TABLE, failure, fleets, large_fleet


@settings(max_examples=20, deadline=None)
@given(fleets(max_nodes=12))
def test_quorum_probability_equals_brute_force_with_and_without_every_node(fleet):
    outage = quorum_outage(fleet)
    expected = brute_hours(fleet)
    slack = 6 * outage.standard_error + outage.truncation + 1e-6 * expected + 1e-9
    assert abs(outage.hours_per_year - expected) <= slack
    if outage.method == "enumeration":
        without = [brute_hours(fleet, without=i) for i in range(len(fleet.nodes))]
        np.testing.assert_allclose(outage.hours_without, without, rtol=1e-6, atol=1e-9 + outage.truncation)


def test_twelve_nodes_with_odd_weights_are_enumerated():
    rng = np.random.default_rng(5)
    columns = {kind: [f"d{i}" for i in rng.integers(0, 4, 12)] for kind in ("provider", "country")}
    fleet = build_fleet(
        [str(i) for i in range(12)], columns, lambda label, name: TABLE.get(label), weight=rng.random(12)
    )
    mild = fleet._replace(load=fleet.load / 20)
    outage = quorum_outage(mild)
    assert outage.method == "enumeration" and outage.standard_error == 0
    assert outage.hours_per_year == pytest.approx(brute_hours(mild), rel=1e-6)


def test_enumerated_states_carry_all_probability():
    states = enumerate_states(np.array([0.01, 0.2, 0.003]), 20_000)
    assert states is not None and states.probability.sum() == pytest.approx(1, abs=1e-14)
    assert enumerate_states(np.full(60, 0.5), 1000) is None


def test_sampling_agrees_with_enumeration():
    fleet = large_fleet(scale=0.02)
    exact = quorum_outage(fleet, method="enumeration")
    assert exact.standard_error == 0 and exact.truncation < 1e-6
    misses = []
    for seed in range(8):
        sampled = quorum_outage(fleet, method="sampling", samples=4096, seed=seed)
        assert sampled.standard_error > 0
        misses.append((sampled.hours_per_year - exact.hours_per_year) / sampled.standard_error)
        np.testing.assert_allclose(sampled.hours_without, exact.hours_without, rtol=0.3)
    # Mean of 8 standard normals beyond 4 / sqrt(8) by chance: 6e-5.
    assert abs(np.mean(misses)) < 4 / math.sqrt(8)
    assert np.max(np.abs(misses)) < 5


def test_the_causes_of_the_hours_are_named():
    failures = {"provider": failure("provider", rate=5, hit=1.0), "country": failure("country", rate=0.01, hit=1.0)}
    columns = {"provider": ["p"] * 6, "country": ["c"] * 6}
    fleet = build_fleet([f"n{i}" for i in range(6)], columns, lambda label, name: failures.get(label))
    causes = quorum_outage(fleet).causes
    assert (causes[0].kind, causes[0].name) == ("provider", "p") and causes[0].share > 0.99
    assert causes[1].kind == "country" and 0 < causes[1].share < 0.01


def test_states_that_a_bound_settles_change_no_figure(monkeypatch):
    fleet = large_fleet(n=80, scale=0.01)
    with_bound = quorum_outage(fleet)
    monkeypatch.setattr(
        quorum_downtime, "_unsettled", lambda fleet, types, shocks, states: np.ones(len(states.probability), bool)
    )
    without = quorum_outage(fleet)
    assert with_bound.hours_per_year == without.hours_per_year
    np.testing.assert_array_equal(with_bound.hours_without, without.hours_without)
