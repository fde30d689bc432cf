"""Outages of a film, what they cost and what is done about them."""

from __future__ import annotations

import pytest

from og_agents.replay.page.outages import Outage, explained, moves_of, outages_of, outcome, spans, struck_share
from og_env.scenario import loading
from og_env.world import Domain
from tests.cases.toy_film import toy


def test_outages_and_what_they_cost_on_paper():
    """8 requests/s; provider P is down from minute 30 to 42; its replica is back 20 s later, of 9 requests/s."""
    one = toy()
    [outage] = outages_of(one)
    assert outage == Outage(30, 42, "down", "provider:P", (0, 1))
    figures = outcome(one, outage)
    assert figures["unserved"] == pytest.approx(8 * 12 * 60 + 2 * 60) and figures["unverified"] == 0
    assert figures["until"] == 60 and figures["lost_share"] == pytest.approx(figures["unserved"] / (8 * 31 * 60))
    assert struck_share(one, outage) == pytest.approx(1) and struck_share(one, outage._replace(start=1)) is None
    assert figures["moves"] == [] and figures["moves_total"] == 0 and figures["due"] is None
    beside = one._replace(twin=toy(options={"background": False}).recording)
    assert outcome(beside, outage)["due"] == pytest.approx(figures["unserved"])


def test_moves_are_those_decided_once_the_outage_is_seen():
    spec = loading.override(loading.load("global-16"), {"episode.steps": 60})
    name = sorted({site.provider for site in loading.resolve(spec).sites})[0]
    options = {"outages": [{"domain": f"provider:{name}", "start_h": 1.0, "duration_h": 1.0}], "background": False}
    one = toy("greedy", options, spec)
    outage = outages_of(one)[0]
    done = moves_of(one)
    assert len(done) == one.recording.metric("operations").sum() > 5
    figures = outcome(one, outage)
    later = [(row, text) for row, text in done if outage.start < row <= figures["until"]]
    assert outage.start == 12 and figures["moves_total"] == len(later)
    assert [(move["row"], move["text"]) for move in figures["moves"]] == later[:4]


def test_who_fell_together_is_told_by_what_they_share():
    domains = [
        Domain("provider", "aws", (0, 1, 2, 3)),
        Domain("grid", "ercot", (0, 1, 2, 3)),
        Domain("region", "us", (2, 3)),
        Domain("transit", "big", tuple(range(12))),
    ]
    assert explained([0, 1, 2, 3], domains) == [("provider:aws", (0, 1, 2, 3))]
    assert explained([0, 1, 2, 3], domains, ["grid"]) == [("grid:ercot", (0, 1, 2, 3))]
    assert explained([0, 1, 2, 3], domains, ["transit:big"]) == [("transit:big", (0, 1, 2, 3))]
    assert explained([2, 3], domains) == [("region:us", (2, 3))]
    assert explained([2, 3, 9, 20], domains) == [("region:us", (2, 3)), ("", (9,)), ("", (20,))]
    assert explained([5], domains) == [("", (5,))] and explained([], domains) == []


def test_overlapping_outages_are_shaded_once():
    times = [(10, 20), (0, 3), (15, 30), (30, 31), (40, 41)]
    assert spans(times) == [(0, 3), (10, 31), (40, 41)]
