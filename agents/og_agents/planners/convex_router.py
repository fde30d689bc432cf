"""A router that solves for the levels of all sites in every step, on a model of the flow from gateways to replicas.

It minimises what the next step would cost in reward: requests that miss their objective, requests that are refused, the
price of use, and answers that are not attested. Demand is that of the last step, a replica's speed is nominal over the
measured slowness of its site. In the flows the problem is convex.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from og_agents.heuristics.tuned_constants import Constants
from og_agents.planners.convex_descent import Flow, solve
from og_env.simulator import CALM_SPEED, DOWN, GATEWAY, SLOW, SPEEDS_PER_OCTAVE, TERM, UNTRUSTED, WARM, Simulator

Floats = npt.NDArray[np.floating]

TEE = 1
"""code of World.verification for a model whose answers must be attested"""
QUEUE_BEND, LEAST_QUEUE_STREAMS, LOGISTIC = 0.276, 0.125, 1.8137994
"""of the waiting probability and of the logistic distribution, as the simulator has them"""
SPEED_CODES, HOUR_S, MS, SMALL = 127, 3600.0, 1000.0, 1e-9


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
    """The same with the true speed of the coming step: no policy may see it, so this is a reference."""
    slowness = np.exp2(true_slowness_log2(simulator))
    levels = solve(flow_of(simulator, slowness, constants["refused"]), before, constants["rate"])
    return levels, levels


def true_slowness_log2(simulator: Simulator) -> Floats:
    """Octaves [B, N] by which the service of the coming step takes longer than nominal, from the tape; not observed."""
    state, tape = simulator.state, simulator.tape
    row = np.minimum(state.step + 1, tape.condition.shape[1] - 1)
    code = tape.condition[np.arange(len(row)), row] & SPEED_CODES
    slowed = (state.status & SLOW) != 0  # such a site has half its speed
    return (CALM_SPEED - code.astype(np.float64)) / SPEEDS_PER_OCTAVE + slowed


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
    seen = np.maximum(world.streams[index] / np.maximum(world.batch_requests[index], 1)[:, None], LEAST_QUEUE_STREAMS)
    lost = refused * weights[:, TERM.unserved] * (1 + 2 * convexity * unserved) / (1 + convexity)
    return Flow(
        demand=rps / whole[:, None, None],
        pull=-net_ms / temperature,
        serves=serves,
        capacity=np.where(serves, np.maximum(capacity, SMALL), SMALL),
        limit=world.utilisation_limit[index].astype(np.float64),
        late=1 / (1 + np.exp(np.clip(spare * slope, -50, 50))),
        spare_s=np.maximum(spare, 0),
        queue_s=np.maximum(world.queue_s[index] * slowness[:, None], SMALL).astype(np.float64),
        exponent=world.queue_exponent[index].astype(np.float64),
        bend=QUEUE_BEND * (seen - 1).astype(np.float64),
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
