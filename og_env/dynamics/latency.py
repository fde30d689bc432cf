"""How long an answer takes.

Mean and variance are moments of a mixture over gateways and replicas; percentiles are those of the lognormal with the
same two moments. Queueing is Allen-Cunneen for G/G/c: the wait of M/M/c times (ca^2 + cs^2) / 2.
"""

from __future__ import annotations

import math
from typing import Any

from og_env.kernel.arrays import Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import exp, load, log, splat, store, total, where

Z95, Z99 = 1.6448536, 2.3263479
"""quantiles of the standard normal distribution at 95 and 99 percent"""
LEAST_LOAD = 1e-30
"""utilisation below which nobody waits"""
QUEUE_BEND = 0.276
"""how the exponent of the waiting probability grows with the number of free streams"""
S_PER_MS = 0.001


@inlined
def wait_probability(rho: Any, idle: Any, exponent: Any, bend: Any) -> Any:
    """Probability that an answer waits for one of c streams: rho^(1 + 1.17 (sqrt(c) - 1) + 0.276 (c - 1) (1 - rho)).

    Numbers or lanes. idle: 1 - rho; exponent: 1 + 1.17 (sqrt(c) - 1); bend: 0.276 (c - 1). Fitted to Erlang's C for 1 to
    4096 streams, exact for one. Where the mean wait exceeds half a percent of an answer the error is at most 6 %; that of
    Sakasegawa's rho^(sqrt(2(c+1))-1) is up to 170 % there.
    """
    return exp((exponent + bend * idle) * log(rho))


@inlined
def write_delays(env: Environment, model: int, count: int) -> None:
    """Write mean and variance of service, queue and cold wait at each listed replica to delay_s and delay_var [L].

    A replica that is warm after w of a step of length t delays its requests by w^2 / 2t on average.
    """
    variation, two = splat(env.world.service_cv * env.world.service_cv), splat(2.0)
    nothing, one, least = splat(0.0), splat(1.0), splat(LEAST_LOAD)
    exponent, bend = splat(env.world.queue_exponent[model]), splat(QUEUE_BEND * (env.world.streams[model] - 1))
    for first in range(0, count, LANES):
        service, capacity = load(env.scratch.service_s, first), load(env.scratch.cap_rps, first)
        rho = where(capacity, load(env.scratch.replica_rps, first) / capacity, nothing)
        idle = one - rho
        waits = wait_probability(max(rho, least), idle, exponent, bend)
        queue = load(env.scratch.queue_s, first) / idle
        store(env.scratch.delay_s, first, service + waits * queue)
        spread = variation * service * service
        store(env.scratch.delay_var, first, spread + (two - waits) * waits * queue * queue)
    if env.memo.moving == 0:
        return
    step_s = env.world.step_ms / 1000
    for position in range(count):
        wait_s = env.scratch.replica_wait_s[position]
        if wait_s > 0:
            cold_s = wait_s * wait_s / (2 * step_s)
            env.scratch.delay_s[position] += cold_s
            env.scratch.delay_var[position] += wait_s * wait_s * wait_s / (3 * step_s) - cold_s * cold_s


@inlined
def model_latency(env: Environment, model: int, count: int, served_rps: float, late_rps: float) -> tuple[float, float]:
    """Mean [s] and variance [s^2] of a model's answers over users, gateways and its `count` listed replicas.

    late_rps of the served_rps waited for a timeout first.
    """
    if served_rps <= 0:
        return 0.0, 0.0
    firsts, seconds, milli, two = splat(0.0), splat(0.0), splat(S_PER_MS), splat(2.0)
    for first in range(0, count, LANES):
        path, delay = load(env.scratch.path_rps_ms, first) * milli, load(env.scratch.delay_s, first)
        rps = load(env.scratch.replica_rps, first)
        firsts += path + rps * delay
        seconds += load(env.scratch.path_rps_ms2, first) * milli * milli + two * path * delay
        seconds += rps * (delay * delay + load(env.scratch.delay_var, first))
    mean_s = total(firsts) / served_rps
    variance = max(total(seconds) / served_rps - mean_s * mean_s, 0.0)
    late_share = late_rps / served_rps
    timeout_s = env.world.timeout_ms / 1000
    late_variance = late_share * (1 - late_share) * timeout_s * timeout_s
    return mean_s + late_share * timeout_s, variance + late_variance


@kernel
def lognormal_percentiles(mean: float, variance: float) -> tuple[float, float, float]:
    """p50, p95 and p99 of the lognormal with this mean and variance; 0 for a mean of 0."""
    if mean <= 0:
        return 0.0, 0.0, 0.0
    sigma2 = log(1 + variance / (mean * mean))
    sigma = math.sqrt(sigma2)
    mu = log(mean) - sigma2 / 2
    return exp(mu), exp(mu + Z95 * sigma), exp(mu + Z99 * sigma)
