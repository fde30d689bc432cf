"""Who answers whom, and how long an answer takes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from og_env.dynamics.reference.placement import Fetches
from og_env.dynamics.reference.world_rows import Facts, carried, clipped, down, has, ratio, slow
from og_env.dynamics.replicas import SLOW_CAPACITY, SLOW_MS
from og_env.dynamics.verification import TEE
from og_env.kernel.arrays import CODES_PER_UNIT, GATEWAY, KNOBS, LOADING, SIGNAL_LOW, UNTRUSTED, State, Tape

SLOW_TIMES = 2.0
"""how much longer a slow site works on an answer"""


class Users(NamedTuple):
    """Demand where it enters the network."""

    demand_rps: np.ndarray  # [B, M]
    gateway_rps: np.ndarray  # [B, M, N]: demand of the users of a gateway
    gateway_s: np.ndarray  # [B, M, N]: their mean time to it and back
    gateway_s2: np.ndarray  # [B, M, N]: mean square of that time


class Replicas(NamedTuple):
    """Where requests can be sent."""

    alive: np.ndarray  # bool [B, M, N]: warm, or warm soon enough
    factor: np.ndarray  # [B, M, N]: share of the step in which the router uses the replica, dead ones included
    score: np.ndarray  # [B, M, N]: what the router holds against it, network aside
    wait_s: np.ndarray  # [B, M, N]: until it is warm
    cap_rps: np.ndarray  # [B, M, N]: 0 where dead
    limit_rps: np.ndarray  # [B, M, N]


class Traffic(NamedTuple):
    """The served traffic and its latency."""

    users: Users
    replicas: Replicas
    load_rps: np.ndarray  # [B, M, N]
    served_rps: np.ndarray  # [B, M]
    latency_s: np.ndarray  # [B, M]: mean
    latency_var: np.ndarray  # [B, M]
    timeout_share: np.ndarray  # [B, M]: of the served, those that a dead site cost a timeout
    cold_s: np.ndarray  # [B, M, N]: mean wait for a replica that was not yet warm


def serve(facts: Facts, tape: Tape, state: State, seen: np.ndarray, fetch: Fetches) -> Traffic:
    """The traffic of a step; seen [B, N] is the status at the end of the last one."""
    dead_share = np.minimum(state.undetected_ms, facts.world.step_ms[:, None]) / facts.world.step_ms[:, None]
    users = _enter(facts, tape, state, dead_share)
    replicas = _replicas(facts, tape, state, seen, fetch, dead_share)
    network_s = (facts.world.rtt_ms + np.where(slow(state.status), SLOW_MS, 0)[:, None]) / 1000  # [B, gateway, site]

    columns = []
    for m in range(users.demand_rps.shape[1]):
        flow, timeout_share = _route(state, users, replicas, network_s, m)
        columns.append(_delay(facts, state, users, replicas, network_s, flow, timeout_share, m))
    load, latency, variance, timeouts, cold = (np.stack(values, axis=1) for values in zip(*columns, strict=True))
    return Traffic(users, replicas, load, load.sum(axis=2), latency, variance, timeouts, cold)


def _enter(facts: Facts, tape: Tape, state: State, dead_share: np.ndarray) -> Users:
    """Users go to their nearest live gateway; an undetected dead one on the way costs part of a timeout."""
    world, now = facts.world, state.step + 1
    b = np.arange(len(now))
    sites = dead_share.shape[1]
    factor = tape.regional[b, now].astype(np.float64)[:, :, None] * tape.model[b, now][:, None]
    demand = world.base_rps * factor  # [B, U, M]

    runs, dead = state.role_ms[:, GATEWAY] == 0, down(state.status)
    row = b[:, None, None]
    live_in_order = (runs & ~dead)[row, world.near_user]  # [B, U, N]
    trap_in_order = (runs & dead & (dead_share > 0))[row, world.near_user]
    served = live_in_order.any(axis=2)
    first, trap = live_in_order.argmax(axis=2)[:, :, None], trap_in_order.argmax(axis=2)[:, :, None]
    gateway = np.take_along_axis(world.near_user, first, axis=2)[:, :, 0]  # [B, U]
    trap_site = np.take_along_axis(world.near_user, trap, axis=2)[:, :, 0]
    trapped = trap_in_order.any(axis=2) & (trap < first)[:, :, 0]

    late_ms = np.where(trapped, dead_share[b[:, None], trap_site] * world.timeout_ms[:, None], 0)
    slow_ms = np.where(slow(state.status), SLOW_MS, 0)[b[:, None], gateway]
    rtt_ms = np.take_along_axis(world.rtt_user_ms, gateway[:, :, None], axis=2)[:, :, 0]
    user_s = (rtt_ms + late_ms + slow_ms)[:, :, None] / 1000

    goes_to = ((gateway[:, :, None] == np.arange(sites)) & served[:, :, None]).astype(np.float64)  # [B, U, N]
    rps, rps_s, rps_s2 = (
        np.swapaxes(values, 1, 2) @ goes_to for values in (demand, demand * user_s, demand * user_s**2)
    )
    return Users(demand.sum(axis=1), rps, ratio(rps_s, rps), ratio(rps_s2, rps))


def _replicas(
    facts: Facts, tape: Tape, state: State, seen: np.ndarray, fetch: Fetches, dead_share: np.ndarray
) -> Replicas:
    """Where requests may go: replicas that are warm in time, and dead ones that nobody has noticed yet."""
    world = facts.world
    step_ms, patience_ms = world.step_ms[:, None, None], world.patience_ms[:, None, None]
    dead = down(state.status)[:, None]
    alive = ~dead & (fetch.wait_ms >= 0) & (fetch.wait_ms <= patience_ms) & (fetch.wait_ms < step_ms)
    trap = dead & (dead_share[:, None] > 0) & (state.phase == LOADING)
    factor = np.where(alive, 1.0, np.where(trap, dead_share[:, None], 0))
    wait_s = np.where(alive, fetch.wait_ms, 0) / 1000

    knobs = dict(zip(KNOBS, state.knobs.T[:, :, None, None], strict=True))
    unattested = (world.verification[:, :, None] == TEE) & ((world.tee == 0) | has(seen, UNTRUSTED))[:, None]
    risk = _site_risk(facts, tape, state)[:, None] + unattested
    busy = ratio(state.load_rps, world.capacity_rps * np.where(slow(seen), SLOW_CAPACITY, 1)[:, None])
    score = knobs["cold_penalty"] * wait_s + knobs["load_penalty"] * busy + knobs["risk_aversion"] * risk
    score = score - state.steer[:, None]

    capacity = world.capacity_rps * np.where(slow(state.status), SLOW_CAPACITY, 1)[:, None]
    cap_rps = np.where(alive, capacity * (1 - wait_s * 1000 / step_ms), 0)
    return Replicas(alive, factor, score, wait_s, cap_rps, world.utilisation_limit[:, None, None] * cap_rps)


def _site_risk(facts: Facts, tape: Tape, state: State) -> np.ndarray:
    """[B, N]: alarm of a site's visible domains, and how much of the traffic they already carry."""
    shared, visible = facts.shared, facts.world.domain_visible[:, : facts.shared] == 1
    if shared == 0:
        return np.zeros(state.status.shape)
    error_rate = tape.signal[np.arange(len(state.step)), state.step].astype(np.float64) / CODES_PER_UNIT + SIGNAL_LOW
    alarm = np.where(visible, clipped(error_rate, 0, 1), 0)
    concentration = np.where(visible, carried(facts, state.site_share), 0)
    member = facts.member[:, :shared]
    return np.einsum("bfs,bf->bs", facts.hit[:, :shared], alarm) + (member * concentration[:, :, None]).max(axis=1)


def _route(
    state: State, users: Users, replicas: Replicas, network_s: np.ndarray, m: int
) -> tuple[np.ndarray, np.ndarray]:
    """The flow [B, gateway, site] of a model, and the share [B] of it that waited for a dead site."""
    knobs = dict(zip(KNOBS, state.knobs.T, strict=True))
    usable, factor = replicas.factor[:, m] > 0, replicas.factor[:, m]
    demand, limit = users.gateway_rps[:, m], replicas.limit_rps[:, m]

    score = replicas.score[:, m, None] + network_s * 1000 / knobs["latency_temperature_ms"][:, None, None]
    score = np.where(usable[:, None], score, np.inf)
    best = score.min(axis=2, keepdims=True)
    weight = factor[:, None] * np.exp(-(score - np.where(np.isfinite(best), best, 0)))
    spread = knobs["spread"][:, None, None]
    even = ratio(factor, factor.sum(axis=1, keepdims=True))[:, None]
    share = (1 - spread) * ratio(weight, weight.sum(axis=2, keepdims=True)) + spread * even

    sent = demand[:, :, None] * share
    offered = sent.sum(axis=1)
    kept = np.where(offered > limit, ratio(limit, offered), 1)
    over = sent * (1 - kept)[:, None]
    overflow = over.sum(axis=(1, 2))
    spare = np.maximum(limit - offered * kept, 0)
    moved = np.minimum(overflow, spare.sum(axis=1))
    retried = over.sum(axis=2) * ratio(moved, overflow)[:, None]
    flow = sent * kept[:, None] + retried[:, :, None] * ratio(spare, spare.sum(axis=1, keepdims=True))[:, None]

    at_dead = np.where(usable & ~replicas.alive[:, m], offered, 0).sum(axis=1)
    return flow, ratio(moved * ratio(at_dead, overflow), flow.sum(axis=(1, 2)))


def _delay(
    facts: Facts,
    state: State,
    users: Users,
    replicas: Replicas,
    network_s: np.ndarray,
    flow: np.ndarray,
    timeout_share: np.ndarray,
    m: int,
) -> tuple[np.ndarray, ...]:
    """Load, mean and variance of latency, timeout share and cold wait of a model.

    Queue: Allen-Cunneen G/G/c with nearly Erlang's C. A replica that is warm after w of a step of length t delays
    requests by w^2 / 2t.
    """
    world = facts.world
    load = flow.sum(axis=1)
    rho = ratio(load, replicas.cap_rps[:, m])
    times = np.where(slow(state.status), SLOW_TIMES, 1)
    service, busy = world.service_s[:, m] * times, world.busy_s[:, m] * times

    exponent = world.queue_exponent[:, m, None] + 0.276 * (world.streams[:, m, None] - 1) * (1 - rho)
    waits = np.where(rho > 0, rho, 1) ** exponent * (rho > 0)
    wait_if_any = busy * world.queue_factor[:, None] / (world.streams[:, m, None] * (1 - rho))
    queue, queue_var = waits * wait_if_any, (2 * waits - waits**2) * wait_if_any**2
    step_s, wait_s = world.step_ms[:, None] / 1000, replicas.wait_s[:, m]
    cold = wait_s**2 / (2 * step_s)
    cold_var = wait_s**3 / (3 * step_s) - cold**2

    after_gateway = network_s + (service + queue + cold)[:, None]
    variance = ((world.service_cv[:, None] * service) ** 2 + queue_var + cold_var)[:, None]
    user, user2 = users.gateway_s[:, m, :, None], users.gateway_s2[:, m, :, None]
    served = load.sum(axis=1)
    mean = ratio((flow * (user + after_gateway)).sum(axis=(1, 2)), served)
    square = user2 + 2 * user * after_gateway + after_gateway**2 + variance
    second = ratio((flow * square).sum(axis=(1, 2)), served)

    timeout_s = world.timeout_ms / 1000
    with_timeouts = mean + timeout_share * timeout_s
    total_var = np.maximum(second - mean**2, 0) + timeout_share * (1 - timeout_share) * timeout_s**2
    return load, with_timeouts, total_var, timeout_share, cold
