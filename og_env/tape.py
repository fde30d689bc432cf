"""The tape: all randomness of an episode, drawn at reset as a pure function of (world, seed).

Demand, failures, signal noise and the opponent have streams of their own, so that a world without failures, or with
independent ones, has the same demand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from og_env.checks import KINDS
from og_env.demand import DemandProcess, draw_demand
from og_env.failures import Outages, ShockProcess, count, draw_source, hit, show, write_signal
from og_env.jit import entry
from og_env.layout import Tape
from og_env.rng import stream, uniform
from og_env.specs import OutageSpec
from og_env.world import EFFECT_BITS, EFFECTS, CompiledWorld, SourceArrays, find_members

CLOCK, DEMAND, FAILURES, SIGNAL, OPPONENT = range(5)
"""numbers of the streams"""
FACILITATOR = KINDS.index("facilitator")


class Scripts(NamedTuple):
    """K scripted outages; the members of outage k are entries member_start[k] to member_start[k + 1]."""

    kind: np.ndarray
    """[K] index in specs.Kind"""
    bit: np.ndarray
    """[K] status bit"""
    start_h: np.ndarray
    stop_h: np.ndarray
    """[K] hours since the episode began"""
    shared: np.ndarray
    """[K] index of the shared domain, -1 none"""
    member_start: np.ndarray
    """[K + 1]"""
    member_site: np.ndarray


class Drawing(NamedTuple):
    """What the compiled part of drawing needs of a world."""

    diurnal: np.ndarray
    """float64 [Y, U]"""
    sources: SourceArrays
    weights: np.ndarray
    """[R] one over the number of sources that share the source's domain"""
    visible: np.ndarray
    """bool [S]"""
    demand: DemandProcess
    shocks: ShockProcess
    start_step: int
    """of the UTC day; -1 draws one"""
    attacks: float
    """chances of the opponent a step"""


class TapeWorld(NamedTuple):
    """What drawing needs, gathered once per world."""

    drawing: Drawing
    scripts: Scripts
    """the scenario's own scripted outages"""
    compiled: CompiledWorld


def tape_world(compiled: CompiledWorld) -> TapeWorld:
    """The numbers and arrays that `draw` takes."""
    spec = compiled.resolved.spec
    step_h = spec.episode.step_s / 3600
    demand, failures, sources = spec.demand, spec.failures, compiled.source_arrays
    shared = compiled.sizes["S"]
    number = np.bincount(sources.shared[sources.shared >= 0], minlength=shared + 1)
    hour = spec.episode.start_hour_utc
    drawing = Drawing(
        diurnal=compiled.arrays.diurnal[0].astype(np.float64),
        sources=sources,
        weights=1.0 / np.maximum(number[sources.shared], 1),
        visible=compiled.arrays.domain_visible[0, :shared] == 1,
        demand=DemandProcess(
            burst_sd=float(demand.burst_sd),
            burst_memory=demand.burst_memory_h / step_h,
            flashes=demand.flashes_per_day * step_h / 24,
            flash_factor=float(demand.flash_factor),
            flash_length=demand.flash_h / step_h,
        ),
        shocks=ShockProcess(
            step_h=step_h,
            fragile_share=float(failures.fragile_share),
            fragile_dwell_h=float(failures.fragile_dwell_h),
            aftershock=float(failures.aftershock),
            signal_noise=float(failures.signal_noise),
            facilitator=FACILITATOR,
        ),
        start_step=-1 if hour is None else int(hour / step_h + 1e-9) % compiled.sizes["Y"],
        attacks=failures.opponent.attacks_per_day * step_h / 24,
    )
    return TapeWorld(drawing, script(failures.outages, compiled), compiled)


def script(outages: Iterable[OutageSpec], compiled: CompiledWorld) -> Scripts:
    """Scripted outages as arrays; those of domains that the fleet lacks are left out."""
    names = [f"{domain.kind}:{domain.name}" for domain in compiled.domains[: compiled.sizes["S"]]]
    rows, members, starts = [], [], [0]
    for outage in outages:
        kind, _, name = outage.domain.partition(":")
        sites = find_members(compiled, kind, name)
        if not sites:
            continue
        bit = EFFECT_BITS[EFFECTS.index(outage.effect)]
        stop_h = outage.start_h + outage.duration_h
        rows.append(
            (
                KINDS.index(kind),
                bit,
                outage.start_h,
                stop_h,
                names.index(outage.domain) if outage.domain in names else -1,
            )
        )
        members.extend(sites)
        starts.append(len(members))
    kinds, bits, start_h, stop_h, domains = zip(*rows, strict=True) if rows else ((),) * 5
    return Scripts(
        kind=np.array(kinds, np.int64),
        bit=np.array(bits, np.int64),
        start_h=np.array(start_h, np.float64),
        stop_h=np.array(stop_h, np.float64),
        shared=np.array(domains, np.int64),
        member_start=np.array(starts, np.int64),
        member_site=np.array(members, np.int64),
    )


@entry
def draw_row(tape, b, seed, drawing, scripts):
    """Fill row b of a tape's arrays with the episode of a seed."""
    rows, shared = tape.signal.shape[1:]
    process = drawing.shocks
    state = np.empty(1, np.uint64)
    state[0] = stream(seed, CLOCK)
    start_step = int(uniform(state) * drawing.diurnal.shape[0])
    if drawing.start_step >= 0:
        start_step = drawing.start_step
    tape.start_step[b] = start_step
    state[0] = stream(seed, DEMAND)
    draw_demand(tape.regional[b], tape.model[b], state, drawing.diurnal, start_step, drawing.demand)
    tape.status[b] = 0
    tape.outages[b] = 0
    outages = Outages(tape.status[b], tape.outages[b], np.zeros((rows, shared)), np.zeros((rows, shared), np.int32))
    state[0] = stream(seed, FAILURES)
    for r in range(len(drawing.weights)):
        draw_source(outages, state, drawing.sources, r, process, drawing.weights[r])
    for k in range(len(scripts.kind)):
        start_h, stop_h = scripts.start_h[k], scripts.stop_h[k]
        for j in range(scripts.member_start[k], scripts.member_start[k + 1]):
            registry = scripts.kind[k] == process.facilitator
            hit(outages.status, scripts.member_site[j], start_h, stop_h, process.step_h, scripts.bit[k], registry)
        count(outages, start_h, stop_h, process.step_h)
        show(outages, scripts.shared[k], start_h, stop_h, process.step_h, len(drawing.weights) + k, 1.0)
    state[0] = stream(seed, SIGNAL)
    write_signal(tape.signal[b], outages.level, state, drawing.visible, process.signal_noise)
    state[0] = stream(seed, OPPONENT)
    for i in range(rows):
        tape.attack[b, i] = uniform(state) < drawing.attacks


def draw(tape: Tape, b: int, seed: int, world: TapeWorld, outages: tuple[OutageSpec, ...] = ()) -> None:
    """Draw the episode of a seed (0 to 2^64 - 1) into row b, with scripted outages on top of the scenario's own."""
    scripts = world.scripts
    if outages:
        scripts = script((*world.compiled.resolved.spec.failures.outages, *outages), world.compiled)
    draw_row(tape, b, np.uint64(seed), world.drawing, scripts)
