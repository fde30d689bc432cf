"""The facts that the rolling mixed-integer programme plans with, of one environment: what any honest planner may know.

Demand is the present rate, which falls back to the daily curve as bursts do. Sites work as fast as was last measured.
What is broken is repaired at the mean rate of its domains, and a domain breaks with the chance that its alarm gives it
of being fragile. Nothing of the tape but its present row is read.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.planners.p_median import late_share, members
from og_env.simulator import (
    ABSENT,
    DOWN,
    FETCHING,
    FROZEN,
    GATEWAY,
    LOADING,
    STAGING,
    STORE,
    TERM,
    UNTRUSTED,
    WARM,
    Simulator,
    fragile_chances,
)

PERIODS_H = (0.75, 1.25, 2.0)
"""lengths of the periods, in hours: the loads of large models take up to two"""
LEAST_CURVE = 1e-3
"""the daily curve is taken for no lower than this where a rate is divided by it"""
MOST_FACTOR = 4.0
"""a burst is taken for no more than this times the daily curve"""
NEVER_S = 1e9
"""seconds until a replica is warm that cannot be"""
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Outlook(NamedTuple):
    """T periods, G gateways (or user regions, where no gateway lives), M models, N sites and F domains."""

    steps: Floats
    """[T] steps of each period"""
    demand: Floats
    """[T, G, M] expected requests/s"""
    serving: Floats
    """[G, M, N] weighted late and unverified share of a request at a site that nobody waits for"""
    answer: Floats
    """[M, N] weighted price of one request/s, reward per step"""
    rent: Floats
    """[M, N] weighted rent of a replica, reward per step"""
    fetch: Floats
    """[M, N] weighted egress of a launch that fetches, reward"""
    room: Floats
    """[M, N] requests/s that a warm replica serves at most"""
    up: Floats
    """[T, N] share of a period for which a site is expected to be up"""
    held: Bools
    """[M, N] replicas that hold GPUs now"""
    ready: Floats
    """[T, M, N] share of a period for which what is held now is warm"""
    missed: Floats
    """[T, T, M, N] share of the second period that a launch at the beginning of the first one still loads"""
    launches: Bools
    """[M, N] where a replica may be launched"""
    fixed: Bools
    """[N] sites where nothing can be changed"""
    need: Floats
    """[M, N] GPUs of a replica"""
    gpus: Floats
    """[N] GPUs of a site"""
    most: Floats
    """[M] most replicas that the operator allows"""
    inside: Floats
    """[F, N] chance that a shock of a domain hits a site"""
    danger: Floats
    """[F] share of the horizon for which a domain is expected to be broken; 0 for those that are not told of"""
    weights: Floats
    """[6] weights of the reward, in the order of TERMS"""
    convexity: float
    """of the price of the unserved share"""


def outlook(simulator: Simulator, b: int) -> Outlook:
    """The facts of environment b as it is now."""
    world, state = simulator.world, simulator.state
    k = int(state.world[b])
    step_s = float(world.step_ms[k]) / 1000
    periods_s = np.array(PERIODS_H) * 3600
    demand, entry_ms, into = _demand(simulator, b, periods_s)
    speed = 2.0 ** -np.clip(state.shown_slowness_log2[b].astype(np.float64), -2, 4)
    rtt_s = (entry_ms[:, None] + world.rtt_ms[k].astype(np.float64)[into]) / 1000
    late = late_share(world, k, rtt_s[:, None], world.timed_s[k].astype(np.float64) / speed)
    untrusted = (world.verification[k][:, None] == 1) & ((world.tee[k] == 0) | (state.status[b] & UNTRUSTED > 0))
    weights = world.weights[k].astype(np.float64)
    need = world.replica_gpus[k].astype(np.float64)
    per_usd = weights[TERM.cost] / float(world.budget_usd_per_hour[k])
    broken = (state.status[b] & (DOWN | FROZEN)) > 0
    held = state.phase[b] >= FETCHING
    ready, missed, egress = _loads(simulator, b, periods_s)
    inside, danger, repair_h = _risks(simulator, b)
    stores = bool(((state.role_ms[b, STORE] == 0) & (state.status[b] & DOWN == 0)).any())
    fetchable = (state.phase[b] != ABSENT) | stores
    open_ = (world.site_valid[k] == 1) & ~broken & (world.forbidden[k] == 0)
    return Outlook(
        steps=periods_s / step_s,
        demand=demand,
        serving=weights[TERM.latency] * late + weights[TERM.unverified] * untrusted,
        answer=per_usd * world.answer_usd[k].astype(np.float64) * 3600,
        rent=per_usd * need * world.usd_per_gpu_hour[k],
        fetch=per_usd * 3600 / step_s * egress,
        room=world.capacity_rps[k].astype(np.float64) * float(world.utilisation_limit[k]) * speed,
        up=_up(state.status[b] & DOWN > 0, repair_h, periods_s / 3600),
        held=held,
        ready=ready,
        missed=missed,
        launches=(need > 0) & open_ & fetchable,
        fixed=broken,
        need=need,
        gpus=world.gpu_count[k].astype(np.float64),
        most=world.most_replicas[k].astype(np.float64),
        inside=inside,
        danger=danger,
        weights=weights,
        convexity=float(world.convexity[k]),
    )


def _demand(simulator: Simulator, b: int, periods_s: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Demand [T, G, M] by gateway, the mean way from its users to it in ms [G], and the site that they enter at [G]."""
    world, state, tape = simulator.world, simulator.state, simulator.tape
    k, row = int(state.world[b]), int(state.step[b])
    demand_spec, curve = simulator.spec.demand, world.diurnal[k].astype(np.float64)
    step_h = float(world.step_ms[k]) / 3_600_000
    now = (int(tape.start_step[b]) + row) % len(curve)
    burst = np.minimum(tape.regional[b, row] / np.maximum(curve[now], LEAST_CURVE), MOST_FACTOR)
    by_model = tape.model[b, row].astype(np.float64)
    ends_h = np.cumsum(periods_s) / 3600
    middle_h = ends_h - periods_s / 7200
    kept = np.exp(-middle_h / max(demand_spec.burst_memory_h, 1e-6))
    at = (now + np.rint(middle_h / step_h).astype(np.int64)) % len(curve)
    regional = curve[at] * (1 + (burst - 1) * kept[:, None])
    models = 1 + (by_model - 1) * kept[:, None]
    demand = world.base_rps[k].astype(np.float64) * regional[:, :, None] * models[:, None]
    way = world.rtt_user_ms[k].astype(np.float64)
    live = np.flatnonzero((state.role_ms[b, GATEWAY] == 0) & (state.status[b] & DOWN == 0))
    if not len(live):
        live = np.flatnonzero(world.site_valid[k])
    nearest = way[:, live].argmin(axis=1)
    entries = np.unique(nearest)
    weight = demand.sum(axis=(0, 2)) + 1e-9
    grouped = np.stack([demand[:, nearest == entry].sum(axis=1) for entry in entries], axis=1)
    ms = [np.average(way[nearest == e, live[e]], weights=weight[nearest == e]) for e in entries]
    return grouped, np.array(ms), live[entries]


def _loads(simulator: Simulator, b: int, periods_s: Floats) -> tuple[Floats, Floats, Floats]:
    """Shares `ready` [T, M, N] and `missed` [T, T, M, N] of periods, and dollars [M, N] for the fetch of a launch."""
    world, state = simulator.world, simulator.state
    k, phase = int(state.world[b]), state.phase[b]
    stores = (state.role_ms[b, STORE] == 0) & (state.status[b] & DOWN == 0)
    moving = int(((phase == FETCHING) | (phase == STAGING)).sum())
    share = min(1.0, int(world.store_streams[k]) * max(int(stores.sum()), 1) / (moving + 1))
    mb_per_s = np.minimum(float(world.store_mb_per_s[k]) * share, world.link_mb_per_s[k].astype(np.float64))
    load_s = world.load_ms[k].astype(np.float64) / 1000
    left_s = state.fetch_left_mb[b] / np.maximum(mb_per_s, 1.0)
    left_s = left_s + np.where(phase == LOADING, state.load_left_ms[b] / 1000, load_s) * (phase != WARM)
    absent = phase == ABSENT
    fetch_s = world.weights_mb[k][:, None] / np.maximum(mb_per_s, 1.0)
    lead_s = np.where(absent, fetch_s, np.where(phase == STAGING, left_s - load_s, 0.0)) + load_s
    egress = float(world.egress_usd_per_gb[k][stores].mean()) if stores.any() else 0.0
    begins = np.cumsum(periods_s) - periods_s
    length = periods_s[:, None, None]
    ready = 1 - np.clip((left_s - begins[:, None, None]) / length, 0, 1)
    since = begins[None, :, None, None] - begins[:, None, None, None]
    missed = np.where(since >= 0, np.clip((lead_s - since) / length[None], 0, 1), 0.0)
    return np.where(phase >= FETCHING, ready, 0.0), missed, egress * absent * world.weights_gb[k][:, None]


def _risks(simulator: Simulator, b: int) -> tuple[Floats, Floats, Floats]:
    """Membership [F, N], danger [F] of domains, and the mean hours [N] that a site takes to be repaired."""
    world, state = simulator.world, simulator.state
    k = int(state.world[b])
    inside = members(world, k)
    rate = world.domain_rate[k].astype(np.float64)
    mean_h = world.domain_mean_h[k].astype(np.float64)
    repair_h = (inside.T @ (rate * mean_h)) / np.maximum(inside.T @ rate, 1e-12)
    shared = world.fragile_rate.shape[1]
    chance = fragile_chances(simulator.tape_worlds[k], simulator.tape.signal[b, state.step[b]])
    alarmed = rate.copy()
    alarmed[:shared] += chance * np.maximum(world.fragile_rate[k] - rate[:shared], 0.0)
    danger = np.minimum(alarmed * np.minimum(mean_h, math.fsum(PERIODS_H)), 1.0)
    told = (world.domain_visible[k] == 1) & (world.domain_effect[k] != UNTRUSTED) & (world.domain_size[k] > 0)
    return inside, np.where(told, danger, 0.0), np.maximum(repair_h, 1e-2)


def _up(down: Bools, repair_h: Floats, periods_h: Floats) -> Floats:
    """Share [T, N] of periods for which sites are up, repaired at a constant rate where they are down now."""
    ends = np.cumsum(periods_h)[:, None]
    begins, length = ends - periods_h[:, None], periods_h[:, None]
    still = repair_h * (np.exp(-begins / repair_h) - np.exp(-ends / repair_h)) / length
    return np.where(down, 1 - still, 1.0)
