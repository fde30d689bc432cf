"""The tape: all randomness of an episode, drawn at reset as a pure function of world and seed.

Demand, failures, signal noise, the opponent and the condition of sites have streams of their own, so that a world
without failures, or with independent ones, has the same demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from og_env.kernel.arrays import Tape
from og_env.kernel.compile import entry
from og_env.kernel.memory import allocate
from og_env.kernel.random_streams import bits, stream, uniform
from og_env.scenario.demand_trace import load_trace_csv, step_factors
from og_env.scenario.domain_kinds import KINDS
from og_env.scenario.specs import IncidentSpec, OutageSpec
from og_env.tape.condition import ConditionProcess, condition_process, draw_condition
from og_env.tape.demand import DemandProcess, draw_demand
from og_env.tape.failures import Outages, ShockProcess, Shocks, draw_source, write_signal
from og_env.tape.incidents import WHOLE_STEPS, replay_of
from og_env.tape.scarcity import Scarcity, draw_scarcity, scarcity_process
from og_env.tape.scripted_outages import Scripts, add_scripted, site_outages_of, write_script
from og_env.world import CompiledWorld, SourceArrays
from og_env.world.scarcity import spells_of

CLOCK, DEMAND, FAILURES, SIGNAL, OPPONENT, CONDITION, NOISE, SUPPLY = range(8)
"""numbers of the random streams of an episode"""
FACILITATOR = KINDS.index("facilitator")
SEEDS_STEP = -1
"""in place of a start step: the seed draws it"""


class Scripted(NamedTuple):
    """Events of an episode that are set by hand, beside those that its seed draws."""

    outages: tuple[OutageSpec, ...] = ()
    """outages of domains, which the fleet may lack"""
    incident: IncidentSpec | None = None
    """a recorded incident, at its hour of the day where the record has one"""
    background: bool = True
    """whether the seed's shocks, grey failures, blind spans and scarcity, the scenario's own outages and the opponent
    act"""
    start_hour_utc: float | None = None
    """hour of the day at which the episode begins; None leaves it to the scenario or the seed"""


NOTHING = Scripted()


class Drawing(NamedTuple):
    """Numbers and arrays of a world that the compiled part of drawing reads."""

    diurnal: np.ndarray
    """float64 [Y, U] expected demand factor at each step of the UTC day"""
    trace: np.ndarray
    """float64 [L, M] demand factors of the steps of a trace; L is 0 without one"""
    sources: SourceArrays
    """the sources of shocks"""
    signal_share: np.ndarray
    """[R] one over the number of sources that share the source's domain; empty where no source acts"""
    visible: np.ndarray
    """bool [S] whether the agent sees the domain's signal"""
    demand: DemandProcess
    """bursts and flash crowds"""
    shocks: ShockProcess
    """parameters that all sources have in common"""
    start_step: int
    """step of the UTC day at which episodes begin; SEEDS_STEP draws it"""
    attack_chance: float
    """probability in each step that the opponent may strike"""
    sites: int
    """number of sites; what pads a smaller fleet comes after them"""
    condition: ConditionProcess
    """true speed of sites, and failures of their telemetry"""
    scarcity: Scarcity
    """spells in which launches are refused and spot capacity is withdrawn"""


class TapeWorld(NamedTuple):
    """A world with all that drawing reads, gathered once."""

    drawing: Drawing
    """numbers and arrays for the compiled part"""
    scripts: Scripts
    """the scenario's own scripted outages"""
    compiled: CompiledWorld
    """the world itself"""


def tape_world(compiled: CompiledWorld) -> TapeWorld:
    """Gather the numbers and arrays that `draw` takes."""
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
        signal_share=1.0 / np.maximum(number[sources.shared], 1),
        visible=compiled.arrays.domain_visible[0, :shared] == 1,
        demand=DemandProcess(
            burst_sd=float(demand.burst_sd) if demand.trace_csv is None else 0.0,
            burst_memory_steps=demand.burst_memory_h / step_h,
            flashes_per_step=demand.flashes_per_day * step_h / 24,
            flash_factor=float(demand.flash_factor),
            flash_length_steps=demand.flash_h / step_h,
        ),
        shocks=ShockProcess(step_h=step_h, signal_noise=float(failures.signal_noise), facilitator=FACILITATOR),
        start_step=SEEDS_STEP if hour is None else step_of_day(hour, compiled),
        attack_chance=failures.opponent.attacks_per_day * step_h / 24,
        sites=len(compiled.resolved.sites),
        condition=condition_process(spec.condition, step_h),
        scarcity=scarcity_process(spec.scarcity, spells_of(compiled.resolved), step_h),
    )
    return TapeWorld(drawing, write_script(site_outages_of(failures.outages, compiled), compiled), compiled)


def step_of_day(hour_utc: float, compiled: CompiledWorld) -> int:
    """The step of the UTC day that an hour falls in."""
    return int(hour_utc * 3600 / compiled.resolved.spec.episode.step_s + WHOLE_STEPS) % compiled.sizes["Y"]


def _trace(compiled: CompiledWorld) -> np.ndarray:
    """Demand factors [L, M] of the scenario's trace; ValueError in one line where it cannot be used."""
    spec = compiled.resolved.spec
    names = [model.name for model in compiled.resolved.models]
    if spec.demand.trace_csv is None:
        return np.zeros((0, len(names)))
    trace = load_trace_csv(spec.demand.trace_csv)
    try:
        return step_factors(trace, spec.episode.step_s, names)
    except ValueError as error:
        raise ValueError(f"{spec.demand.trace_csv}: {error}") from None


@entry
def draw_row(tape: Tape, place: int, seed: int, drawing: Drawing, scripts: Scripts) -> None:
    """Fill one place of a tape's batch with the episode of a seed (uint64)."""
    rows, shared = tape.signal.shape[1:]
    process = drawing.shocks
    random_state = np.empty(1, np.uint64)
    random_state[0] = stream(seed, CLOCK)
    start_step = int(uniform(random_state) * drawing.diurnal.shape[0])
    if drawing.start_step >= 0:
        start_step = drawing.start_step
    tape.start_step[place] = start_step
    random_state[0] = stream(seed, DEMAND)
    regional, by_model = tape.regional[place], tape.model[place]
    draw_demand(regional, by_model, random_state, drawing.diurnal, drawing.trace, start_step, drawing.demand)
    tape.status_pairs[place] = 0
    tape.outages[place] = 0
    tape.supply[place] = 0
    level, shown = np.zeros((rows, shared)), np.zeros((rows, shared), np.int32)
    outages = Outages(tape.status_pairs[place], tape.outages[place], level, shown, tape.supply[place], process.step_h)
    random_state[0] = stream(seed, FAILURES)
    sources = len(drawing.signal_share)
    episode = Shocks(random_state, drawing.sources, drawing.signal_share, process, outages)
    for source in range(sources):
        draw_source(episode, source)
    add_scripted(outages, scripts, sources, process.facilitator)
    random_state[0] = stream(seed, SIGNAL)
    write_signal(tape.signal[place], outages.level, random_state, drawing.visible, process.signal_noise)
    random_state[0] = stream(seed, OPPONENT)
    for row in range(rows):
        tape.attack[place, row] = uniform(random_state) < drawing.attack_chance
    random_state[0] = stream(seed, CONDITION)
    draw_condition(tape.condition[place], drawing.sites, random_state, drawing.condition)
    random_state[0] = stream(seed, SUPPLY)
    draw_scarcity(tape.supply[place], random_state, drawing.scarcity)
    random_state[0] = stream(seed, NOISE)
    tape.noise[place] = bits(random_state)


def draw(tape: Tape, place: int, seed: int, world: TapeWorld, scripted: Scripted = NOTHING) -> None:
    """Draw the episode of a seed (0 to 2^64 - 1) into one place of the batch.

    Demand, the noise of the signals and the drift of speeds are always the seed's, whatever is scripted.
    """
    drawing, compiled = world.drawing, world.compiled
    own = compiled.resolved.spec.failures.outages
    if not scripted.background:
        steady = drawing.condition._replace(grey_per_h=0.0, blind_per_h=0.0)
        no_spells = drawing.scarcity.spells._replace(rate_per_h=np.zeros(0))
        drawing = drawing._replace(
            signal_share=np.zeros(0),
            attack_chance=0.0,
            condition=steady,
            scarcity=drawing.scarcity._replace(spells=no_spells),
        )
        own = ()
    start_step, replayed = SEEDS_STEP, ()
    if scripted.incident is not None:
        replay = replay_of(scripted.incident, compiled)
        start_step, replayed = replay.start_step, replay.outages
    if start_step < 0 and scripted.start_hour_utc is not None:
        start_step = step_of_day(scripted.start_hour_utc, compiled)
    if start_step >= 0:
        drawing = drawing._replace(start_step=start_step)
    scripts = world.scripts
    if replayed or scripted.outages or not scripted.background:
        outages = (*site_outages_of((*own, *scripted.outages), compiled), *replayed)
        scripts = write_script(outages, compiled)
    draw_row(tape, place, np.uint64(seed), drawing, scripts)


def drawn_tapes(world: TapeWorld, seeds: Iterable[int]) -> Iterator[Tape]:
    """Draw one tape [B = 1] for each seed. Their memory is one and the same: a tape holds until the next is drawn."""
    tape: Tape = allocate(Tape, world.compiled.sizes | {"B": 1})
    for seed in seeds:
        draw(tape, 0, seed, world)
        yield tape
