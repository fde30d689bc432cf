"""Which replica answers which request: user, nearest live gateway, then a softmax over the model's replicas.

Within a gateway the split does not depend on the user, and the score is a (gateway, site) term plus a (model, site)
term. So a step needs one exponential per gateway and hosting site and one per replica, never one per user, model and
site; at the router's default temperature the former come with the world. Of the flow between a gateway and a replica
only sums by replica are kept: requests/s and the first two moments of the milliseconds from user to replica.
"""

from __future__ import annotations

from og_env.binding import LANES
from og_env.jit import inlined, kernel
from og_env.lanes import exp, load, splat, store, total, where
from og_env.layout import (
    DOWN,
    FETCHING,
    GATEWAY,
    LOADING,
    SLOW,
    UNTRUSTED,
    WARM,
    memo_of,
    scratch_of,
    state_of,
    tape_of,
    world_of,
)
from og_env.status import MOST_TEMPERATURES, SLOW_CAPACITY, SLOW_MS, trusted


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
def carry(t, b, c):
    """Share of the served traffic that each domain carried in the last step."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    for f in range(scratch.domain_share.shape[1]):
        scratch.domain_share[c, f] = 0
    for s in range(state.status.shape[1]):
        share = state.site_share[b, s]
        if share > 0:
            for d in range(world.site_domain.shape[2]):
                f = world.site_domain[k, s, d]
                if f < 0:
                    break
                scratch.domain_share[c, f] += share


@kernel
def listen(t, b, c, row):
    """What the router goes by in this step: alarms of the visible shared domains and the traffic that each carries, as
    seen at the end of the last one; and which domains take trust away. No site's attraction or risk is worked out yet."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    carry(t, b, c)
    for f in range(world.fragile_rate.shape[1]):
        visible = world.domain_visible[k, f] != 0
        scratch.alarm[c, f] = alarm(t, b, row, f) if visible else 0.0
        scratch.carried[c, f] = scratch.domain_share[c, f] if visible else 0.0
    for f in range(world.domain_effect.shape[1]):
        scratch.untrusting[c, f] = world.domain_effect[k, f] == UNTRUSTED
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
    for slot in range(slots):
        scratch.net_ms[c, at + slot] = world.rtt_ms[k, memo.gateways[b, slot], s] + slow_ms
    if slow_ms == 0 and state.knobs[b, 0] == world.knobs[k, 0]:
        for slot in range(slots):
            scratch.attraction[c, at + slot] = world.attraction[k, s, memo.gateways[b, slot]]
    else:
        colder = splat(-1.0 / state.knobs[b, 0])
        for first in range(at, at + slots, LANES):
            power = max(load(scratch.net_ms, (c, first)) * colder, splat(-MOST_TEMPERATURES))
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
    """Put a replica on the list of model m: what its weight before distance comes from, its capacity and speed.

    factor is the share of the step in which the router uses it; it stands below 1 only at dead sites, which serve
    nothing. seen: the status that the router goes by."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    if scratch.hosting[c, s] == 0:
        host(t, b, c, s)
    whole, status = world.capacity_rps[k, m, s], state.status[b, s]
    scratch.replicas[c, position] = s
    scratch.factor[c, position] = factor
    scratch.replica_wait_s[c, position] = wait_ms * 0.001
    scratch.burden[c, position] = state.load_rps[b, m, s] / (whole * SLOW_CAPACITY if seen & SLOW else whole)
    scratch.risk[c, position] = scratch.site_risk[c, s] + (0.0 if trusted(t, b, m, s, seen) else 1.0)
    scratch.trust[c, position] = 1.0 if trusted(t, b, m, s, status) else 0.0
    stretch = 1 / SLOW_CAPACITY if status & SLOW else 1.0
    scratch.service_s[c, position] = world.service_s[k, m, s] * stretch
    scratch.queue_s[c, position] = world.busy_s[k, m, s] * stretch * (world.queue_factor[k] / world.streams[k, m])
    capacity = 0.0 if status & DOWN else (whole * SLOW_CAPACITY if status & SLOW else whole)
    scratch.cap_rps[c, position] = capacity * (1 - wait_ms / world.step_ms[k]) if wait_ms > 0 else capacity


@inlined
def weigh(t, b, c, start, count):
    """The weights before distance of the listed replicas from position `start`, a multiple of LANES, on."""
    state, scratch = state_of(t), scratch_of(t)
    colder, busier, riskier = splat(-state.knobs[b, 1]), splat(-state.knobs[b, 2]), splat(-state.knobs[b, 3])
    for first in range(start, count, LANES):
        power = colder * load(scratch.replica_wait_s, (c, first)) + busier * load(scratch.burden, (c, first))
        power += riskier * load(scratch.risk, (c, first))
        store(scratch.weight, (c, first), exp(power) * load(scratch.factor, (c, first)))


@kernel
def list_placed(t, b, c):
    """The sites that hold GPUs for each model."""
    state, scratch = state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    for m in range(models):
        count = 0
        for s in range(sites):
            scratch.placed[c, m, count] = s  # the next one is written over it, unless it counts
            count += state.phase[b, m, s] >= FETCHING
        scratch.placed_count[c, m] = count


@kernel
def list_replicas(t, b, c, m):
    """List the replicas of model m that the router uses in this step; returns their number."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    longest_ms = min(world.patience_ms[k], world.step_ms[k] - 1)
    count = 0
    for i in range(scratch.placed_count[c, m]):
        s = scratch.placed[c, m, i]
        phase, factor, wait_ms = state.phase[b, m, s], 1.0, 0
        if state.status[b, s] & DOWN:
            factor = scratch.dead_share[c, s]
            if phase < LOADING or factor == 0:
                continue
        elif phase != WARM:
            wait_ms = scratch.wait_ms[c, m, s]
            if wait_ms < 0 or wait_ms > longest_ms:
                continue
        add_replica(t, b, c, m, s, count, wait_ms, factor, scratch.seen[c, s])
        count += 1
    weigh(t, b, c, 0, count)
    return count


@kernel
def split(t, b, c, m, count):
    """Divide model m's demand over its listed replicas: softmax, then overflow once over spare capacity.

    Fills total_rps, room_rps and the moments of the path; returns requests/s served, and those of them served after a
    timeout."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    limit_share = splat(world.utilisation_limit[state.world[b]])
    offer(t, b, c, m, count)
    nothing = splat(0.0)
    all_over, all_spare, all_direct = nothing, nothing, nothing
    for first in range(0, count, LANES):
        offered, limit = load(scratch.offered_rps, (c, first)), limit_share * load(scratch.cap_rps, (c, first))
        direct, spare = min(offered, limit), max(limit - offered, nothing)
        store(scratch.spare_rps, (c, first), spare)
        store(scratch.total_rps, (c, first), direct)
        all_over += offered - direct
        all_spare += spare
        all_direct += direct
    over, spare_rps, moved, fill, late = total(all_over), total(all_spare), 0.0, 0.0, 0.0
    if over > 0:
        moved = min(over, spare_rps)
        move(t, b, c, m, count, moved / over, spare_rps)
    if moved > 0:
        fill = moved / spare_rps
        late = moved * dead_rps(t, c, count) / over if memo.dying[b] else 0.0
    filled = splat(fill)
    for first in range(0, count, LANES):
        rps = load(scratch.total_rps, (c, first)) + filled * load(scratch.spare_rps, (c, first))
        store(scratch.total_rps, (c, first), rps)
        room_rps = max(limit_share * load(scratch.cap_rps, (c, first)) - rps, nothing)
        store(scratch.room_rps, (c, first), where(load(scratch.replica_wait_s, (c, first)), nothing, room_rps))
    return total(all_direct) + moved, late


@inlined
def dead_rps(t, c, count):
    """What is offered to listed replicas at dead sites."""
    scratch, dead = scratch_of(t), 0.0
    for r in range(count):
        dead += scratch.offered_rps[c, r] if scratch.cap_rps[c, r] == 0 else 0.0
    return dead


@inlined
def divide(t, b, c, m, count):
    """What every gateway sends a listed replica: per pull (slot_soft), and in any case (slot_even)."""
    state, scratch, slots = state_of(t), scratch_of(t), memo_of(t).slots[b]
    spread, width = state.knobs[b, 4], scratch.factor.shape[1]
    factors = 0.0
    for r in range(count):
        factors += scratch.factor[c, r]
    even, soft, nothing = splat(1 / factors if factors > 0 else 0.0), splat(1 - spread), splat(0.0)
    for slot in range(slots):
        scratch.slot_rps[c, slot] = scratch.gateway_rps[c, slot, m]
    for slot in range(slots, -(-slots // LANES) * LANES):
        scratch.slot_rps[c, slot] = 0
    for first in range(0, slots, LANES):
        demand, whole = load(scratch.slot_rps, (c, first)), nothing
        for r in range(count):
            pull = load(scratch.attraction, (c, scratch.replicas[c, r] * width + first)) * splat(scratch.weight[c, r])
            store(scratch.pull, (c, r * width + first), pull)
            whole += pull
        store(scratch.slot_soft, (c, first), where(whole, demand * soft / whole, nothing))
        store(scratch.slot_even, (c, first), where(whole, demand * splat(spread), demand) * even)


@inlined
def offer(t, b, c, m, count):
    """What the softmax and the even spread offer to every listed replica, with the moments of its path."""
    scratch, slots, width = scratch_of(t), memo_of(t).slots[b], scratch_of(t).factor.shape[1]
    divide(t, b, c, m, count)
    for slot in range(slots):
        scratch.slot_ms[c, slot] = scratch.gateway_ms[c, slot, m]
        scratch.slot_var[c, slot] = scratch.gateway_ms2[c, slot, m]
    nothing, one = splat(0.0), splat(1.0)
    for first in range(0, slots, LANES):
        demand = load(scratch.slot_rps, (c, first))
        per_demand = where(demand, one / demand, nothing)
        mean = load(scratch.slot_ms, (c, first)) * per_demand
        store(scratch.slot_ms, (c, first), mean)
        store(scratch.slot_var, (c, first), load(scratch.slot_var, (c, first)) * per_demand - mean * mean)
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
    for r in range(count, -(-count // LANES) * LANES):  # the rest of the last lanes takes part in nothing
        scratch.offered_rps[c, r] = 0
        scratch.path_first[c, r] = 0
        scratch.path_second[c, r] = 0
        scratch.cap_rps[c, r] = 0


@kernel
def move(t, b, c, m, count, moved_share, spare):
    """Take the overflow off the full replicas and add `moved_share` of it to the others, in proportion to their spare
    capacity, `spare` in all; only the moments of the paths change here."""
    scratch, slots = scratch_of(t), memo_of(t).slots[b]
    width, nothing, one = scratch.factor.shape[1], splat(0.0), splat(1.0)
    for first in range(0, count, LANES):
        offered, direct = load(scratch.offered_rps, (c, first)), load(scratch.total_rps, (c, first))
        store(scratch.kept, (c, first), where(offered - direct, direct / offered, one))
    moves = splat(moved_share / spare if spare > 0 else 0.0)
    for first in range(0, slots, LANES):
        over, soft = nothing, load(scratch.slot_soft, (c, first))
        even = load(scratch.slot_even, (c, first))
        for r in range(count):
            flow = soft * load(scratch.pull, (c, r * width + first)) + even * splat(scratch.factor[c, r])
            over += flow * splat(1 - scratch.kept[c, r])
        store(scratch.slot_soft, (c, first), over * moves)
    for r in range(count):
        at, kept, extra = scratch.replicas[c, r] * width, scratch.kept[c, r], scratch.spare_rps[c, r]
        scratch.path_first[c, r] *= kept
        scratch.path_second[c, r] *= kept
        if extra > 0:
            path_first, path_second = nothing, nothing
            for first in range(0, slots, LANES):
                ms = load(scratch.slot_ms, (c, first)) + load(scratch.net_ms, (c, at + first))
                flow_ms = load(scratch.slot_soft, (c, first)) * ms
                path_first += flow_ms
                path_second += flow_ms * ms + load(scratch.slot_soft, (c, first)) * load(scratch.slot_var, (c, first))
            scratch.path_first[c, r] += extra * total(path_first)
            scratch.path_second[c, r] += extra * total(path_second)


@inlined
def room(t, c, count):
    """What the listed replicas could serve more, requests/s: all of them, and those that are trusted."""
    scratch = scratch_of(t)
    more, attested = splat(0.0), splat(0.0)
    for first in range(0, count, LANES):
        room_rps = load(scratch.room_rps, (c, first))
        more += room_rps
        attested += room_rps * load(scratch.trust, (c, first))
    return total(more), total(attested)
