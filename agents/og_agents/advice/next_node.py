"""Which node to add next: what each of a few does to users' time, cost and independence, and what it may cost at most."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from og_agents.advice.answer import (
    Answer,
    Difference,
    Table,
    clear_change,
    difference,
    dollar_range,
    dollars,
    range_text,
    time_change,
)
from og_agents.advice.arms import Change, change
from og_agents.advice.candidates import Candidate, candidates, n_eff_of, quorum_hours, shortlist
from og_agents.advice.fleet_changes import Concrete, opened, widened
from og_agents.advice.paired_days import Days, play
from og_agents.advice.places import place_of
from og_agents.policy import Policy

EPISODES = 12
SHORT = 4
"""candidates that are played"""
HOURS_PER_DAY = 24


class Trial(NamedTuple):
    """A candidate that was played."""

    candidate: Candidate
    change: Change
    break_even_usd_per_hour: Difference
    """rent of the whole node at which its benefit is gone, by the scenario's weights"""
    quorum_hours: float
    """expected hours a year without a quorum, with it"""

    @property
    def name(self) -> str:
        """Name of the site."""
        return self.candidate.site.name

    @property
    def pays(self) -> bool:
        """Whether its benefit is surely above its list price."""
        return self.break_even_usd_per_hour.low > self.candidate.usd_per_hour


def answer(
    fleet: Concrete,
    policy: Policy,
    *,
    budget_usd_per_day: float | None = None,
    near: str | None = None,
    episodes: int = EPISODES,
    seed: int = 0,
) -> Answer:
    """The answer; ValueError in one line where no candidate is left."""
    place = None if near is None else place_of(near, "--near", fleet.world.resolved.regions)
    found = candidates(fleet, budget_usd_per_day, place)
    tried = shortlist(found, SHORT)
    wide = widened(fleet, [one.site for one in tried])
    played = functools.partial(play, episodes=episodes, seed=seed, by_region=False)
    base = played(policy, wide.spec)
    trials = []
    for at, one in enumerate(tried):
        new = played(policy, opened(wide, one.site.name))
        price = _break_even(new, base, len(fleet.sites) + at, seed)
        trials.append(Trial(one, change(new, base, seed), price, quorum_hours(fleet, one.site)))
    trials.sort(key=lambda one: one.candidate.usd_per_hour - one.break_even_usd_per_hour.mean)
    now, hours = n_eff_of(fleet), quorum_hours(fleet)
    return Answer(
        question="next-node",
        sentences=tuple(_sentences(trials, len(found), now, hours)),
        tables=(_table(trials),),
        assumed=(
            *fleet.assumed,
            f"candidates are {len(found)} sites of the catalogue with {tried[0].site.gpu_count} GPUs each, at list price",
            f"a planner ({getattr(policy, 'name', 'policy')}) runs the fleet and may use the node",
            "outages come as the scenario has them; independence is by the catalogue's failure rates",
            "the break-even price is by the scenario's own weights of time, losses and dollars",
        ),
        sure=(
            f"{episodes} simulated days, each played with and without; 95 % interval of the best break-even price "
            f"{dollar_range(trials[0].break_even_usd_per_hour)} an hour."
        ),
        figures={
            "scenario": fleet.spec.name,
            "episodes": episodes,
            "candidates": len(found),
            "n_eff_now": now,
            "quorum_hours_now": hours,
            "nodes": [_json(one) for one in trials],
        },
    )


def _break_even(new: Days, base: Days, site: int, seed: int) -> Difference:
    """Rent an hour of a whole node that takes all its benefit: its worth as played, and what was paid for it there."""
    paid = new.gpu_usd_per_hour[:, :, site].mean(axis=1)
    return difference(np.nan_to_num((new.reward() - base.reward()) * base.usd_per_reward) + paid, seed)


def _sentences(trials: list[Trial], count: int, now: float, hours: float) -> list[str]:
    best = trials[0]
    paying = [one for one in trials if one.pays]
    price, rent = best.break_even_usd_per_hour, best.candidate.usd_per_hour
    if paying:
        verdict = f"Add {best.name}: it is worth up to {dollars(price.mean)} an hour and rents for {dollars(rent)}."
    elif price.high > rent:
        verdict = (
            f"No node surely pays for itself. The best, {best.name}, is worth {dollars(max(price.mean, 0))} an hour "
            f"(between {dollars(max(price.low, 0))} and {dollars(price.high)}) and rents for {dollars(rent)}."
        )
    else:
        verdict = (
            f"Nothing helps: of {len(trials)} nodes tried, none is worth its rent. The best, {best.name}, is worth "
            f"{dollars(max(price.mean, 0))} an hour and rents for {dollars(rent)}."
        )
    lines = [
        verdict,
        f"With it: {time_change(best.change.wait_ms)}; {clear_change(best.change.unserved, 'unserved requests a day')}; "
        f"{clear_change(best.change.unverified, 'unverified requests a day')}.",
    ]
    free = max(trials, key=lambda one: one.candidate.n_eff_gain)
    gain = free.candidate.n_eff_gain
    if gain > 0:
        lines.append(
            f"For independence, {free.name} adds most: the fleet behaves like {now + gain:.1f} independent nodes instead "
            f"of {now:.1f}{_quorum(free.quorum_hours, hours)}."
        )
    else:
        lines.append(f"No candidate makes the fleet more independent than the {now:.1f} nodes that it behaves like.")
    near = max(trials, key=lambda one: one.candidate.nearer_ms)
    if near.candidate.nearer_ms > 0.05:
        lines.append(
            f"{near.name} is nearest to users who are far from a node: the mean round trip to the nearest node shrinks by "
            f"{near.candidate.nearer_ms:.1f} ms."
        )
    else:
        lines.append(f"None of the {count} candidates is nearer to the users than the nodes that there are.")
    return lines


def _quorum(new: float, old: float) -> str:
    """How the hours without a quorum change, where they do by a hundredth or more."""
    if abs(new - old) < 0.01 * max(old, 0.1):
        return ""
    return f", and is without a quorum {new:,.1f} hours a year instead of {old:,.1f}"


def _table(trials: list[Trial]) -> Table:
    header = (
        *("node", "rents for", "break-even", "95 % interval", "users", "unserved a day", "spending a day"),
        *("independent", "nearest node"),
    )
    rows = tuple(
        (
            f"{one.name} ({one.candidate.site.gpu_count} {one.candidate.site.gpu})",
            f"{dollars(one.candidate.usd_per_hour)}/h",
            f"{dollars(one.break_even_usd_per_hour.mean)}/h",
            range_text(one.break_even_usd_per_hour, "{:,.2f}"),
            f"{one.change.wait_ms.mean:+,.0f} ms",
            f"{one.change.unserved.mean:+,.0f}",
            dollars(one.change.usd.mean),
            f"{one.candidate.n_eff_gain:+.2f}",
            f"{-one.candidate.nearer_ms:+.1f} ms",
        )
        for one in trials
    )
    return Table(header, rows)


def _json(one: Trial) -> dict[str, Any]:
    site = one.candidate.site
    return {
        "site": site.name,
        "provider": site.provider,
        "country": site.country,
        "gpu": site.gpu,
        "gpu_count": site.gpu_count,
        "rent_usd_per_hour": one.candidate.usd_per_hour,
        "break_even_usd_per_hour": one.break_even_usd_per_hour.json(),
        "pays": one.pays,
        "n_eff_gain": one.candidate.n_eff_gain,
        "nearest_node_ms": -one.candidate.nearer_ms,
        "quorum_hours": one.quorum_hours,
        **one.change.json(),
    }
