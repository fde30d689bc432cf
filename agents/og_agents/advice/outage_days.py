"""Days with an outage of something that nodes share, each beside the same day without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from og_agents.advice.answer import HOURS_PER_DAY, Difference, difference
from og_agents.advice.fleet_changes import Concrete
from og_agents.advice.paired_days import Days, play
from og_agents.advice.places import Dependency
from og_agents.evaluation.incident_impact import Impact, impact
from og_agents.policy import Policy

LEAD_H = 6.0
"""hours of an episode before the outage, at most a quarter of it"""


class Case(NamedTuple):
    """An outage in an episode."""

    what: Dependency
    at_utc_h: float
    for_h: float
    effect: str
    start_utc_h: float
    """hour of the day at which episodes begin"""
    start_h: float
    """hours since then at which it begins"""


class Played(NamedTuple):
    """Days with the outage and without, and the impact."""

    with_it: Days
    without: Days
    impact: Impact
    window: slice
    """steps of the outage"""


def busiest_hour(fleet: Concrete) -> float:
    """Hour of the UTC day at which the expected demand is highest."""
    arrays = fleet.world.arrays
    demand = arrays.diurnal[0].astype(float) @ arrays.region_rps[0].astype(float)
    return float(int(demand.argmax()) * HOURS_PER_DAY / len(demand))


def case_of(fleet: Concrete, what: Dependency, at_utc_h: float, for_h: float, effect: str) -> Case:
    """The outage in an episode that begins some hours before; ValueError where it does not fit in."""
    episode = fleet.spec.episode
    whole_h = episode.steps * episode.step_s / 3600
    lead_h = min(LEAD_H, whole_h / 4)
    step_h = episode.step_s / 3600
    lead_h = max(round(lead_h / step_h), 1) * step_h
    if lead_h + for_h > whole_h:
        raise ValueError(
            f"--for: {for_h:g} h do not fit into episodes of {whole_h:g} h, of which {lead_h:g} come before"
        )
    return Case(what, at_utc_h, for_h, effect, (at_utc_h - lead_h) % HOURS_PER_DAY, lead_h)


def play_both(fleet: Concrete, policy: Policy, case: Case, episodes: int, seed: int) -> Played:
    """The days with the outage, and the same days without it; nothing else breaks."""
    twin: dict[str, Any] = {"background": False, "start_hour_utc": case.start_utc_h}
    outage = {
        "domain": f"{case.what.kind}:{case.what.name}",
        "start_h": case.start_h,
        "duration_h": case.for_h,
        "effect": case.effect,
    }
    with_it = play(policy, fleet.spec, episodes=episodes, seed=seed, options=twin | {"outages": [outage]})
    without = play(policy, fleet.spec, episodes=episodes, seed=seed, options=twin)
    stop_h = case.start_h + case.for_h
    found = impact(with_it.recording, without.recording, case.start_h, stop_h)
    return Played(with_it, without, found, steps_of(case, with_it))


def steps_of(case: Case, days: Days) -> slice:
    """Steps of the outage: row r of a tape is what step r acts under, and step r is entry r - 1."""
    first = max(int(case.start_h / days.step_h + 1e-9), 1) - 1
    last = max(int(np.ceil((case.start_h + case.for_h) / days.step_h - 1e-9)) - 1, first + 1)
    return slice(first, last)


def region_rows(played: Played, regions: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Waiting during the outage and requests unserved because of it, by user region; those that lose most come first."""
    window = played.window
    usual, during = played.without.region_wait_ms(window), played.with_it.region_wait_ms(window)
    later = slice(window.start, None)
    lost = played.with_it.region_unserved(later) - played.without.region_unserved(later)
    rows = []
    for u, name in enumerate(regions):
        slower = during[:, u] - usual[:, u]
        rows.append(
            {
                "region": name,
                "usual_wait_ms": known_mean(usual[:, u]),
                "outage_wait_ms": known_mean(during[:, u]),
                "more_wait_ms": difference(slower, seed).json() if np.isfinite(slower).any() else None,
                "unserved": difference(lost[:, u], seed).json(),
            }
        )
    return sorted(rows, key=lambda row: -row["unserved"]["mean"])


def due(played: Played, seed: int) -> dict[str, Difference]:
    """Changes by the outage from its start to the end of the episode: unserved, unverified, dollars."""
    window = slice(played.window.start, None)
    with_it, without = played.with_it, played.without
    money = with_it.recording.metric("usd_per_hour") - without.recording.metric("usd_per_hour")
    return {
        "unserved": difference(with_it.unserved(window) - without.unserved(window), seed),
        "unverified": difference(with_it.unverified(window) - without.unverified(window), seed),
        "cost_usd": difference(money[:, window].sum(axis=1) * with_it.step_h, seed),
    }


def known_mean(values: Any) -> float | None:
    """Mean of the values that are numbers; None without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
