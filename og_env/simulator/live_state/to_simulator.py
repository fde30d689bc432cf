"""Putting a live state into a simulator, as if the fleet had got there step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from og_env.kernel.arrays import (
    ABSENT,
    BLIND,
    CALM_SPEED,
    CODES_PER_UNIT,
    DOWN,
    FETCHING,
    KNOBS,
    LOADING,
    SIGNAL_LOW,
    SLOW,
    SPEEDS_PER_OCTAVE,
    STAGING,
    WARM,
)
from og_env.scenario.key_errors import raise_at_key
from og_env.simulator import compiled_step
from og_env.simulator.live_state.json_format import (
    BITS,
    MEASURED,
    PHASES,
    ROLE_NAMES,
    SUPPLY_BITS,
    LiveReplica,
    LiveState,
    last_hour,
)
from og_env.simulator.simulator import Simulator
from og_env.world import CompiledWorld

CALM = 31
"""code of a signal below 0"""
SETTLE = 3
"""steps until the loads of a fleet whose loads are not known agree with themselves"""
MOST_OVERLOAD = 100.0
"""times its capacity that a replica may be said to have served"""
LONG = 2**30
"""MB or ms that are left of a fetch or a load that must not end"""


def place(simulator: Simulator, state: LiveState, b: int = 0, where: str = "state") -> None:
    """Put a live state into environment b, in place of its episode: state, present demand, offers, mask, observation.

    The simulator's scenario is the state's. What the fleet serves is worked out by a step in which nothing arrives.
    ValueError in one line for a name the scenario lacks, and for what no fleet can be.
    """
    steps = simulator.tape.attack.shape[1] - 1
    if simulator.random_fleet:
        raise_at_key(where, "scenario", "has random fleets: list the sites that there are")
    if state.steps_done > steps:
        raise_at_key(where, "steps_done", f"is {state.steps_done}, and an episode has {steps}")
    room = simulator.spec.episode.operations_per_step
    if state.decisions >= room:
        raise_at_key(where, "decisions", f"is {state.decisions}, and a step has room for {room}: the last one ends it")
    if state.changes > state.decisions:
        raise_at_key(where, "changes", f"is {state.changes}, above the {state.decisions} decisions of the step")
    _write_tape(simulator, state, b, where)
    _begin(simulator, state, b)
    _write_fleet(simulator, state, b, where)
    known = any(replica.load_rps is not None for replica in state.replicas)
    _serve(simulator, b, known, (state.decisions, state.changes))
    _write_measures(simulator, state, b)
    _look(simulator, b)


def _look(simulator: Simulator, b: int) -> None:
    """Find the offers, mask and observation of environment b as it stands."""
    simulator.advance_slice(b, b + 1, 0, np.full(simulator.batch, compiled_step.LOOK, np.int64), simulator.no_levels)


def _idle(simulator: Simulator, b: int) -> None:
    """Step environment b once with no action, and write no observation."""
    nothing, unseen = np.zeros(simulator.batch, np.int64), simulator.observation[:, :0]
    no_mask, offsets = simulator.mask[:, :0], simulator.slices.offsets
    unused = (simulator.no_levels, simulator.no_levels, unseen, offsets, no_mask)
    compiled_step.by_operations(
        simulator.table, b, b + 1, 0, compiled_step.OPERATIONS, compiled_step.MOVING, nothing, *unused
    )


def numbered(parts: Iterable[Any]) -> dict[str, int]:
    """Position of every name; a part is a name, or has one."""
    return {part if isinstance(part, str) else part.name: number for number, part in enumerate(parts)}


def index_of(name: str, numbers: Mapping[str, int], where: str, path: tuple[str | int, ...]) -> int:
    """Position of a name; ValueError with the nearest name where there is none."""
    if name not in numbers:
        raise_at_key(where, path, f"{name!r} is not in the scenario", name, numbers)
    return numbers[name]


def _write_tape(simulator: Simulator, state: LiveState, b: int, where: str) -> None:
    """Write the present demand, status and alarms to every row of the tape, at the hour of the day."""
    compiled, tape, world = simulator.world_of(b), simulator.tape, simulator.world_of(b).arrays
    resolved = compiled.resolved
    models, regions, sites = numbered(resolved.models), numbered(resolved.regions), numbered(resolved.sites)
    mix = np.ones(tape.model.shape[2])
    for name, factor in state.demand_mix.items():
        mix[index_of(name, models, where, ("demand_mix", name))] = factor
    usual = (world.base_rps[0].astype(float) * mix).sum(axis=1)
    tape.regional[b] = 0
    for name, rps in state.demand_rps.items():
        u = index_of(name, regions, where, ("demand_rps", name))
        tape.regional[b, :, u] = rps / usual[u] if usual[u] > 0 else 0.0
    if not tape.regional[b].any():
        raise_at_key(where, "demand_rps", "is 0 everywhere: there is nothing to decide on")
    tape.model[b] = mix
    bits = np.zeros(len(sites), np.uint8)
    for name, words in state.status.items():
        s = index_of(name, sites, where, ("status", name))
        bits[s] = sum(BITS[word] for word in set(words))
    tape.write_status(bits, slice(b, b + 1))
    tape.supply[b] = 0
    for name, found in state.supply.items():
        tape.supply[b, :, index_of(name, sites, where, ("supply", name))] = sum(
            SUPPLY_BITS[word] for word in set(found)
        )
    _write_condition(simulator, state, b, where)
    _write_signal(simulator, state, b, where)
    tape.attack[b] = 0
    tape.outages[b] = 0
    day, step_s = tape_day(compiled), simulator.spec.episode.step_s
    tape.start_step[b] = (int(state.hour_utc * 3600 / step_s + 1e-9) - state.steps_done) % day


def _write_condition(simulator: Simulator, state: LiveState, b: int, where: str) -> None:
    """Write to every row the speeds that measurements say, nominal where there are none, and whether telemetry fails."""
    condition, sites = simulator.tape.condition[b], numbered(simulator.world_of(b).resolved.sites)
    condition[:] = CALM_SPEED
    simulator.tape.noise[b] = 0
    slow = simulator.tape.status_at(b, np.zeros((), np.int64)) & SLOW
    for name, measures in state.measured.items():
        s = index_of(name, sites, where, ("measured", name))
        speed = (2 if slow[s] else 1) / measures.slowness if measures.slowness else 1.0
        code = CALM_SPEED + SPEEDS_PER_OCTAVE * np.log2(speed)
        condition[:, s] = int(np.clip(np.round(code), 1, BLIND - 1)) | (BLIND if measures.blind else 0)


def _write_measures(simulator: Simulator, state: LiveState, b: int) -> None:
    """Write what the state says was measured, in place of what was worked out."""
    compiled, arrays = simulator.world_of(b), simulator.state
    models, sites = numbered(compiled.resolved.models), numbered(compiled.resolved.sites)
    if any(replica.in_flight is not None for replica in state.replicas):
        for replica in state.replicas:
            arrays.in_flight[b, models[replica.model], sites[replica.site]] = replica.in_flight or 0.0
    for name, measures in state.measured.items():
        arrays.blind[b, sites[name]] = measures.blind
        if measures.slowness is not None:
            arrays.shown_slowness_log2[b, sites[name]] = np.log2(measures.slowness)
        for key, field in MEASURED.items():
            value = getattr(measures, key)
            if value is not None:
                getattr(arrays, field)[b, sites[name]] = value


def _write_signal(simulator: Simulator, state: LiveState, b: int, where: str) -> None:
    """Write the present alarms to every row and, where the state has it, an hour before them with the mean it says."""
    signal, compiled = simulator.tape.signal[b], simulator.world_of(b)
    domains = {f"{domain.kind}:{domain.name}": f for f, domain in enumerate(_shared(compiled)) if domain.members}

    def codes(levels: Mapping[str, float], key: str) -> npt.NDArray[np.float64]:
        result = np.full(signal.shape[1], float(CALM))
        for name, level in levels.items():
            if name not in domains:
                raise_at_key(where, (key, name), "is no shared fault domain of the scenario", name, domains)
            result[domains[name]] = (level - SIGNAL_LOW) * CODES_PER_UNIT
        return result

    present = np.ceil(codes(state.alarms, "alarms") - 1e-6)
    signal[:] = present
    hour = last_hour(state.steps_done, simulator.spec.episode.step_s)
    before = hour.stop - hour.start - 1
    if state.alarms_hour is not None and before > 0:
        total = codes(state.alarms_hour, "alarms_hour") * (before + 1)
        signal[hour.start : hour.stop - 1] = np.clip(np.round((total - present) / before), 0, 255)


def _shared(compiled: CompiledWorld) -> Iterable[Any]:
    return compiled.domains[: compiled.sizes["S"]]


def tape_day(compiled: CompiledWorld) -> int:
    """Number of steps in a day."""
    return compiled.arrays.diurnal.shape[1]


def _begin(simulator: Simulator, state: LiveState, b: int) -> None:
    """Write a state of zeros with the scenario's knobs, before the fleet is written into it."""
    keep = simulator.state.world[b]
    for values in simulator.state:
        values[b] = 0
    simulator.state.world[b] = keep
    simulator.state.knobs[b] = simulator.world.knobs[keep]
    simulator.state.attack_domain[b] = -1
    simulator.state.attack_until[b] = -1
    simulator.state.step[b] = state.steps_done
    simulator.state.status[b] = simulator.tape.status_at(b, np.zeros((), np.int64))
    simulator.state.supply[b] = simulator.tape.supply[b, 0]
    simulator.state.role_ms[b] = -1


def _write_fleet(simulator: Simulator, state: LiveState, b: int, where: str) -> None:
    compiled, arrays = simulator.world_of(b), simulator.state
    models, sites = numbered(compiled.resolved.models), numbered(compiled.resolved.sites)
    for i, replica in enumerate(state.replicas):
        m = index_of(replica.model, models, where, ("replicas", i, "model"))
        s = index_of(replica.site, sites, where, ("replicas", i, "site"))
        _write_replica(simulator, replica, b, m, s, where, ("replicas", i))
    full = np.flatnonzero(arrays.gpus_used[b] > simulator.world.gpu_count[arrays.world[b]])
    if len(full):
        used, has = arrays.gpus_used[b, full[0]], simulator.world.gpu_count[arrays.world[b], full[0]]
        raise_at_key(where, "replicas", f"take {used} GPUs at {list(sites)[full[0]]}, which has {has}")
    for i, role in enumerate(state.roles):
        s = index_of(role.site, sites, where, ("roles", i, "site"))
        number = ROLE_NAMES.index(role.role)
        if arrays.role_ms[b, number, s] >= 0:
            raise_at_key(where, ("roles", i), f"{role.role} at {role.site} is listed twice")
        arrays.role_ms[b, number, s] = round(role.ready_in_s * 1000)
    for name, seconds in state.undetected_s.items():
        s = index_of(name, sites, where, ("undetected_s", name))
        if not arrays.status[b, s] & DOWN:
            raise_at_key(where, ("undetected_s", name), "is not DOWN")
        arrays.undetected_ms[b, s] = round(seconds * 1000)
    for name, seconds in state.refused_s.items():
        arrays.refused_ms[b, index_of(name, sites, where, ("refused_s", name))] = round(seconds * 1000)
    for name, value in state.knobs.items():
        arrays.knobs[b, index_of(name, numbered(KNOBS), where, ("knobs", name))] = value
    for name, value in state.steer.items():
        arrays.steer[b, index_of(name, sites, where, ("steer", name))] = value


def _write_replica(
    simulator: Simulator, replica: LiveReplica, b: int, m: int, s: int, where: str, path: tuple[str | int, ...]
) -> None:
    arrays, world, k = simulator.state, simulator.world, simulator.state.world[b]
    phase, gpus = PHASES[replica.phase], world.replica_gpus[k, m, s]
    if arrays.phase[b, m, s] != ABSENT:
        raise_at_key(where, path, f"{replica.model} at {replica.site} is listed twice")
    if gpus == 0:
        raise_at_key(where, path, f"{replica.model} does not fit on the GPUs of {replica.site}")
    if phase in (STAGING, FETCHING):
        left_mb = world.weights_mb[k, m] if replica.left_gb is None else round(replica.left_gb * 1000)
        arrays.fetch_left_mb[b, m, s] = left_mb
    elif phase == LOADING:
        left_ms = world.load_ms[k, m, s] if replica.left_s is None else round(replica.left_s * 1000)
        arrays.load_left_ms[b, m, s] = left_ms
    if phase == WARM and arrays.status[b, s] & DOWN:
        raise_at_key(where, path, f"cannot be warm where the site is DOWN: {replica.site}")
    most_rps = MOST_OVERLOAD * float(world.capacity_rps[k, m, s])
    if (replica.load_rps or 0.0) > most_rps:
        raise_at_key(
            where, (*path, "load_rps"), f"is {replica.load_rps:g}, and it serves {most_rps:g} at the very most"
        )
    arrays.phase[b, m, s] = phase
    arrays.load_rps[b, m, s] = replica.load_rps or 0.0
    if phase >= FETCHING:
        arrays.gpus_used[b, s] += gpus


def _serve(simulator: Simulator, b: int, known: bool, decided: tuple[int, int]) -> None:
    """Work out what the fleet serves, by steps in which nothing arrives; the placement stays as it was.

    known: the state says how loaded the replicas are, so one step is enough. decided: decisions and changes of the step
    that has not moved yet.
    """
    arrays, memo = simulator.state, simulator.memo
    names = (
        "phase",
        "fetch_left_mb",
        "load_left_ms",
        "role_ms",
        "undetected_ms",
        "refused_ms",
        "step",
        *(("load_rps",) if known else ()),
    )
    before = {name: getattr(arrays, name)[b].copy() for name in names}
    for _ in range(1 if known else SETTLE):
        arrays.fetch_left_mb[b] = LONG
        arrays.load_left_ms[b] = LONG
        arrays.role_ms[b][before["role_ms"] > 0] = LONG
        arrays.step[b] = before["step"] - 1
        memo.known[b] = 0
        memo.dying[b] = 0
        _idle(simulator, b)
        for name, values in before.items():
            if name != "load_rps":
                getattr(arrays, name)[b] = values
    if known:
        arrays.load_rps[b] = before["load_rps"]
    memo.known[b] = 0
    memo.dying[b] = 0
    simulator.output.operation[b] = 0
    simulator.state.decisions[b], simulator.state.changes[b] = decided
    simulator.output.truncated[b] = 0
