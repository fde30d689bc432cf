"""Which replica answers which request: user, nearest live gateway, then a softmax over the model's replicas.

Within a gateway the split does not depend on the user, and the score is a (gateway, site) term plus a (model, site)
term. So a step needs one exponential per gateway and hosting site and one per replica, never one per user, model and
site. Of the flow between a gateway and a replica only sums by replica are kept: requests/s and the first two moments
of the milliseconds from user to replica.
"""

from __future__ import annotations

from og_env.binding import LANES
from og_env.jit import inlined, kernel
from og_env.lanes import exp, load, splat, store, total
from og_env.layout import (
    DOWN,
    FETCHING,
    GATEWAY,
    LOADING,
    SLOW,
    WARM,
    memo_of,
    scratch_of,
    state_of,
    tape_of,
    world_of,
)
from og_env.status import SLOW_CAPACITY, SLOW_MS, trusted

MOST_TEMPERATURES = 600.0
"""farther than so many temperatures, all sites attract alike: the exponential ends there"""


@kernel
def step_demand(t, b, c, row):
    """Demand [U, M] of a tape row, requests/s."""
    world, tape, scratch = world_of(t), tape_of(t), scratch_of(t)
    regions, models = scratch.demand.shape[1:]
    k = state_of(t).world[b]
    for u in range(regions):
        factor = tape.regional[b, row, u]
        for m in range(models):
            scratch.demand[c, u, m] = world.base_rps[k, u, m] * factor * tape.model[b, row, m]


@kernel
def find_gateways(t, b, c):
    """List the live gateways, and the nearest of them to every user region with the ms to it; a nearer dead one that
    the router does not know of yet adds its mean timeout."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    k = state.world[b]
    slots = 0
    for s in range(state.status.shape[1]):
        if state.role_ms[b, GATEWAY, s] == 0 and not state.status[b, s] & DOWN:
            memo.gateways[b, slots] = s
            scratch.slot_of[c, s] = slots
            slots += 1
    memo.slots[b] = slots
    for u in range(world.near_user.shape[1]):
        memo.gateway_of[b, u] = -1
        memo.gateway_ms[b, u] = 0
        late_ms = -1.0
        for position in range(world.near_user.shape[2]):
            s = world.near_user[k, u, position]
            if state.role_ms[b, GATEWAY, s] != 0:
                continue
            if state.status[b, s] & DOWN:
                if late_ms < 0 and scratch.dead_share[c, s] > 0:
                    late_ms = scratch.dead_share[c, s] * world.timeout_ms[k]
                continue
            slow_ms = SLOW_MS if state.status[b, s] & SLOW else 0.0
            memo.gateway_of[b, u] = scratch.slot_of[c, s]
            memo.gateway_ms[b, u] = world.rtt_user_ms[k, u, s] + max(late_ms, 0.0) + slow_ms
            break


@kernel
def gather(t, b, c):
    """Demand by model and by gateway, with the demand-weighted moments of the ms between users and gateway."""
    scratch, memo = scratch_of(t), memo_of(t)
    regions, models = scratch.demand.shape[1:]
    for m in range(models):
        scratch.asked[c, m] = 0
    for slot in range(memo.slots[b]):
        for m in range(models):
            scratch.gateway_rps[c, slot, m] = 0
            scratch.gateway_ms[c, slot, m] = 0
            scratch.gateway_ms2[c, slot, m] = 0
    for u in range(regions):
        slot, ms = memo.gateway_of[b, u], memo.gateway_ms[b, u]
        for m in range(models):
            scratch.asked[c, m] += scratch.demand[c, u, m]
        if slot >= 0:
            for m in range(models):
                demand = scratch.demand[c, u, m]
                scratch.gateway_rps[c, slot, m] += demand
                scratch.gateway_ms[c, slot, m] += demand * ms
                scratch.gateway_ms2[c, slot, m] += demand * ms * ms


@inlined
def alarm(t, b, row, f):
    """The error-rate signal of a shared domain, clipped to 0 (calm) .. 1 (fragile)."""
    return min(max(tape_of(t).signal[b, row, f] / 127.5 - 0.25, 0.0), 1.0)


@kernel
def listen(t, b, c, row):
    """What the router goes by in this step: alarms of the visible shared domains and the traffic that each carries, as
    seen at the end of the last one. No site's attraction or risk is worked out yet."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    for f in range(world.fragile_rate.shape[1]):
        visible = world.domain_visible[k, f] != 0
        scratch.alarm[c, f] = alarm(t, b, row, f) if visible else 0.0
        scratch.carried[c, f] = state.domain_share[b, f] if visible else 0.0
    for s in range(state.status.shape[1]):
        scratch.hosting[c, s] = 0


@inlined
def host(t, b, c, s):
    """Milliseconds from every gateway to site s, the attraction that falls with them, and the site's dependency risk:
    alarms of its domains, by hit probability, plus the traffic share of the one that carries most. Once a step."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    scratch.hosting[c, s] = 1
    k = state.world[b]
    slots, at = memo.slots[b], s * scratch.factor.shape[1]
    slow_ms = SLOW_MS if state.status[b, s] & SLOW else 0.0
    colder = -1.0 / state.knobs[b, 0]
    for slot in range(slots):
        scratch.net_ms[c, at + slot] = world.rtt_ms[k, memo.gateways[b, slot], s] + slow_ms
    for first in range(at, at + slots, LANES):
        power = max(load(scratch.net_ms, (c, first)) * splat(colder), splat(-MOST_TEMPERATURES))
        store(scratch.attraction, (c, first), exp(power))
    shared = world.fragile_rate.shape[1]
    alarms, carried = 0.0, 0.0
    for d in range(1, world.site_domain.shape[2]):
        f = world.site_domain[k, s, d]
        if f < 0:
            break
        if f < shared:
            alarms += world.hit[k, s, d] * scratch.alarm[c, f]
            carried = max(carried, scratch.carried[c, f])
    scratch.site_risk[c, s] = alarms + carried


@inlined
def add_replica(t, b, c, m, s, position, wait_ms, factor, seen):
    """Put a replica on the list of model m: the logarithm of its weight before distance, its capacity.

    factor is the share of the step in which the router uses it; it stands below 1 only at dead sites, which serve
    nothing. seen: the status that the router goes by."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    if scratch.hosting[c, s] == 0:
        host(t, b, c, s)
    wait_s = wait_ms * 0.001
    risk = scratch.site_risk[c, s] + (0.0 if trusted(t, b, m, s, seen) else 1.0)
    whole = world.capacity_rps[k, m, s]
    utilisation = state.load_rps[b, m, s] / (whole * SLOW_CAPACITY if seen & SLOW else whole)
    penalty = state.knobs[b, 1] * wait_s + state.knobs[b, 2] * utilisation + state.knobs[b, 3] * risk
    scratch.replicas[c, position] = s
    scratch.factor[c, position] = factor
    scratch.weight[c, position] = -penalty
    scratch.replica_wait_s[c, position] = wait_s
    capacity = 0.0
    if not state.status[b, s] & DOWN:
        capacity = whole
        if wait_ms > 0:
            capacity *= 1 - wait_ms / world.step_ms[k]
        if state.status[b, s] & SLOW:
            capacity *= SLOW_CAPACITY
    scratch.cap_rps[c, position] = capacity


@inlined
def weigh(t, c, count):
    """The weights of the listed replicas from their logarithms."""
    scratch = scratch_of(t)
    for first in range(0, count, LANES):
        weight = exp(load(scratch.weight, (c, first)))
        store(scratch.weight, (c, first), weight * load(scratch.factor, (c, first)))


@kernel
def list_replicas(t, b, c, m):
    """List the replicas of model m that the router uses in this step; returns their number."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    count = 0
    for s in range(state.status.shape[1]):
        phase = state.phase[b, m, s]
        if phase < FETCHING:
            continue
        if state.status[b, s] & DOWN:
            if phase >= LOADING and scratch.dead_share[c, s] > 0:
                add_replica(t, b, c, m, s, count, 0, scratch.dead_share[c, s], scratch.seen[c, s])
                count += 1
            continue
        wait_ms = 0 if phase == WARM else scratch.wait_ms[c, m, s]
        if 0 <= wait_ms <= world.patience_ms[k] and wait_ms < world.step_ms[k]:
            add_replica(t, b, c, m, s, count, wait_ms, 1.0, scratch.seen[c, s])
            count += 1
    weigh(t, c, count)
    return count


@kernel
def split(t, b, c, m, count):
    """Divide model m's demand over its listed replicas: softmax, then overflow once over spare capacity.

    Fills total_rps, room_rps and the moments of the path; returns requests/s served, and those of them served after a
    timeout."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    limit_share = world.utilisation_limit[state.world[b]]
    offer(t, b, c, m, count)
    over, dead, spare, direct = 0.0, 0.0, 0.0, 0.0
    for r in range(count):
        offered = scratch.offered_rps[c, r]
        limit = limit_share * scratch.cap_rps[c, r]
        kept = limit / offered if offered > limit else 1.0
        scratch.kept[c, r] = kept
        scratch.spare_rps[c, r] = max(limit - offered, 0.0)
        over += offered * (1 - kept)
        direct += offered * kept
        spare += scratch.spare_rps[c, r]
        dead += offered if scratch.cap_rps[c, r] == 0 else 0.0
    moved = min(over, spare)
    if over > 0:
        move(t, b, c, m, count, moved / over)
    fill = moved / spare if moved > 0 else 0.0
    for r in range(count):
        total_rps = scratch.offered_rps[c, r] * scratch.kept[c, r] + fill * scratch.spare_rps[c, r]
        scratch.total_rps[c, r] = total_rps
        room_rps = max(limit_share * scratch.cap_rps[c, r] - total_rps, 0.0)
        scratch.room_rps[c, r] = room_rps if scratch.replica_wait_s[c, r] == 0 else 0.0
    return direct + moved, moved * dead / over if moved > 0 else 0.0


@inlined
def offer(t, b, c, m, count):
    """What the softmax and the even spread offer to every listed replica, with the moments of its path."""
    state, scratch, memo = state_of(t), scratch_of(t), memo_of(t)
    spread, slots, width = state.knobs[b, 4], memo.slots[b], scratch.factor.shape[1]
    factors = 0.0
    for r in range(count):
        factors += scratch.factor[c, r]
    per_factor = 1 / factors if factors > 0 else 0.0
    nothing = splat(0.0)
    for first in range(0, slots, LANES):
        store(scratch.slot_soft, (c, first), nothing)
        store(scratch.slot_even, (c, first), nothing)
    for r in range(count):
        place, at, weight = r * width, scratch.replicas[c, r] * width, splat(scratch.weight[c, r])
        for first in range(0, slots, LANES):
            pull = load(scratch.attraction, (c, at + first)) * weight
            store(scratch.pull, (c, place + first), pull)
            store(scratch.slot_soft, (c, first), load(scratch.slot_soft, (c, first)) + pull)
    for slot in range(slots):
        demand, whole = scratch.gateway_rps[c, slot, m], scratch.slot_soft[c, slot]
        scratch.slot_soft[c, slot] = demand * (1 - spread) / whole if whole > 0 else 0.0
        scratch.slot_even[c, slot] = (demand * spread if whole > 0 else demand) * per_factor
        per_demand = 1 / demand if demand > 0 else 0.0
        mean = scratch.gateway_ms[c, slot, m] * per_demand
        scratch.slot_ms[c, slot] = mean
        scratch.slot_var[c, slot] = scratch.gateway_ms2[c, slot, m] * per_demand - mean * mean
    for slot in range(slots, -(-slots // LANES) * LANES):
        scratch.slot_soft[c, slot] = 0
    for r in range(count):
        place, at, factor = r * width, scratch.replicas[c, r] * width, splat(scratch.factor[c, r])
        offered, path_first, path_second = nothing, nothing, nothing
        for first in range(0, slots, LANES):
            soft = load(scratch.slot_soft, (c, first)) * load(scratch.pull, (c, place + first))
            flow = soft + load(scratch.slot_even, (c, first)) * factor
            ms = load(scratch.slot_ms, (c, first)) + load(scratch.net_ms, (c, at + first))
            flow_ms = flow * ms
            offered += flow
            path_first += flow_ms
            path_second += flow_ms * ms + flow * load(scratch.slot_var, (c, first))
        scratch.offered_rps[c, r] = total(offered)
        scratch.path_first[c, r] = total(path_first)
        scratch.path_second[c, r] = total(path_second)


@kernel
def move(t, b, c, m, count, moved_share):
    """Take the overflow off the full replicas and add `moved_share` of it to the others, in proportion to their spare
    capacity; only the moments of the paths change here."""
    scratch, slots = scratch_of(t), memo_of(t).slots[b]
    width = scratch.factor.shape[1]
    spare = 0.0
    for r in range(count):
        spare += scratch.spare_rps[c, r]
    for slot in range(slots):
        over = 0.0
        for r in range(count):
            flow = scratch.slot_soft[c, slot] * scratch.pull[c, r * width + slot]
            over += (flow + scratch.slot_even[c, slot] * scratch.factor[c, r]) * (1 - scratch.kept[c, r])
        scratch.slot_soft[c, slot] = over * moved_share / spare if spare > 0 else 0.0
    for r in range(count):
        at = scratch.replicas[c, r] * width
        first, second = 0.0, 0.0
        for slot in range(slots):
            ms = scratch.slot_ms[c, slot] + scratch.net_ms[c, at + slot]
            first += scratch.slot_soft[c, slot] * ms
            second += scratch.slot_soft[c, slot] * (ms * ms + scratch.slot_var[c, slot])
        kept, extra = scratch.kept[c, r], scratch.spare_rps[c, r]
        scratch.path_first[c, r] = scratch.path_first[c, r] * kept + extra * first
        scratch.path_second[c, r] = scratch.path_second[c, r] * kept + extra * second


@inlined
def room(t, b, c, m, count):
    """What the listed replicas of model m could serve more, requests/s: all of them, and those that are trusted."""
    state, scratch = state_of(t), scratch_of(t)
    total, attested = 0.0, 0.0
    for r in range(count):
        s = scratch.replicas[c, r]
        total += scratch.room_rps[c, r]
        if trusted(t, b, m, s, state.status[b, s]):
            attested += scratch.room_rps[c, r]
    return total, attested
