"""Batches and clusters of recorded arrivals: the settings with which the flow model's waits are nearest to the recording's.

The recording is played through a queue of c streams, request by request; the four settings that a scenario has for uneven
arrivals are those of the smallest errors of the mean wait.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WAIT_SLOPE, QUEUE_BEND, LEAST_QUEUE_STREAMS, CLUSTER_IDLE = 1.17, 0.276, 0.125, 3.0
"""of the waiting probability and of clusters, as the simulator has them"""
STREAMS = (1, 2, 4, 8, 16)
UTILISATIONS = (0.3, 0.5, 0.7, 0.8, 0.85)
"""queues in which the settings are fitted"""
FLOOR = 0.01
"""waits below this part of an answer count as that: nobody notices them"""
REQUESTS = 80_000
"""requests that are played at least, the recording several times if need be"""
MOST_REQUESTS = 120_000
"""of a longer recording, its beginning"""
ROUNDS, DRAWS = 14, 3_000
"""of the search: each round draws around the best so far, half as wide"""
SEED = 7
LIMITS = np.log(np.array([[0.02, 1.0, 1.0, 1.01], [60.0, 200.0, 20_000.0, 1e4]]))
"""smallest and largest arrival_cv, batch_requests, cluster_requests and cluster_rate"""


class Clusters(NamedTuple):
    """Settings of uneven arrivals, and the errors of the mean wait that they leave."""

    arrival_cv: float
    batch_requests: float
    cluster_requests: float
    cluster_rate: float
    mean_error: float
    max_error: float


class Waits(NamedTuple):
    """Mean waits of a recording in Q queues, in answers."""

    streams: Floats
    utilisation: Floats
    wait: Floats
    """[Q]"""


def play(gap: Floats, service: Floats) -> Waits:
    """The waits of arrivals `gap` apart with answers `service` [R], in every queue; both have mean 1."""
    queues = [(c, rho) for c in STREAMS for rho in UTILISATIONS]
    times = np.cumsum(gap)
    waits = [mean_wait((times / (c * rho)).tolist(), service.tolist(), c) for c, rho in queues]
    streams, utilisation = np.array(queues).T
    return Waits(streams, utilisation, np.array(waits))


def mean_wait(times: list[float], service: list[float], streams: int) -> float:
    """Mean wait of requests at these times for one of the streams, in the order of arrival."""
    free, waited = [0.0] * streams, 0.0
    for time, length in zip(times, service, strict=True):
        start = max(free[0], time)
        waited += start - time
        heapq.heapreplace(free, start + length)
    return waited / len(times)


def model_wait(settings: Floats, waits: Waits, service_cv: float) -> Floats:
    """Mean waits [D, Q] of the flow model for settings [D, 4], in answers; see og_env/dynamics/latency.py."""
    cv, batch, requests, rate = (column[:, None] for column in settings.T)
    c, rho = waits.streams, waits.utilisation
    seen = np.maximum(c / batch, LEAST_QUEUE_STREAMS)
    exponent = 1 + WAIT_SLOPE * (np.sqrt(seen) - 1) + QUEUE_BEND * (seen - 1) * (1 - rho)
    queued = rho**exponent / (c * (1 - rho)) * (cv**2 + service_cv**2) / 2
    excess = np.maximum((requests - 1) * (1 - 1 / (rho * rate)), 1e-9)
    over = np.maximum(excess - c * (1 - rho) ** (CLUSTER_IDLE / rate), 0)
    return queued + over**2 / (2 * excess) / c


def errors(settings: Floats, waits: Waits, service_cv: float) -> Floats:
    """Relative errors [D, Q] of the mean waits."""
    return np.abs(model_wait(settings, waits, service_cv) - waits.wait) / np.maximum(waits.wait, FLOOR)


def repeated(gap: Floats, service: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Arrivals and answers played as often as REQUESTS need, each time with the answers in another order."""
    gap, service = gap[:MOST_REQUESTS], service[:MOST_REQUESTS]
    times = max(1, math.ceil(REQUESTS / len(gap)))
    return np.tile(gap / gap.mean(), times), np.concatenate([rng.permutation(service) for _ in range(times)])


def fit(gap: Floats, service: Floats) -> Clusters:
    """The settings for arrivals `gap` apart with answers `service` [R]."""
    rng = np.random.default_rng(SEED)
    service = service / service.mean()
    waits, service_cv = play(*repeated(gap, service, rng)), float(service.std())
    low, high = LIMITS
    best, cost = np.zeros(4), math.inf
    tried, width = rng.uniform(low, high, (10 * DRAWS, 4)), (high - low) / 4
    for _ in range(ROUNDS):
        off = errors(np.exp(tried), waits, service_cv)
        costs = off.max(axis=1) + off.mean(axis=1)
        if costs.min() < cost:
            best, cost = tried[costs.argmin()], float(costs.min())
        some = rng.random((DRAWS, 4)) < 0.7
        tried = np.clip(best + np.where(some, rng.standard_normal((DRAWS, 4)) * width, 0), low, high)
        width = width * 0.7
    found = np.exp(best)
    if np.allclose(found[2], 1, atol=0.5):
        found[2] = 1.0
    off = errors(found[None], waits, service_cv)[0]
    cv, batch, requests, rate = found.tolist()
    return Clusters(cv, batch, requests, rate, float(off.mean()), float(off.max()))


def without(gap: Floats, service: Floats, arrival_cv: float) -> tuple[float, float]:
    """Mean and largest error of the waits with this arrival_cv and neither batches nor clusters."""
    rng = np.random.default_rng(SEED)
    service = service / service.mean()
    waits = play(*repeated(gap, service, rng))
    off = errors(np.array([[arrival_cv, 1.0, 1.0, 4.0]]), waits, float(service.std()))[0]
    return float(off.mean()), float(off.max())
