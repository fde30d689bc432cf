"""How long an answer takes, and how long until it is final.

Mean and variance are moments of a mixture over gateways and replicas; percentiles are those of the lognormal with the
same two moments. Queueing is Allen-Cunneen for G/G/c: the wait of M/M/c times (ca^2 + cs^2) / 2.
"""

from __future__ import annotations

import math

import numpy as np

from og_env.binding import LANES
from og_env.jit import inlined, kernel
from og_env.lanes import exp, load, log, splat, store, total, where
from og_env.layout import VERIFIER, memo_of, scratch_of, state_of, world_of
from og_env.status import NO_PROOF, quorum_of

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
def write_delays(t, b, c, m, count):
    """Mean and variance of service, queue and cold wait at each listed replica, at the load that it serves."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    variation, two = splat(world.service_cv[k] * world.service_cv[k]), splat(2.0)
    nothing, one, least = splat(0.0), splat(1.0), splat(LEAST_LOAD)
    exponent, bend = splat(world.queue_exponent[k, m]), splat(QUEUE_BEND * (world.streams[k, m] - 1))
    for first in range(0, count, LANES):
        service, capacity = load(scratch.service_s, (c, first)), load(scratch.cap_rps, (c, first))
        rho = where(capacity, load(scratch.total_rps, (c, first)) / capacity, nothing)
        idle = one - rho
        waits = wait_probability(max(rho, least), idle, exponent, bend)
        queue = load(scratch.queue_s, (c, first)) / idle
        store(scratch.delay_s, (c, first), service + waits * queue)
        spread = variation * service * service
        store(scratch.delay_var, (c, first), spread + (two - waits) * waits * queue * queue)
    if memo_of(t).moving[b] == 0:
        return
    step_s = world.step_ms[k] / 1000
    for r in range(count):
        wait_s = scratch.replica_wait_s[c, r]
        if wait_s > 0:
            cold = wait_s * wait_s / (2 * step_s)
            scratch.delay_s[c, r] += cold
            scratch.delay_var[c, r] += wait_s * wait_s * wait_s / (3 * step_s) - cold * cold


@inlined
def model_latency(t, b, c, m, count, served, late):
    """Mean [s] and variance [s^2] of model m's answers over users, gateways and replicas; late: served after a timeout."""
    scratch = scratch_of(t)
    if served <= 0:
        return 0.0, 0.0
    firsts, seconds, milli, two = splat(0.0), splat(0.0), splat(0.001), splat(2.0)
    for first in range(0, count, LANES):
        path, delay = load(scratch.path_first, (c, first)) * milli, load(scratch.delay_s, (c, first))
        rps = load(scratch.total_rps, (c, first))
        firsts += path + rps * delay
        seconds += load(scratch.path_second, (c, first)) * milli * milli + two * path * delay
        seconds += rps * (delay * delay + load(scratch.delay_var, (c, first)))
    mean = total(firsts) / served
    variance = max(total(seconds) / served - mean * mean, 0.0)
    share = late / served
    timeout_s = world_of(t).timeout_ms[state_of(t).world[b]] / 1000
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
def quorum_s(t, b, c, s, quorum):
    """Seconds until the quorum-th nearest live verifier has the proof of site s; there is a quorum."""
    world, scratch, memo = world_of(t), scratch_of(t), memo_of(t)
    k = state_of(t).world[b]
    if memo.last_vote[b, s] < 0:
        votes, position, v = 0, 0, 0
        while votes < quorum and position < world.near_site.shape[2]:
            v = world.near_site[k, s, position]
            votes += scratch.votes[c, v]
            position += 1
        memo.last_vote[b, s] = v
    return np.float32(world.rtt_ms[k, s, memo.last_vote[b, s]] / 1000)


@kernel
def finality(t, b, c, m, count):
    """Verified requests/s of model m, and their sum of seconds to finality beyond the answer's own latency."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    k = state.world[b]
    quorum = quorum_of(memo.registered[b])
    if world.verification[k, m] == NO_PROOF or memo.registered[b] == 0 or memo.live[b, VERIFIER] < quorum:
        return 0.0, 0.0
    verified, seconds = 0.0, 0.0
    for r in range(count):
        rps = scratch.total_rps[c, r] * scratch.trust[c, r]
        if rps > 0:
            s = scratch.replicas[c, r]
            verified += rps
            seconds += rps * (world.busy_s[k, m, s] - world.service_s[k, m, s] + quorum_s(t, b, c, s, quorum))
    seconds += verified * (world.settle_s[k] + world.block_s[k])
    return verified, seconds
