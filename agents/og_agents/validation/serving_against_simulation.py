"""The step's first tokens, refusals and lateness against a request-level simulation of the same replicas.

The flow side is the environment itself: one step, its metrics. The simulation reads the same world: round trips, chances
of the router, limits, streams and times of answers. Times are compared as a share of the simulated one, shares in points.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_agents.validation import serving_simulation
from og_agents.validation.serving_simulation import Measured, Service, mean_of, p95_of
from og_env.scenario import loading
from og_env.simulator import CALM_SPEED, KNOBS, METRICS, WARM, Settings, Simulator

Floats = NDArray[np.float64]

OBJECTIVES_S = (0.5, 1.0, 2.0)
STREAMS, UTILISATIONS = (1, 8, 32), (0.3, 0.5, 0.7, 0.8, 0.85)
REPLICAS, TRIES, LOADS = (2, 3, 5), (1, 2, 3), (0.8, 0.95, 1.1, 1.3)
QUICK_STREAMS, QUICK_UTILISATIONS = (1, 8), (0.5, 0.85)
QUICK_REPLICAS, QUICK_TRIES, QUICK_LOADS = (3,), (1, 2), (0.95, 1.3)
TARGETS = {"mean": 0.10, "p95": 0.20, "refused": 0.02, "unserved": 0.02, "in_time": 0.03}
"""largest errors that are accepted: of times as shares, of shares in points / 100"""
SERVICE_CV = 0.8
LIMITED_STREAMS, LIMIT = 8, 0.9
"""of replicas that refuse: streams, and the share of its capacity that a replica takes on"""
REQUESTS = 500_000
"""requests of a run at utilisation 0.7 and above; half of them below that and where replicas refuse"""
LONGITUDES = (10.0, 19.0, 37.0, 14.0, 28.0)
"""places of the replicas, on the equator; each has users beside it"""
NO_LIMIT_RPS = 1e9
SEED = 20_260_301


class Flow(NamedTuple):
    """The report of the environment's step, and what the simulation has to know of its world."""

    service: Service
    first_token_mean_s: float
    first_token_p95_s: float
    refused_share: float
    unserved_share: float
    in_time_shares: tuple[float, ...]
    """of the served, by objective of OBJECTIVES_S"""


class Cell(NamedTuple):
    """One comparison of flow model and simulation."""

    replicas: int
    streams: int
    tries: int
    load: float
    """demand as a share of capacity, or of the limits where replicas refuse"""
    flow_mean_s: float
    mean_s: float
    mean_ci: float
    flow_p95_s: float
    p95_s: float
    p95_ci: float
    flow_refused: float
    refused: float
    flow_unserved: float
    unserved: float
    flow_in_time: tuple[float, ...]
    in_time: tuple[float, ...]
    """by objective of OBJECTIVES_S"""
    mean_error: float
    p95_error: float
    refused_error: float
    unserved_error: float
    in_time_error: float
    requests: int


def tables(replicas: int, streams: int, tries: int, limit: float) -> dict[str, Any]:
    """A scenario of `replicas` places with one replica, a gateway and users each; every other GPU is slower."""
    made = loading.load("toy-3").model_dump()
    model, site, region, gpu = made["models"][0], made["sites"][0], made["regions"][0], made["gpus"][0]
    made["models"] = [
        model
        | {
            "streams": streams,
            "parallel_prefills": streams,
            "output_tokens": 450.0,
            "slo_clock": "first_token",
            "verification": "none",
        }
        | {"tokens_per_s": {"unit": 250.0, "slow": 180.0}, "prefill_tokens_per_s": {"unit": 10_000.0, "slow": 7_000.0}}
    ]
    made["gpus"] = [gpu, gpu | {"name": "slow"}]
    places = [(f"s{i}", LONGITUDES[i]) for i in range(replicas)]
    made["sites"] = [
        site | {"name": name, "region": name, "lon_deg": lon_deg, "gpu": ("unit", "slow")[i % 2]}
        for i, (name, lon_deg) in enumerate(places)
    ]
    users = places if replicas > 1 else [("s0", LONGITUDES[0]), ("far", LONGITUDES[2])]
    made["regions"] = [
        region | {"name": name, "lon_deg": lon_deg, "population_m": 1.0 + (i == 0)}
        for i, (name, lon_deg) in enumerate(users)
    ]
    made["demand"] |= {"service_cv": SERVICE_CV}
    made["network"] |= {"utilisation_limit": limit, "retries": tries - 1, "kept_alive_share": 0.6}
    names = [name for name, _ in places]
    roles = {"verifier_sites": [], "store_sites": names[:1], "gateway_sites": names}
    made["start"] |= {"replica_sites": {model["name"]: names}} | roles
    return made


def flow(replicas: int, streams: int, tries: int, load: float, limit: float | None = None) -> Flow:
    """One step of the environment with a demand of `load` times the limits, or the capacity where there is no limit."""
    made = tables(replicas, streams, tries, 0.999 if limit is None else limit)
    simulator = Simulator(made, len(OBJECTIVES_S), Settings("placement", "operations", True, 2, "test", 0.0))
    every = np.arange(len(OBJECTIVES_S))
    for b in every:
        simulator.load_episode(int(b), int(b))
    world = simulator.world
    where = np.flatnonzero(world.start_phase[0, 0] == WARM)
    demand_rps = load * (1.0 if limit is None else limit) * float(world.capacity_rps[0, 0, where].sum())
    simulator.tape.regional[:] = demand_rps / float(world.base_rps[0].sum())
    simulator.tape.model[:] = 1
    simulator.tape.condition[:] = CALM_SPEED
    reports = []
    simulator.start(every)
    service = service_of(simulator, where, demand_rps, made)
    for objective_s in OBJECTIVES_S:  # the environments share one world
        world.slo_s[:] = objective_s
        simulator.start(every)
        simulator.advance(np.zeros(len(every), np.int64))
        reports.append(dict(zip(METRICS, simulator.output.metrics[0].tolist(), strict=True)))
    simulator.close()
    report = reports[0]
    return Flow(
        service=service,
        first_token_mean_s=report["first_token_mean_ms"] / 1000,
        first_token_p95_s=report["first_token_p95_ms"] / 1000,
        refused_share=report["refused_share"],
        unserved_share=1 - report["served_share"],
        in_time_shares=tuple(each["in_time_share"] for each in reports),
    )


def service_of(simulator: Simulator, where: NDArray[np.int64], demand_rps: float, made: dict[str, Any]) -> Service:
    """The facts of the step that the simulator is about to take, by the replicas at the sites `where` [R]."""
    world, state = simulator.world, simulator.state
    users_ms = world.rtt_user_ms[0].astype(np.float64)
    gateway = where[users_ms[:, where].argmin(axis=1)]
    network_ms = world.rtt_ms[0][np.ix_(gateway, where)].astype(np.float64)
    knobs = dict(zip(KNOBS, state.knobs[0].tolist(), strict=True))
    score = network_ms / knobs["latency_temperature_ms"]
    pull = np.exp(score.min(axis=1, keepdims=True) - score)
    soft = pull / pull.sum(axis=1, keepdims=True)
    new = 1 + made["network"]["new_connection_round_trips"]
    return Service(
        demand_rps=demand_rps * world.region_rps[0].astype(np.float64) / float(world.region_rps[0].sum()),
        user_ms=users_ms[np.arange(len(gateway)), gateway],
        chance=(1 - knobs["spread"]) * soft + knobs["spread"] / len(where),
        network_ms=network_ms,
        payment_ms=world.payment_ms[0, where].astype(np.float64),
        limit_rps=float(world.utilisation_limit[0]) * world.capacity_rps[0, 0, where].astype(np.float64),
        service_s=world.service_s[0, 0, where].astype(np.float64),
        prefill_s=world.prefill_s[0, 0, where].astype(np.float64),
        streams=int(world.streams[0, 0]),
        round_trips=(1.0, new, made["network"]["kept_alive_share"]),
        service_cv=float(world.service_cv[0]),
        tries=int(world.tries[0]),
    )


def compare(replicas: int, streams: int, tries: int, load: float, requests: int, limit: float | None = None) -> Cell:
    """Compare one step with a simulation of so many requests."""
    side = flow(replicas, streams, tries, load, limit)
    service = side.service
    if limit is None:  # nobody is refused
        service = service._replace(limit_rps=np.full_like(service.limit_rps, NO_LIMIT_RPS))
    rng = np.random.default_rng([SEED, zlib.crc32(repr((replicas, streams, tries, load, limit)).encode())])
    found = serving_simulation.settled(serving_simulation.simulate(service, requests, rng))
    first_token_s = found.first_token_s[found.served]
    mean, p95 = mean_of(first_token_s), p95_of(first_token_s)
    refused, unserved = mean_of(found.refused_first), mean_of(~found.served)
    in_time = tuple(float((first_token_s <= objective_s).mean()) for objective_s in OBJECTIVES_S)
    return Cell(
        replicas=replicas,
        streams=streams,
        tries=tries,
        load=load,
        flow_mean_s=side.first_token_mean_s,
        mean_s=mean.value,
        mean_ci=mean.error,
        flow_p95_s=side.first_token_p95_s,
        p95_s=p95.value,
        p95_ci=p95.error,
        flow_refused=side.refused_share,
        refused=refused.value,
        flow_unserved=side.unserved_share,
        unserved=unserved.value,
        flow_in_time=side.in_time_shares,
        in_time=in_time,
        mean_error=_relative(side.first_token_mean_s, mean),
        p95_error=_relative(side.first_token_p95_s, p95),
        refused_error=abs(side.refused_share - refused.value),
        unserved_error=abs(side.unserved_share - unserved.value),
        in_time_error=max(abs(ours - theirs) for ours, theirs in zip(side.in_time_shares, in_time, strict=True)),
        requests=len(found.served),
    )


def _relative(ours: float, theirs: Measured) -> float:
    return abs(ours - theirs.value) / theirs.value


def check_waits(quick: bool = False) -> list[Cell]:
    """One replica without a limit that matters, by streams and utilisation."""
    streams, utilisations = (QUICK_STREAMS, QUICK_UTILISATIONS) if quick else (STREAMS, UTILISATIONS)
    requests = REQUESTS // (8 if quick else 1)
    return [
        compare(1, c, 1, utilisation, requests if utilisation >= 0.7 else requests // 2)
        for c in streams
        for utilisation in utilisations
    ]


def check_limits(quick: bool = False) -> list[Cell]:
    """Replicas that refuse, by their number, the tries of a request, and the demand as a share of the limits."""
    replicas, tries, loads = (QUICK_REPLICAS, QUICK_TRIES, QUICK_LOADS) if quick else (REPLICAS, TRIES, LOADS)
    requests = REQUESTS // (8 if quick else 2)
    return [compare(r, LIMITED_STREAMS, t, load, requests, LIMIT) for r in replicas for t in tries for load in loads]


def worst(cells: Sequence[Cell]) -> dict[str, float]:
    """The largest error of each kind that TARGETS names."""
    return {name: max(getattr(cell, f"{name}_error") for cell in cells) for name in TARGETS}
