"""Static placements by mixed-integer programme: p-median, and p-median under the worst loss of one dependency.

The programme places replicas and assigns demand to them at a few hours of the day. It minimises late answers, rent, the
price of answers and unserved demand, with the weights of the scenario's reward. The robust programme also prices the loss of
the one dependency that costs most, after the remaining replicas have taken over what they can. This is a capacitated p-median
with interdiction of one set; Snyder and Daskin (2005) treat the uncapacitated one. HiGHS solves both (`highs`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from og_agents.planners import highs
from og_agents.planners.highs import Programme, Rows
from og_agents.planners.static_placement import Target, starting
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import GATEWAY, STORE, TERM, VERIFIER, World, quorum_of
from og_env.world import compile_world

SLICES = 4
"""number of evenly spaced hours of the day at which demand is assigned"""
GAP = 0.02
"""relative gap between the best solution and the bound at which the solver may stop"""
MOST_VERIFIERS = 9
"""number of sites with a role from which hedging adds no more"""
LOGISTIC = np.pi / np.sqrt(3)
"""standard deviation of the standard logistic distribution"""
LEAST_DEVIATION_S, MOST_DEVIATIONS = 1e-6, 50.0
"""limits that keep the share of late requests finite"""
Floats = npt.NDArray[np.float64]


def p_median(spec: ScenarioSpec, *, robust: bool = False, level: float = 1.0, time_limit_s: float = 20.0) -> Target:
    """The placement of replicas for `level` times the expected demand.

    Roles stand where the scenario starts with them; for the robust placement `hedge_roles` adds to them.

    Raises ValueError for a scenario without a fixed fleet, or where highspy is not installed.
    """
    if spec.fleet == "random":
        raise ValueError(f"{spec.name}: a static placement needs a fixed fleet, but every episode draws another")
    world = compile_world(loading.resolve(spec)).arrays
    programme = formulate(world, robust, level)
    values = highs.solve(programme, {"time_limit": time_limit_s, "mip_rel_gap": GAP})
    if values is None:
        raise ValueError(f"HiGHS found no placement within {time_limit_s:g} s")
    shape = world.replica_gpus[0].shape
    replicas = values[: programme.whole].reshape(shape) > 0.5
    roles = starting(world).roles
    return Target(replicas, hedge_roles(world, roles) if robust else roles)


def demand_slices(world: World) -> Floats:
    """Demand [SLICES, U, M] in requests/s at evenly spaced hours, of which the first is the busiest of the day."""
    base = world.base_rps[0].astype(np.float64)
    curve = world.diurnal[0].astype(np.float64)
    steps = len(curve)
    busiest = int((curve @ base.sum(axis=1)).argmax())
    return np.stack([base * curve[(busiest + i * steps // SLICES) % steps][:, None] for i in range(SLICES)])


def serving_cost(world: World) -> Floats:
    """Weighted latency and unverified terms [U, M, N] of a request from a region at a replica that nobody waits for.

    A model that does not fit at a site misses nothing there; it gets no demand either.
    """
    rtt_s = world.rtt_user_ms[0].astype(np.float64)[:, None] / 1000
    late = late_share(world, 0, rtt_s, world.timed_s[0].astype(np.float64))
    untrusted = (world.verification[0][:, None] == 1) & (world.tee[0] == 0)
    return world.weights[0, TERM.latency] * late + world.weights[0, TERM.unverified] * untrusted


def late_share(world: World, k: int, rtt_s: Floats, timed_s: Floats) -> Floats:
    """Probability that a request of world k misses its objective, by its round trip and what its clock counts [M, N].

    It is a logistic one of the mean and the variance of its time, as in a step.
    """
    mean_s = world.round_trips[k] * rtt_s + world.payment_ms[k] / 1000 + timed_s
    spread = max(float(world.round_trips2[k]) - float(world.round_trips[k]) ** 2, 0.0)
    deviation_s = np.sqrt(spread * rtt_s**2 + (world.service_cv[k] * timed_s) ** 2)
    margin = (world.slo_s[k][:, None] - mean_s) * LOGISTIC / np.maximum(deviation_s, LEAST_DEVIATION_S)
    return 1 / (1 + np.exp(np.clip(margin, -MOST_DEVIATIONS, MOST_DEVIATIONS)))


def formulate(world: World, robust: bool, level: float = 1.0) -> Programme:
    """The programme of a world for `level` times its demand.

    Variables are the replicas x [M, N] and the assigned demand y [SLICES, U, M, N] in requests/s. The robust programme
    also has the demand z [F, M] that is lost without each dependency, and the share w that the worst one takes along.
    """
    need = world.replica_gpus[0]
    models, sites = need.shape
    demand, serving = level * demand_slices(world), serving_cost(world)
    regions = demand.shape[1]
    room = world.capacity_rps[0].astype(np.float64) * float(world.utilisation_limit[0]) * (need > 0)
    mean = demand.sum() / SLICES
    rent = world.weights[0, TERM.cost] * need * world.usd_per_gpu_hour[0] / world.budget_usd_per_hour[0]
    unserved = float(world.weights[0, TERM.unserved])
    whole = models * sites
    answers = world.weights[0, TERM.cost] * world.answer_usd[0].astype(np.float64) * 3600 / world.budget_usd_per_hour[0]
    per_rps = (serving - unserved) / mean + answers
    assigned = np.broadcast_to(per_rps / SLICES, (SLICES, *serving.shape))
    parts = [np.asarray(rent, np.float64).ravel(), assigned.ravel()]
    tops = [((need > 0) & (world.site_valid[0] == 1)).astype(np.float64).ravel(), np.full(assigned.size, np.inf)]
    if robust:
        count = len(world.domain_size[0]) * models
        parts += [np.zeros(count), np.array([unserved + world.weights[0, TERM.exposure]])]
        tops += [np.full(count, np.inf), np.ones(1)]
    y = whole + np.arange(SLICES * regions * models * sites).reshape(SLICES, regions, models, sites)
    rows = Rows()
    for t in range(SLICES):
        for m in range(models):
            for u in range(regions):
                rows.add(y[t, u, m], 1.0, 0.0, demand[t, u, m])
            for s in range(sites):
                rows.add([*y[t, :, m, s], m * sites + s], [*np.ones(regions), -room[m, s]], -np.inf, 0.0)
    for s in range(sites):
        rows.add(np.arange(models) * sites + s, need[:, s], 0.0, float(world.gpu_count[0, s]))
    if robust:
        _add_losses(rows, world, room, demand[0].sum(axis=0), whole + assigned.size)
    return rows.programme(np.concatenate(parts), np.concatenate(tops), whole)


def _add_losses(rows: Rows, world: World, room: Floats, peak: Floats, first: int) -> None:
    """Add the constraints of losses.

    z[f, m] is at least the peak demand for m that replicas outside of f cannot serve; w is at least the sum of z[f] over
    the whole demand.
    """
    models, sites = room.shape
    inside = members(world)
    worst = first + inside.shape[0] * models
    for f in np.flatnonzero(world.domain_size[0] > 0):
        z = first + f * models + np.arange(models)
        for m in range(models):
            left = room[m] * (1 - inside[f])
            rows.add([z[m], *(m * sites + np.arange(sites))], [1.0, *left], peak[m], np.inf)
        rows.add([worst, *z], [1.0, *np.full(models, -1 / peak.sum())], 0.0, np.inf)


def members(world: World, k: int = 0) -> Floats:
    """Probability [F, N] that a shock of a dependency hits a site; 0 outside it."""
    inside = np.zeros((len(world.domain_size[k]), world.site_domain.shape[1]))
    for s, domains in enumerate(world.site_domain[k]):
        for d, f in enumerate(domains):
            if f >= 0:
                inside[f, s] = world.hit[k, s, d]
    return inside


def hedge_roles(world: World, roles: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The roles [3, N] with more sites, against the loss of one shared dependency.

    Sites are added until no dependency holds all stores, all gateways, or so many verifiers that its loss halts the
    quorum, or until nothing helps.
    """
    roles, inside = roles.copy(), members(world) > 0
    inside = inside[(world.domain_size[0] > 1) & (inside.sum(axis=1) < world.site_valid[0].sum())]
    price = world.usd_per_vm_hour[0].astype(np.float64)
    for role in (STORE, GATEWAY, VERIFIER):
        for _ in range(MOST_VERIFIERS):
            held = int(roles[role].sum())
            spare = held - quorum_of(held) if role == VERIFIER else held - 1
            crowd = inside @ roles[role]
            open_ = ~roles[role] & (world.site_valid[0] == 1)
            if not len(crowd) or crowd.max() <= spare or not open_.any() or held >= MOST_VERIFIERS:
                break
            crowding = np.where(inside, crowd[:, None], 0).max(axis=0)
            roles[role, np.lexsort((price, np.where(open_, crowding, 1e9)))[0]] = True
    return roles
