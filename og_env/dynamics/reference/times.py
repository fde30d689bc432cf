"""How long answers and first tokens take: waiting, lateness and percentiles.

Who waits for a stream does so exponentially long; all the rest is log-logistic, or logistic against the objective.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from og_env.dynamics.reference.entry import Replicas
from og_env.dynamics.reference.rounds import Answered
from og_env.dynamics.reference.world_rows import Condition, Facts, clipped, ratio

LOGISTIC = 1.8137994
"""pi / sqrt(3): standard deviations times this are the scale of a logistic number"""
QUEUE_BEND = 0.276
"""how the exponent of the waiting probability grows with the number of free streams"""
LEAST_SD_S, LEAST_SHAPE, STEEPEST = 1e-6, 1e-12, 50.0
"""smallest spread, smallest variance of a logarithm, largest exponent"""
SMOOTHING, FEWER_WAIT = 10, 0.2
"""how fast a limit takes the unevenness out of arrivals, and how much of that is fewer who wait rather than shorter waits"""
NEWTON_STEPS = 2
"""towards a percentile"""
LEAST_STREAMS = 0.125
"""fewest streams that a queue of batches sees"""
CLUSTER_IDLE = 3.0
"""exponent of the streams that are idle when a cluster begins, times the cluster's rate"""
MOST_WAIT, LEAST_QUEUE_S, LEAST_TAIL = 1 - 1e-9, 1e-12, 1e-12
"""largest share of those who wait, their shortest mean wait, smallest share of the others that is beyond a percentile"""


class Times(NamedTuple):
    """True times at the replicas [B, M, N]: those of a slow or grey site are longer than the world says."""

    service_s: np.ndarray  # of an answer
    prefill_s: np.ndarray  # of a first token
    timed_s: np.ndarray  # of the objective's clock
    waits: np.ndarray  # probability that a request waits for a stream
    queue_s: np.ndarray  # mean wait of those that do
    cluster_s: np.ndarray  # mean wait of all requests because they come in clusters; uniform from 0 to twice that
    cold_s: np.ndarray  # mean wait for a replica that was not yet warm
    cold_var: np.ndarray
    cold_share: np.ndarray  # share of the step in which it was not
    wait_s: np.ndarray  # until it was

    @property
    def delay_s(self) -> np.ndarray:
        """Mean wait of all requests, for a stream, in clusters and for a replica that was not yet warm."""
        return self.waits * self.queue_s + self.cluster_s + self.cold_s


def times(facts: Facts, replicas: Replicas, answered: Answered, condition: Condition) -> Times:
    """Times at the loads of what is answered: Allen-Cunneen G/G/c with nearly Erlang's C, smoothed by limits.

    Where arrivals are evenly spaced, fewer wait at low load: by a factor exp(-idle_relief (1 - rho) / rho).
    """
    world, slowness = facts.world, condition.slowness[:, None]
    load_rps = answered.direct.rps + answered.retried.rps
    accepted = np.where(answered.offered_rps > 0, ratio(load_rps, answered.offered_rps), 1)
    uneven = 1 - world.arrivals_part[:, None, None] * (1 - accepted**SMOOTHING)
    rho = ratio(load_rps, replicas.cap_rps)
    streams = world.streams[:, :, None]
    seen = np.maximum(streams / np.maximum(world.batch_requests, 1)[:, None, None], LEAST_STREAMS)
    exponent = world.queue_exponent[:, :, None] + QUEUE_BEND * (seen - 1) * (1 - rho)
    relief = np.exp(-world.idle_relief[:, None, None] * ratio(1 - rho, rho))
    waits = np.where(rho > 0, rho, 1) ** exponent * relief * (rho > 0)
    queue_s = world.queue_s * slowness / (1 - rho)
    step_s, wait_s = world.step_ms[:, None, None] / 1000, replicas.wait_s
    cold_s = wait_s**2 / (2 * step_s)
    return Times(
        service_s=world.service_s * slowness,
        prefill_s=world.prefill_s * slowness,
        timed_s=world.timed_s * slowness,
        waits=waits * uneven**FEWER_WAIT,
        queue_s=queue_s * uneven ** (1 - FEWER_WAIT),
        cluster_s=cluster_s(facts, rho, replicas.cap_rps) * uneven,
        cold_s=cold_s,
        cold_var=wait_s**3 / (3 * step_s) - cold_s**2,
        cold_share=wait_s / step_s,
        wait_s=wait_s,
    )


def cluster_s(facts: Facts, rho: np.ndarray, cap_rps: np.ndarray) -> np.ndarray:
    """Mean wait in clusters [B, M, N]: what a cluster brings beyond capacity fills idle streams, and half waits for half."""
    requests, rate = (getattr(facts.world, f"cluster_{name}")[:, None, None] for name in ("requests", "rate"))
    clustered = (requests > 1) & (rho > 0)
    excess = (requests - 1) * (1 - ratio(1.0, np.where(clustered, rho * rate, 1)))
    idle = facts.world.streams[:, :, None] * (1 - rho) ** (CLUSTER_IDLE / np.where(clustered, rate, 1))
    over = np.where(clustered, np.maximum(excess - idle, 0), 0)
    return ratio(over**2, 2 * excess * cap_rps * (over > 0))


def mean_s(answered: Answered, time: Times, clock_s: np.ndarray) -> np.ndarray:
    """[B, M]: mean time on a clock that counts clock_s [B, M, N] at the replica, with the way and all waits."""
    rps = answered.direct.rps + answered.retried.rps
    rps_s = answered.direct.rps_s + answered.retried.rps_s + rps * (clock_s + time.delay_s)
    return ratio(rps_s.sum(axis=2), rps.sum(axis=2))


def late_rps(facts: Facts, answered: Answered, time: Times, again_share: np.ndarray) -> np.ndarray:
    """[B, M]: served requests that missed their objective; who had to ask again has missed it."""
    late = np.zeros(again_share.shape)
    for part in (answered.direct, answered.retried):
        mean, variance = _moments(part)
        mean, variance = mean + time.cluster_s, variance + time.cluster_s**2 / 3
        ahead_s = facts.world.slo_s[:, :, None] - (mean + time.timed_s)
        sd_s = np.sqrt(variance + (facts.world.service_cv[:, None, None] * time.timed_s) ** 2)
        miss = 1 / (1 + np.exp(np.minimum(ahead_s * LOGISTIC / np.maximum(sd_s, LEAST_SD_S), STEEPEST)))
        outwaited = time.waits * np.exp(-ratio(np.maximum(ahead_s, 0), time.queue_s)) * (time.queue_s > 0)
        miss += (1 - miss) * outwaited
        in_time_share = np.where(time.wait_s > 0, clipped(ratio(ahead_s, time.wait_s), 0, 1), 1)
        miss += (1 - miss) * time.cold_share * (1 - in_time_share)
        miss += (1 - miss) * again_share[:, :, None]
        late += (part.rps * miss).sum(axis=2)
    return late


def quantiles_s(facts: Facts, answered: Answered, time: Times, clock_s: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and percentiles [B] over all that is served, on a clock that counts clock_s [B, M, N] at the replica."""
    own_var = (facts.world.service_cv[:, None, None] * clock_s) ** 2 + time.cold_var + time.cluster_s**2 / 3
    rps = rps_s = rps_s2 = np.zeros(len(clock_s))
    for part in (answered.direct, answered.retried):
        mean, variance = _moments(part)
        mean, variance = mean + clock_s + time.cluster_s + time.cold_s, variance + own_var
        rps = rps + part.rps.sum(axis=(1, 2))
        rps_s = rps_s + (part.rps * mean).sum(axis=(1, 2))
        rps_s2 = rps_s2 + (part.rps * (variance + mean**2)).sum(axis=(1, 2))
    mean = ratio(rps_s, rps)
    variance = np.maximum(ratio(rps_s2, rps) - mean**2, 0)

    waiting = (answered.direct.rps + answered.retried.rps) * time.waits
    waits = ratio(waiting.sum(axis=(1, 2)), rps)
    queue_s = ratio((waiting * time.queue_s).sum(axis=(1, 2)), waiting.sum(axis=(1, 2)))
    found = {"mean": mean + waits * queue_s}
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        rows = zip(mean, variance, waits, queue_s, strict=True)
        found[name] = np.array([percentile_s(share, *map(float, row)) for row in rows])
    return found


def percentile_s(share: float, mean: float, variance: float, waits: float, queue_s: float) -> float:
    """The time within which this share is served.

    mean and variance: of the time without waiting. waits: share of requests that wait. queue_s: their mean wait.
    """
    if mean <= 0:
        return 0.0
    shape = max(np.log1p(variance / mean**2), LEAST_SHAPE)
    median, scale = np.log(mean) - shape / 2, np.sqrt(shape) / LOGISTIC
    beyond, waits, queue_s = 1 - share, min(waits, MOST_WAIT), max(queue_s, LEAST_QUEUE_S)

    def without_wait(tail: float) -> float:
        """The time that this share of those who do not wait exceeds."""
        return float(np.exp(median + scale * np.log((1 - tail) / tail)))

    if waits < beyond:  # up to the mean, all who wait are still waiting
        below = without_wait(max((beyond - waits) / (1 - waits), LEAST_TAIL))
        if below <= mean:
            return below
    least = max(without_wait(beyond), mean, mean + queue_s * float(np.log(waits / beyond)) if waits > 0 else 0.0)
    time_s = least
    for _ in range(NEWTON_STEPS):
        slow = 1 / (1 + np.exp(min((np.log(time_s) - median) / scale, STEEPEST)))
        waiting = (1 - slow) * waits * np.exp(-(time_s - mean) / queue_s)
        later = slow + waiting
        fall = slow * (1 - later) / (scale * time_s) + waiting / queue_s
        time_s = max(time_s + float(np.log(later / beyond) * later / fall), least)
    return time_s


def _moments(part: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean [s] and variance of the time on the way, by replica."""
    rps, rps_s, rps_s2 = part
    mean = ratio(rps_s, rps)
    return mean, np.maximum(ratio(rps_s2, rps) - mean**2, 0)
