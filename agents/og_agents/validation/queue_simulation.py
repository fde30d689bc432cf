"""Requests one by one through a replica: a discrete-event simulation (SimPy) to hold the flow model against.

A replica answers `streams` requests at once; the others wait in the order of arrival.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.errors import import_extra

Floats = NDArray[np.float64]

BATCHES = 20
"""batches of consecutive requests, from whose spread the Monte-Carlo error follows"""
T95 = 2.093
"""97.5 % point of Student's t with BATCHES - 1 degrees of freedom"""
WARM_UP = 0.05
"""share of the requests that is left out at the beginning"""


class Waits(NamedTuple):
    """Waits of the requests of one run, with the half-widths of 95 % intervals."""

    mean_s: float
    mean_error_s: float
    p95_s: float
    """95th percentile of the time from arrival to the end of the answer"""
    p95_error_s: float
    requests: int


def simulate(gap_s: Floats, service_s: Floats, streams: int) -> Floats:
    """Seconds that each request [R] waits: arrivals gap_s [R] apart, answers of service_s [R], `streams` at once.

    ValueError where SimPy is not installed.
    """
    simpy = import_extra("simpy")
    world = simpy.Environment()
    waits = np.zeros(len(gap_s))
    waiting: deque[tuple[int, float]] = deque()
    free = streams
    gaps, services = gap_s.tolist(), service_s.tolist()

    def start(request: int) -> None:
        world.timeout(services[request]).callbacks.append(leave)

    def leave(_: Any) -> None:
        nonlocal free
        if waiting:
            request, since_s = waiting.popleft()
            waits[request] = world.now - since_s
            start(request)
        else:
            free += 1

    def arrive() -> Any:
        nonlocal free
        for request, gap in enumerate(gaps):
            yield world.timeout(gap)
            if free > 0:
                free -= 1
                start(request)
            else:
                waiting.append((request, world.now))

    world.process(arrive())
    world.run()
    return waits


def summary(waits_s: Floats, service_s: Floats) -> Waits:
    """Means and percentile of a run without its beginning; the error from BATCHES consecutive parts."""
    first = int(len(waits_s) * WARM_UP)
    waits_s, answer_s = waits_s[first:], (waits_s + service_s)[first:]
    means = [float(part.mean()) for part in np.array_split(waits_s, BATCHES)]
    tails = [float(np.quantile(part, 0.95)) for part in np.array_split(answer_s, BATCHES)]
    half = T95 / math.sqrt(BATCHES)
    return Waits(
        mean_s=float(waits_s.mean()),
        mean_error_s=half * float(np.std(means, ddof=1)),
        p95_s=float(np.quantile(answer_s, 0.95)),
        p95_error_s=half * float(np.std(tails, ddof=1)),
        requests=len(waits_s),
    )
