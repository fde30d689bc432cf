"""The data of a page: all that was recorded, packed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from og_agents.replay.page import payload
from og_agents.replay.page.payload import FULL, packed, unpacked
from tests.cases.toy_film import toy


def test_the_payload_says_what_was_recorded():
    films = {name: toy(name) for name in ("static", "greedy")}
    data = json.loads(json.dumps(payload("toy", ["one line"], films, {"static": {"lost": 5.0, "due": float("nan")}})))
    recording = films["greedy"].recording
    first, second = data["policies"]
    assert (first["name"], second["name"]) == ("static", "greedy") and data["steps"] == 60
    assert first["totals"] == {"lost": 5.0, "due": None}
    for name in ("usd_per_hour", "exposure", "demand_rps"):
        assert np.array_equal(np.float32(second["metrics"][name]), np.float32(recording.metric(name)[0])), name
    served = recording.metric("served_rps")[0] > 0
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
