"""Which replica answers which request: user, nearest live gateway, then a softmax over the model's replicas.

Within a gateway the split does not depend on the user, and the score is a (gateway, site) term plus a (model, site)
term. So a step needs one exponential per gateway and site and one per replica, never one per user, model and site.
"""

from __future__ import annotations

import math

from og_env.jit import kernel
from og_env.layout import (
    DOWN,
    FETCHING,
    GATEWAY,
    LOADING,
    SLOW,
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
    k = state_of(t).world[b]
    for u in range(scratch.demand.shape[1]):
        for m in range(scratch.demand.shape[2]):
            scratch.demand[c, u, m] = world.base_rps[k, u, m] * tape.regional[b, row, u] * tape.model[b, row, m]


@kernel
def nearest_gateway(t, b, c, u):
    """Slot of the nearest live gateway of region u (-1 none) and the milliseconds to it, with the mean timeout on a
    dead one that the router does not know of yet."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
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
        return scratch.slot_of[c, s], world.rtt_user_ms[k, u, s] + max(late_ms, 0.0) + slow_ms
    return -1, 0.0


@kernel
def gather(t, b, c):
    """Demand by gateway, with the demand-weighted moments of the milliseconds between users and gateway."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    slots = 0
    for s in range(sites):
        scratch.attracted[c, s] = 0
        if state.role_ms[b, GATEWAY, s] == 0 and not state.status[b, s] & DOWN:
            scratch.gateways[c, slots] = s
            scratch.slot_of[c, s] = slots
            for m in range(models):
                scratch.gateway_rps[c, m, slots] = 0
                scratch.gateway_ms[c, m, slots] = 0
                scratch.gateway_ms2[c, m, slots] = 0
            slots += 1
    scratch.slots[c] = slots
    for m in range(models):
        scratch.asked[c, m] = 0
        scratch.unrouted[c, m] = 0
    for u in range(world.near_user.shape[1]):
        slot, ms = nearest_gateway(t, b, c, u)
        scratch.gateway_of[c, u] = slot
        for m in range(models):
            demand = scratch.demand[c, u, m]
            scratch.asked[c, m] += demand
            if slot < 0:
                scratch.unrouted[c, m] += demand
            else:
                scratch.gateway_rps[c, m, slot] += demand
                scratch.gateway_ms[c, m, slot] += demand * ms
                scratch.gateway_ms2[c, m, slot] += demand * ms * ms


@kernel
def attract(t, b, c, s):
    """Milliseconds from every gateway to site s, and the attraction that falls with them; computed once a step."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    if scratch.attracted[c, s]:
        return
    scratch.attracted[c, s] = 1
    k = state.world[b]
    slow_ms = SLOW_MS if state.status[b, s] & SLOW else 0.0
    temperature_ms = state.knobs[b, 0]
    for slot in range(scratch.slots[c]):
        ms = world.rtt_ms[k, scratch.gateways[c, slot], s] + slow_ms
        scratch.net_ms[c, slot, s] = ms
        scratch.attraction[c, slot, s] = math.exp(-min(ms / temperature_ms, MOST_TEMPERATURES))


@kernel
def alarm(t, b, row, f):
    """The error-rate signal of a shared domain, clipped to 0 (calm) .. 1 (fragile)."""
    return min(max(tape_of(t).signal[b, row, f] / 127.5 - 0.25, 0.0), 1.0)


@kernel
def write_risk(t, b, c, row):
    """Dependency risk of every site, from what was seen at the end of the last step: alarms of its visible shared
    domains, by hit probability, plus the traffic share of the one that carries most."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    shared = world.fragile_rate.shape[1]
    for s in range(state.status.shape[1]):
        alarms, carried = 0.0, 0.0
        for d in range(1, world.site_domain.shape[2]):
            f = world.site_domain[k, s, d]
            if 0 <= f < shared and world.domain_visible[k, f]:
                alarms += world.hit[k, s, d] * alarm(t, b, row, f)
                carried = max(carried, state.domain_share[b, f])
        scratch.site_risk[c, s] = alarms + carried


@kernel
def add_replica(t, b, c, m, s, position, wait_ms, factor, seen):
    """Put a replica on the list of model m: its weight before distance, its capacity and its limit.

    factor is the share of the step in which the router uses it; it stands below 1 only at dead sites, which serve
    nothing. seen: the status that the router goes by."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    attract(t, b, c, s)
    wait_s = wait_ms / 1000
    risk = scratch.site_risk[c, s] + (0.0 if trusted(t, b, m, s, seen) else 1.0)
    penalty = state.knobs[b, 1] * wait_s + state.knobs[b, 2] * state.utilisation[b, m, s] + state.knobs[b, 3] * risk
    scratch.replicas[c, position] = s
    scratch.factor[c, position] = factor
    scratch.weight[c, position] = factor * math.exp(-penalty)
    scratch.replica_wait_s[c, position] = wait_s
    capacity = 0.0
    if not state.status[b, s] & DOWN:
        capacity = world.capacity_rps[k, m, s] * (1 - wait_ms / world.step_ms[k])
        if state.status[b, s] & SLOW:
            capacity *= SLOW_CAPACITY
    scratch.cap_rps[c, position] = capacity


@kernel
def list_replicas(t, b, c, m):
    """List the replicas of model m that the router uses in this step; returns their number."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    count = 0
    for s in range(state.status.shape[1]):
        if state.phase[b, m, s] < FETCHING:
            continue
        wait_ms, seen = scratch.wait_ms[c, m, s], scratch.seen[c, s]
        if state.status[b, s] & DOWN:
            if state.phase[b, m, s] >= LOADING and scratch.dead_share[c, s] > 0:
                add_replica(t, b, c, m, s, count, 0, scratch.dead_share[c, s], seen)
                count += 1
        elif 0 <= wait_ms <= world.patience_ms[k] and wait_ms < world.step_ms[k]:
            add_replica(t, b, c, m, s, count, wait_ms, 1.0, seen)
            count += 1
    return count


@kernel
def split(t, b, c, m, count):
    """Divide model m's demand over its listed replicas: softmax, then overflow once over spare capacity.

    Fills flow [slot, position], total_rps and room_rps; returns requests/s served, and those of them served after a timeout."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    spread = state.knobs[b, 4]
    slots = scratch.slots[c]
    factors = 0.0
    for r in range(count):
        scratch.offered_rps[c, r] = 0
        factors += scratch.factor[c, r]
    for slot in range(slots):
        demand = scratch.gateway_rps[c, m, slot]
        total = 0.0
        for r in range(count):
            total += scratch.attraction[c, slot, scratch.replicas[c, r]] * scratch.weight[c, r]
        soft = demand * (1 - spread) / total if total > 0 else 0.0
        even = demand * spread / factors if total > 0 else (demand / factors if factors > 0 else 0.0)
        for r in range(count):
            pull = scratch.attraction[c, slot, scratch.replicas[c, r]] * scratch.weight[c, r]
            share = soft * pull + even * scratch.factor[c, r]
            scratch.flow[c, slot, r] = share
            scratch.offered_rps[c, r] += share
    over, dead, spare, direct = 0.0, 0.0, 0.0, 0.0
    for r in range(count):
        offered = scratch.offered_rps[c, r]
        limit = world.utilisation_limit[k] * scratch.cap_rps[c, r]
        kept = min(1.0, limit / offered) if offered > 0 else 1.0
        scratch.kept[c, r] = kept
        scratch.spare_rps[c, r] = max(limit - offered * kept, 0.0)
        over += offered * (1 - kept)
        direct += offered * kept
        spare += scratch.spare_rps[c, r]
        if scratch.cap_rps[c, r] == 0:
            dead += offered
    moved = min(over, spare)
    for slot in range(slots):
        slot_over = 0.0
        for r in range(count):
            slot_over += scratch.flow[c, slot, r] * (1 - scratch.kept[c, r])
        again = slot_over * moved / (over * spare) if moved > 0 else 0.0
        for r in range(count):
            scratch.flow[c, slot, r] = scratch.flow[c, slot, r] * scratch.kept[c, r] + again * scratch.spare_rps[c, r]
    fill = moved / spare if moved > 0 else 0.0
    for r in range(count):
        total_rps = scratch.offered_rps[c, r] * scratch.kept[c, r] + fill * scratch.spare_rps[c, r]
        scratch.total_rps[c, r] = total_rps
        warm = scratch.replica_wait_s[c, r] == 0
        limit = world.utilisation_limit[k] * scratch.cap_rps[c, r]
        scratch.room_rps[c, r] = max(limit - total_rps, 0.0) if warm else 0.0
    return direct + moved, moved * dead / over if moved > 0 else 0.0


@kernel
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


@kernel
def write_loads(t, b, c, m, count):
    """Served load of model m by site, 0 elsewhere, and its room."""
    scratch = scratch_of(t)
    for s in range(scratch.load.shape[2]):
        scratch.load[c, m, s] = 0
    for r in range(count):
        scratch.load[c, m, scratch.replicas[c, r]] = scratch.total_rps[c, r]
    scratch.spare_total[c, m], scratch.spare_trusted[c, m] = room(t, b, c, m, count)
