"""Impact of an incident on the episodes of a policy: requests lost, delay, cost, recovery, and exposure before it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.evaluation import statistics
from og_agents.evaluation.recording import Recording

Floats = npt.NDArray[np.float64]

BEFORE_H = 1.0
"""hours that count as just before the incident"""
TOLERANCE = 0.01
"""share of demand by which the service may stay below its earlier level"""
CALM_H = 0.5
"""the service has recovered where it has been back for so long"""
AFTERMATH_H = 1.0
"""shortfalls that begin later than this after the incident's end are not its doing"""


class Impact(NamedTuple):
    """E episodes; counts, delay and cost are those from the incident's start to the end of the episode."""

    asked: Floats
    """requests"""
    due: Floats
    """requests lost more than in the same episode without the incident"""
    unserved: Floats
    """requests"""
    unverified: Floats
    """requests served without the proof that they want"""
    worst_hour_p95_ms: Floats
    """highest hourly mean of the 95th percentile of latency, by served requests; nan where nothing was served"""
    cost_usd: Floats
    recover_min: Floats
    """minutes until the service is back at its level, see `minutes_to_recover`"""
    recovered: npt.NDArray[np.bool_]
    """false where the episode ended below the level: then recover_min is a lower bound"""
    exposure_before: Floats
    """share of demand that the worst single dependency would have taken along, in the hour before; nan without one"""
    n_eff_before: Floats
    """effective independent nodes of the traffic in the hour before; nan without one"""
    share_before: Floats
    """share of the served traffic in the hour before on the sites that were then hit; nan without one"""

    @property
    def lost(self) -> Floats:
        """Requests unserved or unverified."""
        return self.unserved + self.unverified


def impact(recording: Recording, twin: Recording, start_h: npt.ArrayLike, stop_h: npt.ArrayLike) -> Impact:
    """Impact from start_h on, and the state of the network just before.

    start_h, stop_h: hours since the episode began, [E] or one number for all. `twin` has the same episodes without the
    incident, up to its start step by step the same. The sites that were hit are those whose status is not clear at the
    start.
    """
    count, steps = recording.rewards.shape
    step_h, step_s = recording.step_h, recording.step_s
    starts, stops = (np.broadcast_to(np.asarray(hours, np.float64), count) for hours in (start_h, stop_h))
    demand, served = recording.metric("demand_rps"), recording.metric("served_rps")
    unserved, unverified = lost_rps(recording)
    usual = sum(lost_rps(twin))
    good, usually_good = well_served(recording), well_served(twin)
    rows = []
    for e in range(count):
        # row r of the tape is what step r acts under, and step r is entry r - 1
        first = min(max(int(starts[e] / step_h + 1e-9), 1), steps) - 1
        last = min(max(int(np.ceil(stops[e] / step_h - 1e-9)) - 1, first + 1), steps)
        before = slice(max(first - round(BEFORE_H / step_h), 0), first)
        after = slice(first, steps)
        level = np.minimum(good[e, before].mean() if first > 0 else 1.0, usually_good[e, after])
        hit = recording.status[e, first + 1] != 0
        rows.append(
            (
                demand[e, after].sum() * step_s,
                (unserved + unverified - usual)[e, after].sum() * step_s,
                unserved[e, after].sum() * step_s,
                unverified[e, after].sum() * step_s,
                worst_hour(recording.metric("latency_p95_ms")[e, after], served[e, after], step_h),
                recording.metric("usd_per_hour")[e, after].sum() * step_h,
                *minutes_to_recover(good[e, after], level, last - first, step_s),
                _mean(recording.metric("exposure")[e, before]),
                _mean(recording.metric("n_eff")[e, before]),
                _mean(recording.share[e, 1:][before][:, hit].sum(axis=1)),
            )
        )
    columns = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    figures: dict[str, Any] = dict(zip(Impact._fields, columns, strict=True))
    return Impact(**figures | {"recovered": figures["recovered"] == 1})


def lost_rps(recording: Recording) -> tuple[Floats, Floats]:
    """Requests/s that are not served, and that are served without the proof that they want, [E, T] each."""
    demand = recording.metric("demand_rps")
    return (demand - recording.metric("served_rps")).clip(0), recording.term("unverified") * demand


def well_served(recording: Recording) -> Floats:
    """Share of demand that is served, with a proof where it wants one, [E, T]."""
    return recording.metric("served_share") - recording.term("unverified")


def minutes_to_recover(good: npt.ArrayLike, level: npt.ArrayLike, length: int, step_s: int) -> tuple[float, bool]:
    """Minutes from the incident's start until the share of demand that is well served is back at its level.

    good, level: that share and the level, which is that of the hour before or that of the twin at the same time, if it
    is lower, in the steps from the start on, of which the incident lasts `length`. It is back when it stays within
    TOLERANCE of the level for CALM_H or to the end. (0, True) where it never fell; (all of it, False) where it is
    below at the end.
    """
    bad = np.asarray(good, np.float64) < np.asarray(level, np.float64) - TOLERANCE
    calm = max(round(CALM_H * 3600 / step_s), 1)
    fell = np.flatnonzero(bad[: length + round(AFTERMATH_H * 3600 / step_s)])
    if not len(fell):
        return 0.0, True
    quiet = 0
    for i in range(fell[0], len(bad)):
        quiet = 0 if bad[i] else quiet + 1
        if quiet == calm:
            return (i + 1 - calm) * step_s / 60, True
    return (len(bad) - quiet) * step_s / 60, quiet > 0


def worst_hour(p95_ms: Floats, served_rps: Floats, step_h: float) -> float:
    """The highest mean over an hour of a percentile, weighted with what was served; nan where nothing ever was."""
    width = min(max(round(1 / step_h), 1), len(p95_ms))
    window = np.ones(width)
    served = np.convolve(served_rps, window, "valid")
    total = np.convolve(p95_ms * served_rps, window, "valid")
    busy = served > 1e-9
    return float((total[busy] / served[busy]).max()) if busy.any() else float("nan")


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def summary(impacts: Impact, *, strata: npt.ArrayLike | None = None, seed: int = 0) -> dict[str, Any]:
    """Mean and 95 % bootstrap interval of every figure over the episodes; None where it has no value in any."""
    result: dict[str, Any] = {}
    figures = {**impacts._asdict(), "lost": impacts.lost, "recovered": impacts.recovered.astype(np.float64)}
    for name, values in figures.items():
        known = np.isfinite(values)
        if not known.any():
            result[name] = None
            continue
        labels = None if strata is None else np.asarray(strata)[known]
        interval = statistics.bootstrap(values[known], strata=labels, seed=seed)
        result[name] = {"mean": interval.value, "ci_low": interval.low, "ci_high": interval.high}
    return result


def joined(parts: list[Impact]) -> Impact:
    """Impacts of several incidents as one."""
    return Impact(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
