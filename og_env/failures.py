"""Shared outages of an episode: Marshall-Olkin common shocks whose rate follows a hidden calm or fragile regime.

A shock of a source strikes each member with its hit probability; it has one duration and one effect. The regime of a
shared domain is a two-state Markov chain started from its stationary law; after a repair the domain is fragile for
another dwell with probability `aftershock`, on top of the chain. The chain alone keeps the average rate of the source;
aftershocks raise it, so the calm rate is divided by the growth 1 / (1 - a r d) that a shock's own offspring bring
(r: fragile minus average rate, d: dwell), where that is below 2.
"""

from __future__ import annotations

import math

import numpy as np

from og_env.jit import kernel
from og_env.rng import exponential, normal, uniform

WARM_UP_H = 48.0
"""simulated before the episode, so that outages are in progress when it begins"""
FACILITATOR_H = 0.5
"""a registry's entries are dropped this long after its heartbeats stop (1800 s)"""
DOWN, FROZEN = np.uint8(1), np.uint8(2)


@kernel
def mark(status, b, site, start_h, stop_h, step_h, bit):
    """Set a status bit in the rows that a time span touches."""
    first = max(int(math.floor(start_h / step_h)), 0)
    last = min(int(math.ceil(stop_h / step_h)), status.shape[1])
    for i in range(first, last):
        status[b, i, site] |= bit


@kernel
def draw_duration(state, sources, r):
    """Hours, from the mixture of two lognormals."""
    if uniform(state) < sources.heavy_weight[r]:
        return sources.heavy_median_h[r] * math.exp(sources.heavy_sigma[r] * normal(state))
    return sources.median_h[r] * math.exp(sources.sigma[r] * normal(state))


@kernel
def draw_effect(state, sources, r):
    """Index of the effect."""
    level = uniform(state)
    for effect in range(3):
        level -= sources.effects[r, effect]
        if level < 0:
            return effect
    return 3


@kernel
def strike(status, outages, b, state, sources, r, start_h, step_h, facilitator):
    """One shock of source r: its marks on status [B, T, N] and outages [B, T]; returns its end, hours."""
    stop_h = start_h + draw_duration(state, sources, r)
    effect = draw_effect(state, sources, r)
    hits = 0
    for j in range(sources.member_start[r], sources.member_start[r + 1]):
        if uniform(state) >= sources.member_hit[j]:
            continue
        hits += 1
        site = sources.member_site[j]
        if sources.kind[r] == facilitator:
            turn_h = min(stop_h, start_h + FACILITATOR_H)
            mark(status, b, site, start_h, turn_h, step_h, FROZEN)
            if stop_h > turn_h:
                mark(status, b, site, turn_h, stop_h, step_h, DOWN)
        else:
            mark(status, b, site, start_h, stop_h, step_h, np.uint8(1 << effect))
    if hits > 0:
        first = max(int(math.floor(start_h / step_h)), 0)
        for i in range(first, min(int(math.ceil(stop_h / step_h)), outages.shape[1])):
            outages[b, i] = min(outages[b, i] + 1, 255)
    return stop_h


@kernel
def show(level, f, start_h, stop_h, step_h, weight):
    """Raise the error level [T, S] of a shared domain over a time span."""
    first = max(int(math.floor(start_h / step_h)), 0)
    for i in range(first, min(int(math.ceil(stop_h / step_h)), level.shape[0])):
        level[i, f] = min(level[i, f] + weight, 1.0)


@kernel
def draw_source(status, outages, level, b, state, sources, r, numbers, facilitator, weight):
    """All shocks of source r in an episode.

    numbers: step hours, fragile share, dwell hours, aftershock probability. weight: of this source in its domain's
    error level (one over the number of sources that share it)."""
    step_h, share, dwell_h, aftershock = numbers[0], numbers[1], numbers[2], numbers[3]
    end_h = status.shape[1] * step_h
    f = sources.shared[r]
    calm, fragile_rate = sources.calm_rate_per_h[r], sources.fragile_rate_per_h[r]
    if fragile_rate <= calm or share <= 0:
        now_h = -WARM_UP_H + exponential(state) / calm if calm > 0 else end_h
        while now_h < end_h:
            stop_h = strike(status, outages, b, state, sources, r, now_h, step_h, facilitator)
            if f >= 0:
                show(level, f, now_h, stop_h, step_h, weight)
            now_h += exponential(state) / calm
        return
    average = calm + share * (fragile_rate - calm)
    growth = aftershock * (fragile_rate - average) * dwell_h
    thin = max(1.0 - growth, 0.5)
    calm_dwell_h = dwell_h * (1 - share) / share
    fragile = uniform(state) < share
    now_h = -WARM_UP_H
    switch_h = now_h + exponential(state) * (dwell_h if fragile else calm_dwell_h)
    again_start, again_stop = 1e30, -1e30
    while now_h < end_h:
        shaken = fragile or again_start <= now_h < again_stop
        rate = (fragile_rate if shaken else calm) * thin
        next_h = switch_h
        if again_start > now_h:
            next_h = min(next_h, again_start)
        elif again_stop > now_h:
            next_h = min(next_h, again_stop)
        shock_h = now_h + (exponential(state) / rate if rate > 0 else 1e30)
        if shaken:
            show(level, f, now_h, min(min(next_h, shock_h), end_h), step_h, weight)
        if shock_h < next_h:
            now_h = shock_h
            if now_h >= end_h:
                break
            stop_h = strike(status, outages, b, state, sources, r, now_h, step_h, facilitator)
            show(level, f, now_h, stop_h, step_h, weight)
            if uniform(state) < aftershock:
                again_start, again_stop = stop_h, stop_h + exponential(state) * dwell_h
        else:
            now_h = next_h
            if next_h == switch_h:
                fragile = not fragile
                switch_h = now_h + exponential(state) * (dwell_h if fragile else calm_dwell_h)


@kernel
def write_signal(signal, level, b, state, visible, noise):
    """Noisy error rates of the visible shared domains, as codes 0 .. 255 for -0.25 .. 1.75."""
    for i in range(signal.shape[1]):
        for f in range(signal.shape[2]):
            value = level[i, f] + noise * normal(state) if visible[f] else 0.0
            signal[b, i, f] = np.uint8(min(max(round((value + 0.25) * 127.5), 0), 255))
