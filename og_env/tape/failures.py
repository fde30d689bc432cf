"""Shared outages of an episode: Marshall-Olkin common shocks whose rate follows a hidden calm or fragile regime.

A shock of a source strikes each member with its hit probability; it has one duration and one effect. The regime of a
shared domain is a two-state Markov chain started from its stationary law. With probability `aftershock` a repair begins
another fragile dwell: a span in which shocks at the excess of the fragile rate over the calm one are added.

Aftershocks breed shocks: each has `growth = aftershock * excess * dwell` children on average, at unscaled rates. All
rates of a source with regimes are therefore divided by 1 + growth, which keeps both the average rate that the scenario
states, exactly in the long run, and the ratio of the regimes. 48 hours of warm-up are enough for that where growth is
moderate: the rate is within 2 % at growth 1, and 8 % low at growth 2.4 with outages of 3 hours (measured on 100,000
episodes); in the shipped scenarios growth is below 0.3, but 1.1 for the providers of global-24 and random-24. Sources
without regimes have no aftershocks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from og_env.kernel.arrays import DOWN, FROZEN, HALF, WARM_UP_H
from og_env.kernel.compile import kernel
from og_env.kernel.random_streams import exponential, lognormal, normal, uniform
from og_env.trust.failure_correlation import FACILITATOR_H

SLACK = 1e-9
"""of a row: a span that ends on the edge of a row does not touch the next one by rounding"""
SIGNAL_LOW, SIGNAL_HIGH = -0.25, 1.75
"""error rates of codes 0 and 255"""


class ShockProcess(NamedTuple):
    """What all sources of a FailureSpec have in common."""

    step_h: float
    fragile_share: float
    fragile_dwell_h: float
    aftershock: float
    signal_noise: float
    facilitator: int
    """index of that kind"""


class Outages(NamedTuple):
    """What shocks write: one row of a tape and the error levels behind its signal."""

    pairs: np.ndarray
    """uint8 [R, N] status bits of pairs of rows, see layout.Tape"""
    active: np.ndarray
    """uint8 [T] shocks that hit a site"""
    level: np.ndarray
    """[T, S] share of the domain's sources that are fragile or under a shock"""
    shown: np.ndarray
    """int32 [T, S] the last source counted there, from 1 on"""


@kernel
def touched(start_h, stop_h, step_h, rows):
    """First and last + 1 of the rows that a time span touches: of a span that begins in the episode one at least."""
    start, stop = start_h / step_h + SLACK, stop_h / step_h - SLACK
    first = int(min(max(start, 0.0), rows))
    last = int(math.ceil(min(max(stop, 0.0), rows)))
    return first, max(last, min(first + 1, rows)) if start >= 0 else last


@kernel
def mark(outages, site, start_h, stop_h, step_h, bit):
    """Set a status bit in the rows that a time span touches."""
    first, last = touched(start_h, stop_h, step_h, len(outages.active))
    for i in range(first, last):
        outages.pairs[i >> 1, site] |= np.uint8(bit << ((i & 1) * HALF))


@kernel
def hit(outages, site, start_h, stop_h, step_h, bit, is_facilitator):
    """One site under one shock. A registry that breaks freezes its clients and, when their entries lapse, takes them
    down."""
    if is_facilitator and (bit == FROZEN or bit == DOWN):
        lapse_h = min(stop_h, start_h + FACILITATOR_H)
        mark(outages, site, start_h, lapse_h, step_h, FROZEN)
        if lapse_h < stop_h:
            mark(outages, site, lapse_h, stop_h, step_h, DOWN)
    else:
        mark(outages, site, start_h, stop_h, step_h, bit)


@kernel
def count(outages, start_h, stop_h, step_h):
    """One more active shock in the rows of a time span."""
    first, last = touched(start_h, stop_h, step_h, len(outages.active))
    for i in range(first, last):
        outages.active[i] = min(outages.active[i] + 1, 255)


@kernel
def show(outages, f, start_h, stop_h, step_h, source, weight):
    """Raise the error level of shared domain f (-1: none) in the rows of a time span, once a source."""
    if f < 0:
        return
    first, last = touched(start_h, stop_h, step_h, outages.level.shape[0])
    for i in range(first, last):
        if outages.shown[i, f] != source + 1:
            outages.shown[i, f] = source + 1
            outages.level[i, f] = min(outages.level[i, f] + weight, 1.0)


@kernel
def draw_duration(state, sources, r):
    """Hours, from the mixture of two lognormals."""
    if uniform(state) < sources.heavy_weight[r]:
        return lognormal(state, sources.heavy_median_h[r], sources.heavy_sigma[r])
    return lognormal(state, sources.median_h[r], sources.sigma[r])


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
def strike(outages, state, sources, r, start_h, process, weight):
    """One shock of source r; returns its end, hours."""
    stop_h = start_h + draw_duration(state, sources, r)
    if stop_h <= 0:
        return stop_h
    bit = 1 << draw_effect(state, sources, r)
    is_facilitator = sources.kind[r] == process.facilitator
    hits = 0
    for j in range(sources.member_start[r], sources.member_start[r + 1]):
        if uniform(state) < sources.member_hit[j]:
            hit(outages, sources.member_site[j], start_h, stop_h, process.step_h, bit, is_facilitator)
            hits += 1
    if hits > 0:
        count(outages, start_h, stop_h, process.step_h)
    show(outages, sources.shared[r], start_h, stop_h, process.step_h, r, weight)
    return stop_h


@kernel
def shake(outages, state, sources, r, start_h, stop_h, rate_per_h, process, weight, spans):
    """Poisson shocks of source r in a time span; the fragile spans that follow them are added to `spans`."""
    if rate_per_h <= 0:
        return
    regimes = sources.fragile_rate_per_h[r] > sources.calm_rate_per_h[r]
    now_h = start_h + exponential(state) / rate_per_h
    while now_h < stop_h:
        end_h = strike(outages, state, sources, r, now_h, process, weight)
        if regimes and uniform(state) < process.aftershock:
            spans.append((end_h, end_h + exponential(state) * process.fragile_dwell_h))
        now_h += exponential(state) / rate_per_h


@kernel
def draw_source(outages, state, sources, r, process, weight):
    """All shocks of source r in an episode. weight: one over the number of sources that share its domain's signal."""
    end_h = len(outages.active) * process.step_h
    calm, excess = sources.calm_rate_per_h[r], sources.fragile_rate_per_h[r] - sources.calm_rate_per_h[r]
    spans = [(0.0, 0.0)]
    spans.pop()
    if excess <= 0:
        shake(outages, state, sources, r, -WARM_UP_H, end_h, calm, process, weight, spans)
        return
    share, dwell_h = process.fragile_share, process.fragile_dwell_h
    thin = 1 / (1 + process.aftershock * excess * dwell_h)
    shake(outages, state, sources, r, -WARM_UP_H, end_h, calm * thin, process, weight, spans)
    if share > 0:
        calm_dwell_h = dwell_h * (1 - share) / share
        start_h = -WARM_UP_H
        if uniform(state) >= share:
            start_h += exponential(state) * calm_dwell_h
        while start_h < end_h:
            stop_h = start_h + exponential(state) * dwell_h
            spans.append((start_h, stop_h))
            start_h = stop_h + exponential(state) * calm_dwell_h
    while len(spans) > 0:
        start_h, stop_h = spans.pop()
        stop_h = min(stop_h, end_h)
        if start_h < stop_h:
            show(outages, sources.shared[r], start_h, stop_h, process.step_h, r, weight)
            shake(outages, state, sources, r, start_h, stop_h, excess * thin, process, weight, spans)


@kernel
def encode(value):
    """Code of an error rate."""
    scaled = (value - SIGNAL_LOW) * (255 / (SIGNAL_HIGH - SIGNAL_LOW))
    return np.uint8(min(max(scaled + 0.5, 0.0), 255.0))


@kernel
def write_signal(signal, level, state, visible, noise):
    """Noisy error rates of the visible shared domains, as codes in signal [T, S]; hidden ones show none."""
    for i in range(signal.shape[0]):
        for f in range(signal.shape[1]):
            signal[i, f] = encode(level[i, f] + noise * normal(state)) if visible[f] else encode(0.0)
