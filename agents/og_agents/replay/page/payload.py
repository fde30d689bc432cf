"""Data of the page about an episode, as JSON; arrays by site are packed."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents.evaluation.incident_impact import lost_rps
from og_agents.evaluation.recording import Recording
from og_agents.replay.page.film import Film
from og_agents.replay.page.outages import merged, moves_of, outages_of, outcome, spans, struck_share
from og_env.render.glossary import METRIC_MEANINGS
from og_env.render.land import outlines
from og_env.render.map import LEAST_STEER, LOOKS, MARKS, TRAFFIC, USERS, looks
from og_env.render.text_table import FIGURES, OF_SERVED
from og_env.render.view import MapView

Json = dict[str, Any]
FORMAT = 2
SYMBOLS = {"o": "circle", "v": "triangle-down", "D": "diamond", "s": "rect", "X": "cross"}
"""symbols of the page by the markers of pictures"""
NAMES = {"no replica": "cold"}
"""states that the page calls otherwise"""
TYPES = {"u1": np.uint8, "u2": np.uint16, "i2": np.int16, "f4": np.float32}
FULL = 65535
"""number that stands for the whole in packed shares"""
FINE = 1000
"""number that stands for 1 in packed refusals and steering"""
SHOWN = (
    *("in_time_share", "refused_share", "first_token_mean_ms", "first_token_p95_ms", "latency_p95_ms"),
    *("usd_per_hour", "exposure", "n_eff", "demand_rps"),
)
"""metrics of the page"""


def payload(
    title: str,
    lines: Sequence[str],
    films: Mapping[str, Film],
    totals: Mapping[str, Mapping[str, float]],
    likely: Sequence[str] = (),
    scope: str = "Whole episode",
) -> Json:
    """The page's data: what was replayed, the places, and the films of one tape by policy.

    lines: description; totals: figures of each policy by name (nan is unknown) and `scope`, what they are of; likely:
    see `outages_of`. Raises ValueError where the films are not of the same sites, steps and seed.
    """
    first = next(iter(films.values()))
    for name, other in films.items():
        if tape_of(other) != tape_of(first):
            raise ValueError(f"{name}: not the episode of {first.recording.policy}: {tape_of(other)[:2]}")
    recording, view = first.recording, first.views[0]
    outages = merged({name: outages_of(one, likely) for name, one in films.items()})
    phases = phases_of(recording)
    return {
        "format": FORMAT,
        "title": title,
        "lines": list(lines),
        "scope": scope,
        "scenario": recording.scenario,
        "seed": int(recording.seeds[0]),
        "steps": recording.rewards.shape[1],
        "step_s": recording.step_s,
        "start_hour_utc": float(recording.start_hour_utc[0]),
        "looks": [
            {"name": NAMES.get(name, name), "color": color, "symbol": SYMBOLS[mark]} for name, color, mark, _ in LOOKS
        ],
        "colors": {"users": USERS, "traffic": TRAFFIC},
        "marks": dict(MARKS),
        "least_steer": LEAST_STEER,
        "names": {key: name for name, key, _ in FIGURES if key in SHOWN},
        "meanings": {key: METRIC_MEANINGS[key] for key in SHOWN},
        "sites": places(view.site_names, view.lat_deg, view.lon_deg, view.providers),
        "regions": places(view.region_names, view.region_lat_deg, view.region_lon_deg),
        "load_rps": packed([one.load_rps for one in first.views], "f4"),
        "outages": [
            {
                "start": outage.start,
                "stop": outage.stop,
                "word": outage.word,
                "domain": outage.domain,
                "sites": list(outage.sites),
                "policies": {
                    name: outcome(films[name], outage) | {"share_before": struck_share(films[name], outage)}
                    for name in names
                },
            }
            for outage, names in outages
        ],
        "phases": phases,
        "spans": spans([*((outage.start, outage.stop) for outage, _ in outages), *rows_of(phases)]),
        "policies": [policy(name, one, totals.get(name, {})) for name, one in films.items()],
        "land": [ring.round(1).ravel().tolist() for ring in outlines()],
    }


def phases_of(recording: Recording) -> list[Json]:
    """The phases of a replayed incident that begin in the episode: rows, name, effect and sites; none without a report."""
    steps, names = recording.rewards.shape[1], list(recording.sites[0])
    result = []
    for phase in recording.incidents[0]["phases"] if recording.incidents else ():
        start, stop = (round(phase[key] / recording.step_h, 2) for key in ("start_h", "stop_h"))
        if start < steps:
            sites = [names.index(site) for site in phase["sites"]]
            result.append(
                {"start": start, "stop": stop, "name": phase["name"], "effect": phase["effect"], "sites": sites}
            )
    return result


def rows_of(phases: Sequence[Json]) -> list[tuple[int, int]]:
    """First row of each phase, and the row after its last."""
    return [(int(phase["start"]), math.ceil(phase["stop"])) for phase in phases]


def tape_of(film: Film) -> tuple[Any, ...]:
    """Seed, steps, sites and hour of the start, which films of one tape have in common."""
    recording = film.recording
    return int(recording.seeds[0]), recording.rewards.shape[1], recording.sites[0], float(recording.start_hour_utc[0])


def places(
    names: Iterable[str],
    lat_deg: npt.NDArray[np.float64],
    lon_deg: npt.NDArray[np.float64],
    providers: Sequence[str] | None = None,
) -> list[Json]:
    """Name, latitude, longitude and provider of each place."""
    result = []
    for number, (name, lat, lon) in enumerate(zip(names, lat_deg, lon_deg, strict=True)):
        place = {"name": name, "lat": round(float(lat), 2), "lon": round(float(lon), 2)}
        result.append(place if providers is None else place | {"provider": providers[number]})
    return result


def policy(name: str, film: Film, totals: Mapping[str, float]) -> Json:
    """One policy's part: `metrics` by step, the rest by moment, the start included."""
    return {
        "name": name,
        "totals": {key: known(value) for key, value in totals.items()},
        "return": float(film.recording.returns[0]),
        "metrics": {key: [known(value) for value in values] for key, values in metrics(film).items()},
        "moves": [{"row": row, "text": text} for row, text in moves_of(film)],
        **frames(film.views),
        "flows": packed(flow_rows(film), "u2"),
    }


def metrics(film: Film) -> dict[str, npt.NDArray[np.float64]]:
    """Series [T] by name; nan where nothing was served and the figure means nothing.

    `unserved` and `unverified` are shares of demand.
    """
    recording = film.recording
    without, unproven = lost_rps(recording)
    unknown = np.where(recording.metric("served_rps")[0] > 0, 0.0, np.nan)
    return {key: recording.metric(key)[0] + (unknown if key in OF_SERVED else 0.0) for key in SHOWN} | {
        "unserved": 1 - recording.metric("served_share")[0],
        "unverified": recording.term("unverified")[0] + unknown,
        "lost_requests": np.cumsum((without + unproven)[0]) * recording.step_s,
    }


def frames(views: Sequence[MapView]) -> Json:
    """State of the map at every moment, packed: [T + 1, N] by site, `gateway` [T + 1, U].

    `steer` is None where no site is ever steered.
    """
    role_bits = np.array([1, 2, 4])[:, None]
    steer = np.rint([view.steer * FINE for view in views])
    return {
        "look": packed([looks(view) for view in views], "u1"),
        "share": packed([np.rint(view.share * FULL) for view in views], "u2"),
        "warm": packed([view.warm for view in views], "u2"),
        "loading": packed([view.loading for view in views], "u2"),
        "roles": packed([(view.roles * role_bits).sum(axis=0) for view in views], "u1"),
        "marks": packed([view.grey + 2 * view.blind for view in views], "u1"),
        "refused": packed([np.rint(view.refused * FINE) for view in views], "u2"),
        "steer": packed(steer, "i2") if steer.any() else None,
        "gateway": packed([view.region_gateway for view in views], "i2"),
    }


def flow_rows(film: Film) -> npt.NDArray[np.int64]:
    """Flows [4, A]: moment, gateway's site, serving site, and requests/s as a share of the demand in 1/65535."""
    parts = []
    for moment, (flow, view) in enumerate(zip(film.flows, film.views, strict=True)):
        share = np.rint(flow[:, 2] / max(float(view.load_rps.sum()), 1e-9) * FULL)
        parts.append(np.stack([np.full(len(flow), moment), flow[:, 0], flow[:, 1], share.clip(0, FULL)]))
    return np.concatenate(parts, axis=1).astype(np.int64)


def packed(values: Any, kind: str) -> Json:
    """An array, little-endian, compressed, in base64. ValueError where a number does not fit the kind of `TYPES`."""
    array = np.asarray(values)
    small = array.astype(np.dtype(TYPES[kind]).newbyteorder("<"))
    if kind != "f4" and not np.array_equal(small, array):
        raise ValueError(f"{array.min()} to {array.max()} does not fit {kind}")
    data = base64.b64encode(zlib.compress(small.tobytes(), 9)).decode("ascii")
    return {"type": kind, "shape": list(array.shape), "data": data}


def unpacked(value: Mapping[str, Any]) -> npt.NDArray[Any]:
    """The array of `packed`."""
    data = zlib.decompress(base64.b64decode(value["data"]))
    return np.frombuffer(data, np.dtype(TYPES[value["type"]]).newbyteorder("<")).reshape(value["shape"])


def known(value: float) -> float | None:
    """A number as exact as a float32; None for one that is not finite, as JSON has no nan."""
    return float(f"{value:.9g}") if math.isfinite(value) else None
