"""N-1: for every fault domain, the share of demand that would be lost, unverified or unfetchable if it broke now."""

from __future__ import annotations

from og_env.binding import LANES
from og_env.jit import inlined, kernel
from og_env.lanes import load, splat, store
from og_env.layout import (
    DOWN,
    FETCHING,
    ON_DISK,
    UNTRUSTED,
    VERIFIER,
    memo_of,
    output_of,
    scratch_of,
    state_of,
    world_of,
)
from og_env.status import NO_PROOF, TEE, quorum_of

NO_GATEWAY, NO_QUORUM, NO_STORE = 1, 2, 4
"""what is left without a critical domain"""
LEFT_WITHOUT = (NO_QUORUM, NO_STORE, NO_GATEWAY)
"""the same by role"""


@kernel
def count_roles(t, b, c):
    """Live roles, in all and by domain, and registered verifiers."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    k = state.world[b]
    for role in range(3):
        for f in range(world.domain_size.shape[1]):
            scratch.domain_role[c, role, f] = 0
    for role in range(3):
        memo.live[b, role] = 0
    memo.registered[b] = 0
    for role in range(3):
        for s in range(state.status.shape[1]):
            if state.role_ms[b, role, s] != 0:
                continue
            memo.registered[b] += role == VERIFIER
            if state.status[b, s] & DOWN:
                continue
            memo.live[b, role] += 1
            for d in range(world.site_domain.shape[2]):
                f = world.site_domain[k, s, d]
                if f < 0:
                    break
                scratch.domain_role[c, role, f] += 1


@inlined
def critical_from(t, b, role):
    """How many of a role's live sites a domain must hold for the rest not to do: all, or more than the votes to spare."""
    memo = memo_of(t)
    live = memo.live[b, role]
    return live - quorum_of(memo.registered[b]) + 1 if role == VERIFIER else live


@kernel
def mark_critical(t, b, c):
    """Which domains hold all gateways, all stores or so many verifiers that the rest is no quorum. Those that only take
    trust away do not break roles."""
    memo = memo_of(t)
    domains = memo.critical.shape[1]
    for f in range(domains):
        memo.critical[b, f] = 0
    for role in range(3):
        least, bit = critical_from(t, b, role), LEFT_WITHOUT[role]
        for f in range(domains):
            memo.critical[b, f] |= bit if breaks(t, b, c, role, f, least) else 0
    memo.criticals[b] = 0
    for f in range(domains):
        memo.criticals[b] |= memo.critical[b, f]


@inlined
def breaks(t, b, c, role, f, least):
    """Whether domain f exists, takes sites down and holds at least so many live sites of a role."""
    world, k = world_of(t), state_of(t).world[b]
    breaking = (world.domain_size[k, f] > 0) & (world.domain_effect[k, f] != UNTRUSTED)
    return breaking & (scratch_of(t).domain_role[c, role, f] >= least)


@kernel
def changed_bits(t, b, c, role):
    """Whether any domain's bit of a role is another than the memo has it, by the counts of its live sites."""
    memo, bit = memo_of(t), LEFT_WITHOUT[role]
    least, changed = critical_from(t, b, role), 0
    for f in range(memo.critical.shape[1]):
        changed |= breaks(t, b, c, role, f, least) != ((memo.critical[b, f] & bit) != 0)
    return changed != 0


@inlined
def bits_of(t, b, c, role, f):
    """Domain f's bits, that of a role by the counts of its live sites and the others as the memo has them."""
    bit = LEFT_WITHOUT[role]
    others = memo_of(t).critical[b, f] & ~bit
    return others | bit if breaks(t, b, c, role, f, critical_from(t, b, role)) else others


@kernel
def count_disks(t, b, c):
    """Copies of every model on disk, in all and by domain: asked for only where a domain holds all stores."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    for f in range(world.domain_size.shape[1]):
        for m in range(models):
            scratch.domain_disk[c, f, m] = 0
    for m in range(models):
        scratch.disk_total[c, m] = 0
        for s in range(sites):
            phase = state.phase[b, m, s]
            if phase < ON_DISK or phase == FETCHING or state.status[b, s] & DOWN:
                continue
            scratch.disk_total[c, m] += 1
            for d in range(world.site_domain.shape[2]):
                f = world.site_domain[k, s, d]
                if f < 0:
                    break
                scratch.domain_disk[c, f, m] += 1


@kernel
def list_critical(t, b, c):
    """The critical domains, to critical_at, and their number."""
    scratch, memo = scratch_of(t), memo_of(t)
    count = 0
    if memo.criticals[b]:
        for f in range(memo.critical.shape[1]):
            scratch.critical_at[c, count] = f  # the next one is written over it, unless it counts
            count += memo.critical[b, f] != 0
    scratch.criticals[c] = count


@kernel
def write_held(t, b, c, count):
    """What the listed replicas in each domain serve and could serve more, requests/s, to held.

    Domains whose effect is UNTRUSTED count trusted replicas only."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    for f in range(scratch.held.shape[1]):
        scratch.held[c, f] = 0
    for r in range(count):
        s, rps = scratch.replicas[c, r], scratch.total_rps[c, r] + scratch.room_rps[c, r]
        counts = scratch.trust[c, r] > 0
        for d in range(world.site_domain.shape[2]):
            f = world.site_domain[k, s, d]
            if f < 0:
                break
            if counts or scratch.untrusting[c, f] == 0:
                scratch.held[c, f] += rps


@kernel
def write_part(t, b, c, m, served, verified, spare, spare_trusted):
    """Requests/s of model m lost, unverified or unfetchable without each domain, to column_part; what goes with its
    replicas alone, to column_plain: what they serve, less what the others have to spare."""
    world, scratch, memo = world_of(t), scratch_of(t), memo_of(t)
    nothing, one = splat(0.0), splat(1.0)
    all_spare, more_spare = splat(spare), splat(spare_trusted - spare)
    unasked = splat(0.0 if world.verification[state_of(t).world[b], m] == TEE else 1.0)
    for first in range(0, scratch.held.shape[1], LANES):
        untrusting = load(scratch.untrusting, (c, first))
        lost = max(load(scratch.held, (c, first)) - (all_spare + untrusting * more_spare), nothing)
        lost = lost * (one - untrusting * unasked)
        store(scratch.column_plain, (c, first), lost)
        store(scratch.column_part, (c, first), lost)
    for i in range(scratch.criticals[c]):
        f = scratch.critical_at[c, i]
        bits, plain = memo.critical[b, f], scratch.column_plain[c, f]
        scratch.column_part[c, f] = critical_part(t, b, c, f, bits, m, plain, served, verified)


@kernel
def critical_part(t, b, c, f, bits, m, lost, served, verified):
    """The same of one domain, critical by its bits, `lost` being what goes with its replicas."""
    world, scratch = world_of(t), scratch_of(t)
    lost = served if bits & NO_GATEWAY else lost
    if bits & NO_QUORUM and world.verification[state_of(t).world[b], m] != NO_PROOF:
        lost += max(verified - lost, 0.0)
    if bits & NO_STORE and scratch.disk_total[c, m] <= scratch.domain_disk[c, f, m]:
        lost = max(lost, scratch.asked[c, m])
    return lost


@kernel
def write_losses(t, b, c, per_demand):
    """Share of demand lost without each domain, and the worst visible one, to the output; returns the worst of all.

    per_demand: one over all demand, 0 where there is none."""
    world, scratch, output = world_of(t), scratch_of(t), output_of(t)
    k = state_of(t).world[b]
    worst, seen = 0.0, 0.0
    for f in range(world.domain_size.shape[1]):
        loss = min(scratch.domain_lost[c, f] * per_demand, 1.0)
        worst = max(worst, loss)
        seen = max(seen, loss if world.domain_visible[k, f] else 0.0)
    for f in range(output.domain_loss.shape[1]):
        output.domain_loss[b, f] = min(scratch.domain_lost[c, f] * per_demand, 1.0)
    output.seen_loss[b] = seen
    return worst


@kernel
def effective_nodes(t, b, c):
    """Effective independent nodes of the traffic: (sum w)^2 / sum_ij w_i rho_ij w_j over sites with traffic."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    sites = state.site_share.shape[1]
    k = state.world[b]
    for j in range(sites):
        scratch.related[c, j] = 0
    for i in range(sites):
        share = state.site_share[b, i]
        if share > 0:
            for j in range(sites):
                scratch.related[c, j] += share * world.correlation[k, i, j]
    total, joint = 0.0, 0.0
    for j in range(sites):
        total += state.site_share[b, j]
        joint += state.site_share[b, j] * scratch.related[c, j]
    return total * total / joint if joint > 0 else 0.0
