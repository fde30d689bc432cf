"""Demand of an episode: the diurnal curve with slow bursts of regions and models, or a recorded trace; and flash crowds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from og_env.kernel.compile import kernel
from og_env.kernel.random_streams import exponential, normal, uniform

FLASHES_BEFORE = 10.0
"""mean lengths before the episode from which flash crowds are drawn: one in 22,000 outlasts them"""


class DemandProcess(NamedTuple):
    """A DemandSpec in steps."""

    burst_sd: float
    burst_memory: float
    """steps"""
    flashes: float
    """a step"""
    flash_factor: float
    flash_length: float
    """mean, steps"""


@kernel
def draw_bursts(factor, state, process):
    """Multiply factor [T, X] by exp of a stationary AR(1) for each column, of mean 1: log sd burst_sd, time constant
    burst_memory."""
    sd = process.burst_sd
    if sd <= 0:
        return
    keep = math.exp(-1.0 / process.burst_memory)
    fresh = sd * math.sqrt(1.0 - keep * keep)
    level = np.empty(factor.shape[1])
    for x in range(len(level)):
        level[x] = sd * normal(state)
    for i in range(factor.shape[0]):
        for x in range(len(level)):
            factor[i, x] *= math.exp(level[x] - sd * sd / 2)
            level[x] = keep * level[x] + fresh * normal(state)


@kernel
def draw_flashes(regional, model, state, process):
    """Poisson flash crowds, present ones included: each multiplies one column of regional [T, U] and of model [T, M] by
    the root of flash_factor, in the rows that its exponential length touches."""
    if process.flashes <= 0:
        return
    rows = regional.shape[0]
    root = math.sqrt(process.flash_factor)
    start = -FLASHES_BEFORE * process.flash_length + exponential(state) / process.flashes
    while start < rows:
        u = int(uniform(state) * regional.shape[1])
        m = int(uniform(state) * model.shape[1])
        stop = start + exponential(state) * process.flash_length
        for i in range(int(max(start, 0.0)), int(math.ceil(min(max(stop, 0.0), rows)))):
            regional[i, u] *= root
            model[i, m] *= root
        start += exponential(state) / process.flashes


@kernel
def follow_trace(model, state, trace):
    """Multiply model [T, M] by a trace [L, M], repeated from a step of its own on; nothing where L is 0."""
    length = trace.shape[0]
    if length == 0:
        return
    first = int(uniform(state) * length)
    for i in range(model.shape[0]):
        for m in range(model.shape[1]):
            model[i, m] *= trace[(first + i) % length, m]


@kernel
def draw_demand(regional, model, state, diurnal, trace, start_step, process):
    """Fill regional [T, U], with the diurnal curve [Y, U] from start_step on, and model [T, M], with the trace [L, M]."""
    day = diurnal.shape[0]
    for i in range(regional.shape[0]):
        now = (start_step + i) % day
        for u in range(regional.shape[1]):
            regional[i, u] = diurnal[now, u]
        for m in range(model.shape[1]):
            model[i, m] = 1.0
    follow_trace(model, state, trace)
    draw_bursts(regional, state, process)
    draw_bursts(model, state, process)
    draw_flashes(regional, model, state, process)
