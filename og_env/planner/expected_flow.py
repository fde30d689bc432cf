"""What a model's replicas would serve, and how fast, if all of them were warm: the step's routing and delays, in the
order that suits many trials of one list.

The list holds what no trial of its model changes: pull, path and limit of each replica. A trial adds one replica at the
end of the list, or takes one out by its factor. Lanes run over replicas, so that flows need no sum across lanes.

No replica waits or is dead here. So what one serves and what it could serve more add up to its limit, whatever the
split: a domain's share in that is a sum of limits (`held`), which one replica changes in its own domains only.
"""

from __future__ import annotations

from og_env.dynamics.latency import LEAST_LOAD, QUEUE_BEND, wait_probability
from og_env.dynamics.replicas import add_replica, weigh
from og_env.kernel.arrays import DOWN, KNOB, UNTRUSTED
from og_env.kernel.compile import kernel
from og_env.kernel.simd import load, splat, store, total
from og_env.kernel.views import LANES

LEAST_RPS = 1e-300
"""divides in place of nothing"""


@kernel
def list_nominal(env, model):
    """List the replicas of model m that are or will be warm at sites that are up; returns their number."""
    count = 0
    for i in range(env.scratch.placed_count[model]):
        site = env.scratch.placed[model, i]
        if not env.state.status[site] & DOWN:
            add_replica(env, model, site, count, 0, 1.0, env.scratch.seen[site])
            count += 1
    weigh(env, 0, count)
    for domain in range(env.scratch.held.shape[0]):
        env.scratch.held[domain] = 0
    for r in range(count):
        complete(env, model, r)
        hold(env, r, 1.0)
    for r in range(count, min((count // LANES + 1) * LANES, env.scratch.factor.shape[0])):
        env.scratch.present[r] = 0  # the rest of the last lanes takes part in nothing
    for slot in range(env.memo.slots):
        demand = env.scratch.gateway_rps[model, slot]
        env.scratch.slot_ms[slot] = env.scratch.gateway_rps_ms[model, slot] / demand if demand > 0 else 0.0
    return count


@kernel
def add_nominal(env, model, site, r):
    """Put a replica at site s at position r, the end of the list, and hold its limit."""
    add_replica(env, model, site, r, 0, 1.0, env.scratch.seen[site])
    weigh(env, r // LANES * LANES, r + 1)
    complete(env, model, r)
    hold(env, r, 1.0)


@kernel
def complete(env, model, r):
    """The rest of the figures of the replica at position r of the list, whose weight is known."""
    site, width = env.scratch.replicas[r], env.scratch.factor.shape[0]
    capacity = env.scratch.cap_rps[r]
    env.scratch.present[r] = 1
    env.scratch.limit_rps[r] = env.world.utilisation_limit * capacity
    env.scratch.per_cap[r] = 1 / capacity if capacity > 0 else 0.0
    weight = env.scratch.weight[r]
    for slot in range(env.memo.slots):
        env.scratch.slot_pull[slot * width + r] = env.scratch.attraction[site * width + slot] * weight
        env.scratch.slot_net_ms[slot * width + r] = env.scratch.net_ms[site * width + slot]


@kernel
def hold(env, r, sign):
    """Add the limit of the replica at position r to its domains, or take it off them (sign -1); `release` undoes it.
    Domains whose effect is UNTRUSTED count trusted replicas only."""
    site = env.scratch.replicas[r]
    limit = sign * env.scratch.limit_rps[r]
    for d in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        env.scratch.held_before[d] = env.scratch.held[domain]
        env.scratch.held[domain] += (
            limit if env.world.domain_effect[domain] != UNTRUSTED else limit * env.scratch.trust[r]
        )


@kernel
def release(env, r):
    """Put the limits in the domains of the replica at position r back to what they were before `hold`, to the bit."""
    site = env.scratch.replicas[r]
    for d in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        env.scratch.held[domain] = env.scratch.held_before[d]


@kernel
def flow(env, model, count):
    """Divide model m's demand over its listed replicas: softmax, then overflow once over spare capacity.

    Returns requests/s served, those of them at trusted replicas, the mean latency [s], and what all replicas and the
    trusted ones could serve more."""
    slots, width = env.memo.slots, env.scratch.factor.shape[0]
    divide(env, model, count)
    nothing = splat(0.0)
    over, spare, path = nothing, nothing, nothing
    for first in range(0, count, LANES):
        present, offered, path_ms = load(env.scratch.present, first), nothing, nothing
        for slot in range(slots):
            at = slot * width + first
            sent = splat(env.scratch.slot_soft[slot]) * load(env.scratch.slot_pull, at)
            sent += splat(env.scratch.slot_even[slot])
            offered += sent
            path_ms += sent * (splat(env.scratch.slot_ms[slot]) + load(env.scratch.slot_net_ms, at))
        offered, limit = offered * present, load(env.scratch.limit_rps, first) * present
        direct = min(offered, limit)
        over += offered - direct
        spare += limit - direct
        path += path_ms * present
        store(env.scratch.offered_rps, first, offered)
        store(env.scratch.path_first, first, path_ms * present)
    over_rps, spare_rps = total(over), total(spare)
    moved, path_sum = 0.0, total(path)
    if over_rps > 0:
        moved = min(over_rps, spare_rps)
        path_sum = overflow(env, count, moved / (over_rps * max(spare_rps, LEAST_RPS)))
    fill = splat(moved / spare_rps if moved > 0 else 0.0)
    exponent, bend = splat(env.world.queue_exponent[model]), splat(QUEUE_BEND * (env.world.streams[model] - 1))
    one, least = splat(1.0), splat(LEAST_LOAD)
    served, attested, held, held_trusted, delay = nothing, nothing, nothing, nothing, nothing
    for first in range(0, count, LANES):
        trust = load(env.scratch.trust, first)
        offered = load(env.scratch.offered_rps, first)
        limit = load(env.scratch.limit_rps, first) * load(env.scratch.present, first)
        direct = min(offered, limit)
        load_rps = direct + fill * (limit - direct)
        served += load_rps
        attested += load_rps * trust
        held += limit
        held_trusted += limit * trust
        rho = load_rps * load(env.scratch.per_cap, first)
        idle = one - rho
        queue = wait_probability(max(rho, least), idle, exponent, bend) * (load(env.scratch.queue_s, first) / idle)
        delay += load_rps * (load(env.scratch.service_s, first) + queue)
    served_rps, attested_rps = total(served), total(attested)
    latency_s = (path_sum * 0.001 + total(delay)) / served_rps if served_rps > 0 else 0.0
    return served_rps, attested_rps, latency_s, total(held) - served_rps, total(held_trusted) - attested_rps


@kernel
def divide(env, model, count):
    """What every gateway sends a replica: per pull (slot_soft), and in any case (slot_even)."""
    slots = env.memo.slots
    spread, width = env.state.knobs[KNOB.spread], env.scratch.factor.shape[0]
    replicas = 0.0
    for r in range(count):
        replicas += env.scratch.present[r]
    per_replica = 1 / replicas if replicas > 0 else 0.0
    for first in range(0, slots, LANES):
        whole = splat(0.0)
        for r in range(count):
            pull = load(env.scratch.attraction, env.scratch.replicas[r] * width + first)
            whole += pull * splat(env.scratch.weight[r] * env.scratch.present[r])
        store(env.scratch.slot_soft, first, whole)
    for slot in range(slots):
        demand, whole = env.scratch.gateway_rps[model, slot], env.scratch.slot_soft[slot]
        env.scratch.slot_soft[slot] = demand * (1 - spread) / whole if whole > 0 else 0.0
        env.scratch.slot_even[slot] = (demand * spread if whole > 0 else demand) * per_replica


@kernel
def overflow(env, count, moved_share):
    """Sum of flow x ms between gateways and replicas when the overflow has moved; moved_share: of every request/s over
    the limits, by requests/s of spare capacity."""
    slots = env.memo.slots
    width, least, one, nothing = env.scratch.factor.shape[0], splat(LEAST_RPS), splat(1.0), splat(0.0)
    path = nothing
    for first in range(0, count, LANES):
        offered = load(env.scratch.offered_rps, first)
        limit = load(env.scratch.limit_rps, first) * load(env.scratch.present, first)
        kept = min(offered, limit) / max(offered, least)
        path += load(env.scratch.path_first, first) * kept
        store(env.scratch.kept, first, (one - kept) * load(env.scratch.present, first))
        store(env.scratch.spare_rps, first, max(limit - offered, nothing))
    moved_ms = 0.0
    for slot in range(slots):
        over, extra_ms = nothing, nothing
        for first in range(0, count, LANES):
            at = slot * width + first
            sent = splat(env.scratch.slot_soft[slot]) * load(env.scratch.slot_pull, at)
            over += (sent + splat(env.scratch.slot_even[slot])) * load(env.scratch.kept, first)
            ms = splat(env.scratch.slot_ms[slot]) + load(env.scratch.slot_net_ms, at)
            extra_ms += load(env.scratch.spare_rps, first) * ms
        moved_ms += total(over) * total(extra_ms)
    return total(path) + moved_share * moved_ms
