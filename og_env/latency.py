"""How long an answer takes, and how long until it is final.

Mean and variance are moments of a mixture over gateways and replicas; percentiles are those of the lognormal with the
same two moments. Queueing is Allen-Cunneen for G/G/c with Sakasegawa's waiting probability rho^(sqrt(2(c+1))-1).
"""

from __future__ import annotations

import math

from og_env.jit import kernel
from og_env.layout import DOWN, SLOW, VERIFIER, scratch_of, state_of, world_of
from og_env.status import NO_PROOF, SLOW_CAPACITY, quorum_of, trusted

Z95 = 1.6448536
Z99 = 2.3263479


@kernel
def replica_delay(t, b, m, s, rho, wait_s):
    """Mean and variance of service, queue and cold wait at a replica with utilisation rho below 1, seconds."""
    world, state = world_of(t), state_of(t)
    k = state.world[b]
    stretch = 1 / SLOW_CAPACITY if state.status[b, s] & SLOW else 1.0
    service = world.service_s[k, m, s] * stretch
    spread = world.service_cv[k] * service
    mean, variance = service, spread * spread
    if rho > 0:
        waits = math.exp(world.queue_exponent[k, m] * math.log(rho))
        queue = world.busy_s[k, m, s] * stretch * world.queue_factor[k] / (world.streams[k, m] * (1 - rho))
        mean += waits * queue
        variance += (2 - waits) * waits * queue * queue
    if wait_s > 0:
        step_s = world.step_ms[k] / 1000
        cold = wait_s * wait_s / (2 * step_s)
        mean += cold
        variance += wait_s * wait_s * wait_s / (3 * step_s) - cold * cold
    return mean, variance


@kernel
def write_delays(t, b, c, m, count):
    """Mean and variance of the delay at each listed replica, at the load that it serves."""
    scratch = scratch_of(t)
    for r in range(count):
        capacity = scratch.cap_rps[c, r]
        rho = scratch.total_rps[c, r] / capacity if capacity > 0 else 0.0
        mean, variance = replica_delay(t, b, m, scratch.replicas[c, r], rho, scratch.replica_wait_s[c, r])
        scratch.delay_s[c, r] = mean
        scratch.delay_var[c, r] = variance


@kernel
def model_latency(t, b, c, m, count, served, late):
    """Mean [s] and variance [s^2] of model m's answers over users, gateways and replicas; late: served after a timeout."""
    world, scratch = world_of(t), scratch_of(t)
    if served <= 0:
        return 0.0, 0.0
    first, second = 0.0, 0.0
    for slot in range(scratch.slots[c]):
        demand = scratch.gateway_rps[c, m, slot]
        if demand <= 0:
            continue
        user = scratch.gateway_ms[c, m, slot] / demand / 1000
        user2 = scratch.gateway_ms2[c, m, slot] / demand / 1e6
        for r in range(count):
            flow = scratch.flow[c, slot, r]
            rest = scratch.net_ms[c, slot, scratch.replicas[c, r]] / 1000 + scratch.delay_s[c, r]
            first += flow * (user + rest)
            second += flow * (user2 + 2 * user * rest + rest * rest + scratch.delay_var[c, r])
    mean = first / served
    variance = max(second / served - mean * mean, 0.0)
    share = late / served
    timeout_s = world.timeout_ms[state_of(t).world[b]] / 1000
    return mean + share * timeout_s, variance + share * (1 - share) * timeout_s * timeout_s


@kernel
def lognormal_percentiles(mean, variance):
    """p50, p95 and p99 of the lognormal with this mean and variance."""
    if mean <= 0:
        return 0.0, 0.0, 0.0
    sigma2 = math.log(1 + variance / (mean * mean))
    sigma = math.sqrt(sigma2)
    mu = math.log(mean) - sigma2 / 2
    return math.exp(mu), math.exp(mu + Z95 * sigma), math.exp(mu + Z99 * sigma)


@kernel
def quorum_s(t, b, c, s, quorum):
    """Seconds until the quorum-th nearest live verifier has the proof of site s; -1 where there is no quorum."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    if scratch.quorum_s[c, s] != -1:
        return scratch.quorum_s[c, s]
    k = state.world[b]
    votes = 0
    for position in range(world.near_site.shape[2]):
        v = world.near_site[k, s, position]
        if state.role_ms[b, VERIFIER, v] == 0 and not state.status[b, v] & DOWN:
            votes += 1
            if votes == quorum:
                scratch.quorum_s[c, s] = world.rtt_ms[k, s, v] / 1000
                break
    return scratch.quorum_s[c, s]


@kernel
def finality(t, b, c, m, count, final):
    """Verified requests/s of model m, and their sum of seconds to finality beyond the answer's own latency."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    if world.verification[k, m] == NO_PROOF or not final:
        return 0.0, 0.0
    quorum = quorum_of(scratch.registered[c])
    verified, seconds = 0.0, 0.0
    for r in range(count):
        s = scratch.replicas[c, r]
        load = scratch.total_rps[c, r]
        if load > 0 and trusted(t, b, m, s, state.status[b, s]):
            proof = world.busy_s[k, m, s] - world.service_s[k, m, s]
            verified += load
            seconds += load * (proof + quorum_s(t, b, c, s, quorum) + world.settle_s[k] + world.block_s[k])
    return verified, seconds
