"""Requests one by one through several replicas with limits: what the flow model's refusals and first tokens are held against.

Users reach a gateway, which draws a replica. The replica has a token bucket that fills at its limit; a request that finds
it empty is refused and tries another one, drawn by the same chances without the refuser. A replica answers `streams`
requests at once; the others wait in the order in which they came.
"""

from __future__ import annotations

import bisect
import heapq
import math
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from og_agents.validation.queue_simulation import BATCHES, T95, WARM_UP

Floats = NDArray[np.float64]

BUCKET_S = 10.0
"""depth of a token bucket: a replica takes on what its limit allows in so many seconds at once"""


class Service(NamedTuple):
    """The demand of U user regions for one model, and the R replicas that serve it."""

    demand_rps: Floats
    """[U]"""
    user_ms: Floats
    """[U] round trip between the users and their gateway"""
    chance: Floats
    """[U, R] of a first try, by the gateway of the users"""
    network_ms: Floats
    """[U, R] round trip between their gateway and a replica: what a refused try loses"""
    payment_ms: Floats
    """[R]"""
    limit_rps: Floats
    """[R]"""
    service_s: Floats
    """[R] mean time of an answer, without waiting"""
    prefill_s: Floats
    """[R] the part of it until the first token"""
    streams: int
    round_trips: tuple[float, float, float]
    """of a request over a connection that is kept alive, of one over a new one, and the share of the first kind"""
    service_cv: float
    tries: int


class Requests(NamedTuple):
    """Outcome of K requests, in the order in which they were made; those that nobody served have no times."""

    served: NDArray[np.bool_]
    refused_first: NDArray[np.bool_]
    tries: NDArray[np.int64]
    wait_s: Floats
    first_token_s: Floats
    answer_s: Floats


class Measured(NamedTuple):
    """A figure of a run, and the half-width of its 95 % interval."""

    value: float
    error: float


def simulate(service: Service, requests: int, rng: np.random.Generator) -> Requests:
    """The outcome of so many requests that arrive as a Poisson process."""
    total_rps = float(service.demand_rps.sum())
    came_s = np.cumsum(rng.exponential(1 / total_rps, requests))
    region = rng.choice(len(service.demand_rps), requests, p=service.demand_rps / total_rps)
    variance = math.log(1 + service.service_cv**2)
    length = np.exp(math.sqrt(variance) * rng.standard_normal(requests) - variance / 2)
    kept_alive, new, share = service.round_trips
    trips = np.where(rng.random(requests) < share, kept_alive, new)

    by, tries, wait_s, lost_s = _serve(service, came_s, region, length, rng.random((requests, service.tries)))
    served = by >= 0
    path_ms = trips * (service.user_ms[region] + service.network_ms[region, by]) + service.payment_ms[by]
    before_s = np.where(served, path_ms / 1000 + lost_s + wait_s, np.nan)
    first_token_s = before_s + length * service.prefill_s[by]
    answer_s = before_s + length * service.service_s[by]
    return Requests(served, (tries > 1) | ~served, tries, wait_s, first_token_s, answer_s)


def _serve(
    service: Service, came_s: Floats, region: NDArray[np.int64], length: Floats, drawn: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    """Replica (-1 nobody), number of tries, wait and time lost by refused tries of each request [K]."""
    count, replicas = len(came_s), service.chance.shape[1]
    choices = {(u, but): _cumulative(row, but) for u, row in enumerate(service.chance) for but in range(-1, replicas)}
    by, tries, wait_s, lost_s = np.full(count, -1), np.ones(count, np.int64), np.zeros(count), np.zeros(count)
    places, sizes, draws = region.tolist(), length.tolist(), drawn.tolist()
    limits, service_s = service.limit_rps.tolist(), service.service_s.tolist()
    depths = [max(limit * BUCKET_S, 1.0) for limit in limits]
    tokens, filled_s = list(depths), [0.0] * replicas
    free_s = [[0.0] * service.streams for _ in range(replicas)]
    again: list[tuple[float, int, int, int, float]] = []
    coming = enumerate(came_s.tolist())
    fresh = next(coming, None)
    while fresh is not None or again:
        if again and (fresh is None or again[0][0] < fresh[1]):
            now, request, number, refuser, lost = heapq.heappop(again)
        else:
            assert fresh is not None
            (request, now), number, refuser, lost = fresh, 1, -1, 0.0
            fresh = next(coming, None)
        edges = choices[places[request], refuser]
        if edges is None:  # there is nobody else
            continue
        replica = bisect.bisect_right(edges, draws[request][number - 1])
        tries[request] = number
        tokens[replica] = min(depths[replica], tokens[replica] + (now - filled_s[replica]) * limits[replica])
        filled_s[replica] = now
        if tokens[replica] >= 1:
            tokens[replica] -= 1
            start_s = max(now, free_s[replica][0])
            heapq.heapreplace(free_s[replica], start_s + sizes[request] * service_s[replica])
            by[request], wait_s[request], lost_s[request] = replica, start_s - now, lost
        elif number < service.tries:
            more = float(service.network_ms[places[request], replica]) / 1000
            heapq.heappush(again, (now + more, request, number + 1, replica, lost + more))
    return by, tries, wait_s, lost_s


def _cumulative(chance: Floats, but: int) -> list[float] | None:
    """Upper edges of the replicas' shares of the unit interval, without one of them; None where no other is left."""
    others = np.where(np.arange(len(chance)) == but, 0.0, chance)
    if others.sum() <= 0:
        return None
    edges = np.cumsum(others) / others.sum()
    edges[others.nonzero()[0][-1] :] = 1.0
    return edges.tolist()


def settled(requests: Requests) -> Requests:
    """A run without its beginning."""
    first = int(len(requests.served) * WARM_UP)
    return Requests(*[cast(Any, values)[first:] for values in requests])


def mean_of(values: NDArray[np.floating] | NDArray[np.bool_]) -> Measured:
    """The mean; its error comes from BATCHES consecutive parts."""
    parts = [float(part.mean()) for part in np.array_split(values, BATCHES)]
    return Measured(float(values.mean()), T95 / math.sqrt(BATCHES) * float(np.std(parts, ddof=1)))


def p95_of(values: Floats) -> Measured:
    """The 95th percentile; its error comes from BATCHES consecutive parts."""
    parts = [float(np.quantile(part, 0.95)) for part in np.array_split(values, BATCHES)]
    return Measured(float(np.quantile(values, 0.95)), T95 / math.sqrt(BATCHES) * float(np.std(parts, ddof=1)))
