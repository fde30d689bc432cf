"""The tape: all randomness of an episode, drawn at reset as a pure function of (world, seed).

Demand, failures, signal noise and the opponent have streams of their own, so that a world without failures, or with
independent ones, has the same demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from og_env.kernel.arrays import Tape
from og_env.kernel.compile import entry
from og_env.kernel.random_streams import stream, uniform
from og_env.kernel.views import allocate
from og_env.scenario.checks import KINDS
from og_env.scenario.demand_trace import load_trace_csv, step_factors
from og_env.scenario.specs import IncidentSpec, OutageSpec
from og_env.tape.demand import DemandProcess, draw_demand
from og_env.tape.failures import Outages, ShockProcess, count, draw_source, hit, show, write_signal
from og_env.tape.incidents import Strike, replay_of
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


class Scripted(NamedTuple):
    """What is to happen in an episode beside what its seed says."""

    outages: tuple[OutageSpec, ...] = ()
    """of domains that the fleet may lack"""
    incident: IncidentSpec | None = None
    """a recorded one, at its hour of the day where the record has one"""
    background: bool = True
    """whether the seed's shocks, the scenario's own outages and the opponent act"""
    start_hour_utc: float | None = None
    """hour of the day at which the episode begins; None is the scenario's or the seed's"""


NOTHING = Scripted()


class Drawing(NamedTuple):
    """What the compiled part of drawing needs of a world."""

    diurnal: np.ndarray
    """float64 [Y, U]"""
    trace: np.ndarray
    """float64 [L, M] factors of the steps of a trace; L is 0 without one"""
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
        trace=_trace(compiled),
        sources=sources,
        weights=1.0 / np.maximum(number[sources.shared], 1),
        visible=compiled.arrays.domain_visible[0, :shared] == 1,
        demand=DemandProcess(
            burst_sd=float(demand.burst_sd) if demand.trace_csv is None else 0.0,
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
        start_step=-1 if hour is None else step_of_day(hour, compiled),
        attacks=failures.opponent.attacks_per_day * step_h / 24,
    )
    return TapeWorld(drawing, write_script(strikes_of(failures.outages, compiled), compiled), compiled)


def step_of_day(hour_utc: float, compiled: CompiledWorld) -> int:
    """The step of the UTC day that an hour falls in."""
    return int(hour_utc * 3600 / compiled.resolved.spec.episode.step_s + 1e-9) % compiled.sizes["Y"]


def _trace(compiled: CompiledWorld) -> np.ndarray:
    """[L, M] demand factors of the scenario's trace; ValueError in one line where it cannot be used."""
    spec = compiled.resolved.spec
    names = [model.name for model in compiled.resolved.models]
    if spec.demand.trace_csv is None:
        return np.zeros((0, len(names)))
    trace = load_trace_csv(spec.demand.trace_csv)
    try:
        return step_factors(trace, spec.episode.step_s, names)
    except ValueError as error:
        raise ValueError(f"{spec.demand.trace_csv}: {error}") from None


def strikes_of(outages: Iterable[OutageSpec], compiled: CompiledWorld) -> list[Strike]:
    """Whom scripted outages hit: every member of their domain."""
    strikes = []
    for outage in outages:
        kind, _, name = outage.domain.partition(":")
        stop_h = outage.start_h + outage.duration_h
        strikes.append(Strike(kind, name, outage.effect, outage.start_h, stop_h, find_members(compiled, kind, name)))
    return strikes


def write_script(strikes: Iterable[Strike], compiled: CompiledWorld) -> Scripts:
    """The strikes that hit a site, as arrays."""
    shared = {(domain.kind, domain.name): f for f, domain in enumerate(compiled.domains[: compiled.sizes["S"]])}
    felt = [strike for strike in strikes if strike.sites]
    return Scripts(
        kind=np.array([KINDS.index(strike.kind) for strike in felt], np.int64),
        bit=np.array([EFFECT_BITS[EFFECTS.index(strike.effect)] for strike in felt], np.int64),
        start_h=np.array([strike.start_h for strike in felt], np.float64),
        stop_h=np.array([strike.stop_h for strike in felt], np.float64),
        shared=np.array([shared.get((strike.kind, strike.name), -1) for strike in felt], np.int64),
        member_start=np.cumsum([0, *(len(strike.sites) for strike in felt)], dtype=np.int64),
        member_site=np.array([site for strike in felt for site in strike.sites], np.int64),
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
    draw_demand(tape.regional[b], tape.model[b], state, drawing.diurnal, drawing.trace, start_step, drawing.demand)
    tape.status_pairs[b] = 0
    tape.outages[b] = 0
    outages = Outages(
        tape.status_pairs[b], tape.outages[b], np.zeros((rows, shared)), np.zeros((rows, shared), np.int32)
    )
    state[0] = stream(seed, FAILURES)
    for r in range(len(drawing.weights)):
        draw_source(outages, state, drawing.sources, r, process, drawing.weights[r])
    for k in range(len(scripts.kind)):
        start_h, stop_h = scripts.start_h[k], scripts.stop_h[k]
        for j in range(scripts.member_start[k], scripts.member_start[k + 1]):
            registry = scripts.kind[k] == process.facilitator
            hit(outages, scripts.member_site[j], start_h, stop_h, process.step_h, scripts.bit[k], registry)
        count(outages, start_h, stop_h, process.step_h)
        show(outages, scripts.shared[k], start_h, stop_h, process.step_h, len(drawing.weights) + k, 1.0)
    state[0] = stream(seed, SIGNAL)
    write_signal(tape.signal[b], outages.level, state, drawing.visible, process.signal_noise)
    state[0] = stream(seed, OPPONENT)
    for i in range(rows):
        tape.attack[b, i] = uniform(state) < drawing.attacks


def draw(tape: Tape, b: int, seed: int, world: TapeWorld, scripted: Scripted = NOTHING) -> None:
    """Draw the episode of a seed (0 to 2^64 - 1) into row b; demand and the noise of the signals are always the seed's."""
    drawing, compiled = world.drawing, world.compiled
    own = compiled.resolved.spec.failures.outages
    if not scripted.background:
        drawing, own = drawing._replace(weights=np.zeros(0), attacks=0.0), ()
    start_step, strikes = -1, ()
    if scripted.incident is not None:
        replay = replay_of(scripted.incident, compiled)
        start_step, strikes = replay.start_step, replay.strikes
    if start_step < 0 and scripted.start_hour_utc is not None:
        start_step = step_of_day(scripted.start_hour_utc, compiled)
    if start_step >= 0:
        drawing = drawing._replace(start_step=start_step)
    scripts = world.scripts
    if strikes or scripted.outages or not scripted.background:
        strikes = (*strikes_of((*own, *scripted.outages), compiled), *strikes)
        scripts = write_script(strikes, compiled)
    draw_row(tape, b, np.uint64(seed), drawing, scripts)


def drawn_tapes(world: TapeWorld, seeds: Iterable[int]) -> Iterator[Tape]:
    """Draw one tape [B = 1] for each seed. Their memory is one and the same: a tape holds until the next is drawn."""
    tape: Tape = allocate(Tape, world.compiled.sizes | {"B": 1})
    for seed in seeds:
        draw(tape, 0, seed, world)
        yield tape
