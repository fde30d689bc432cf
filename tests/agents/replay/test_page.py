"""The page of an episode: its data are those of the recording, its outages are told right, and it asks for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.evaluation import playing
from og_agents.evaluation.recording import record
from og_agents.replay.page import Camera, film, page, payload
from og_agents.replay.page.outages import Outage, explained, moves_of, outages_of, outcome, spans, struck_share
from og_agents.replay.page.payload import FULL, packed, unpacked
from og_env.scenario import loading
from og_env.world import Domain

TOY = loading.override(loading.load("toy-3"), {"start.verifier_sites": ("c",)})
P_DOWN = {"outages": [{"domain": "provider:P", "start_h": 0.5, "duration_h": 0.2}], "background": False}
NAUGHTY = '</script><script>alert("x")</script><!--&amp;'


def toy(name: str = "static", options=P_DOWN, spec=TOY, seed: int = 4):
    return film(heuristics.make(name), name, spec, task="placement", seed=seed, options=options)


class Reader(HTMLParser):
    """Scripts by type, and every attribute that could fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[str, str]] = []
        self.fetched: list[str] = []
        self.kind: str | None = None
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.fetched += [str(values[key]) for key in ("src", "href", "srcset", "action", "poster") if key in values]
        self.kind = (values.get("type") or "text/javascript") if tag == "script" else None
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(values["content"])

    def handle_data(self, data):
        if self.kind:
            self.scripts.append((self.kind, data))
            self.kind = None


def test_a_film_has_the_numbers_of_the_recording():
    spec = loading.override(loading.load("global-16"), {"episode.steps": 20})
    policy = heuristics.make("greedy")
    camera = Camera()
    recording = record(policy, playing.stage(policy, spec, "placement", 3), 7, name="greedy", watch=camera)
    one = camera.film(recording)
    alone = film(policy, "greedy", spec, task="placement", seed=7)
    assert one.recording.seeds.tolist() == [7] and len(one.views) == len(one.flows) == 21
    assert np.array_equal(one.recording.metrics, alone.recording.metrics)
    assert np.array_equal([view.status for view in one.views], recording.status[0])
    assert np.array_equal([view.warm for view in one.views], recording.warm[0])
    assert np.allclose([view.share for view in one.views], recording.share[0])
    for flow, view in zip(one.flows[1:], one.views[1:], strict=True):
        assert flow[:, 2].sum() <= view.load_rps.sum() * 1.001 and (np.diff(flow[:, 2]) <= 0).all()


def test_a_camera_films_the_first_episode_that_is_struck():
    spec = loading.override(loading.load("random-24"), {"episode.steps": 90})
    policy = heuristics.make("static")
    camera = Camera(struck=True)
    env = playing.stage(policy, spec, "placement", 6)
    recording = record(policy, env, 5, {"incident": "lumen-2020-08-30"}, watch=camera)
    hit = np.array([bool(facts["sites"]) for facts in recording.incidents])
    assert camera.row == hit.argmax()
    one = camera.film(recording.chosen(hit))
    assert one.recording.sites[0] == one.views[0].site_names
    assert np.array_equal([view.status for view in one.views], one.recording.status[0])


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
    assert spans([Outage(start, stop, "down", "", (0,)) for start, stop in times]) == [(0, 3), (10, 31), (40, 41)]


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


def test_the_page_requests_nothing_and_runs_its_own_scripts_only():
    text = page(payload("toy", [], {"static": toy()}, {}))
    reader = Reader(text)
    assert reader.fetched == ["data:,"] and "@import" not in text and "url(" not in text.split("</style>")[0]
    assert [kind for kind, _ in reader.scripts] == ["application/json", "text/javascript", "text/javascript"]
    for _, script in reader.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in reader.policy
    assert reader.policy.startswith("default-src 'none';") and "http" not in reader.policy
    own = reader.scripts[2][1].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|WebSocket|import\(|innerHTML|eval\(", own)
    assert "Apache License" in text and "Baidu" in text and "{{" not in text.split("<script")[0]


def test_names_cannot_leave_their_place():
    one = toy()
    named = one._replace(
        views=tuple(view._replace(site_names=(NAUGHTY, "b", "c"), providers=(NAUGHTY, "P", "Q")) for view in one.views)
    )
    text = page(payload(NAUGHTY, [NAUGHTY], {NAUGHTY: named}, {}))
    reader = Reader(text)
    assert len(reader.scripts) == 3 and 'alert("x")' not in text.split("<style>")[0]
    data = json.loads(reader.scripts[0][1])
    assert data["title"] == data["policies"][0]["name"] == data["sites"][0]["name"] == NAUGHTY


def test_a_day_at_24_sites_is_under_3_mb():
    spec = loading.load("global-24")
    films = {name: toy(name, None, spec) for name in ("greedy", "nearest")}
    size = len(page(payload("day", [], films, {})).encode())
    assert 600_000 < size < 3_000_000, size
