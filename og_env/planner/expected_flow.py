"""The traffic that a model's replicas would carry if all of them were warm: a step's routing, made for many trials.

The formulas are those of `dynamics.routing` and `dynamics.latency`: gateways divide demand among replicas by a softmax,
a full replica refuses, who is refused tries one other replica (further tries are left out), load makes requests queue,
and a request meets its objective or is late. The list of replicas holds what no trial of its model changes: pull, path
and limit. A trial appends one replica, or takes one out (`present`). Lanes run over replicas, so that flows need no sum
across lanes. Sites are taken to work at their nominal speed.

No replica waits or is dead here. What one serves and what it could serve more therefore add up to its limit, however
demand is divided. So what a domain's replicas serve and could serve (`held`) is a sum of limits, and a trial changes it
in the domains of its own site alone.
"""

from __future__ import annotations

from typing import NamedTuple

from og_env.dynamics.latency import (
    EVEN_SQUARE,
    LEAST_QUEUE_S,
    S_PER_MS,
    cluster_lanes,
    late_lanes,
    queue_bend,
    smoothed,
    waiting_share,
)
from og_env.dynamics.replicas import add_replica, scale_weights, weigh
from og_env.dynamics.routing import LEAST_CHANCE, LEAST_RPS, compete
from og_env.dynamics.supply_bits import stays
from og_env.kernel.arrays import KNOB, UNTRUSTED, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import load, splat, store, total, where

PLANNED_TRIES = 2
"""tries of a request that the planner follows"""
LEAST_PULL = 1e-290
"""where all pulls together are less, as those that a trial leaves may be, no replica is preferred"""
NOMINAL = 1.0
"""speed at which the planner takes every site to work"""


class Flow(NamedTuple):
    """The traffic of the listed replicas of one model."""

    served_rps: float
    attested_rps: float
    """served at replicas whose work counts as attested"""
    late_rps: float
    """served after the objective"""
    answers_usd_per_s: float
    """price of the answers, use included"""
    spare_rps: float
    """what all replicas could serve more"""
    spare_attested_rps: float
    """what the replicas whose work counts as attested could serve more"""
    crowded: bool
    """whether replicas refuse some"""


@kernel
def list_expected(env: Environment, model: int) -> int:
    """List the replicas of a model that are or will be warm, at sites that are up; returns their number."""
    replicas = 0
    for i in range(env.scratch.placed_count[model]):
        site = env.scratch.placed[model, i]
        if stays(env, site):
            add_replica(env, model, site, replicas, 0, 1.0, env.scratch.seen[site], NOMINAL)
            replicas += 1
    scale_weights(env, replicas)
    weigh(env, 0, replicas)
    for domain in range(env.scratch.held.shape[0]):
        env.scratch.held[domain] = 0
    for position in range(replicas):
        complete_replica(env, model, position)
        hold_limit(env, position, 1.0)
    for position in range(replicas, min((replicas // LANES + 1) * LANES, env.scratch.factor.shape[0])):
        env.scratch.present[position] = 0  # the rest of the last lanes takes part in nothing
    enter_demand(env, model)
    return replicas


@kernel
def enter_demand(env: Environment, model: int) -> None:
    """Write the figures by slot that flows need: one over the demand, and mean and variance of the way to the gateway."""
    for slot in range(env.memo.slots):
        demand = env.scratch.gateway_rps[model, slot]
        mean_ms = env.scratch.gateway_rps_ms[model, slot] / demand if demand > 0 else 0.0
        square_ms2 = env.scratch.gateway_rps_ms2[model, slot] / demand if demand > 0 else 0.0
        env.scratch.slot_ms[slot] = mean_ms
        env.scratch.slot_var[slot] = max(square_ms2 - mean_ms * mean_ms, 0.0)
        env.scratch.slot_rps[slot] = 1 / demand if demand > 0 else 0.0


@kernel
def append_expected(env: Environment, model: int, site: int, position: int) -> None:
    """Put a replica at a site on the list, at its end, and hold its limit."""
    add_replica(env, model, site, position, 0, 1.0, env.scratch.seen[site], NOMINAL)
    weigh(env, position // LANES * LANES, position + 1)
    complete_replica(env, model, position)
    hold_limit(env, position, 1.0)


@kernel
def complete_replica(env: Environment, model: int, position: int) -> None:
    """Write the figures of a listed replica that only the planner needs: its limit, and pull and path by gateway."""
    site, capacity = env.scratch.replicas[position], env.scratch.cap_rps[position]
    env.scratch.present[position] = 1
    env.scratch.limit_rps[position] = env.world.utilisation_limit * capacity
    env.scratch.per_capacity[position] = 1 / capacity if capacity > 0 else 0.0
    env.scratch.answer_price[position] = env.world.answer_usd[model, site]
    for slot in range(env.memo.slots):
        list_slot(env, position, slot)


@inlined
def list_slot(env: Environment, position: int, slot: int) -> None:
    """Write pull and path of a listed replica for a slot."""
    width = env.scratch.factor.shape[0]
    at, looked_up = slot * width + position, env.scratch.replicas[position] * width + slot
    env.scratch.slot_pull[at] = env.scratch.attraction[looked_up] * env.scratch.weight[position]
    env.scratch.slot_net_ms[at] = env.scratch.net_ms[looked_up]


@kernel
def hold_limit(env: Environment, position: int, sign: float) -> None:
    """Add the limit of a listed replica to what its domains hold, or subtract it (sign -1); `restore_held` undoes it.

    Domains whose effect is UNTRUSTED count trusted replicas only.
    """
    site = env.scratch.replicas[position]
    limit = sign * env.scratch.limit_rps[position]
    for d in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        env.scratch.held_before[d] = env.scratch.held[domain]
        counts = env.scratch.trust[position] if env.world.domain_effect[domain] == UNTRUSTED else 1.0
        env.scratch.held[domain] += limit * counts


@kernel
def restore_held(env: Environment, position: int) -> None:
    """Put back what the domains of a listed replica held before `hold_limit`, to the bit: a sum could round."""
    site = env.scratch.replicas[position]
    for d in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        env.scratch.held[domain] = env.scratch.held_before[d]


@kernel
def expected_flow(env: Environment, model: int, replicas: int) -> Flow:
    """Divide a model's demand over the first `replicas` of the list, let the refused try once more, and time answers."""
    divide_demand(env, model, replicas)
    crowded = send_demand(env, replicas) > 0
    if crowded:
        compete(env, replicas, min(env.world.tries, PLANNED_TRIES), env.scratch.offered_rps, env.scratch.limit_rps)
        if env.world.tries > 1:
            try_again(env, replicas)
    return serve_demand(env, model, replicas, crowded, env.world.slo_s[model])


@kernel
def divide_demand(env: Environment, model: int, replicas: int) -> None:
    """Write what every gateway sends to a replica: requests/s per pull to slot_soft, and in any case to slot_even.

    Writes the sum of all pulls to slot_pulls.
    """
    slots = env.memo.slots
    spread, width = env.state.knobs[KNOB.spread], env.scratch.factor.shape[0]
    taking_part = 0.0
    for position in range(replicas):
        taking_part += env.scratch.present[position]
    per_replica = 1 / taking_part if taking_part > 0 else 0.0
    for first in range(0, slots, LANES):
        whole = splat(0.0)
        for position in range(replicas):
            pull = load(env.scratch.attraction, env.scratch.replicas[position] * width + first)
            whole += pull * splat(env.scratch.weight[position] * env.scratch.present[position])
        store(env.scratch.slot_soft, first, whole)  # for now: the sum of all pulls
    for slot in range(slots):
        demand, whole = env.scratch.gateway_rps[model, slot], env.scratch.slot_soft[slot]
        env.scratch.slot_pulls[slot] = whole
        env.scratch.slot_soft[slot] = demand * (1 - spread) / whole if whole > LEAST_PULL else 0.0
        env.scratch.slot_even[slot] = (demand * spread if whole > LEAST_PULL else demand) * per_replica


@inlined
def send_demand(env: Environment, replicas: int) -> float:
    """Send every replica its first tries; returns the requests/s that are beyond limits.

    Writes requests/s to offered_rps, and sums of flow x ms and ms^2 for one round trip to path_first and path_first2.
    """
    slots, width, nothing = env.memo.slots, env.scratch.factor.shape[0], splat(0.0)
    over = nothing
    for first in range(0, replicas, LANES):
        present, offered, path_ms, path_ms2 = load(env.scratch.present, first), nothing, nothing, nothing
        for slot in range(slots):
            at = slot * width + first
            sent = splat(env.scratch.slot_soft[slot]) * load(env.scratch.slot_pull, at)
            sent += splat(env.scratch.slot_even[slot])
            ms = splat(env.scratch.slot_ms[slot]) + load(env.scratch.slot_net_ms, at)
            sent_ms = sent * ms
            offered += sent
            path_ms += sent_ms
            path_ms2 += sent_ms * ms + sent * splat(env.scratch.slot_var[slot])
        offered, limit = where(present, offered, nothing), load(env.scratch.limit_rps, first) * present
        over += max(offered - limit, nothing)
        store(env.scratch.offered_rps, first, offered)
        store(env.scratch.path_first, first, where(present, path_ms, nothing))
        store(env.scratch.path_first2, first, where(present, path_ms2, nothing))
    return total(over)


@kernel
def try_again(env: Environment, replicas: int) -> None:
    """Send the refused first tries to other replicas; writes requests/s and moments of their paths to again_* [L]."""
    slots, width, nothing, one, two = env.memo.slots, env.scratch.factor.shape[0], splat(0.0), splat(1.0), splat(2.0)
    trips, trips2, least = splat(env.world.round_trips), splat(env.world.round_trips2), splat(LEAST_CHANCE)
    for first in range(0, replicas, LANES):
        store(env.scratch.again_rps, first, nothing)
        store(env.scratch.again_rps_ms, first, nothing)
        store(env.scratch.again_rps_ms2, first, nothing)
    for slot in range(slots):
        soft, even = splat(env.scratch.slot_soft[slot]), splat(env.scratch.slot_even[slot])
        per_demand, entry = splat(env.scratch.slot_rps[slot]), splat(env.scratch.slot_ms[slot])
        entry_var = splat(env.scratch.slot_var[slot])
        all_rps, all_ms, all_ms2 = nothing, nothing, nothing
        for first in range(0, replicas, LANES):
            at = slot * width + first
            sent = where(load(env.scratch.present, first), soft * load(env.scratch.slot_pull, at) + even, nothing)
            others, lost = one - sent * per_demand, load(env.scratch.slot_net_ms, at)
            refused = one - load(env.scratch.take_share, first)
            going = where(others - least, sent * refused / others, nothing)
            store(env.scratch.going_rps, first, going)
            all_rps += going
            all_ms += going * lost
            all_ms2 += going * lost * lost
        sum_rps, sum_ms, sum_ms2 = splat(total(all_rps)), splat(total(all_ms)), splat(total(all_ms2))
        for first in range(0, replicas, LANES):
            at = slot * width + first
            sent = where(load(env.scratch.present, first), soft * load(env.scratch.slot_pull, at) + even, nothing)
            share, going, net = sent * per_demand, load(env.scratch.going_rps, first), load(env.scratch.slot_net_ms, at)
            rps = share * max(sum_rps - going, nothing)
            lost = share * max(sum_ms - going * net, nothing)
            lost2 = share * max(sum_ms2 - going * net * net, nothing)
            ms, payment = entry + net, load(env.scratch.payment_ms, first)
            mean = trips * ms + payment
            square = trips2 * (ms * ms + entry_var) + payment * (two * trips * ms + payment)
            store(env.scratch.again_rps, first, load(env.scratch.again_rps, first) + rps)
            store(env.scratch.again_rps_ms, first, load(env.scratch.again_rps_ms, first) + rps * mean + lost)
            more = load(env.scratch.again_rps_ms2, first) + rps * square + two * lost * mean + lost2
            store(env.scratch.again_rps_ms2, first, more)


@kernel
def serve_demand(env: Environment, model: int, replicas: int, crowded: bool, objective_s: float) -> Flow:
    """Serve what replicas take on of first tries and, where some are refused, of second ones; queue by load."""
    refuses = crowded and env.world.tries > 1
    nothing, one, two = splat(0.0), splat(1.0), splat(2.0)
    queue_s = splat(LEAST_QUEUE_S)
    tiny, milli, objective = splat(LEAST_RPS), splat(S_PER_MS), splat(objective_s)
    trips, trips2 = splat(env.world.round_trips), splat(env.world.round_trips2)
    exponent, bend = splat(env.world.queue_exponent[model]), splat(queue_bend(env, model))
    third, streams = splat(EVEN_SQUARE - 1), splat(env.world.streams[model])
    variation, arrivals_part = splat(env.world.service_cv * env.world.service_cv), splat(env.world.arrivals_part)
    served, attested, held, held_attested, late, usd = nothing, nothing, nothing, nothing, nothing, nothing
    for first in range(0, replicas, LANES):
        trust, offered = load(env.scratch.trust, first), load(env.scratch.offered_rps, first)
        limit = load(env.scratch.limit_rps, first) * load(env.scratch.present, first)
        direct = offered
        again, wanted, kept = nothing, nothing, nothing
        if crowded:
            direct = offered * load(env.scratch.take_share, first)
        if refuses:
            wanted = load(env.scratch.again_rps, first)
            again = min(wanted, limit - direct)
            kept = one / max(wanted, tiny)
        load_rps = direct + again
        served += load_rps
        attested += load_rps * trust
        held += limit
        held_attested += limit * trust
        usd += load_rps * load(env.scratch.answer_price, first)
        rho = load_rps * load(env.scratch.per_capacity, first)
        idle = one - rho
        waits = waiting_share(env, rho, exponent, bend)
        queue, timed = load(env.scratch.queue_s, first), load(env.scratch.timed_s, first)
        clump = nothing
        if env.world.cluster_requests > 1:
            clump = cluster_lanes(env, rho, idle, load(env.scratch.per_capacity, first), streams)
        if crowded:
            tries = offered + wanted
            fewer, shorter = smoothed(where(tries, load_rps / tries, one), arrivals_part)
            waits, queue, clump = waits * fewer, queue * shorter, clump * fewer * shorter
        per_queue = idle / max(queue, queue_s)
        spread, payment = variation * timed * timed + clump * clump * third, load(env.scratch.payment_ms, first)
        timed = timed + clump
        per_rps = one / max(offered, tiny)
        once, once2 = load(env.scratch.path_first, first) * per_rps, load(env.scratch.path_first2, first) * per_rps
        path = trips * once + payment
        path2 = trips2 * once2 + payment * (two * trips * once + payment)
        variance = (path2 - path * path) * milli * milli + spread
        late += direct * late_lanes(objective, path * milli + timed, variance, waits, per_queue)
        if refuses:
            path = load(env.scratch.again_rps_ms, first) * kept
            variance = (load(env.scratch.again_rps_ms2, first) * kept - path * path) * milli * milli + spread
            late += again * late_lanes(objective, path * milli + timed, variance, waits, per_queue)
    served_rps, attested_rps = total(served), total(attested)
    spare_rps, spare_attested_rps = total(held) - served_rps, total(held_attested) - attested_rps
    return Flow(served_rps, attested_rps, total(late), total(usd), spare_rps, spare_attested_rps, crowded)
