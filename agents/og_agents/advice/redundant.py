"""Which nodes only add to the count: what leaving them out would save, and what it would change."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from og_agents.advice.answer import Answer, Table, clear_change, dollar_range, dollars, listed, time_change
from og_agents.advice.arms import Change, change
from og_agents.advice.fleet_changes import Concrete, trust_fleet, without
from og_agents.advice.paired_days import play
from og_agents.policy import Policy
from og_env.trust import Fleet, fleet_n_eff, leave_one_out, pairs, select

EPISODES = 12
SHORT = 4
"""nodes that are left out one at a time in simulated days"""
ROUNDING = 1e-9
"""gains below this share of n_eff count as none"""
HOURS_PER_DAY = 24


class Trial(NamedTuple):
    """Some nodes left out."""

    nodes: tuple[str, ...]
    n_eff: float
    """effective independent nodes of the others"""
    rent_usd_per_day: float
    """rent of all their GPUs, if they are paid for around the clock"""
    change: Change

    @property
    def harmless(self) -> bool:
        """Whether nothing surely gets worse for users."""
        found = self.change
        return found.unserved.low <= 0 and found.unverified.low <= 0 and found.worth_usd.high >= 0


def answer(fleet: Concrete, policy: Policy, *, episodes: int = EPISODES, seed: int = 0) -> Answer:
    """The answer, from closed forms for all nodes and simulated days for a few."""
    whole = trust_fleet(fleet.spec, fleet.sites)
    now = fleet_n_eff(whole)
    alone = leave_one_out(whole, pairs(whole))
    idle = np.flatnonzero(alone <= ROUNDING * now)
    group = droppable(whole)
    played = functools.partial(play, episodes=episodes, seed=seed, by_region=False)
    trials: list[Trial] = []
    if len(idle):
        base = played(policy, fleet.spec)
        sets = [[int(s)] for s in idle[np.argsort(alone[idle], kind="stable")][:SHORT]]
        sets += [group] if len(group) > 1 else []
        for nodes in sets:
            names = [fleet.sites[s].name for s in nodes]
            new = played(policy, without(fleet, names))
            found = Trial(tuple(names), n_eff_without(whole, nodes), rent_of(fleet, nodes), change(new, base, seed))
            trials.append(found)
            if len(nodes) > 2 and not found.harmless:
                sets.append(nodes[: len(nodes) // 2])  # all of them together are too many
    return Answer(
        question="redundant",
        sentences=tuple(_sentences(fleet, trials, [fleet.sites[s].name for s in idle], group, now)),
        tables=(_table(trials),),
        assumed=(
            *fleet.assumed,
            "all nodes count alike, and failure rates are "
            + ("the catalogue's" if fleet.spec.failures.process == "none" else "the scenario's"),
            f"a planner ({getattr(policy, 'name', 'policy')}) runs what is left; what started on such a node starts on the "
            "nearest other one with room",
            "rent is that of all GPUs of a node around the clock",
        ),
        sure=(
            f"independence is in closed form; the changes are of {episodes} simulated days, each played with and without"
            + (f"; worth a day of the last row {dollar_range(trials[-1].change.worth_usd)}." if trials else ".")
        ),
        figures={
            "scenario": fleet.spec.name,
            "episodes": episodes,
            "nodes": len(fleet.sites),
            "n_eff": now,
            "only_count": [
                {
                    "node": fleet.sites[s].name,
                    "n_eff_gain": float(alone[s]),
                    "rent_usd_per_day": rent_of(fleet, [int(s)]),
                }
                for s in idle
            ],
            "left_out": [_json(one) for one in trials],
        },
    )


def droppable(whole: Fleet) -> list[int]:
    """Nodes that may go together, one after another, without n_eff falling below what it is now; the worst go first."""
    now, gone = fleet_n_eff(whole), []
    here = np.arange(len(whole.nodes))
    while len(here) > 1:
        rest = select(whole, here)
        gain = leave_one_out(rest, pairs(rest))
        worst = int(gain.argmin())
        if gain[worst] > ROUNDING * now:
            break
        gone.append(int(here[worst]))
        here = np.delete(here, worst)
    return gone


def n_eff_without(whole: Fleet, nodes: list[int]) -> float:
    """Effective independent nodes of the others."""
    keep = np.ones(len(whole.nodes), np.bool_)
    keep[nodes] = False
    return fleet_n_eff(select(whole, keep)) if keep.any() else 0.0


def rent_of(fleet: Concrete, nodes: list[int]) -> float:
    """Dollars a day of all GPUs of some nodes at their price."""
    return sum(fleet.sites[s].gpu_count * fleet.sites[s].usd_per_gpu_hour for s in nodes) * HOURS_PER_DAY


def _sentences(fleet: Concrete, trials: list[Trial], idle: list[str], group: list[int], now: float) -> list[str]:
    count = len(fleet.sites)
    if not trials:
        return [
            f"No node only adds to the count. The fleet behaves like {now:.2f} independent nodes, and like fewer where any "
            f"one of the {count} is left out."
        ]
    lines = [
        f"{len(idle)} of {count} nodes only add to the count: {listed(idle)}. The fleet behaves like {now:.2f} independent "
        "nodes, and like no fewer where any one of them is left out."
    ]
    lines += [_trial_words(one, len(one.nodes) > 1) for one in _told(trials)]
    safe = [one for one in trials if one.harmless]
    if not safe:
        lines.append("Each of them carries work all the same: leaving it out makes the service worse.")
    elif len(group) < len(idle):
        lines.append(
            "They depend on the same things as one another, so not all can go: together "
            f"{listed([fleet.sites[s].name for s in group])} can."
        )
    return lines


def _told(trials: list[Trial]) -> list[Trial]:
    """The trials that are put in words: the best single one, and all together."""
    single = max((one for one in trials if len(one.nodes) == 1), key=lambda one: one.change.worth_usd.mean)
    return [single, *(one for one in trials if len(one.nodes) > 1)]


def _trial_words(one: Trial, together: bool) -> str:
    who = f"Leaving out {'these together: ' if together else ''}{listed(one.nodes)}"
    parts = [f"it behaves like {one.n_eff:.2f}", f"saves {dollars(one.rent_usd_per_day)} a day of rent"]
    if one.change.nothing:
        return f"{who}: {', '.join(parts)}, and changes nothing else on these days."
    more = [
        clear_change(one.change.unserved, "unserved requests a day"),
        clear_change(one.change.unverified, "unverified requests a day"),
        time_change(one.change.wait_ms),
    ]
    return f"{who}: {', '.join(parts)}; {'; '.join(more)}."


def _table(trials: list[Trial]) -> Table:
    header = (
        "left out",
        "independent",
        "rent a day",
        "spending a day",
        "users",
        "unserved a day",
        "unverified",
        "worth a day",
    )
    rows = tuple(
        (
            listed(one.nodes, 2),
            f"{one.n_eff:.2f}",
            dollars(one.rent_usd_per_day),
            dollars(one.change.usd.mean),
            f"{one.change.wait_ms.mean:+,.0f} ms",
            f"{one.change.unserved.mean:+,.0f}",
            f"{one.change.unverified.mean:+,.0f}",
            dollars(one.change.worth_usd.mean),
        )
        for one in trials
    )
    return Table(header, rows)


def _json(one: Trial) -> dict[str, Any]:
    return {
        "nodes": list(one.nodes),
        "n_eff": one.n_eff,
        "rent_usd_per_day": one.rent_usd_per_day,
        "harmless": one.harmless,
        **one.change.json(),
    }
