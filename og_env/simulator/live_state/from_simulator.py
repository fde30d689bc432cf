"""From a running environment to a live state."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from og_env.kernel.arrays import ABSENT, CODES_PER_UNIT, FETCHING, KNOBS, LOADING, SIGNAL_LOW, STAGING, WARM
from og_env.scenario import loading
from og_env.simulator.live_state.json_format import (
    BITS,
    MEASURED,
    PHASES,
    ROLE_NAMES,
    SUPPLY_BITS,
    LiveState,
    last_hour,
)
from og_env.simulator.simulator import Simulator

UNMEASURED = {"slowness": 1.0, "wait_s": 0.0, "refused_share": 0.0, "load_share": 0.0}
"""what shows of a site where nothing was measured yet"""


def describe(simulator: Simulator, b: int = 0) -> dict[str, Any]:
    """Environment b now, as plain tables for json.dump; `env.simulator` after `reset`, and after `step` as well."""
    compiled, state, tape = simulator.world_of(b), simulator.state, simulator.tape
    resolved, world = compiled.resolved, compiled.arrays
    step, day = int(state.step[b]), world.diurnal.shape[1]
    hour = (int(tape.start_step[b]) + step) % day * simulator.spec.episode.step_s / 3600
    models = tape.model[b, step].astype(float)
    rps = (world.base_rps[0].astype(float) * models).sum(axis=1) * tape.regional[b, step]
    sites = [site.name for site in resolved.sites]
    result = {
        "format": 1,
        "scenario": _scenario(simulator, b),
        "hour_utc": hour,
        "demand_rps": {region.name: float(rps[u]) for u, region in enumerate(resolved.regions)},
        "demand_mix": {model.name: float(models[m]) for m, model in enumerate(resolved.models)},
        "replicas": _replicas(simulator, b, sites),
        "roles": _roles(simulator, b, sites),
        "status": {
            name: [word for word, bit in BITS.items() if state.status[b, s] & bit]
            for s, name in enumerate(sites)
            if state.status[b, s]
        },
        **_supply(simulator, b, sites),
        "undetected_s": {
            name: float(state.undetected_ms[b, s] / 1000)
            for s, name in enumerate(sites)
            if state.undetected_ms[b, s] > 0
        },
        "measured": _measured(simulator, b, sites),
        "alarms": _alarms(simulator, b, tape.signal[b, step]),
        "alarms_hour": _alarms(
            simulator, b, tape.signal[b, last_hour(step, simulator.spec.episode.step_s)].mean(axis=0)
        ),
        "knobs": {
            name: float(state.knobs[b, i])
            for i, name in enumerate(KNOBS)
            if state.knobs[b, i] != simulator.world.knobs[state.world[b], i]
        },
        "steer": {name: float(state.steer[b, s]) for s, name in enumerate(sites) if state.steer[b, s] != 0},
        "steps_done": max(step, 1),
        **{name: int(getattr(state, name)[b]) for name in ("decisions", "changes") if getattr(state, name)[b]},
    }
    LiveState.parse(result)
    return result


def _scenario(simulator: Simulator, b: int) -> Any:
    """The name of a shipped scenario, or all of it; a random fleet is written out site by site."""
    spec = simulator.spec
    if simulator.random_fleet:
        spec = spec.model_copy(update={"fleet": "fixed", "sites": simulator.world_of(b).resolved.sites})
    elif spec.name in loading.names() and loading.load(spec.name) == spec:
        return spec.name
    return spec.model_dump(mode="json", exclude_none=True)


def _replicas(simulator: Simulator, b: int, sites: list[str]) -> list[dict[str, Any]]:
    state, names = simulator.state, {number: name for name, number in PHASES.items()}
    found = []
    models = simulator.world_of(b).resolved.models
    silent = state.step[b] > 0 and not state.load_rps[b].any()  # says so, since loads that no replica has are unknown
    for m, s in np.argwhere(state.phase[b, : len(models), : len(sites)] != ABSENT).tolist():
        phase = int(state.phase[b, m, s])
        replica: dict[str, Any] = {"model": models[m].name, "site": sites[s], "phase": names[phase]}
        if phase in (STAGING, FETCHING):
            replica["left_gb"] = state.fetch_left_mb[b, m, s] / 1000
        if phase == LOADING:
            replica["left_s"] = state.load_left_ms[b, m, s] / 1000
        if state.load_rps[b, m, s] > 0 or (silent and phase == WARM):
            replica["load_rps"] = float(state.load_rps[b, m, s])
        if state.in_flight[b, m, s] > 0 or (silent and phase == WARM):
            replica["in_flight"] = float(state.in_flight[b, m, s])
        found.append(replica)
    return found


def _supply(simulator: Simulator, b: int, sites: list[str]) -> dict[str, Any]:
    """Sites whose supply is not whole, and for how long those that refused are not tried; empty where there are none."""
    state = simulator.state
    words = {
        name: [word for word, bit in SUPPLY_BITS.items() if state.supply[b, s] & bit]
        for s, name in enumerate(sites)
        if state.supply[b, s]
    }
    refused_s = {
        name: float(state.refused_ms[b, s] / 1000) for s, name in enumerate(sites) if state.refused_ms[b, s] > 0
    }
    return ({"supply": words} if words else {}) | ({"refused_s": refused_s} if refused_s else {})


def _roles(simulator: Simulator, b: int, sites: list[str]) -> list[dict[str, Any]]:
    role_ms = simulator.state.role_ms[b, :, : len(sites)]
    return [
        {"role": ROLE_NAMES[role], "site": sites[s]}
        | ({"ready_in_s": role_ms[role, s] / 1000} if role_ms[role, s] > 0 else {})
        for role, s in np.argwhere(role_ms >= 0).tolist()
    ]


def _measured(simulator: Simulator, b: int, sites: list[str]) -> dict[str, dict[str, Any]]:
    """Measured values of the sites where there ever were any, and of those whose telemetry fails now."""
    state, found = simulator.state, {}
    for s, name in enumerate(sites):
        values = {key: float(getattr(state, field)[b, s]) for key, field in MEASURED.items()}
        values["slowness"] = float(2.0 ** state.shown_slowness_log2[b, s])
        values["refused_share"] = min(values["refused_share"], 1.0)
        blind = {"blind": True} if state.blind[b, s] else {}
        if blind or values != UNMEASURED:
            found[name] = values | blind
    return found


def _alarms(simulator: Simulator, b: int, codes: npt.NDArray[Any]) -> dict[str, float]:
    """Signals above 0 of the shared domains that the agent is told of, from their codes [S]."""
    compiled = simulator.world_of(b)
    found = {}
    for f, domain in enumerate(compiled.domains[: compiled.sizes["S"]]):
        value = codes[f] / CODES_PER_UNIT + SIGNAL_LOW
        if domain.members and compiled.arrays.domain_visible[0, f] and value > 0:
            found[f"{domain.kind}:{domain.name}"] = min(float(value), 1.0)
    return found
