"""Demand of an episode: the diurnal curve, slow bursts of regions and models, and flash crowds."""

from __future__ import annotations

import math

from og_env.jit import kernel
from og_env.rng import exponential, normal, uniform


@kernel
def draw_bursts(out, b, state, sd, memory_steps):
    """Multiply out [B, T, X] by exp of a stationary AR(1) with this sd and time constant, of mean 1."""
    if sd <= 0:
        return
    keep = math.exp(-1.0 / memory_steps)
    fresh = sd * math.sqrt(1.0 - keep * keep)
    for x in range(out.shape[2]):
        level = sd * normal(state)
        for i in range(out.shape[1]):
            out[b, i, x] *= math.exp(level - sd * sd / 2)
            level = keep * level + fresh * normal(state)


@kernel
def draw_flashes(regional, model, b, state, per_step, factor, mean_steps):
    """Poisson flash crowds: each lifts one region and one model by the root of factor, for an exponential time."""
    if per_step <= 0:
        return
    root = math.sqrt(factor)
    start = exponential(state) / per_step
    while start < regional.shape[1]:
        u = int(uniform(state) * regional.shape[2])
        m = int(uniform(state) * model.shape[2])
        stop = start + exponential(state) * mean_steps
        first, last = int(start), min(int(math.ceil(stop)), regional.shape[1])
        for i in range(first, last):
            regional[b, i, u] *= root
            model[b, i, m] *= root
        start += exponential(state) / per_step


@kernel
def draw_demand(regional, model, b, state, diurnal, start_step, numbers):
    """Fill regional [B, T, U] and model [B, T, M] of row b.

    numbers: burst sd, burst memory in steps, flashes a step, flash factor, mean flash length in steps."""
    day = diurnal.shape[0]
    for i in range(regional.shape[1]):
        for u in range(regional.shape[2]):
            regional[b, i, u] = diurnal[(start_step + i) % day, u]
        for m in range(model.shape[2]):
            model[b, i, m] = 1.0
    draw_bursts(regional, b, state, numbers[0], numbers[1])
    draw_bursts(model, b, state, numbers[0], numbers[1])
    draw_flashes(regional, model, b, state, numbers[2], numbers[3], numbers[4])
