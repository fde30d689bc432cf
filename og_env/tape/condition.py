"""Hidden condition of sites in an episode: how fast each one really is, and when its telemetry fails.

The log of a site's speed follows a stationary AR(1) process. On top come grey failures, in which a site answers but is
slow; where several overlap, the worst one counts. In blind spans nothing that is measured at a site shows. Both are
Poisson processes of each site, with those under way at the first row drawn as well, and act in the rows whose middle
they cover. Drift, grey failures and blind spans have random streams of their own, so that a change of one leaves the
others as they are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from og_env.kernel.arrays import BLIND, CALM_SPEED, SPEEDS_PER_OCTAVE, WARM_UP_H
from og_env.kernel.compile import array_inlined, array_kernel
from og_env.kernel.random_streams import bits, exponential, lognormal, normal, uniform
from og_env.scenario.specs import ConditionSpec

SLOWEST, FASTEST = 1.0, 127.0
"""smallest and largest code of a speed"""
GREY, SEVERE = 1, 2
"""marks of rows while events are drawn, the worse one the larger"""
MARKS = 3
"""bits of them"""


class ConditionProcess(NamedTuple):
    """The numbers of a ConditionSpec; logs of speeds are in codes, SPEEDS_PER_OCTAVE to a factor of 2."""

    step_h: float
    """length of a step, hours"""
    drift_sd: float
    """standard deviation of the log of the speed"""
    drift_keep: float
    """share of that log that is left after a step"""
    grey_per_h: float
    """grey failures of a site per hour"""
    grey_loss: float
    """log of what a grey failure divides the speed by"""
    grey_median_h: float
    """median length of a grey failure"""
    grey_sigma: float
    """standard deviation of the log of that length"""
    severe_share: float
    """share of the grey failures that are severe"""
    severe_loss: float
    """log of what a severe one divides the speed by"""
    severe_from_h: float
    """shortest length of a severe one"""
    severe_to_h: float
    """longest length of a severe one"""
    blind_per_h: float
    """failures of a site's telemetry per hour"""
    blind_mean_h: float
    """mean length of these"""


def condition_process(spec: ConditionSpec, step_h: float) -> ConditionProcess:
    """The numbers that `draw_condition` takes, for steps of this length."""
    return ConditionProcess(
        step_h=step_h,
        drift_sd=spec.drift_sd / math.log(2) * SPEEDS_PER_OCTAVE,
        drift_keep=math.exp(-step_h / spec.drift_memory_h),
        grey_per_h=spec.grey_per_day / 24,
        grey_loss=-math.log2(spec.grey_speed) * SPEEDS_PER_OCTAVE,
        grey_median_h=spec.grey_median_min / 60,
        grey_sigma=float(spec.grey_sigma),
        severe_share=float(spec.severe_share),
        severe_loss=-math.log2(spec.severe_speed) * SPEEDS_PER_OCTAVE,
        severe_from_h=float(spec.severe_h[0]),
        severe_to_h=float(spec.severe_h[1]),
        blind_per_h=spec.blind_per_day / 24,
        blind_mean_h=float(spec.blind_h),
    )


@array_inlined
def first_middle(hour: float, step_h: float, rows: int) -> int:
    """The first row whose middle is not before an hour; the number of rows where there is none."""
    return int(math.ceil(min(max(hour / step_h - 0.5, 0.0), rows)))


@array_kernel
def mark(condition: np.ndarray, site: int, start_h: float, stop_h: float, step_h: float, value: int) -> None:
    """Write a mark in the rows of a time span: BLIND beside what stands there, any other where no larger one does."""
    rows = condition.shape[0]
    for row in range(first_middle(start_h, step_h, rows), first_middle(stop_h, step_h, rows)):
        before = condition[row, site]
        condition[row, site] = before | BLIND if value == BLIND else max(before, value)


@array_kernel
def draw_grey(condition: np.ndarray, sites: int, random_state: np.ndarray, process: ConditionProcess) -> None:
    """Mark the grey failures of the first sites in rows of zeros."""
    if process.grey_per_h <= 0:
        return
    end_h = condition.shape[0] * process.step_h
    for site in range(sites):
        start_h = -WARM_UP_H + exponential(random_state) / process.grey_per_h
        while start_h < end_h:
            if uniform(random_state) < process.severe_share:
                value = SEVERE
                span_h = process.severe_from_h
                span_h += uniform(random_state) * (process.severe_to_h - process.severe_from_h)
            else:
                value = GREY
                span_h = lognormal(random_state, process.grey_median_h, process.grey_sigma)
            mark(condition, site, start_h, start_h + span_h, process.step_h, value)
            start_h += exponential(random_state) / process.grey_per_h


@array_kernel
def draw_blind(condition: np.ndarray, sites: int, random_state: np.ndarray, process: ConditionProcess) -> None:
    """Mark the spans in which telemetry of the first sites fails."""
    if process.blind_per_h <= 0:
        return
    end_h = condition.shape[0] * process.step_h
    for site in range(sites):
        start_h = -WARM_UP_H + exponential(random_state) / process.blind_per_h
        while start_h < end_h:
            stop_h = start_h + exponential(random_state) * process.blind_mean_h
            mark(condition, site, start_h, stop_h, process.step_h, BLIND)
            start_h += exponential(random_state) / process.blind_per_h


@array_kernel
def write_speeds(condition: np.ndarray, sites: int, random_state: np.ndarray, process: ConditionProcess) -> None:
    """Turn the marks of the first sites into codes of their speeds, with the drift."""
    sd, keep = process.drift_sd, process.drift_keep
    fresh = sd * math.sqrt(1.0 - keep * keep)
    loss = np.array([0.0, process.grey_loss, process.severe_loss])
    drift = np.zeros(sites)
    if sd > 0:
        for site in range(sites):
            drift[site] = sd * normal(random_state)
    for row in range(condition.shape[0]):
        for site in range(sites):
            marks = condition[row, site]
            code = min(max(CALM_SPEED + drift[site] - loss[marks & MARKS], SLOWEST), FASTEST)
            condition[row, site] = np.uint8(code + 0.5) | (marks & BLIND)
        if sd > 0:
            for site in range(sites):
                drift[site] = keep * drift[site] + fresh * normal(random_state)


@array_kernel
def draw_condition(condition: np.ndarray, sites: int, random_state: np.ndarray, process: ConditionProcess) -> None:
    """Fill the condition [T, N] of an episode; sites from number `sites` on are padding, and calm.

    Codes are round(CALM_SPEED + SPEEDS_PER_OCTAVE log2(speed)), within 1 and 127.
    """
    condition[:, sites:] = CALM_SPEED
    condition[:, :sites] = 0
    own_state = np.empty(1, np.uint64)
    own_state[0] = bits(random_state)
    draw_grey(condition, sites, own_state, process)
    own_state[0] = bits(random_state)
    draw_blind(condition, sites, own_state, process)
    write_speeds(condition, sites, random_state, process)
