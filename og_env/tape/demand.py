"""Demand of an episode: a diurnal curve with slow bursts by region and model, or a recorded trace; and flash crowds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from og_env.kernel.compile import array_kernel
from og_env.kernel.random_streams import exponential, normal, uniform

FLASHES_BEFORE = 10.0
"""mean lengths before the episode from which flash crowds are drawn: one in 22,000 outlasts them"""
MOST_FACTOR = 1e5
"""largest factor on the demand of a region or for a model, so that what follows from it stays finite"""


class DemandProcess(NamedTuple):
    """The numbers of a DemandSpec, with times in steps."""

    burst_sd: float
    """standard deviation of the logarithm of a burst factor"""
    burst_memory_steps: float
    """time constant of bursts"""
    flashes_per_step: float
    """mean number of flash crowds that begin in a step"""
    flash_factor: float
    """factor of a flash crowd on the demand of its region for its model"""
    flash_length_steps: float
    """mean length of a flash crowd"""


@array_kernel
def draw_bursts(factor: np.ndarray, random_state: np.ndarray, process: DemandProcess) -> None:
    """Multiply each column of `factor` [T, X] by the exponential of a stationary AR(1) process, a factor of mean 1.

    The logarithms have standard deviation `burst_sd` and mean -burst_sd^2 / 2; their autocorrelation falls by
    exp(-1 / burst_memory_steps) a step.
    """
    sd = process.burst_sd
    if sd <= 0:
        return
    keep = math.exp(-1.0 / process.burst_memory_steps)
    fresh = sd * math.sqrt(1.0 - keep * keep)
    level = np.empty(factor.shape[1])
    for column in range(len(level)):
        level[column] = sd * normal(random_state)
    for row in range(factor.shape[0]):
        for column in range(len(level)):
            factor[row, column] = min(factor[row, column] * math.exp(level[column] - sd * sd / 2), MOST_FACTOR)
            level[column] = keep * level[column] + fresh * normal(random_state)


@array_kernel
def draw_flashes(regional: np.ndarray, by_model: np.ndarray, random_state: np.ndarray, process: DemandProcess) -> None:
    """Multiply `regional` [T, U] and `by_model` [T, M] by Poisson flash crowds, those under way at the start included.

    Each lifts one region and one model by the root of `flash_factor`, in the rows that its exponential length touches.
    """
    if process.flashes_per_step <= 0:
        return
    rows = regional.shape[0]
    root = math.sqrt(process.flash_factor)
    start = -FLASHES_BEFORE * process.flash_length_steps + exponential(random_state) / process.flashes_per_step
    while start < rows:
        region = int(uniform(random_state) * regional.shape[1])
        model = int(uniform(random_state) * by_model.shape[1])
        stop = start + exponential(random_state) * process.flash_length_steps
        for row in range(int(max(start, 0.0)), int(math.ceil(min(max(stop, 0.0), rows)))):
            regional[row, region] = min(regional[row, region] * root, MOST_FACTOR)
            by_model[row, model] = min(by_model[row, model] * root, MOST_FACTOR)
        start += exponential(random_state) / process.flashes_per_step


@array_kernel
def follow_trace(by_model: np.ndarray, random_state: np.ndarray, trace: np.ndarray) -> None:
    """Multiply `by_model` [T, M] by a repeated trace [L, M] from a drawn row of it on; without a trace, L is 0."""
    length = trace.shape[0]
    if length == 0:
        return
    first = int(uniform(random_state) * length)
    for row in range(by_model.shape[0]):
        for model in range(by_model.shape[1]):
            by_model[row, model] *= trace[(first + row) % length, model]


@array_kernel
def draw_demand(
    regional: np.ndarray,
    by_model: np.ndarray,
    random_state: np.ndarray,
    diurnal: np.ndarray,
    trace: np.ndarray,
    start_step: int,
    process: DemandProcess,
) -> None:
    """Fill the demand factors of an episode: `regional` [T, U] and `by_model` [T, M].

    Regions follow the diurnal curve [Y, U] from `start_step` of the UTC day on, and models the trace [L, M].
    """
    day = diurnal.shape[0]
    for row in range(regional.shape[0]):
        now = (start_step + row) % day
        for region in range(regional.shape[1]):
            regional[row, region] = diurnal[now, region]
        for model in range(by_model.shape[1]):
            by_model[row, model] = 1.0
    follow_trace(by_model, random_state, trace)
    draw_bursts(regional, random_state, process)
    draw_bursts(by_model, random_state, process)
    draw_flashes(regional, by_model, random_state, process)
