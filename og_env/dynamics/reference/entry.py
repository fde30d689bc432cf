"""Where requests enter the network, and which replicas they can be sent to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from og_env.dynamics.reference.placement import Fetches, roles_up
from og_env.dynamics.reference.world_rows import Condition, Facts, carried, clipped, down, has, ratio, slow
from og_env.dynamics.replicas import SLOW_CAPACITY, SLOW_MS
from og_env.dynamics.verification import TEE
from og_env.kernel.arrays import CODES_PER_UNIT, GATEWAY, KNOBS, LOADING, SIGNAL_LOW, UNTRUSTED, State, Tape


class Users(NamedTuple):
    """Demand where it enters the network, with what is asked again because an answer was lost."""

    demand_rps: np.ndarray  # [B, M]
    again_share: np.ndarray  # [B, M]: of the demand
    gateway_rps: np.ndarray  # [B, M, N]: demand of the users of a gateway
    gateway_ms: np.ndarray  # [B, M, N]: their mean time to it and back
    gateway_var: np.ndarray  # [B, M, N]: variance of that time


class Replicas(NamedTuple):
    """Where requests can be sent."""

    alive: np.ndarray  # bool [B, M, N]: warm, or warm soon enough
    factor: np.ndarray  # [B, M, N]: share of the step in which the router uses the replica, dead ones included
    score: np.ndarray  # [B, M, N]: what the router holds against it, network aside
    wait_s: np.ndarray  # [B, M, N]: until it is warm
    cap_rps: np.ndarray  # [B, M, N]: 0 where dead
    limit_rps: np.ndarray  # [B, M, N]


def dead_share_of(facts: Facts, state: State) -> np.ndarray:
    """[B, N]: share of the step in which the router still uses a dead site."""
    step_ms = facts.world.step_ms[:, None]
    return np.minimum(state.undetected_ms, step_ms) / step_ms


def enter(facts: Facts, tape: Tape, state: State, reasked: np.ndarray) -> Users:
    """Users go to their nearest live gateway; an undetected dead one on the way costs part of a timeout.

    reasked [B, M]: answers that were lost and are asked for again in this step.
    """
    world, now = facts.world, state.step + 1
    b = np.arange(len(now))
    dead_share = dead_share_of(facts, state)
    factor = tape.regional[b, now].astype(np.float64)[:, :, None] * tape.model[b, now][:, None]
    fresh = world.base_rps * factor  # [B, U, M]
    asked = fresh.sum(axis=1) * world.step_ms[:, None] / 1000
    demand = fresh * (1 + ratio(reasked, asked))[:, None]
    again_share = np.where(asked > 0, ratio(reasked, asked + reasked), 0)

    runs, dead = state.role_ms[:, GATEWAY] == 0, down(state.status)
    row = b[:, None, None]
    live_in_order = roles_up(state)[:, GATEWAY][row, world.near_user]  # [B, U, N]
    trap_in_order = (runs & dead & (dead_share > 0))[row, world.near_user]
    served = live_in_order.any(axis=2)
    first, trap = live_in_order.argmax(axis=2)[:, :, None], trap_in_order.argmax(axis=2)[:, :, None]
    gateway = np.take_along_axis(world.near_user, first, axis=2)[:, :, 0]  # [B, U]
    trap_site = np.take_along_axis(world.near_user, trap, axis=2)[:, :, 0]
    trapped = trap_in_order.any(axis=2) & (trap < first)[:, :, 0]

    late_ms = np.where(trapped, dead_share[b[:, None], trap_site] * world.timeout_ms[:, None], 0)
    slow_ms = np.where(slow(state.status), SLOW_MS, 0)[b[:, None], gateway]
    rtt_ms = np.take_along_axis(world.rtt_user_ms, gateway[:, :, None], axis=2)[:, :, 0]
    user_ms = (rtt_ms + late_ms + slow_ms)[:, :, None]

    goes_to = ((gateway[:, :, None] == np.arange(dead.shape[1])) & served[:, :, None]).astype(np.float64)  # [B, U, N]
    rps, rps_ms, rps_ms2 = (
        np.swapaxes(values, 1, 2) @ goes_to for values in (demand, demand * user_ms, demand * user_ms**2)
    )
    mean = ratio(rps_ms, rps)
    return Users(demand.sum(axis=1), again_share, rps, mean, np.maximum(ratio(rps_ms2, rps) - mean**2, 0))


def usable(facts: Facts, tape: Tape, state: State, seen: np.ndarray, fetch: Fetches, condition: Condition) -> Replicas:
    """Where requests may go: replicas that are warm in time, and dead ones that nobody has noticed yet.

    The router goes by nominal figures and by the status seen [B, N]; capacities are true ones.
    """
    world = facts.world
    step_ms, patience_ms = world.step_ms[:, None, None], world.patience_ms[:, None, None]
    dead, dead_share = down(state.status)[:, None], dead_share_of(facts, state)[:, None]
    alive = ~dead & (fetch.wait_ms >= 0) & (fetch.wait_ms <= patience_ms) & (fetch.wait_ms < step_ms)
    trap = dead & (dead_share > 0) & (state.phase == LOADING)
    factor = np.where(alive, 1.0, np.where(trap, dead_share, 0))
    wait_s = np.where(alive, fetch.wait_ms, 0) / 1000

    knobs = dict(zip(KNOBS, state.knobs.T[:, :, None, None], strict=True))
    unattested = (world.verification[:, :, None] == TEE) & ((world.tee == 0) | has(seen, UNTRUSTED))[:, None]
    risk = _site_risk(facts, tape, state)[:, None] + unattested
    busy = ratio(state.load_rps, world.capacity_rps * np.where(slow(seen), SLOW_CAPACITY, 1)[:, None])
    score = knobs["cold_penalty"] * wait_s + knobs["load_penalty"] * busy + knobs["risk_aversion"] * risk
    score = score - state.steer[:, None]

    pace = np.where(slow(state.status), SLOW_CAPACITY, 1) * condition.speed
    cap_rps = np.where(alive, world.capacity_rps * pace[:, None] * (1 - wait_s * 1000 / step_ms), 0)
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
