"""Shared outages of an episode: Marshall-Olkin common shocks whose rate follows a hidden calm or fragile regime.

A shock of a source hits each member with its hit probability; it has one duration and one effect. The regime of a
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

from og_env.kernel.arrays import CODES_PER_UNIT, DOWN, FROZEN, HALF, SIGNAL_LOW, WARM_UP_H
from og_env.kernel.compile import array_kernel
from og_env.kernel.random_streams import exponential, lognormal, normal, uniform
from og_env.trust.failure_correlation import FACILITATOR_H
from og_env.world import EFFECTS, SourceArrays

SLACK = 1e-9
"""share of a row by which a span is shortened at both ends, so that rounding does not let it touch another row"""
LARGEST_CODE = 255.0
"""largest code of a signal"""
MOST_COUNTED = 255
"""largest number of active shocks that the tape holds"""
LAST_EFFECT = len(EFFECTS) - 1
Spans = list[tuple[float, float]]
"""time spans as (start, stop), hours since the episode began"""


class ShockProcess(NamedTuple):
    """Parameters of a FailureSpec that all sources have in common."""

    step_h: float
    """length of a step, hours"""
    signal_noise: float
    """standard deviation of the noise of signals"""
    facilitator: int
    """index of that kind in KINDS"""


class Outages(NamedTuple):
    """Rows of one tape that shocks write, and the error levels from which its signal is made."""

    pairs: np.ndarray
    """uint8 [R, N] status bits of pairs of rows, see Tape"""
    active: np.ndarray
    """uint8 [T] number of shocks that hit a site"""
    level: np.ndarray
    """[T, S] share of the domain's sources that are fragile or under a shock"""
    shown: np.ndarray
    """int32 [T, S] 1 + the last source that was added to the level there; 0 none"""
    supply: np.ndarray
    """uint8 [T, N] supply bits"""
    step_h: float
    """length of a row, hours"""


class Shocks(NamedTuple):
    """All that the drawing of an episode's shocks reads and writes."""

    random_state: np.ndarray
    """uint64 [1] state of the random stream"""
    sources: SourceArrays
    """the sources of shocks"""
    signal_share: np.ndarray
    """[R] share that each source has of the error level of its domain"""
    process: ShockProcess
    """parameters that all sources have in common"""
    outages: Outages
    """the rows that shocks write"""


@array_kernel
def touched_rows(start_h: float, stop_h: float, step_h: float, rows: int) -> tuple[int, int]:
    """The first row that a time span touches, and the last one + 1.

    A span that begins within the episode touches at least one row.
    """
    start, stop = start_h / step_h + SLACK, stop_h / step_h - SLACK
    first = int(min(max(start, 0.0), rows))
    last = int(math.ceil(min(max(stop, 0.0), rows)))
    return first, max(last, min(first + 1, rows)) if start >= 0 else last


@array_kernel
def set_status(outages: Outages, site: int, start_h: float, stop_h: float, bit: int) -> None:
    """Set a status bit in the rows that a time span touches."""
    first, last = touched_rows(start_h, stop_h, outages.step_h, len(outages.active))
    for row in range(first, last):
        outages.pairs[row >> 1, site] |= np.uint8(bit << ((row & 1) * HALF))


@array_kernel
def hit_site(outages: Outages, site: int, start_h: float, stop_h: float, bit: int, is_facilitator: bool) -> None:
    """Write one shock at one site.

    A registry (facilitator) that breaks freezes its clients and takes them down when their entries lapse.
    """
    if is_facilitator and (bit == FROZEN or bit == DOWN):
        lapse_h = min(stop_h, start_h + FACILITATOR_H)
        set_status(outages, site, start_h, lapse_h, FROZEN)
        if lapse_h < stop_h:
            set_status(outages, site, lapse_h, stop_h, DOWN)
    else:
        set_status(outages, site, start_h, stop_h, bit)


@array_kernel
def count_outage(outages: Outages, start_h: float, stop_h: float) -> None:
    """Count one more active shock in the rows that a time span touches."""
    first, last = touched_rows(start_h, stop_h, outages.step_h, len(outages.active))
    for row in range(first, last):
        outages.active[row] = min(outages.active[row] + 1, MOST_COUNTED)


@array_kernel
def raise_level(outages: Outages, domain: int, start_h: float, stop_h: float, source: int, share: float) -> None:
    """Raise the error level of a shared domain (-1: none) in the rows of a time span, by a source's share of it.

    A source whose fragile spans and shocks overlap counts once in a row.
    """
    if domain < 0:
        return
    first, last = touched_rows(start_h, stop_h, outages.step_h, outages.level.shape[0])
    for row in range(first, last):
        if outages.shown[row, domain] != source + 1:
            outages.shown[row, domain] = source + 1
            outages.level[row, domain] = min(outages.level[row, domain] + share, 1.0)


@array_kernel
def draw_duration(episode: Shocks, source: int) -> float:
    """Duration of a shock in hours, from the mixture of two lognormals."""
    random_state, sources = episode.random_state, episode.sources
    if uniform(random_state) < sources.heavy_weight[source]:
        return lognormal(random_state, sources.heavy_median_h[source], sources.heavy_sigma[source])
    return lognormal(random_state, sources.median_h[source], sources.sigma[source])


@array_kernel
def draw_effect(episode: Shocks, source: int) -> int:
    """Index in EFFECTS of a shock's effect."""
    level = uniform(episode.random_state)
    for effect in range(LAST_EFFECT):
        level -= episode.sources.effects[source, effect]
        if level < 0:
            return effect
    return LAST_EFFECT


@array_kernel
def draw_shock(episode: Shocks, source: int, start_h: float) -> float:
    """Draw and write one shock of a source; returns its end, hours since the episode began."""
    outages, sources = episode.outages, episode.sources
    stop_h = start_h + draw_duration(episode, source)
    if stop_h <= 0:
        return stop_h
    bit = 1 << draw_effect(episode, source)
    is_facilitator = sources.kind[source] == episode.process.facilitator
    hits = 0
    for member in range(sources.member_start[source], sources.member_start[source + 1]):
        if uniform(episode.random_state) < sources.member_hit[member]:
            hit_site(outages, sources.member_site[member], start_h, stop_h, bit, is_facilitator)
            hits += 1
    if hits > 0:
        count_outage(outages, start_h, stop_h)
    raise_level(outages, sources.shared[source], start_h, stop_h, source, episode.signal_share[source])
    return stop_h


@array_kernel
def draw_shocks(episode: Shocks, source: int, start_h: float, stop_h: float, rate_per_h: float, spans: Spans) -> None:
    """Draw the Poisson shocks of a source in a time span, and add the fragile spans that follow them to `spans`."""
    if rate_per_h <= 0:
        return
    random_state, sources = episode.random_state, episode.sources
    regimes = sources.fragile_rate_per_h[source] > sources.calm_rate_per_h[source]
    now_h = start_h + exponential(random_state) / rate_per_h
    while now_h < stop_h:
        end_h = draw_shock(episode, source, now_h)
        if regimes and uniform(random_state) < sources.aftershock[source]:
            spans.append((end_h, end_h + exponential(random_state) * sources.fragile_dwell_h[source]))
        now_h += exponential(random_state) / rate_per_h


@array_kernel
def draw_source(episode: Shocks, source: int) -> None:
    """Draw all shocks of a source in an episode."""
    draw_source_from(episode, source, -WARM_UP_H, episode.sources.fragile_share[source])


@array_kernel
def draw_source_from(episode: Shocks, source: int, begin_h: float, fragile_chance: float) -> None:
    """Draw all shocks of a source that begin at `begin_h` or later, where it is fragile with such a probability."""
    random_state, sources, process, outages = episode.random_state, episode.sources, episode.process, episode.outages
    end_h = len(outages.active) * process.step_h
    calm, excess = sources.calm_rate_per_h[source], sources.fragile_rate_per_h[source] - sources.calm_rate_per_h[source]
    spans = [(0.0, 0.0)]  # an entry tells Numba the type
    spans.pop()
    if excess <= 0:
        draw_shocks(episode, source, begin_h, end_h, calm, spans)
        return
    fragile, dwell_h = sources.fragile_share[source], sources.fragile_dwell_h[source]
    thin = 1 / (1 + sources.aftershock[source] * excess * dwell_h)
    draw_shocks(episode, source, begin_h, end_h, calm * thin, spans)
    if fragile > 0:
        calm_dwell_h = dwell_h * (1 - fragile) / fragile
        start_h = begin_h
        if uniform(random_state) >= fragile_chance:
            start_h += exponential(random_state) * calm_dwell_h
        while start_h < end_h:
            stop_h = start_h + exponential(random_state) * dwell_h
            spans.append((start_h, stop_h))
            start_h = stop_h + exponential(random_state) * calm_dwell_h
    while len(spans) > 0:
        start_h, stop_h = spans.pop()
        stop_h = min(stop_h, end_h)
        if start_h < stop_h:
            raise_level(outages, sources.shared[source], start_h, stop_h, source, episode.signal_share[source])
            draw_shocks(episode, source, start_h, stop_h, excess * thin, spans)


@array_kernel
def signal_code(error_rate: float) -> np.uint8:
    """The nearest code of an error rate, see Tape.signal."""
    return np.uint8(min(max((error_rate - SIGNAL_LOW) * CODES_PER_UNIT + 0.5, 0.0), LARGEST_CODE))


@array_kernel
def write_signal(
    signal: np.ndarray, level: np.ndarray, random_state: np.ndarray, visible: np.ndarray, noise: float
) -> None:
    """Write error rates with noise as codes in `signal` [T, S] for visible shared domains; hidden ones show none."""
    for row in range(signal.shape[0]):
        for domain in range(signal.shape[1]):
            error_rate = level[row, domain] + noise * normal(random_state) if visible[domain] else 0.0
            signal[row, domain] = signal_code(error_rate)
