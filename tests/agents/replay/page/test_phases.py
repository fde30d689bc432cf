"""The phases of a replayed incident in the data of its page."""

from __future__ import annotations

from og_agents.replay.page import payload
from tests.cases.toy_film import toy


def test_phases_are_in_rows_and_join_the_spans() -> None:
    film = toy()
    hour = film.recording.step_h
    phase = {"name": "launches fail", "effect": "NO_LAUNCHES", "start_h": 12.5 * hour, "stop_h": 40.2 * hour}
    late = {"name": "later", "effect": "SLOW", "start_h": 99 * hour, "stop_h": 120 * hour, "sites": ()}
    facts = {"id": "x", "sites": ("a",), "start_h": 0.0, "stop_h": 1.0, "cut_h": 0.0}
    site = film.recording.sites[0][1]
    recording = film.recording._replace(incidents=[facts | {"phases": (phase | {"sites": (site,)}, late)}])
    data = payload("toy", [], {"static": film._replace(recording=recording)}, {})
    assert data["phases"] == [
        {"start": 12.5, "stop": 40.2, "name": "launches fail", "effect": "NO_LAUNCHES", "sites": [1]}
    ]
    assert data["spans"] == [(12, 42)], "the outage of rows 30 to 42 is within"
    assert payload("toy", [], {"static": toy()}, {})["phases"] == []
