"""The outages of a filmed episode: whom each struck, what they have in common, what a policy did next and what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.evaluation.incident_impact import AFTERMATH_H, lost_rps, worst_hour
from og_agents.evaluation.recording import BITS, Recording
from og_agents.replay.page.film import Film
from og_env.simulator import describe_operation
from og_env.world import Domain

Json = dict[str, Any]
MOVES = 4
"""operations listed after an outage"""


class Outage(NamedTuple):
    """Sites that a bit of the status struck in the same row."""

    start: int
    """row of the status, which step `start` acts under"""
    stop: int
    """row at which the first of the sites is free of it again, T + 1 at the end of the episode"""
    word: str
    """down, frozen, untrusted or slow"""
    domain: str
    """KIND:NAME of the smallest shared domain that explains it; empty for a site alone"""
    sites: tuple[int, ...]


def outages_of(film: Film, likely: Sequence[str] = ()) -> list[Outage]:
    """Every outage of the episode in the order of time.

    Which shock struck whom is not recorded, so it is told from who fell in the same row: `likely` are domains
    (KIND:NAME, or KIND) known to have been struck, preferred where they explain as many sites.
    """
    status = film.recording.status[0]
    before = np.vstack([np.zeros_like(status[:1]), status[:-1]])
    result = []
    for row in range(len(status)):
        for bit, word in BITS.items():
            struck = np.flatnonzero((status[row] & bit != 0) & (before[row] & bit == 0))
            for domain, sites in explained(struck.tolist(), film.domains, likely):
                over = (status[row:, sites] & bit == 0).any(axis=1)
                stop = row + int(over.argmax()) if over.any() else len(status)
                result.append(Outage(row, stop, word, domain, sites))
    return result


def explained(
    struck: Sequence[int], domains: Iterable[Domain], likely: Sequence[str] = ()
) -> list[tuple[str, tuple[int, ...]]]:
    """Sites that fell together, divided among as few domains as explain them, each by its name and sites.

    A domain explains what it shares with them; the smallest that explains most comes first. One that lost less than
    half of its members explains nothing, unless it explains them all.
    """
    left, result, known = set(struck), [], list(domains)
    while len(left) >= 2:
        best, found = None, (0, 0, 0)
        for domain in known:
            common = len(left & set(domain.members))
            whole = common == len(left) or 2 * common >= len(domain.members)
            named = domain.kind in likely or f"{domain.kind}:{domain.name}" in likely
            if common >= 2 and whole and (common, named, -len(domain.members)) > found:
                best, found = domain, (common, named, -len(domain.members))
        if best is None:
            break
        sites = tuple(sorted(left & set(best.members)))
        result.append((f"{best.kind}:{best.name}", sites))
        left -= set(sites)
    return result + [("", (site,)) for site in sorted(left)]


def moves_of(film: Film, first: int = 1, last: int | None = None) -> list[tuple[int, str]]:
    """Step and words of every operation carried out in steps first to last."""
    recording = film.recording
    operations = recording.operations[0]
    steps = range(first, min(len(operations), last or len(operations)) + 1)
    names = list(recording.sites[0]), list(recording.models)
    return [
        (i, describe_operation(int(operation), *names)) for i in steps for operation in operations[i - 1] if operation
    ]


def outcome(film: Film, outage: Outage) -> Json:
    """Operations of the policy from the outage to an hour after its end, and the state of the service meanwhile."""
    recording = film.recording
    steps, step_h = recording.rewards.shape[1], recording.step_h
    first = min(max(outage.start, 1), steps)
    last = min(max(outage.stop - 1, first) + round(AFTERMATH_H / step_h), steps)
    span = slice(first - 1, last)
    unserved, unverified = lost_in(recording, span)
    due = None if film.twin is None else unserved + unverified - sum(lost_in(film.twin, span))
    asked = float(recording.metric("demand_rps")[0, span].sum()) * recording.step_s
    p95 = worst_hour(recording.metric("latency_p95_ms")[0, span], recording.metric("served_rps")[0, span], step_h)
    moves = moves_of(film, outage.start + 1, last)
    return {
        "until": last,
        "moves": [{"row": row, "text": text} for row, text in moves[:MOVES]],
        "moves_total": len(moves),
        "unserved": unserved,
        "unverified": unverified,
        "due": due,
        "lost_share": (unserved + unverified) / asked if asked > 0 else 0.0,
        "worst_hour_p95_ms": p95 if math.isfinite(p95) else None,
        "cost_usd": float(recording.metric("usd_per_hour")[0, span].sum()) * step_h,
    }


def lost_in(recording: Recording, span: slice) -> tuple[float, float]:
    """Requests unserved and unverified in steps of the first episode."""
    unserved, unverified = (float(rps[0, span].sum()) * recording.step_s for rps in lost_rps(recording))
    return unserved, unverified


def merged(by_policy: dict[str, list[Outage]]) -> list[tuple[Outage, list[str]]]:
    """The outages of all policies, each once, with the policies that went through it.

    They differ only where an opponent answers what a policy does.
    """
    found: dict[Outage, list[str]] = {}
    for name, outages in by_policy.items():
        for outage in outages:
            found.setdefault(outage, []).append(name)
    return sorted(found.items(), key=lambda item: (item[0].start, -len(item[0].sites), item[0].word))


def spans(outages: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Rows from start to stop in which at least one outage (start, stop) lasts, overlapping ones joined."""
    result: list[tuple[int, int]] = []
    for start, stop in sorted(outages):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return result


def struck_share(film: Film, outage: Outage) -> float | None:
    """Share of the served traffic on the outage's sites just before it; None where nothing had been served yet."""
    share: npt.NDArray[np.float32] = film.recording.share[0]
    return float(share[outage.start - 1, list(outage.sites)].sum()) if outage.start > 1 else None
