"""The tape: all randomness of an episode, drawn at reset as a pure function of (world, seed).

Demand, failures, signal noise and the opponent have streams of their own, so that a world without failures, or with
independent ones, has the same demand.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from og_env.checks import KINDS
from og_env.demand import draw_demand
from og_env.failures import FACILITATOR_H, draw_source, mark, show, write_signal
from og_env.jit import entry
from og_env.layout import Tape, World
from og_env.rng import stream, uniform
from og_env.specs import OutageSpec
from og_env.world import EFFECT_BITS, EFFECTS, CompiledWorld, SourceArrays, find_members

CLOCK, DEMAND, FAILURES, SIGNAL, OPPONENT = range(5)
"""numbers of the streams"""
FACILITATOR = KINDS.index("facilitator")


class TapeWorld(NamedTuple):
    """What drawing needs of a compiled world."""

    diurnal: np.ndarray
    """float64 [Y, U]"""
    sources: SourceArrays
    weights: np.ndarray
    """[R] one over the number of sources that share the source's domain"""
    visible: np.ndarray
    """bool [S]"""
    demand: np.ndarray
    """burst sd, memory in steps, flashes a step, flash factor, flash length in steps"""
    failures: np.ndarray
    """step hours, fragile share, dwell hours, aftershock probability, signal noise"""
    start_step: int
    """of the UTC day; -1 draws one"""
    attacks_per_step: float
    compiled: CompiledWorld


def tape_world(compiled: CompiledWorld) -> TapeWorld:
    """What drawing needs, gathered once per world."""
    spec = compiled.resolved.spec
    step_h = spec.episode.step_s / 3600
    demand, failures, sources = spec.demand, spec.failures, compiled.source_arrays
    users = len(compiled.resolved.regions)
    shared, day = compiled.sizes["S"], compiled.sizes["Y"]
    number = np.bincount(sources.shared[sources.shared >= 0], minlength=shared)
    hour = spec.episode.start_hour_utc
    return TapeWorld(
        diurnal=compiled.arrays.diurnal[0, :, :users].astype(np.float64),
        sources=sources,
        weights=1.0 / np.maximum(number[np.maximum(sources.shared, 0)], 1) if shared else np.ones(len(sources.kind)),
        visible=compiled.arrays.domain_visible[0, :shared] == 1,
        demand=np.array(
            [
                demand.burst_sd,
                demand.burst_memory_h / step_h,
                demand.flashes_per_day * step_h / 24,
                demand.flash_factor,
                demand.flash_h / step_h,
            ]
        ),
        failures=np.array(
            [
                step_h,
                failures.fragile_share,
                failures.fragile_dwell_h,
                failures.aftershock,
                failures.signal_noise,
            ]
        ),
        start_step=-1 if hour is None else int(hour / step_h) % day,
        attacks_per_step=failures.opponent.attacks_per_day * step_h / 24,
        compiled=compiled,
    )


@entry
def _draw_row(regional, model, status, signal, attack, outages, b, seed, diurnal, start, sources, weights, numbers):
    """Fill row b of the tape's arrays; returns the error levels [T, S] and the step of the day of row 0.

    numbers: those of TapeWorld.demand, then those of TapeWorld.failures, then attacks a step."""
    rows, sites = status.shape[1], status.shape[2]
    state = np.empty(1, np.uint64)
    state[0] = stream(seed, CLOCK)
    drawn = int(uniform(state) * diurnal.shape[0])
    first = drawn if start < 0 else start
    state[0] = stream(seed, DEMAND)
    draw_demand(regional, model, b, state, diurnal, first, numbers)
    for i in range(rows):
        outages[b, i] = 0
        for s in range(sites):
            status[b, i, s] = 0
    level = np.zeros((rows, signal.shape[2]))
    state[0] = stream(seed, FAILURES)
    for r in range(len(weights)):
        draw_source(status, outages, level, b, state, sources, r, numbers[5:], FACILITATOR, weights[r])
    state[0] = stream(seed, OPPONENT)
    for i in range(rows):
        attack[b, i] = uniform(state) < numbers[10]
    return level, first


@entry
def _script(status, outages, level, b, members, start_h, stop_h, step_h, bit, facilitator, f):
    """A scripted outage of all members."""
    for site in members:
        if facilitator:
            turn_h = min(stop_h, start_h + FACILITATOR_H)
            mark(status, b, site, start_h, turn_h, step_h, np.uint8(2))
            mark(status, b, site, turn_h, stop_h, step_h, np.uint8(1))
        else:
            mark(status, b, site, start_h, stop_h, step_h, np.uint8(bit))
    first = max(int(np.floor(start_h / step_h)), 0)
    for i in range(first, min(int(np.ceil(stop_h / step_h)), status.shape[1])):
        outages[b, i] += 1
    if f >= 0:
        show(level, f, start_h, stop_h, step_h, 1.0)


@entry
def _write_signal(signal, level, b, seed, visible, noise):
    state = np.empty(1, np.uint64)
    state[0] = stream(seed, SIGNAL)
    write_signal(signal, level, b, state, visible, noise)


def draw(tape: Tape, b: int, seed: int, world: TapeWorld, outages: tuple[OutageSpec, ...] = ()) -> None:
    """Draw the episode of a seed into row b, with scripted outages on top of the scenario's own."""
    numbers = np.concatenate([world.demand, world.failures, [world.attacks_per_step]])
    level, start = _draw_row(
        tape.regional,
        tape.model,
        tape.status,
        tape.signal,
        tape.attack,
        tape.outages,
        b,
        np.uint64(seed),
        world.diurnal,
        world.start_step,
        world.sources,
        world.weights,
        numbers,
    )
    tape.start_step[b] = start
    step_h = float(world.failures[0])
    for outage in (*world.compiled.resolved.spec.failures.outages, *outages):
        kind, _, name = outage.domain.partition(":")
        members = find_members(world.compiled, kind, name)
        if members:
            shared = [(d.kind, d.name) for d in world.compiled.domains[: tape.signal.shape[2]]]
            stop_h = outage.start_h + outage.duration_h
            _script(
                tape.status,
                tape.outages,
                level,
                b,
                np.array(members, np.int64),
                outage.start_h,
                min(stop_h, tape.status.shape[1] * step_h),
                step_h,
                EFFECT_BITS[EFFECTS.index(outage.effect)],
                kind == "facilitator",
                shared.index((kind, name)) if (kind, name) in shared else -1,
            )
    _write_signal(tape.signal, level, b, np.uint64(seed), world.visible, float(world.failures[4]))


def nominal(tape: Tape, source: Tape, b: int, row: int, status: np.ndarray, world: World) -> None:
    """Fill every row of a tape with the forecast from row `row` of episode b: expected demand, status [N] as it is."""
    day = world.diurnal.shape[1]
    start = int(source.start_step[b]) + row
    tape.start_step[:] = start % day
    curve = world.diurnal[0, (start + np.arange(tape.regional.shape[1])) % day]
    tape.regional[:] = source.regional[b, row] * curve / np.maximum(curve[0], 1e-3)
    tape.model[:] = source.model[b, row]
    tape.status[:] = status
    tape.signal[:] = source.signal[b, row]
    tape.outages[:] = source.outages[b, row]
    tape.attack[:] = 0
