"""The descent of the convex router: the cheapest levels of sites for a flow of requests from gateways to replicas.

A request's marginal cost counts what it does to the others at its replica. Levels follow these costs by mirror descent:
a level falls by `rate` times what a request there costs more than at the gateway's other replicas, traffic weighted; the
cheapest levels that are met are kept. Compiled, for it is solved in every step of every environment.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from og_env.simulator import STEER_RANGE

Floats = npt.NDArray[np.floating]

STEPS = 40
"""of the descent"""
BLUR = 0.1
"""utilisation over which a limit sets in: demand and speed of the next step are not quite those of the last one"""
RISE = 0.01
"""change of utilisation over which a slope is taken"""
HIGHEST = 0.995
"""utilisation at which queues end"""
STEEPEST, SMALL, LEAST_FLOW = 50.0, 1e-9, 1e-4
"""largest exponent of a logistic curve, least divisor, and least flow through a site that its mean cost is divided by"""


class Flow(NamedTuple):
    """The givens of a step, for B environments, U user regions, M models and N sites; all but `serves` are float64."""

    demand: Floats
    """[B, U, M] share of all demand"""
    pull: Floats
    """[B, U, N] logarithm of a site's weight at level 0"""
    serves: npt.NDArray[np.bool_]
    """[B, M, N] where a warm replica stands"""
    capacity: Floats
    """[B, M, N] share of all demand that a replica can serve at its measured pace"""
    limit: Floats
    """[B] utilisation above which it refuses"""
    late: Floats
    """[B, U, M, N] share of requests that miss their objective without queues"""
    spare_s: Floats
    """[B, U, M, N] time to the objective, at least 0"""
    queue_s: Floats
    """[B, M, N] mean wait of those who wait, without load"""
    exponent: Floats
    """[B, M] of the waiting probability, as utilisation nears 1"""
    bend: Floats
    """[B, M] growth of that exponent with idleness"""
    price: Floats
    """[B, M, N] weighted cost of a request, for what it uses and where it is not attested"""
    weights: Floats
    """[B, 2] weights of a late and of a refused request"""


def solve(flow: Flow, levels: Floats, rate: float) -> Floats:
    """The cheapest levels [B, N] in [-1, 1] that the descent from `levels` meets; level 0 for all is among them."""
    best = np.zeros(levels.shape)
    _descend(flow, np.array(levels, np.float64), float(rate), best)
    return best


def is_ready() -> bool:
    """Whether the descent is loaded or kept on disk."""
    compiled: Any = _descend
    return bool(compiled.signatures or compiled._cache._cache_file._load_index())


def compile_descent() -> None:
    """Compile the descent, or load it, before it is called."""
    floats = {ndim: numba.types.Array(numba.float64, ndim, "C") for ndim in (1, 2, 3, 4)}
    kinds = {"limit": 1, "exponent": 2, "bend": 2, "weights": 2, "late": 4, "spare_s": 4}
    flow = [
        numba.types.Array(numba.boolean, 3, "C") if name == "serves" else floats[kinds.get(name, 3)]
        for name in Flow._fields
    ]
    _descend.compile((numba.types.NamedTuple(flow, Flow), floats[2], numba.float64, floats[2]))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _descend(flow: Flow, levels: Floats, rate: float, best: Floats) -> None:
    """Descend from `levels` [B, N], which it changes, and write the cheapest to `best` [B, N]."""
    environments, regions, models = flow.demand.shape
    sites = levels.shape[1]
    share = np.zeros((regions, models, sites))
    marginal = np.zeros((regions, models, sites))
    for b in range(environments):
        hosts = np.zeros(sites, np.bool_)
        for m in range(models):
            for n in range(sites):
                hosts[n] |= flow.serves[b, m, n]
        if not hosts.any():
            continue
        divide(flow, b, best[b], share)
        least = charge(flow, b, share, marginal)
        scale = max(flow.weights[b, 0], flow.weights[b, 1], SMALL)
        for _ in range(STEPS):
            divide(flow, b, levels[b], share)
            cost = charge(flow, b, share, marginal)
            if cost < least:
                least = cost
                best[b] = levels[b]
            _move(flow, b, hosts, share, marginal, rate / scale, levels[b])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def divide(flow: Flow, b: int, levels: Floats, share: Floats) -> None:
    """Write the share [U, M, N] of a region's requests for a model that each site gets in environment b."""
    regions, models, sites = share.shape
    for u in range(regions):
        for m in range(models):
            top = -np.inf
            for n in range(sites):
                if flow.serves[b, m, n]:
                    top = max(top, flow.pull[b, u, n] + STEER_RANGE * levels[n])
            whole = SMALL
            for n in range(sites):
                share[u, m, n] = 0.0
                if flow.serves[b, m, n]:
                    share[u, m, n] = math.exp(flow.pull[b, u, n] + STEER_RANGE * levels[n] - top)
                    whole += share[u, m, n]
            for n in range(sites):
                share[u, m, n] /= whole


@numba.njit(cache=True, nogil=True, error_model="numpy")
def charge(flow: Flow, b: int, share: Floats, marginal: Floats) -> float:
    """Cost of a division of all demand in environment b; writes the marginal cost [U, M, N] of a request."""
    regions, models, sites = share.shape
    late_weight, lost_weight = flow.weights[b, 0], flow.weights[b, 1]
    edge = min(flow.limit[b], HIGHEST)
    cost = 0.0
    for m in range(models):
        for n in range(sites):
            if not flow.serves[b, m, n]:
                continue
            capacity, price, pace = flow.capacity[b, m, n], flow.price[b, m, n], 1 / flow.queue_s[b, m, n]
            load = 0.0
            for u in range(regions):
                load += share[u, m, n] * flow.demand[b, u, m] / capacity
            rho = min(max(load, SMALL), edge)
            more = min(rho + RISE, HIGHEST)
            waits, waits_more = _waits(flow, b, m, rho), _waits(flow, b, m, more)
            over = load - edge + BLUR * _softplus((edge - load) / BLUR)
            kept = max(1 - over / max(load, SMALL), 0.0)
            crowding = 0.0
            for u in range(regions):
                on_time, spare = 1 - flow.late[b, u, m, n], flow.spare_s[b, u, m, n] * pace
                late = 1 - on_time + on_time * waits * math.exp(-spare * (1 - rho))
                later = 1 - on_time + on_time * waits_more * math.exp(-spare * (1 - more))
                flows = share[u, m, n] * flow.demand[b, u, m]
                crowding += (later - late) * flows
                marginal[u, m, n] = late_weight * late + price
                cost += flows * kept * marginal[u, m, n]
            cost += lost_weight * over * capacity
            crowding *= late_weight / RISE / capacity if load < edge else 0.0
            full = 1 / (1 + math.exp(min(max((edge - load) / BLUR, -STEEPEST), STEEPEST)))
            for u in range(regions):
                marginal[u, m, n] = (1 - full) * (marginal[u, m, n] + crowding) + full * lost_weight
    return cost


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _waits(flow: Flow, b: int, m: int, rho: float) -> float:
    """Probability that a request waits at utilisation rho."""
    return math.exp((flow.exponent[b, m] + flow.bend[b, m] * (1 - rho)) * math.log(rho))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _softplus(value: float) -> float:
    """Logarithm of 1 + e^value."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _move(
    flow: Flow, b: int, hosts: npt.NDArray[np.bool_], share: Floats, marginal: Floats, rate: float, levels: Floats
) -> None:
    """Move the levels [N] of environment b against their excess cost, with the middle of the hosts' levels at 0."""
    regions, models, sites = share.shape
    worse, through = np.zeros(sites), np.zeros(sites)
    for u in range(regions):
        for m in range(models):
            mean = 0.0
            for n in range(sites):
                mean += share[u, m, n] * marginal[u, m, n]
            for n in range(sites):
                flows = share[u, m, n] * flow.demand[b, u, m]
                worse[n] += flows * (marginal[u, m, n] - mean)
                through[n] += flows
    high, low = -np.inf, np.inf
    for n in range(sites):
        if hosts[n]:
            levels[n] -= rate * worse[n] / max(through[n], LEAST_FLOW)
            high, low = max(high, levels[n]), min(low, levels[n])
    for n in range(sites):
        levels[n] = min(max(levels[n] - (high + low) / 2, -1.0), 1.0) if hosts[n] else 0.0
