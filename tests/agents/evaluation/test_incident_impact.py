"""Impact of an outage on a policy: figures worked out on paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.evaluation import incident_impact, playing
from og_agents.evaluation.recording import Recording, record
from og_env.scenario import loading
from tests.cases.as_stated import AS_STATED

P_DOWN = {"outages": [{"domain": "provider:P", "start_h": 0.5, "duration_h": 0.2}], "background": False}
SPREAD: dict[str, Any] = {"start.replica_sites": {"unit": ("a", "c")}, "start.gateway_sites": ("a", "c")}


def toy(options: dict[str, Any] | None = None, /, **changes: Any) -> Recording:
    spec = loading.override(loading.load("toy-3"), AS_STATED | {"start.verifier_sites": ("c",)} | changes)
    policy = heuristics.make("static")
    return record(policy, playing.stage(policy, spec, "placement", 2), 0, options)


def test_figures_of_an_outage_on_paper():
    """8 requests/s; the only replica is down from minute 30 to 42 and then loads for 20 s: 40 s at 9 a second are 6."""
    lost, twin = toy(P_DOWN), toy()
    found = incident_impact.impact(lost, twin, 0.5, 0.7)
    seconds = 31 * 60  # minutes 30 to 60, the last included
    assert found.asked == pytest.approx([8 * seconds] * 2)
    assert found.unserved == pytest.approx([8 * 12 * 60 + 2 * 60] * 2)
    assert found.due == pytest.approx(found.lost) and found.unverified == pytest.approx([0, 0])
    assert found.recover_min.tolist() == [13, 13] and found.recovered.all()
    assert found.exposure_before.tolist() == [1, 1] and found.share_before.tolist() == [1, 1]
    assert found.n_eff_before == pytest.approx([1, 1])
    usd_per_hour = lost.metric("usd_per_hour")[0]
    assert found.cost_usd[0] == pytest.approx(usd_per_hour[29:].sum() / 60)
    assert (usd_per_hour[30:40] < usd_per_hour[20]).all()


def test_what_the_twin_loses_too_is_not_due_to_the_outage():
    scarce = SPREAD | {"demand.requests_per_s": 30.0}
    found = incident_impact.impact(toy(P_DOWN, **scarce), toy(None, **scarce), 0.5, 0.7)
    due = 9 * 60 * 12 + 3 * 60  # one of two replicas of 9 requests/s; then it serves 6 for a minute
    assert found.due == pytest.approx([due] * 2)
    assert found.unserved == pytest.approx([due + (30 - 18) * 31 * 60] * 2)
    assert found.share_before == pytest.approx([0.5, 0.5], abs=0.05)


def test_one_who_stands_on_two_providers_loses_nothing():
    found = incident_impact.impact(toy(P_DOWN, **SPREAD), toy(None, **SPREAD), 0.5, 0.7)
    assert found.lost == pytest.approx([0, 0]) and found.recover_min.tolist() == [0, 0]
    assert found.recovered.all() and found.share_before == pytest.approx([0.5, 0.5], abs=0.2)


def test_unverified_requests_are_counted_apart():
    options = {"outages": [{"domain": "tee_vendor:nitro", "start_h": 0.5, "duration_h": 4.0, "effect": "UNTRUSTED"}]}
    found = incident_impact.impact(toy(options), toy(), 0.5, 4.5)
    assert found.unverified == pytest.approx([8 * 31 * 60] * 2) and found.unserved == pytest.approx([0, 0])
    assert not found.recovered.any() and found.recover_min.tolist() == [31, 31]


def test_an_outage_from_the_start_has_nothing_before():
    options = {"outages": [{"domain": "provider:P", "start_h": 0.0, "duration_h": 0.2}]}
    found = incident_impact.impact(toy(options), toy(), 0.0, 0.2)
    assert np.isnan(found.exposure_before).all() and np.isnan(found.share_before).all()
    summary = incident_impact.summary(found)
    assert summary["exposure_before"] is None
    # rows 1 to 11, and 20 s of loading
    assert summary["unserved"] == {
        "mean": pytest.approx(5400),
        "ci_low": pytest.approx(5400),
        "ci_high": pytest.approx(5400),
    }


@pytest.mark.parametrize(
    ("good", "length", "expected"),
    [
        ([1.0] * 40, 10, (0.0, True)),
        ([0.5] * 5 + [1.0] * 40, 10, (25.0, True)),
        ([1.0, 0.5, 1.0, 0.5] + [1.0] * 40, 10, (20.0, True)),
        ([0.5] * 5 + [1.0] * 5, 10, (25.0, True)),
        ([0.5] * 5 + [1.0] * 5 + [0.5], 10, (55.0, False)),
        ([0.995] * 40, 10, (0.0, True)),
        ([1.0] * 25 + [0.5] * 15, 10, (0.0, True)),
        ([1.0] * 20 + [0.5] * 5 + [1.0] * 15, 10, (125.0, True)),
    ],
    ids=[
        "never fell",
        "back",
        "a flicker",
        "to the end",
        "below at the end",
        "within 1 %",
        "long after",
        "in the aftermath",
    ],
)
def test_minutes_to_recover(good, length, expected):
    assert incident_impact.minutes_to_recover(good, np.ones(len(good)), length, 300) == expected


def test_a_lower_level_is_enough_where_the_twin_is_low():
    good, level = [0.5] * 5 + [0.8] * 20, [1.0] * 5 + [0.8] * 20
    assert incident_impact.minutes_to_recover(good, level, 10, 300) == (25.0, True)


def test_worst_hour_is_weighted_by_what_was_served():
    p95, served = np.array([100.0, 900.0, 100.0, 0.0]), np.array([9.0, 1.0, 10.0, 0.0])
    assert incident_impact.worst_hour(p95, served, 0.5) == 180
    assert incident_impact.worst_hour(p95, served, 1.0) == 900
    assert np.isnan(incident_impact.worst_hour(p95, np.zeros(4), 0.5))
