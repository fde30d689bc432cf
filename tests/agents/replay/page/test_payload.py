"""The data of a page: all that was recorded, packed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from og_agents.replay.page import payload
from og_agents.replay.page.payload import FINE, FULL, packed, unpacked
from og_env.render.map import MARKS
from og_env.render.text_table import FIGURES, OF_SERVED
from og_env.scenario import loading
from tests.cases.toy_film import steered_toy, toy


def test_the_payload_says_what_was_recorded():
    films = {name: toy(name) for name in ("static", "greedy")}
    data = json.loads(json.dumps(payload("toy", ["one line"], films, {"static": {"lost": 5.0, "due": float("nan")}})))
    recording = films["greedy"].recording
    first, second = data["policies"]
    assert (first["name"], second["name"]) == ("static", "greedy") and data["steps"] == 60
    assert first["totals"] == {"lost": 5.0, "due": None}
    served = recording.metric("served_rps")[0] > 0
    for name, known in (("usd_per_hour", True), ("exposure", served), ("demand_rps", True)):
        expected = np.where(known, recording.metric(name)[0], np.nan)
        assert np.array_equal(np.float32(second["metrics"][name]), np.float32(expected), equal_nan=True), name
    p95 = [value is not None for value in first["metrics"]["latency_p95_ms"]]
    assert sum(p95) == sum(films["static"].recording.metric("served_rps")[0] > 0) < 60
    assert [value is not None for value in second["metrics"]["n_eff"]] == served.tolist()
    assert unpacked(second["share"]) / FULL == pytest.approx(recording.share[0], abs=1e-5)
    assert np.array_equal(unpacked(second["warm"]), recording.warm[0])
    looks = [look["name"] for look in data["looks"]]
    assert looks == ["cold", "loading", "warm", "slow", "untrusted", "frozen", "down"]
    assert (unpacked(first["look"])[30:42, :2] == looks.index("down")).all()
    assert unpacked(data["load_rps"]) == pytest.approx(np.full((61, 1), 8.0))
    moment, gateway, site, share = unpacked(first["flows"])
    assert set(moment) == set(range(1, 61)) - set(range(30, 42)) and set(gateway) | set(site) <= {0, 1, 2}
    assert (share > 0.9 * FULL).sum() > 40
    [outage] = data["outages"]
    assert set(outage["policies"]) == {"static", "greedy"} and data["spans"] == [[30, 42]]


def test_a_dead_network_has_no_figures_of_what_it_serves():
    one = toy()
    data = payload("toy", [], {"static": one}, {})
    [policy] = data["policies"]
    dead = one.recording.metric("served_rps")[0] == 0
    assert 0 < dead.sum() < 60
    of_served = set(OF_SERVED) & set(policy["metrics"]) | {"unverified"}
    assert {"in_time_share", "first_token_p95_ms", "latency_p95_ms", "exposure", "n_eff"} < of_served
    for name, values in policy["metrics"].items():
        gaps = [value is None for value in values]
        assert gaps == (dead.tolist() if name in of_served else [False] * 60), name


def test_figures_have_the_names_of_the_text_table_and_a_meaning():
    data = payload("toy", [], {"static": toy()}, {})
    names = {key: name for name, key, _ in FIGURES}
    assert data["names"] == {key: names[key] for key in data["names"]} and data["marks"] == dict(MARKS)
    assert data["names"]["in_time_share"] == "in time" and data["names"]["refused_share"] == "refused"
    for key in ("in_time_share", "refused_share", "first_token_mean_ms", "first_token_p95_ms"):
        assert len(data["policies"][0]["metrics"][key]) == 60 and data["meanings"][key]


def test_grey_and_blind_sites_and_refusals_are_those_of_the_moments():
    spec = loading.override(
        loading.load("global-24"), {"episode.steps": 60, "condition.grey_per_day": 8.0, "condition.blind_per_day": 8.0}
    )
    one = toy(options=None, spec=spec)
    [policy] = payload("day", [], {"static": one}, {})["policies"]
    marks = unpacked(policy["marks"])
    assert ((marks[1:] & 1).sum(axis=1) == one.recording.metric("sites_grey")[0]).all() and (marks & 1).any()
    assert ((marks[1:] & 2 > 0).sum(axis=1) == one.recording.metric("sites_blind")[0]).all() and (marks & 2).any()
    refused = unpacked(policy["refused"]) / FINE
    assert refused.max() > 0 and refused == pytest.approx(np.array([view.refused for view in one.views]), abs=6e-4)


def test_steering_is_there_where_a_policy_steers():
    data = payload("toy", [], {"static": toy(), "steering": steered_toy()}, {})
    still, steering = data["policies"]
    assert still["steer"] is None
    assert (unpacked(steering["steer"])[1:] / FINE == [2.0, -4.0, 0.0]).all()


def test_films_of_other_tapes_do_not_go_together():
    with pytest.raises(ValueError, match="greedy: not the episode of static"):
        payload("toy", [], {"static": toy(), "greedy": toy("greedy", seed=5)}, {})


@pytest.mark.parametrize(
    ("kind", "values"), [("u1", [[0, 255]]), ("u2", [[0, 65535]]), ("i2", [[-1, 300]]), ("f4", [[0.5], [1.25]])]
)
def test_packing_goes_both_ways(kind, values):
    assert unpacked(packed(values, kind)).tolist() == values


def test_what_does_not_fit_is_not_packed():
    with pytest.raises(ValueError, match="-1 to 70000 does not fit u2"):
        packed([[-1, 70000]], "u2")
