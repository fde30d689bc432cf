"""How long an answer takes, and how long until it is final.

Mean and variance are moments of a mixture over gateways and replicas; percentiles are those of the lognormal with the
same two moments. Queueing is Allen-Cunneen for G/G/c: the wait of M/M/c times (ca^2 + cs^2) / 2.
"""

from __future__ import annotations

import math

from og_env.binding import LANES
from og_env.jit import inlined, kernel
from og_env.lanes import exp, load, log, splat, store
from og_env.layout import DOWN, SLOW, VERIFIER, memo_of, scratch_of, state_of, world_of
from og_env.status import NO_PROOF, SLOW_CAPACITY, quorum_of, trusted

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
def write_service(t, b, c, m, r):
    """Mean service and, of those who wait, mean wait without load at the replica at position r of the list."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k, s = state.world[b], scratch.replicas[c, r]
    stretch = 1 / SLOW_CAPACITY if state.status[b, s] & SLOW else 1.0
    scratch.service_s[c, r] = world.service_s[k, m, s] * stretch
    scratch.queue_s[c, r] = world.busy_s[k, m, s] * stretch * (world.queue_factor[k] / world.streams[k, m])


@inlined
def write_delays(t, b, c, m, count):
    """Mean and variance of service, queue and cold wait at each listed replica, at the load that it serves."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    variation = world.service_cv[k] * world.service_cv[k]
    for r in range(count):
        capacity = scratch.cap_rps[c, r]
        scratch.rho[c, r] = scratch.total_rps[c, r] / capacity if capacity > 0 else 0.0
        write_service(t, b, c, m, r)
    one, two, least = splat(1.0), splat(2.0), splat(LEAST_LOAD)
    exponent, bend = splat(world.queue_exponent[k, m]), splat(QUEUE_BEND * (world.streams[k, m] - 1))
    for first in range(0, count, LANES):
        service, rho = load(scratch.service_s, (c, first)), load(scratch.rho, (c, first))
        idle = one - rho
        waits = wait_probability(max(rho, least), idle, exponent, bend)
        queue = load(scratch.queue_s, (c, first)) / idle
        store(scratch.delay_s, (c, first), service + waits * queue)
        spread = splat(variation) * service * service
        store(scratch.delay_var, (c, first), spread + (two - waits) * waits * queue * queue)
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
    first, second = 0.0, 0.0
    for r in range(count):
        path, delay = scratch.path_first[c, r] * 0.001, scratch.delay_s[c, r]
        first += path + scratch.total_rps[c, r] * delay
        second += scratch.path_second[c, r] * 1e-6 + 2 * path * delay
        second += scratch.total_rps[c, r] * (delay * delay + scratch.delay_var[c, r])
    mean = first / served
    variance = max(second / served - mean * mean, 0.0)
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
def quorum_s(t, b, s, quorum):
    """Seconds until the quorum-th nearest live verifier has the proof of site s; there is a quorum."""
    world, state, memo = world_of(t), state_of(t), memo_of(t)
    if memo.quorum_s[b, s] < 0:
        k = state.world[b]
        votes, position, v = 0, 0, 0
        while votes < quorum and position < world.near_site.shape[2]:
            v = world.near_site[k, s, position]
            votes += state.role_ms[b, VERIFIER, v] == 0 and not state.status[b, v] & DOWN
            position += 1
        memo.quorum_s[b, s] = world.rtt_ms[k, s, v] / 1000
    return memo.quorum_s[b, s]


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
        s = scratch.replicas[c, r]
        load = scratch.total_rps[c, r]
        if load > 0 and trusted(t, b, m, s, state.status[b, s]):
            proof = world.busy_s[k, m, s] - world.service_s[k, m, s]
            verified += load
            seconds += load * (proof + quorum_s(t, b, s, quorum) + world.settle_s[k] + world.block_s[k])
    return verified, seconds
