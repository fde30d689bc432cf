"""How long requests take: to the first token, to the whole answer, and whether they meet their objective.

A request waits for a stream with some probability, exponentially long; all else it takes (round trips, prefill, decoding,
a replica that is not warm yet) has the moments of a mixture over gateways and replicas. Queueing is Allen-Cunneen for
G/G/c: the wait of M/M/c times (ca^2 + cs^2) / 2. Requests that come in batches or clusters wait longer, see `batched` and
`cluster_wait`. Evenly spaced ones wait less at low load, see `waiting_share`. Without such arrivals these change nothing.
"""

from __future__ import annotations

from typing import Any

from og_env.kernel.arrays import Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import exp, load, log, root, splat, store, total, where

LEAST_LOAD = 1e-30
"""utilisation below which nobody waits"""
QUEUE_BEND = 0.276
"""how the exponent of the waiting probability grows with the number of free streams"""
LOGISTIC = 1.8137994
"""pi / sqrt(3): slope of the logistic distribution with standard deviation 1"""
MOST_SLOPES = 50.0
"""beyond so many of them the tail of the logistic is 0"""
LEAST_DEVIATION_S, LEAST_QUEUE_S, LEAST_LOG_VARIANCE = 1e-6, 1e-12, 1e-12
MOST_WAIT = 1 - 1e-9
"""largest share of those who wait, for percentiles"""
FEWER_WAIT = 0.2
"""exponent of what a limit leaves of waits, for the share of those who wait; the rest is for the length of a wait"""
NEWTON_STEPS = 2
"""of a percentile"""
LEAST_QUEUE_STREAMS = 0.125
"""fewest streams that a queue of batches sees: with fewer, the exponent of the waiting probability would be negative"""
CLUSTER_IDLE = 3.0
"""exponent of the streams that are idle when a cluster begins, times the cluster's rate"""
EVEN_SQUARE = 4.0 / 3.0
"""mean square over squared mean of what is uniform from 0 on"""
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
def smoothed(accepted: Any, arrivals_part: Any) -> tuple[Any, Any]:
    """Factors of the waiting probability and of the wait of those who wait at a replica that refuses some, in lanes.

    A limit lets an even stream through, so the arrivals' part of a wait shrinks with the share that is accepted: by its
    10th power, a fifth of it (as an exponent) from fewer who wait and the rest from shorter waits. Fitted to a
    request-level simulation of replicas whose limit is 0.9 of their capacity.
    """
    one = splat(1.0)
    square = accepted * accepted
    fourth = square * square
    left = max(one - arrivals_part * (one - fourth * fourth * square), splat(LEAST_LOAD))
    fewer = exp(splat(FEWER_WAIT) * log(left))
    return fewer, left / fewer


@inlined
def batched(streams: Any, batch_requests: float) -> float:
    """Streams as a queue of batches sees them (Hayward): so many requests that come at once take one stream for them all."""
    return max(streams / max(batch_requests, 1.0), LEAST_QUEUE_STREAMS)


@inlined
def cluster_wait(rho: Any, idle: Any, per_capacity: Any, streams: Any, requests: Any, per_rate: Any) -> Any:
    """Mean time that requests wait because they come in clusters, in lanes; uniform from 0 to twice that.

    A cluster of `requests` comes at a rate that is 1 / `per_rate` times the mean one, so that a part of it, the excess, is
    more than the replica serves meanwhile. It fills the streams that are idle first; of the rest, half waits for the other
    half. per_capacity: one over the requests/s that the replica serves at most. The exponent of the idle streams is chosen
    for the recorded traces of `scripts/validate.py`.
    """
    one, nothing, least = splat(1.0), splat(0.0), splat(LEAST_LOAD)
    excess = (requests - one) * (one - per_rate / max(rho, least))
    over = excess - streams * exp(splat(CLUSTER_IDLE) * per_rate * log(max(idle, least)))
    return where(over, over * over / (max(excess, least) + max(excess, least)) * per_capacity, nothing)


@inlined
def held_up(sum_s: Any, sum_s2: Any, rps: Any, wait_s: Any) -> tuple[Any, Any]:
    """Sums of requests/s x time and x its square, after all `rps` waited for a time uniform from 0 to twice wait_s; lanes."""
    return sum_s + rps * wait_s, sum_s2 + wait_s * (sum_s + sum_s + rps * wait_s * splat(EVEN_SQUARE))


@inlined
def late_lanes(objective: Any, mean: Any, variance: Any, waits: Any, per_queue: Any) -> Any:
    """Share of requests later than an objective, in lanes.

    `mean` and `variance` are of the time without waiting for a stream, which is taken for logistic. `waits` is the share
    of those who wait, exponentially long; `per_queue` is one over the mean of that.
    """
    nothing, one = splat(0.0), splat(1.0)
    spare = objective - mean
    slope = splat(LOGISTIC) / max(root(max(variance, nothing)), splat(LEAST_DEVIATION_S))
    late = one / (one + exp(min(spare * slope, splat(MOST_SLOPES))))
    delayed = waits * exp(min(nothing, nothing - spare) * per_queue)
    return late + (one - late) * delayed


@inlined
def queue_bend(env: Environment, model: int) -> float:
    """How the exponent of a model's waiting probability grows with the idle share."""
    return QUEUE_BEND * (batched(env.world.streams[model], env.world.batch_requests) - 1)


@inlined
def waiting_share(env: Environment, rho: Any, exponent: Any, bend: Any) -> Any:
    """Probability that an answer waits for a stream as the world has it, in lanes.

    Where arrivals are evenly spaced, `wait_probability` falls by a factor exp(-idle_relief (1 - rho) / rho), in the manner of
    Kraemer and Langenbach-Belz (1976): it tends to 1 at full load.
    """
    one, nothing = splat(1.0), splat(0.0)
    busy, idle = max(rho, splat(LEAST_LOAD)), one - rho
    waits = wait_probability(busy, idle, exponent, bend)
    if env.world.idle_relief > 0:
        waits = waits * exp(nothing - splat(env.world.idle_relief) * idle / busy)
    return where(rho, waits, nothing)


@inlined
def cluster_lanes(env: Environment, rho: Any, idle: Any, per_capacity: Any, streams: Any) -> Any:
    """The wait in clusters as the world has them, in lanes."""
    requests, per_rate = splat(env.world.cluster_requests), splat(1.0 / env.world.cluster_rate)
    return cluster_wait(rho, idle, per_capacity, streams, requests, per_rate)


@inlined
def once_on_the_way(env: Environment, first: int, rps: Any, wait_s: Any) -> tuple[Any, Any]:
    """Sums over first tries of requests/s x seconds on the way and in clusters, and x the square, in lanes."""
    milli = splat(S_PER_MS)
    sum_s = load(env.scratch.path_rps_ms, first) * milli
    sum_s2 = load(env.scratch.path_rps_ms2, first) * milli * milli
    if env.world.cluster_requests > 1:
        store(env.scratch.cluster_s, first, wait_s)
        sum_s, sum_s2 = held_up(sum_s, sum_s2, rps, wait_s)
    return sum_s, sum_s2


@inlined
def again_on_the_way(env: Environment, first: int, rps: Any, wait_s: Any) -> tuple[Any, Any]:
    """The same sums over retried requests, in lanes."""
    milli = splat(S_PER_MS)
    sum_s = load(env.scratch.retried_rps_ms, first) * milli
    sum_s2 = load(env.scratch.retried_rps_ms2, first) * milli * milli
    if env.world.cluster_requests > 1:
        sum_s, sum_s2 = held_up(sum_s, sum_s2, rps, wait_s)
    return sum_s, sum_s2


@kernel
def time_answers(env: Environment, model: int, count: int) -> None:
    """Book how long the answers of a model's `count` listed replicas take, and which of them are late, by model.

    Writes replica_wait_mean_s, late_share and late_again_share [L], and cluster_s [L] where requests come in clusters.
    """
    clustered, streams = env.world.cluster_requests > 1, splat(env.world.streams[model])
    nothing, one = splat(0.0), splat(1.0)
    exponent, bend = splat(env.world.queue_exponent[model]), splat(queue_bend(env, model))
    variation, objective = splat(env.world.service_cv * env.world.service_cv), splat(env.world.slo_s[model])
    waiting_rps, waiting_rps_s, two, arrivals_part = nothing, nothing, splat(2.0), splat(env.world.arrivals_part)
    first_s, first_s2, answer_s, answer_s2 = nothing, nothing, nothing, nothing
    for first in range(0, count, LANES):
        rps, capacity = load(env.scratch.replica_rps, first), load(env.scratch.cap_rps, first)
        rho = where(capacity, rps / capacity, nothing)
        idle = one - rho
        waits = waiting_share(env, rho, exponent, bend)
        queue = load(env.scratch.queue_s, first) / idle
        held = nothing
        if clustered:
            held = cluster_lanes(env, rho, idle, where(capacity, one / capacity, nothing), streams)
        tries = load(env.scratch.tries_rps, first)
        if total(tries - rps) > 0:
            fewer, shorter = smoothed(where(tries, rps / tries, one), arrivals_part)
            waits, queue, held = waits * fewer, queue * shorter, held * fewer * shorter
        per_queue = one / max(queue, splat(LEAST_QUEUE_S))
        store(env.scratch.replica_wait_mean_s, first, waits * queue + held)
        waiting_rps += rps * waits
        waiting_rps_s += rps * waits * queue
        again = load(env.scratch.retried_rps, first)
        tried = rps - again
        path, path2 = once_on_the_way(env, first, tried, held)
        timed = load(env.scratch.timed_s, first)
        spread = variation * timed * timed
        per_rps = where(tried, one / tried, nothing)
        mean = path * per_rps
        variance = path2 * per_rps - mean * mean + spread
        store(env.scratch.late_share, first, late_lanes(objective, mean + timed, variance, waits, per_queue))
        if total(again) > 0:
            more, more2 = again_on_the_way(env, first, again, held)
            per_rps = where(again, one / again, nothing)
            mean = more * per_rps
            variance = more2 * per_rps - mean * mean + spread
            store(env.scratch.late_again_share, first, late_lanes(objective, mean + timed, variance, waits, per_queue))
            path, path2 = path + more, path2 + more2
        prefill, service = load(env.scratch.prefill_s, first), load(env.scratch.service_s, first)
        first_s += path + rps * prefill
        first_s2 += path2 + prefill * (two * path + rps * prefill * (one + variation))
        answer_s += path + rps * service
        answer_s2 += path2 + service * (two * path + rps * service * (one + variation))
    env.scratch.waiting_rps[model] = total(waiting_rps)
    env.scratch.waiting_rps_s[model] = total(waiting_rps_s)
    env.scratch.first_rps_s[model] = total(first_s)
    env.scratch.first_rps_s2[model] = total(first_s2)
    env.scratch.answer_rps_s[model] = total(answer_s)
    env.scratch.answer_rps_s2[model] = total(answer_s2)
    if env.memo.moving > 0:
        add_cold_waits(env, model, count)


@kernel
def add_cold_waits(env: Environment, model: int, count: int) -> None:
    """Add the wait for replicas that are not warm yet to times, mean waits and late shares.

    A replica that is warm after w of a step of length t delays its requests by w^2 / 2t on average, and those that come
    before it is warm by a time that is uniform from 0 to w.
    """
    step_s = env.world.step_ms / 1000
    for position in range(count):
        wait_s, rps = env.scratch.replica_wait_s[position], env.scratch.replica_rps[position]
        if wait_s <= 0:
            continue
        cold_s = wait_s * wait_s / (2 * step_s)
        cold_s2 = wait_s * wait_s * wait_s / (3 * step_s)
        path_ms = env.scratch.path_rps_ms[position]
        again_rps, again_ms = env.scratch.retried_rps[position], env.scratch.retried_rps_ms[position]
        if env.world.cluster_requests > 1:
            held_ms = env.scratch.cluster_s[position] / S_PER_MS
            path_ms, again_ms = path_ms + (rps - again_rps) * held_ms, again_ms + again_rps * held_ms
        late = late_when_cold(env, model, position, path_ms, rps - again_rps)
        env.scratch.late_share[position] += (1 - env.scratch.late_share[position]) * late
        late = late_when_cold(env, model, position, again_ms, again_rps)
        env.scratch.late_again_share[position] += (1 - env.scratch.late_again_share[position]) * late
        path_s = (path_ms + again_ms) * S_PER_MS
        env.scratch.replica_wait_mean_s[position] += cold_s
        prefill_s, service_s = env.scratch.prefill_s[position], env.scratch.service_s[position]
        env.scratch.first_rps_s[model] += rps * cold_s
        env.scratch.first_rps_s2[model] += 2 * cold_s * (path_s + rps * prefill_s) + rps * cold_s2
        env.scratch.answer_rps_s[model] += rps * cold_s
        env.scratch.answer_rps_s2[model] += 2 * cold_s * (path_s + rps * service_s) + rps * cold_s2


@inlined
def late_when_cold(env: Environment, model: int, position: int, path_rps_ms: float, rps: float) -> float:
    """Share of the requests/s at a replica that its missing warmth alone makes late."""
    if rps <= 0:
        return 0.0
    spare_s = env.world.slo_s[model] - path_rps_ms * S_PER_MS / rps - env.scratch.timed_s[position]
    wait_s = env.scratch.replica_wait_s[position]
    cold_share = wait_s * 1000 / env.world.step_ms
    return cold_share * (1 - min(max(spare_s / wait_s, 0.0), 1.0))


@kernel
def write_percentiles(env: Environment, waits: float, queue_s: float) -> None:
    """Write percentile_s [8]: the times that the shares percentile_tail of all requests exceed.

    percentile_mean_s and percentile_var: of the time without waiting for a stream, which is taken for log-logistic with
    the log's moments of a lognormal. waits: share of those who wait, exponentially long with mean queue_s, beyond that
    mean: below it they only add to the tail, and the percentile has a closed form. Above, Newton's method for the
    logarithm of the tail starts from the larger of what either part alone would give; its error is 1e-4 on average.
    """
    nothing, one, two, tiny = splat(0.0), splat(1.0), splat(2.0), splat(LEAST_QUEUE_S)
    tail, mean = load(env.scratch.percentile_tail, 0), load(env.scratch.percentile_mean_s, 0)
    known = max(mean, tiny)
    log_variance = log(one + max(load(env.scratch.percentile_var, 0), nothing) / (known * known))
    log_variance = max(log_variance, splat(LEAST_LOG_VARIANCE))
    middle, scale = log(known) - log_variance / two, root(log_variance) / splat(LOGISTIC)
    share, queue = splat(min(waits, MOST_WAIT)), max(splat(queue_s), tiny)
    others = max((tail - share) / (one - share), tiny)
    below = exp(middle + scale * log((one - others) / others))
    alone = exp(middle + scale * log((one - tail) / tail))
    least = max(max(alone, known), mean + queue * log(max(share, splat(LEAST_LOAD)) / tail))
    time, per_scale, per_queue = least, one / scale, one / queue
    for _ in range(NEWTON_STEPS):
        slow = one / (one + exp(min((log(time) - middle) * per_scale, splat(MOST_SLOPES))))
        waiting = (one - slow) * share * exp((mean - time) * per_queue)
        later = slow + waiting
        slope = slow * (one - later) * per_scale / time + waiting * per_queue
        time = max(time + log(later / tail) * later / slope, least)
    found = where(known - below, where(tail - share, below, time), time)
    store(env.scratch.percentile_s, 0, where(mean, found, nothing))
