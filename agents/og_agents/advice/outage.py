"""The effects of an outage of something that nodes share: the same days with it and without."""

from __future__ import annotations

from typing import Any

import numpy as np

from og_agents import heuristics
from og_agents.advice.answer import (
    HOURS_PER_DAY,
    Answer,
    Difference,
    Table,
    clock,
    difference,
    dollars,
    joined_words,
    listed,
    range_text,
    requests,
)
from og_agents.advice.fleet_changes import Concrete
from og_agents.advice.outage_days import Case, Played, busiest_hour, case_of, due, known_mean, play_both, region_rows
from og_agents.advice.places import dependency_of
from og_agents.evaluation.incident_impact import Impact
from og_agents.policy import Policy

EPISODES = 16
UNCLEAR = ("unserved", "unverified")
TINY = 0.5
"""fewer lost requests than this are none"""


def answer(
    fleet: Concrete,
    policy: Policy,
    name: str,
    *,
    at_utc_h: float | None = None,
    for_h: float = 4.0,
    effect: str | None = None,
    episodes: int = EPISODES,
    seed: int = 0,
) -> Answer:
    """The answer; ValueError in one line for a name that the fleet does not stand on, or an hour that is none."""
    what = dependency_of(name, fleet.sites, fleet.spec.domains)
    at = busiest_hour(fleet) if at_utc_h is None else at_utc_h
    kind = effect or ("UNTRUSTED" if what.kind == "tee_vendor" else "DOWN")
    case = case_of(fleet, what, at, for_h, kind)
    managed = play_both(fleet, policy, case, episodes, seed)
    left = play_both(fleet, heuristics.make("static"), case, episodes, seed)
    regions = [region.name for region in fleet.world.resolved.regions]
    rows = region_rows(managed, regions, seed)
    assumed = [
        f"a planner ({getattr(policy, 'name', 'policy')}) runs the fleet",
        "nothing else breaks on these days",
        f"the effect is {kind}",
        "waiting is the time to the first token; by region it is worked out from the traffic between gateways and nodes",
    ]
    if at_utc_h is None:
        assumed.insert(0, f"the outage begins at {clock(at)} UTC, the hour of most demand (--at)")
    return Answer(
        question=f"outage {what.kind}:{what.name}",
        sentences=tuple(sentences(fleet, case, managed, left, rows, seed)),
        tables=(_table(rows),),
        assumed=(*fleet.assumed, *assumed),
        sure=_sure(managed, episodes, seed),
        figures=_figures(case, fleet, managed, left, rows, seed),
    )


def sentences(
    fleet: Concrete, case: Case, managed: Played, left: Played, rows: list[dict[str, Any]], seed: int
) -> list[str]:
    """The answer in plain words."""
    figures, alone = due(managed, seed), due(left, seed)
    asked = float(managed.impact.asked.mean())
    share = float(np.nanmean(managed.impact.share_before)) if np.isfinite(managed.impact.share_before).any() else 0.0
    end = clock((case.at_utc_h + case.for_h) % HOURS_PER_DAY)
    lines = [
        f"The {case.what.words} takes {len(case.what.sites)} of {len(fleet.sites)} nodes along ({listed(case.what.sites)}). "
        f"Just before, {share:.0%} of the served traffic is on them.",
        f"From {clock(case.at_utc_h)} to {end} UTC: {_lost(figures, asked)}",
        _waiting(rows),
        f"{_recovery(managed.impact)} {_money(figures['cost_usd'])}",
        f"If nobody acted: {requests(max(alone['unserved'].mean, 0))} unserved and "
        f"{requests(max(alone['unverified'].mean, 0))} unverified requests; {_lower(_recovery(left.impact))}",
    ]
    return lines


def _lost(figures: dict[str, Difference], asked: float) -> str:
    unserved, unverified = figures["unserved"], figures["unverified"]
    if unserved.mean < TINY and unverified.mean < TINY:
        return f"no more requests are lost than without it, of {asked:,.0f} that users send until the day ends."
    share = f" ({max(unserved.mean, 0) / asked:.1%} of those sent until the day ends)" if asked > 0 else ""
    text = (
        f"{requests(max(unserved.mean, 0))} requests are unserved because of it{share}, and "
        f"{requests(max(unverified.mean, 0))} are served without the proof that they want."
    )
    vague = [word for word, found in figures.items() if word in UNCLEAR and found.mean > TINY and not found.clear]
    return text + (f" The days differ so much that the {joined_words(vague)} may be none." if vague else "")


def _waiting(rows: list[dict[str, Any]]) -> str:
    known = [row for row in rows if row["more_wait_ms"] is not None]
    dark = [row["region"] for row in rows if row["more_wait_ms"] is None]
    if not known:
        return "Nobody is served while it lasts."
    most = max(known, key=lambda row: row["more_wait_ms"]["mean"])
    least = min(known, key=lambda row: row["more_wait_ms"]["mean"])
    if most is least:
        text = f"Users in {most['region']} wait {_longer(most, ' for the first token')}."
    else:
        text = (
            f"The wait for the first token changes most for users in {most['region']}: {_longer(most)}. "
            f"It changes least for users in {least['region']}: {_longer(least)}."
        )
    return text + (f" Nobody is served in {listed(dark)}." if dark else "")


def _longer(row: dict[str, Any], waiting: str = "") -> str:
    more = row["more_wait_ms"]["mean"]
    word = "longer" if more >= 0 else "less"
    change = f"from {row['usual_wait_ms']:,.0f} to {row['outage_wait_ms']:,.0f} ms"
    return f"{abs(more):,.0f} ms {word}{waiting} ({change})"


def _recovery(found: Impact) -> str:
    fell = found.recover_min > 0
    if not fell.any():
        return "The service never falls below its level."
    when = (
        ""
        if fell.all()
        else f"On {int(fell.sum())} of {len(fell)} days the service falls below its level; there it is "
    )
    minutes = f"{_hours(found.recover_min[fell].mean())} after the outage begins"
    if found.recovered.all():
        return f"{when or 'The service is '}back {minutes}{' on average' if when else ''}."
    missing = int((~found.recovered).sum())
    return (
        f"{when or 'The service is '}back more than {minutes} on average; on {missing} of {len(fell)} days it is not back "
        "when the simulated day ends."
    )


def _hours(minutes: float) -> str:
    """A duration in words: 45 minutes, 6 h 16 min."""
    whole = round(minutes)
    return f"{whole} minutes" if whole < 120 else f"{whole // 60} h {whole % 60} min"


def _money(cost: Difference) -> str:
    if abs(cost.mean) < 0.005:
        return "It changes no spending."
    more = "more" if cost.mean > 0 else "less"
    why = "" if cost.mean > 0 else ", since what is not served is not paid for"
    return f"The fleet spends {dollars(abs(cost.mean))} {more} until the day ends{why}."


def _table(rows: list[dict[str, Any]]) -> Table:
    def row_of(row: dict[str, Any]) -> tuple[str, ...]:
        more = row["more_wait_ms"]
        return (
            row["region"],
            _ms(row["usual_wait_ms"]),
            _ms(row["outage_wait_ms"]),
            "-" if more is None else f"{more['mean']:+,.0f} ms",
            requests(max(row["unserved"]["mean"], 0.0)),
        )

    header = ("user region", "usual wait", "in the outage", "change", "unserved requests")
    return Table(header, tuple(row_of(row) for row in rows))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _sure(played: Played, episodes: int, seed: int) -> str:
    found = due(played, seed)
    return (
        f"{episodes} simulated days, each beside the same day without the outage; 95 % interval of the unserved "
        f"{range_text(found['unserved'], '{:,.0f}')}, of the unverified {range_text(found['unverified'], '{:,.0f}')}."
    )


def _figures(
    case: Case, fleet: Concrete, managed: Played, left: Played, rows: list[dict[str, Any]], seed: int
) -> dict[str, Any]:
    def of(played: Played) -> dict[str, Any]:
        found = played.impact
        return {
            **{key: value.json() for key, value in due(played, seed).items()},
            "asked": float(found.asked.mean()),
            "recover_min": difference(found.recover_min, seed).json(),
            "recovered_share": float(found.recovered.mean()),
            "share_on_hit_nodes_before": known_mean(found.share_before),
        }

    return {
        "scenario": fleet.spec.name,
        "outage": {
            "kind": case.what.kind,
            "name": case.what.name,
            "effect": case.effect,
            "sites": list(case.what.sites),
            "start_utc": clock(case.at_utc_h),
            "hours": case.for_h,
        },
        "episodes": len(managed.impact.asked),
        "managed": of(managed),
        "nobody_acts": of(left),
        "regions": rows,
    }
