"""What a model's replicas would serve, and how fast, if all of them were warm: the step's routing and delays, in the
order that suits many trials of one list.

The list holds what no trial of its model changes: pull, path and limit of each replica. A trial adds one replica at the
end of the list, or takes one out by its factor. Lanes run over replicas, so that flows need no sum across lanes.

No replica waits or is dead here. So what one serves and what it could serve more add up to its limit, whatever the
split: a domain's share in that is a sum of limits (`held`), which one replica changes in its own domains only.
"""

from __future__ import annotations

from og_env.binding import LANES
from og_env.jit import kernel
from og_env.lanes import load, splat, store, total
from og_env.latency import LEAST_LOAD, QUEUE_BEND, wait_probability
from og_env.layout import DOWN, UNTRUSTED, memo_of, scratch_of, state_of, world_of
from og_env.routing import add_replica, weigh

LEAST_RPS = 1e-300
"""divides in place of nothing"""


@kernel
def list_nominal(t, b, c, m):
    """List the replicas of model m that are or will be warm at sites that are up; returns their number."""
    state, scratch, memo = state_of(t), scratch_of(t), memo_of(t)
    count = 0
    for i in range(scratch.placed_count[c, m]):
        s = scratch.placed[c, m, i]
        if not state.status[b, s] & DOWN:
            add_replica(t, b, c, m, s, count, 0, 1.0, scratch.seen[c, s])
            count += 1
    weigh(t, b, c, 0, count)
    for f in range(scratch.held.shape[1]):
        scratch.held[c, f] = 0
    for r in range(count):
        complete(t, b, c, m, r)
        hold(t, b, c, r, 1.0)
    for r in range(count, min((count // LANES + 1) * LANES, scratch.factor.shape[1])):
        scratch.factor[c, r] = 0  # the rest of the last lanes takes part in nothing
    for slot in range(memo.slots[b]):
        demand = scratch.gateway_rps[c, slot, m]
        scratch.slot_ms[c, slot] = scratch.gateway_ms[c, slot, m] / demand if demand > 0 else 0.0
    return count


@kernel
def add_nominal(t, b, c, m, s, r):
    """Put a replica at site s at position r, the end of the list, and hold its limit."""
    scratch = scratch_of(t)
    add_replica(t, b, c, m, s, r, 0, 1.0, scratch.seen[c, s])
    weigh(t, b, c, r // LANES * LANES, r + 1)
    complete(t, b, c, m, r)
    hold(t, b, c, r, 1.0)


@kernel
def complete(t, b, c, m, r):
    """The rest of the figures of the replica at position r of the list, whose weight is known."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k, s, width = state.world[b], scratch.replicas[c, r], scratch.factor.shape[1]
    capacity = scratch.cap_rps[c, r]
    scratch.limit_rps[c, r] = world.utilisation_limit[k] * capacity
    scratch.per_cap[c, r] = 1 / capacity if capacity > 0 else 0.0
    weight = scratch.weight[c, r]
    for slot in range(memo_of(t).slots[b]):
        scratch.slot_pull[c, slot * width + r] = scratch.attraction[c, s * width + slot] * weight
        scratch.slot_net_ms[c, slot * width + r] = scratch.net_ms[c, s * width + slot]


@kernel
def hold(t, b, c, r, sign):
    """Add the limit of the replica at position r to its domains, or take it off them (sign -1); `release` undoes it.
    Domains whose effect is UNTRUSTED count trusted replicas only."""
    world, scratch = world_of(t), scratch_of(t)
    k, s = state_of(t).world[b], scratch.replicas[c, r]
    limit = sign * scratch.limit_rps[c, r]
    for d in range(world.site_domain.shape[2]):
        f = world.site_domain[k, s, d]
        if f < 0:
            break
        scratch.held_before[c, d] = scratch.held[c, f]
        scratch.held[c, f] += limit if world.domain_effect[k, f] != UNTRUSTED else limit * scratch.trust[c, r]


@kernel
def release(t, b, c, r):
    """Put the limits in the domains of the replica at position r back to what they were before `hold`, to the bit."""
    world, scratch = world_of(t), scratch_of(t)
    k, s = state_of(t).world[b], scratch.replicas[c, r]
    for d in range(world.site_domain.shape[2]):
        f = world.site_domain[k, s, d]
        if f < 0:
            break
        scratch.held[c, f] = scratch.held_before[c, d]


@kernel
def flow(t, b, c, m, count):
    """Divide model m's demand over its listed replicas: softmax, then overflow once over spare capacity.

    Returns requests/s served, those of them at trusted replicas, the mean latency [s], and what all replicas and the
    trusted ones could serve more."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k, slots, width = state.world[b], memo_of(t).slots[b], scratch.factor.shape[1]
    divide(t, b, c, m, count)
    nothing = splat(0.0)
    over, spare, path = nothing, nothing, nothing
    for first in range(0, count, LANES):
        present, offered, path_ms = load(scratch.factor, (c, first)), nothing, nothing
        for slot in range(slots):
            at = slot * width + first
            sent = splat(scratch.slot_soft[c, slot]) * load(scratch.slot_pull, (c, at))
            sent += splat(scratch.slot_even[c, slot])
            offered += sent
            path_ms += sent * (splat(scratch.slot_ms[c, slot]) + load(scratch.slot_net_ms, (c, at)))
        offered, limit = offered * present, load(scratch.limit_rps, (c, first)) * present
        direct = min(offered, limit)
        over += offered - direct
        spare += limit - direct
        path += path_ms * present
        store(scratch.offered_rps, (c, first), offered)
        store(scratch.path_first, (c, first), path_ms * present)
    over_rps, spare_rps = total(over), total(spare)
    moved, path_sum = 0.0, total(path)
    if over_rps > 0:
        moved = min(over_rps, spare_rps)
        path_sum = overflow(t, b, c, count, moved / (over_rps * max(spare_rps, LEAST_RPS)))
    fill = splat(moved / spare_rps if moved > 0 else 0.0)
    exponent, bend = splat(world.queue_exponent[k, m]), splat(QUEUE_BEND * (world.streams[k, m] - 1))
    one, least = splat(1.0), splat(LEAST_LOAD)
    served, attested, held, held_trusted, delay = nothing, nothing, nothing, nothing, nothing
    for first in range(0, count, LANES):
        trust = load(scratch.trust, (c, first))
        offered = load(scratch.offered_rps, (c, first))
        limit = load(scratch.limit_rps, (c, first)) * load(scratch.factor, (c, first))
        direct = min(offered, limit)
        load_rps = direct + fill * (limit - direct)
        served += load_rps
        attested += load_rps * trust
        held += limit
        held_trusted += limit * trust
        rho = load_rps * load(scratch.per_cap, (c, first))
        idle = one - rho
        queue = wait_probability(max(rho, least), idle, exponent, bend) * (load(scratch.queue_s, (c, first)) / idle)
        delay += load_rps * (load(scratch.service_s, (c, first)) + queue)
    served_rps, attested_rps = total(served), total(attested)
    latency_s = (path_sum * 0.001 + total(delay)) / served_rps if served_rps > 0 else 0.0
    return served_rps, attested_rps, latency_s, total(held) - served_rps, total(held_trusted) - attested_rps


@kernel
def divide(t, b, c, m, count):
    """What every gateway sends a replica: per pull (slot_soft), and in any case (slot_even)."""
    state, scratch, slots = state_of(t), scratch_of(t), memo_of(t).slots[b]
    spread, width = state.knobs[b, 4], scratch.factor.shape[1]
    replicas = 0.0
    for r in range(count):
        replicas += scratch.factor[c, r]
    per_replica = 1 / replicas if replicas > 0 else 0.0
    for first in range(0, slots, LANES):
        whole = splat(0.0)
        for r in range(count):
            pull = load(scratch.attraction, (c, scratch.replicas[c, r] * width + first))
            whole += pull * splat(scratch.weight[c, r] * scratch.factor[c, r])
        store(scratch.slot_soft, (c, first), whole)
    for slot in range(slots):
        demand, whole = scratch.gateway_rps[c, slot, m], scratch.slot_soft[c, slot]
        scratch.slot_soft[c, slot] = demand * (1 - spread) / whole if whole > 0 else 0.0
        scratch.slot_even[c, slot] = (demand * spread if whole > 0 else demand) * per_replica


@kernel
def overflow(t, b, c, count, moved_share):
    """Sum of flow x ms between gateways and replicas when the overflow has moved; moved_share: of every request/s over
    the limits, by requests/s of spare capacity."""
    scratch, slots = scratch_of(t), memo_of(t).slots[b]
    width, least, one, nothing = scratch.factor.shape[1], splat(LEAST_RPS), splat(1.0), splat(0.0)
    path = nothing
    for first in range(0, count, LANES):
        offered = load(scratch.offered_rps, (c, first))
        limit = load(scratch.limit_rps, (c, first)) * load(scratch.factor, (c, first))
        kept = min(offered, limit) / max(offered, least)
        path += load(scratch.path_first, (c, first)) * kept
        store(scratch.kept, (c, first), (one - kept) * load(scratch.factor, (c, first)))
        store(scratch.spare_rps, (c, first), max(limit - offered, nothing))
    moved_ms = 0.0
    for slot in range(slots):
        over, extra_ms = nothing, nothing
        for first in range(0, count, LANES):
            at = slot * width + first
            sent = splat(scratch.slot_soft[c, slot]) * load(scratch.slot_pull, (c, at))
            over += (sent + splat(scratch.slot_even[c, slot])) * load(scratch.kept, (c, first))
            ms = splat(scratch.slot_ms[c, slot]) + load(scratch.slot_net_ms, (c, at))
            extra_ms += load(scratch.spare_rps, (c, first)) * ms
        moved_ms += total(over) * total(extra_ms)
    return total(path) + moved_share * moved_ms
