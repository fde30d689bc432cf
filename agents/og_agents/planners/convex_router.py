"""A router that solves for the levels of all sites in every step, on a model of the flow from gateways to replicas.

It minimises what the next step would cost in reward: requests that miss their objective, requests that are refused, the
price of use, and answers that are not attested. Demand is that of the last step, a replica's speed is nominal over the
measured slowness of its site. A request's marginal cost counts what it does to the others at its replica. Levels follow
these costs by mirror descent: a level falls by `rate` times what a request there costs more than at the gateway's other
replicas, traffic weighted; the cheapest levels that are met are kept. In the flows the problem is convex.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.tuned_constants import Constants
from og_env.simulator import (
    CALM_SPEED,
    DOWN,
    GATEWAY,
    SLOW,
    SPEEDS_PER_OCTAVE,
    STEER_RANGE,
    TERM,
    UNTRUSTED,
    WARM,
    Simulator,
)

Floats = npt.NDArray[np.floating]

STEPS = 40
"""of the descent"""
BLUR = 0.1
"""utilisation over which a limit sets in: demand and speed of the next step are not quite those of the last one"""
TEE = 1
"""code of World.verification for a model whose answers must be attested"""
QUEUE_BEND, LOGISTIC = 0.276, 1.8137994
"""of the waiting probability and of the logistic distribution, as the simulator has them"""
RISE = 0.01
"""change of utilisation over which a slope is taken"""
HIGHEST = 0.995
"""utilisation at which queues end"""
SPEED_CODES, HOUR_S, MS, SMALL = 127, 3600.0, 1000.0, 1e-9


class Flow(NamedTuple):
    """The givens of a step, for B environments, U user regions, M models and N sites."""

    demand: Floats
    """[B, U, M] share of all demand"""
    pull: Floats
    """[B, U, 1, N] logarithm of a site's weight at level 0"""
    serves: npt.NDArray[np.bool_]
    """[B, 1, M, N] where a warm replica stands"""
    capacity: Floats
    """[B, M, N] share of all demand that a replica can serve at its measured pace"""
    limit: Floats
    """[B, 1, 1] utilisation above which it refuses"""
    late: Floats
    """[B, U, M, N] share of requests that miss their objective without queues"""
    spare_s: Floats
    """[B, U, M, N] time to the objective, at least 0"""
    queue_s: Floats
    """[B, M, N] mean wait of those who wait, without load"""
    exponent: Floats
    """[B, M, 1] of the waiting probability, as utilisation nears 1"""
    bend: Floats
    """[B, M, 1] growth of that exponent with idleness"""
    price: Floats
    """[B, M, N] weighted cost of a request, for what it uses and where it is not attested"""
    weights: Floats
    """[B, 2] weights of a late and of a refused request"""


def convex(
    simulator: Simulator, constants: Constants, before: Floats, fresh: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Levels [B, N] by what was measured, twice; `before` are the last ones."""
    slowness = np.exp2(constants["faith"] * simulator.state.shown_slowness_log2)
    levels = solve(flow_of(simulator, slowness, constants["refused"]), before, constants["rate"])
    return levels, levels


def convex_true(
    simulator: Simulator, constants: Constants, before: Floats, fresh: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """The same with the speed of the coming step from the tape: no policy may see it, so this is a reference."""
    state, tape = simulator.state, simulator.tape
    row = np.minimum(state.step + 1, tape.condition.shape[1] - 1)
    code = tape.condition[np.arange(len(row)), row] & SPEED_CODES
    slowed = (state.status & SLOW) != 0  # such a site has half its speed
    slowness = np.exp2((CALM_SPEED - code.astype(np.float64)) / SPEEDS_PER_OCTAVE + slowed)
    levels = solve(flow_of(simulator, slowness, constants["refused"]), before, constants["rate"])
    return levels, levels


def flow_of(simulator: Simulator, slowness: Floats, refused: float) -> Flow:
    """The flow model of the environments as they are; slowness [B, N], refused: what a refused request counts of lost."""
    state, tape, world = simulator.state, simulator.tape, simulator.world
    index, rows = state.world, np.arange(len(state.world))
    up = (state.status & DOWN) == 0
    serves = (state.phase == WARM) & up[:, None]
    rps = world.base_rps[index] * tape.regional[rows, state.step][:, :, None]
    rps = (rps * tape.model[rows, state.step][:, None]).astype(np.float64)
    whole = np.maximum(rps.sum(axis=(1, 2)), SMALL)
    entry_ms, net_ms = ways(simulator, up)
    temperature = state.knobs[:, 0, None, None]
    trips, trips2 = world.round_trips[index][:, None, None], world.round_trips2[index][:, None, None]
    way_ms = entry_ms + net_ms
    path_s = (trips * way_ms + world.payment_ms[index][:, None]) / MS
    path_var = np.maximum(trips2 - trips * trips, 0) * way_ms * way_ms / (MS * MS)
    timed = world.timed_s[index] * slowness[:, None]
    spare = world.slo_s[index][:, None, :, None] - path_s[:, :, None] - timed[:, None]
    variance = path_var[:, :, None] + (world.service_cv[index][:, None, None] ** 2 * timed * timed)[:, None]
    slope = LOGISTIC / np.maximum(np.sqrt(variance), 1e-6)
    weights = world.weights[index].astype(np.float64)
    unproved = (world.verification[index][:, :, None] == TEE) & (
        (world.tee[index] == 0) | ((state.status & UNTRUSTED) != 0)
    )[:, None]
    spending = HOUR_S / np.maximum(world.budget_usd_per_hour[index], SMALL) * whole
    price = weights[:, TERM.cost, None, None] * spending[:, None, None] * world.answer_usd[index]
    capacity = world.capacity_rps[index] / slowness[:, None] / whole[:, None, None]
    unserved = 1 - np.clip(
        state.model_served_rps.sum(axis=1) / np.maximum(state.model_demand_rps.sum(axis=1), SMALL), 0, 1
    )
    convexity = world.convexity[index]
    lost = refused * weights[:, TERM.unserved] * (1 + 2 * convexity * unserved) / (1 + convexity)
    return Flow(
        demand=rps / whole[:, None, None],
        pull=(-net_ms / temperature)[:, :, None],
        serves=serves[:, None],
        capacity=np.where(serves, np.maximum(capacity, SMALL), SMALL),
        limit=world.utilisation_limit[index][:, None, None].astype(np.float64),
        late=1 / (1 + np.exp(np.clip(spare * slope, -50, 50))),
        spare_s=np.maximum(spare, 0),
        queue_s=np.maximum(world.queue_s[index] * slowness[:, None], SMALL),
        exponent=world.queue_exponent[index][:, :, None].astype(np.float64),
        bend=QUEUE_BEND * (world.streams[index][:, :, None] - 1).astype(np.float64),
        price=price + weights[:, TERM.unverified, None, None] * unproved,
        weights=np.stack([weights[:, TERM.latency], lost], axis=1),
    )


def ways(simulator: Simulator, up: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Round trips from user regions to their gateways [B, U, 1], and from these to all sites [B, U, N]."""
    state, world = simulator.state, simulator.world
    users = world.rtt_user_ms[state.world].astype(np.float64)
    live = ((state.role_ms[:, GATEWAY] == 0) & up)[:, None]
    gateway = np.where(live, users, np.inf).argmin(axis=2)
    net = world.rtt_ms[state.world][np.arange(len(gateway))[:, None], gateway].astype(np.float64)
    return np.take_along_axis(users, gateway[:, :, None], axis=2), net


def shares(flow: Flow, levels: Floats) -> Floats:
    """Share [B, U, M, N] of a region's requests for a model that each site gets."""
    power = np.where(flow.serves, flow.pull + STEER_RANGE * levels[:, None, None], -np.inf)
    top = power.max(axis=3, keepdims=True)
    weight = np.exp(power - np.where(np.isfinite(top), top, 0.0))
    return weight / np.maximum(weight.sum(axis=3, keepdims=True), SMALL)


def costs(flow: Flow, share: Floats) -> tuple[Floats, Floats, Floats]:
    """Cost [B] of a division of all demand, the marginal cost [B, U, M, N] of a request, and the flows of the same shape."""
    flows = share * flow.demand[..., None]
    load = flows.sum(axis=1) / flow.capacity
    edge = np.minimum(flow.limit, HIGHEST)
    within = np.clip(load, SMALL, edge)
    late, later = (_late(flow, np.minimum(rho, HIGHEST)) for rho in (within, within + RISE))
    crowding = ((later - late) * flows).sum(axis=1) / RISE * (load < edge) / flow.capacity
    late_weight, lost_weight = flow.weights[:, 0, None, None], flow.weights[:, 1, None, None]
    full = 1 / (1 + np.exp(np.clip((edge - load) / BLUR, -50, 50)))
    over = BLUR * np.logaddexp(0, (load - edge) / BLUR)
    kept = np.maximum(1 - over / np.maximum(load, SMALL), 0)
    served = late_weight[:, None] * late + (late_weight * crowding + flow.price)[:, None]
    cost = (flows * kept[:, None] * (late_weight[:, None] * late + flow.price[:, None])).sum(axis=(1, 2, 3))
    cost += (lost_weight * over * flow.capacity * flow.serves[:, 0]).sum(axis=(1, 2))
    return cost, served + (full * lost_weight)[:, None] - full[:, None] * served, flows


def _late(flow: Flow, rho: Floats) -> Floats:
    """Share of requests [B, U, M, N] that miss their objective at utilisations rho [B, M, N]."""
    waits = np.exp((flow.exponent + flow.bend * (1 - rho)) * np.log(rho))
    delayed = waits[:, None] * np.exp(-flow.spare_s * ((1 - rho) / flow.queue_s)[:, None])
    return flow.late + (1 - flow.late) * delayed


def solve(flow: Flow, levels: Floats, rate: float) -> Floats:
    """The cheapest levels [B, N] in [-1, 1] that the descent from `levels` meets; level 0 for all is among them."""
    best = np.zeros(levels.shape)
    least = costs(flow, shares(flow, best))[0]
    scale = np.maximum(flow.weights.max(axis=1), SMALL)[:, None]
    hosts = flow.serves.any(axis=(1, 2))
    counted = hosts | ~np.any(
        hosts, axis=1, keepdims=True
    )  # all sites where none hosts, so that the middle is a number
    for _ in range(STEPS):
        share = shares(flow, levels)
        cost, marginal, flows = costs(flow, share)
        better = cost < least
        best, least = np.where(better[:, None], levels, best), np.where(better, cost, least)
        excess = marginal - (share * marginal).sum(axis=3, keepdims=True)
        worse = (flows * excess).sum(axis=(1, 2)) / np.maximum(flows.sum(axis=(1, 2)), 1e-4)
        moved = levels - rate * worse / scale
        high = np.where(counted, moved, -np.inf).max(axis=1, keepdims=True)
        low = np.where(counted, moved, np.inf).min(axis=1, keepdims=True)
        levels = np.where(hosts, np.clip(moved - (high + low) / 2, -1, 1), 0.0)
    return best
