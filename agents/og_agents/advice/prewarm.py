"""Whether it is worth keeping a warm replica of a model in a part of the world: the same days with it and without."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

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
from og_agents.advice.fleet_changes import Concrete
from og_agents.advice.kept_replica import Barred, WithBarred
from og_agents.advice.paired_days import Days, play
from og_agents.advice.places import Place, place_of
from og_agents.policy import Policy
from og_env.errors import nearest_valid
from og_env.simulator import ABSENT, FETCHING, LAUNCH, RETIRE, STAGE, WARM
from og_env.vector_env import NetworkVectorEnv

EPISODES = 12
SHORT = 3
"""sites that are tried"""


class Trial(NamedTuple):
    """A replica that is kept warm at one site, against none in the whole place."""

    site: str
    change: Change
    local_wait_ms: Difference | None
    """what changes for the users of the place; None where there are none"""
    warm_share: float
    """share of the time in which it is warm: outages take it away"""


def answer(
    fleet: Concrete, policy: Policy, model: str, where: str, *, episodes: int = EPISODES, seed: int = 0
) -> Answer:
    """The answer; ValueError in one line for an unknown model or place, and for a place where the model has no room."""
    names = [one.name for one in fleet.world.resolved.models]
    if model not in names:
        raise ValueError(f"prewarm: unknown model {model[:60]!r}{nearest_valid(model, names)}")
    regions = fleet.world.resolved.regions
    place = place_of(where, "--in", regions)
    inside = [s for s, site in enumerate(fleet.sites) if place.holds(site)]
    m = names.index(model)
    local = np.array([place.holds(region) for region in regions])
    tried = _shortlist(fleet, m, inside, local, place, model)
    barred = [(verb, model, fleet.sites[s].name) for s in inside for verb in (LAUNCH, STAGE)]
    played = functools.partial(play, episodes=episodes, seed=seed)
    none = played(WithBarred(policy, barred), fleet.spec, prepare=_start(m, inside, None))
    free = played(policy, fleet.spec)
    trials = []
    for s in tried:
        name = fleet.sites[s].name
        kept: list[Barred] = [*(one for one in barred if one[2] != name), (RETIRE, model, name)]
        with_it = played(WithBarred(policy, kept), fleet.spec, prepare=_start(m, inside, s))
        trials.append(_trial(name, with_it, none, local, float(with_it.warm[:, :, m, s].mean()), seed))
    trials.sort(key=lambda one: -one.change.worth_usd.mean)
    alone = float(free.warm[:, :, m][:, :, inside].sum(axis=2).mean())
    return Answer(
        question=f"prewarm {model} in {where}",
        sentences=tuple(_sentences(model, place, trials, alone, local)),
        tables=(_table(trials),),
        assumed=(
            *fleet.assumed,
            f"a planner ({getattr(policy, 'name', 'policy')}) runs the rest of the fleet",
            f"without it no replica of {model} may stand in {place.words}; with it exactly one does, warm from the start",
            "outages come as the scenario has them",
            "worth is by the scenario's own weights of time, losses and dollars",
        ),
        sure=(
            f"{episodes} simulated days, each played with and without; 95 % interval of the worth a day "
            f"{dollar_range(trials[0].change.worth_usd)}."
        ),
        figures={
            "scenario": fleet.spec.name,
            "model": model,
            "place": place.words,
            "episodes": episodes,
            "planner_keeps_there": alone,
            "sites": [_json(one) for one in trials],
        },
    )


def _shortlist(
    fleet: Concrete, m: int, inside: list[int], local: npt.NDArray[np.bool_], place: Place, model: str
) -> list[int]:
    """The sites of the place with room for the model that are nearest to its users, and the cheapest one."""
    arrays = fleet.world.arrays
    need = arrays.replica_gpus[0]
    others = (arrays.start_phase[0] >= FETCHING) * need
    others[m] = 0
    room = arrays.gpu_count[0] - others.sum(axis=0)
    allowed = arrays.forbidden[0] == 0
    fits = [s for s in inside if 0 < need[m, s] <= room[s] and allowed[s]]
    if not inside:
        raise ValueError(f"--in: the fleet has no node in {place.words}")
    if not fits:
        raise ValueError(f"--in: no node in {place.words} has room for {model} beside what starts there")
    asked = arrays.base_rps[0, :, m].astype(float)
    asked = asked * local if (asked * local).any() else asked
    way = {s: float(asked @ arrays.rtt_user_ms[0, :, s]) for s in fits}
    rent = {s: float(need[m, s] * arrays.usd_per_gpu_hour[0, s]) for s in fits}
    near = sorted(fits, key=lambda s: way[s])[: SHORT - 1]
    cheap = sorted(fits, key=lambda s: rent[s])
    return [*near, *(s for s in cheap if s not in near)][:SHORT]


def _start(m: int, inside: list[int], keep: int | None) -> Any:
    """Let episodes begin with the model warm at one of the sites of the place, or at none."""

    def prepare(env: NetworkVectorEnv) -> None:
        phase = env.simulator.world.start_phase
        phase[:, m, inside] = ABSENT
        if keep is not None:
            phase[:, m, keep] = WARM

    return prepare


def _trial(name: str, with_it: Days, none: Days, local: npt.NDArray[np.bool_], warm_share: float, seed: int) -> Trial:
    there = difference(with_it.wait_ms_of(local) - none.wait_ms_of(local), seed) if local.any() else None
    return Trial(name, change(with_it, none, seed), there, warm_share)


def _sentences(model: str, place: Place, trials: list[Trial], alone: float, local: npt.NDArray[np.bool_]) -> list[str]:
    best = trials[0]
    worth, usd = best.change.worth_usd, best.change.usd
    if worth.low > 0:
        verdict = f"Yes: keep {model} warm at {best.site}"
    elif worth.high < 0:
        verdict = f"No: no site in {place.words} is worth a warm {model}; the least bad is {best.site}"
    else:
        verdict = f"These days cannot tell whether a warm {model} in {place.words} pays; the best site is {best.site}"
    lines = [
        f"{verdict}. By the scenario's weights it is worth {dollars(worth.mean)} a day, its cost included.",
        f"The fleet then spends {dollars(abs(usd.mean))} a day {'more' if usd.mean >= 0 else 'less'}"
        f"{'' if usd.clear else ', within the noise of these days'}.",
        f"For all users, {time_change(best.change.wait_ms)}."
        + ("" if best.local_wait_ms is None else f" In {place.words}, {time_change(best.local_wait_ms)}."),
        f"A day, that is {clear_change(best.change.unserved, 'unserved requests')}, and "
        f"{clear_change(best.change.unverified, 'unverified requests')}.",
    ]
    if not local.any():
        lines.append(f"The scenario has no user region in {place.words}.")
    lines.append(f"Left alone, the planner keeps {alone:.1f} warm replicas of {model} there on average.")
    return lines


def _table(trials: list[Trial]) -> Table:
    header = (
        "site",
        "cost a day",
        "all users",
        "users there",
        "unserved a day",
        "worth a day",
        "95 % interval",
        "warm",
    )
    rows = tuple(
        (
            one.site,
            dollars(one.change.usd.mean),
            f"{one.change.wait_ms.mean:+,.0f} ms",
            "-" if one.local_wait_ms is None else f"{one.local_wait_ms.mean:+,.0f} ms",
            f"{one.change.unserved.mean:+,.0f}",
            dollars(one.change.worth_usd.mean),
            range_text(one.change.worth_usd, "{:,.0f}"),
            f"{one.warm_share:.0%}",
        )
        for one in trials
    )
    return Table(header, rows)


def _json(one: Trial) -> dict[str, Any]:
    local = None if one.local_wait_ms is None else one.local_wait_ms.json()
    return {"site": one.site, **one.change.json(), "local_wait_ms": local, "warm_share": one.warm_share}
