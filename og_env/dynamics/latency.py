"""How long an answer takes, and how long until it is final.

Mean and variance are moments of a mixture over gateways and replicas; percentiles are those of the lognormal with the
same two moments. Queueing is Allen-Cunneen for G/G/c: the wait of M/M/c times (ca^2 + cs^2) / 2.
"""

from __future__ import annotations

import math

import numpy as np

from og_env.dynamics.verification import NO_PROOF, quorum_of
from og_env.kernel.arrays import VERIFIER
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.simd import exp, load, log, splat, store, total, where
from og_env.kernel.views import LANES

Z95 = 1.6448536
Z99 = 2.3263479
LEAST_LOAD = 1e-30
"""utilisation below which nobody waits"""
QUEUE_BEND = 0.276
"""how the exponent of the waiting probability grows with the number of free streams"""


@inlined
def wait_probability(rho, idle, exponent, bend):
    """Probability that an answer waits for one of c streams: rho^(1 + 1.17 (sqrt(c) - 1) + 0.276 (c - 1) (1 - rho)).

    Numbers or lanes. idle: 1 - rho; exponent: 1 + 1.17 (sqrt(c) - 1); bend: 0.276 (c - 1). Fitted to Erlang's C for 1 to
    4096 streams, exact for one. Where the mean wait exceeds half a percent of an answer the error is at most 6 %; that of
    Sakasegawa's rho^(sqrt(2(c+1))-1) is up to 170 % there.
    """
    return exp((exponent + bend * idle) * log(rho))


@inlined
def write_delays(env, model, count):
    """Mean and variance of service, queue and cold wait at each listed replica, at the load that it serves."""
    variation, two = splat(env.world.service_cv * env.world.service_cv), splat(2.0)
    nothing, one, least = splat(0.0), splat(1.0), splat(LEAST_LOAD)
    exponent, bend = splat(env.world.queue_exponent[model]), splat(QUEUE_BEND * (env.world.streams[model] - 1))
    for first in range(0, count, LANES):
        service, capacity = load(env.scratch.service_s, first), load(env.scratch.cap_rps, first)
        rho = where(capacity, load(env.scratch.total_rps, first) / capacity, nothing)
        idle = one - rho
        waits = wait_probability(max(rho, least), idle, exponent, bend)
        queue = load(env.scratch.queue_s, first) / idle
        store(env.scratch.delay_s, first, service + waits * queue)
        spread = variation * service * service
        store(env.scratch.delay_var, first, spread + (two - waits) * waits * queue * queue)
    if env.memo.moving == 0:
        return
    step_s = env.world.step_ms / 1000
    for r in range(count):
        wait_s = env.scratch.replica_wait_s[r]
        if wait_s > 0:
            cold = wait_s * wait_s / (2 * step_s)
            env.scratch.delay_s[r] += cold
            env.scratch.delay_var[r] += wait_s * wait_s * wait_s / (3 * step_s) - cold * cold


@inlined
def model_latency(env, model, count, served, late):
    """Mean [s] and variance [s^2] of model m's answers over users, gateways and replicas; late: served after a timeout."""
    if served <= 0:
        return 0.0, 0.0
    firsts, seconds, milli, two = splat(0.0), splat(0.0), splat(0.001), splat(2.0)
    for first in range(0, count, LANES):
        path, delay = load(env.scratch.path_first, first) * milli, load(env.scratch.delay_s, first)
        rps = load(env.scratch.total_rps, first)
        firsts += path + rps * delay
        seconds += load(env.scratch.path_second, first) * milli * milli + two * path * delay
        seconds += rps * (delay * delay + load(env.scratch.delay_var, first))
    mean = total(firsts) / served
    variance = max(total(seconds) / served - mean * mean, 0.0)
    share = late / served
    timeout_s = env.world.timeout_ms / 1000
    return mean + share * timeout_s, variance + share * (1 - share) * timeout_s * timeout_s


@kernel
def lognormal_percentiles(mean, variance):
    """p50, p95 and p99 of the lognormal with this mean and variance."""
    if mean <= 0:
        return 0.0, 0.0, 0.0
    sigma2 = log(1 + variance / (mean * mean))
    sigma = math.sqrt(sigma2)
    mu = log(mean) - sigma2 / 2
    return exp(mu), exp(mu + Z95 * sigma), exp(mu + Z99 * sigma)


@inlined
def quorum_s(env, site, quorum):
    """Seconds until the quorum-th nearest live verifier has the proof of site s; there is a quorum."""
    if env.memo.last_vote[site] < 0:
        votes, position, v = 0, 0, 0
        while votes < quorum and position < env.world.near_site.shape[1]:
            v = env.world.near_site[site, position]
            votes += env.scratch.votes[v]
            position += 1
        env.memo.last_vote[site] = v
    return np.float32(env.world.rtt_ms[site, env.memo.last_vote[site]] / 1000)


@kernel
def finality(env, model, count):
    """Verified requests/s of model m, and their sum of seconds to finality beyond the answer's own latency."""
    quorum = quorum_of(env.memo.registered)
    if env.world.verification[model] == NO_PROOF or env.memo.registered == 0 or env.memo.live[VERIFIER] < quorum:
        return 0.0, 0.0
    verified, seconds = 0.0, 0.0
    for r in range(count):
        rps = env.scratch.total_rps[r] * env.scratch.trust[r]
        if rps > 0:
            site = env.scratch.replicas[r]
            verified += rps
            seconds += rps * (
                env.world.busy_s[model, site] - env.world.service_s[model, site] + quorum_s(env, site, quorum)
            )
    seconds += verified * (env.world.settle_s + env.world.block_s)
    return verified, seconds
