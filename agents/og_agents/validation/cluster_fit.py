"""Batches and clusters of recorded arrivals: the settings with which the flow model's waits are nearest to the recording's.

The recording is played through a queue of c streams, request by request; the five settings that a scenario has for uneven
arrivals are those of the smallest errors of the mean wait.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
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
REQUESTS = 280_000
"""requests that are played at least, the recording several times if need be: with 80,000 the settings followed the orders
of answers that were drawn, and their largest error on other orders was up to twice as large"""
MOST_REQUESTS = 120_000
"""of a longer recording, its beginning"""
ROUNDS, DRAWS = 14, 3_000
"""of a search: each round draws around the best so far, less widely"""
STARTS = 6
"""searches, each from draws of its own: one alone can end in a minimum that is not the least"""
SEED = 7
NAMES = ("arrival_cv", "batch_requests", "cluster_requests", "cluster_rate", "idle_relief")
LIMITS = np.log(np.array([[0.02, 1.0, 1.0, 1.01, 1e-3], [60.0, 200.0, 20_000.0, 1e4, 20.0]]))
"""smallest and largest of the settings NAMES"""
LEAST_RELIEF = 0.01
"""an idle_relief below that counts as 0: it changes waits at utilisation 0.3 by less than 3 %"""


class Clusters(NamedTuple):
    """Settings of uneven arrivals, and the errors of the mean wait that they leave."""

    arrival_cv: float
    batch_requests: float
    cluster_requests: float
    cluster_rate: float
    idle_relief: float
    mean_error: float
    max_error: float

    def settings(self) -> dict[str, float]:
        """The demand settings of a scenario by name."""
        return {name: getattr(self, name) for name in NAMES}


class Waits(NamedTuple):
    """Mean waits of a recording in Q queues, in answers."""

    streams: Floats
    utilisation: Floats
    wait: Floats
    """[Q]"""
    service_cv: float
    """coefficient of variation of the answers"""


def played(gap: Floats, service: Floats, rng: np.random.Generator | None = None) -> Waits:
    """The waits of arrivals `gap` apart with answers `service` [R], played as often as REQUESTS need, in every queue."""
    return play(*repeated(gap, service, np.random.default_rng(SEED) if rng is None else rng))


def play(gap: Floats, service: Floats) -> Waits:
    """The waits of arrivals `gap` apart with answers `service` [R], in every queue; both have mean 1."""
    queues = [(c, rho) for c in STREAMS for rho in UTILISATIONS]
    times = np.cumsum(gap)
    waits = [mean_wait(times / (c * rho), service, c) for c, rho in queues]
    streams, utilisation = np.array(queues).T
    return Waits(streams, utilisation, np.array(waits), float(service.std()))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mean_wait(times: Floats, service: Floats, streams: int) -> float:
    """Mean wait of requests at times [R] with answers `service` [R] for one of the streams, in the order of arrival."""
    free, waited = np.zeros(streams), 0.0
    for request in range(len(times)):
        first = np.argmin(free)
        start = max(free[first], times[request])
        waited += start - times[request]
        free[first] = start + service[request]
    return waited / len(times)


def model_wait(settings: Floats, waits: Waits) -> Floats:
    """Mean waits [D, Q] of the flow model for settings [D, 5], in answers; see og_env/dynamics/latency.py."""
    cv, batch, requests, rate, relief = (column[:, None] for column in settings.T)
    c, rho = waits.streams, waits.utilisation
    seen = np.maximum(c / batch, LEAST_QUEUE_STREAMS)
    exponent = 1 + WAIT_SLOPE * (np.sqrt(seen) - 1) + QUEUE_BEND * (seen - 1) * (1 - rho)
    share = rho**exponent * np.exp(-relief * (1 - rho) / rho)
    queued = share / (c * (1 - rho)) * (cv**2 + waits.service_cv**2) / 2
    excess = np.maximum((requests - 1) * (1 - 1 / (rho * rate)), 1e-9)
    over = np.maximum(excess - c * (1 - rho) ** (CLUSTER_IDLE / rate), 0)
    return queued + over**2 / (2 * excess) / c


def errors(settings: Floats, waits: Waits) -> Floats:
    """Relative errors [D, Q] of the mean waits for settings [D, 5]."""
    return np.abs(model_wait(settings, waits) - waits.wait) / np.maximum(waits.wait, FLOOR)


def repeated(gap: Floats, service: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Arrivals and answers of mean 1 played as often as REQUESTS need, each time with the answers in another order."""
    gap, service = gap[:MOST_REQUESTS], service[:MOST_REQUESTS]
    times = max(1, math.ceil(REQUESTS / len(gap)))
    gap, service = gap / gap.mean(), service / service.mean()
    return np.tile(gap, times), np.concatenate([rng.permutation(service) for _ in range(times)])


def fit(waits: Waits) -> Clusters:
    """The settings with which the flow model is nearest to these waits."""
    rng = np.random.default_rng(SEED)
    _, best = min((searched(waits, rng) for _ in range(STARTS)), key=lambda end: end[0])
    found = np.exp(best)
    if np.allclose(found[2], 1, atol=0.5):
        found[2] = 1.0
    if found[4] < LEAST_RELIEF:
        found[4] = 0.0
    off = errors(found[None], waits)[0]
    cv, batch, requests, rate, relief = found.tolist()
    return Clusters(cv, batch, requests, rate, relief, float(off.mean()), float(off.max()))


def searched(waits: Waits, rng: np.random.Generator) -> tuple[float, Floats]:
    """Where one search ends: the sum of the largest and the mean error, and the logarithms [5] of the settings."""
    low, high = LIMITS
    best, cost = np.zeros(len(NAMES)), math.inf
    tried, width = rng.uniform(low, high, (10 * DRAWS, len(NAMES))), (high - low) / 4
    for _ in range(ROUNDS):
        off = errors(np.exp(tried), waits)
        costs = off.max(axis=1) + off.mean(axis=1)
        if costs.min() < cost:
            best, cost = tried[costs.argmin()], float(costs.min())
        some = rng.random((DRAWS, len(NAMES))) < 0.7
        tried = np.clip(best + np.where(some, rng.standard_normal((DRAWS, len(NAMES))) * width, 0), low, high)
        width = width * 0.7
    return cost, best


def without(waits: Waits, arrival_cv: float) -> tuple[float, float]:
    """Mean and largest error of the waits with this arrival_cv and neither batches nor clusters."""
    off = errors(np.array([[arrival_cv, 1.0, 1.0, 4.0, 0.0]]), waits)[0]
    return float(off.mean()), float(off.max())
