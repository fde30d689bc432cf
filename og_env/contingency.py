"""N-1: for every fault domain, the share of demand that would be lost, unverified or unfetchable if it broke now."""

from __future__ import annotations

from og_env.jit import kernel
from og_env.layout import (
    DOWN,
    FETCHING,
    GATEWAY,
    ON_DISK,
    STORE,
    UNTRUSTED,
    VERIFIER,
    scratch_of,
    state_of,
    world_of,
)
from og_env.status import NO_PROOF, TEE, quorum_of, trusted


@kernel
def count_roles(t, b, c):
    """Live roles in all, and registered verifiers."""
    state, scratch = state_of(t), scratch_of(t)
    scratch.registered[c] = 0
    for role in range(3):
        scratch.live[c, role] = 0
    for s in range(state.status.shape[1]):
        up = not state.status[b, s] & DOWN
        scratch.quorum_s[c, s] = -1
        for role in range(3):
            scratch.live[c, role] += up and state.role_ms[b, role, s] == 0
        scratch.registered[c] += state.role_ms[b, VERIFIER, s] == 0
    return scratch.registered[c] > 0 and scratch.live[c, VERIFIER] >= quorum_of(scratch.registered[c])


@kernel
def count_members(t, b, c):
    """Live roles and copies on disk of every domain."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    for f in range(world.domain_size.shape[1]):
        for role in range(3):
            scratch.domain_role[c, f, role] = 0
        for m in range(models):
            scratch.domain_disk[c, f, m] = 0
    for m in range(models):
        scratch.disk_total[c, m] = 0
    for s in range(sites):
        if state.status[b, s] & DOWN:
            continue
        for role in range(3):
            if state.role_ms[b, role, s] == 0:
                for d in range(world.site_domain.shape[2]):
                    f = world.site_domain[k, s, d]
                    if f < 0:
                        break
                    scratch.domain_role[c, f, role] += 1
        for m in range(models):
            if state.phase[b, m, s] >= ON_DISK and state.phase[b, m, s] != FETCHING:
                scratch.disk_total[c, m] += 1
                for d in range(world.site_domain.shape[2]):
                    f = world.site_domain[k, s, d]
                    if f < 0:
                        break
                    scratch.domain_disk[c, f, m] += 1


@kernel
def write_column(t, b, c, m, count):
    """Loads and spare of model m by domain, from the list of its replicas, to column_load and column_spare.

    Domains whose effect is UNTRUSTED count trusted replicas only."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    for f in range(world.domain_size.shape[1]):
        scratch.column_load[c, f] = 0
        scratch.column_spare[c, f] = 0
    for r in range(count):
        s = scratch.replicas[c, r]
        load, spare = scratch.total_rps[c, r], scratch.room_rps[c, r]
        counts = trusted(t, b, m, s, state.status[b, s])
        for d in range(world.site_domain.shape[2]):
            f = world.site_domain[k, s, d]
            if f < 0:
                break
            if counts or world.domain_effect[k, f] != UNTRUSTED:
                scratch.column_load[c, f] += load
                scratch.column_spare[c, f] += spare


@kernel
def lost_part(t, b, c, f, m, load, spare, served, verified, spare_total, spare_trusted):
    """Requests/s of model m lost, unverified or unfetchable without domain f, which serves `load` and could serve
    `spare` more; served, verified and spare totals are those of the model on all sites."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    if world.domain_effect[k, f] == UNTRUSTED:
        return max(load - (spare_trusted - spare), 0.0) if world.verification[k, m] == TEE else 0.0
    lost = max(load - (spare_total - spare), 0.0)
    if scratch.live[c, GATEWAY] <= scratch.domain_role[c, f, GATEWAY]:
        lost = served
    unverified = 0.0
    if world.verification[k, m] != NO_PROOF:
        votes = scratch.live[c, VERIFIER] - scratch.domain_role[c, f, VERIFIER]
        if votes < quorum_of(scratch.registered[c]):
            unverified = max(verified - lost, 0.0)
    unfetchable = 0.0
    if scratch.live[c, STORE] <= scratch.domain_role[c, f, STORE]:
        if scratch.disk_total[c, m] <= scratch.domain_disk[c, f, m]:
            unfetchable = scratch.asked[c, m]
    return max(lost + unverified, unfetchable)


@kernel
def base_part(t, b, c, f, m):
    """`lost_part` of a domain with members, from the tables of the fleet as it is."""
    scratch = scratch_of(t)
    if world_of(t).domain_size[state_of(t).world[b], f] == 0:
        return 0.0
    load, spare = scratch.domain_load[c, f, m], scratch.domain_spare[c, f, m]
    served, verified = scratch.served[c, m], scratch.verified[c, m]
    return lost_part(
        t, b, c, f, m, load, spare, served, verified, scratch.spare_total[c, m], scratch.spare_trusted[c, m]
    )


@kernel
def write_parts(t, b, c, m, count):
    """Model m's load, spare and part of the loss of every domain, to the tables."""
    world, scratch = world_of(t), scratch_of(t)
    write_column(t, b, c, m, count)
    for f in range(world.domain_size.shape[1]):
        scratch.domain_load[c, f, m] = scratch.column_load[c, f]
        scratch.domain_spare[c, f, m] = scratch.column_spare[c, f]
        scratch.domain_part[c, f, m] = base_part(t, b, c, f, m)


@kernel
def write_losses(t, b, c, demand, served):
    """Share of demand lost without each domain, and its share of traffic, to the state; returns the worst loss."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    worst = 0.0
    for f in range(world.domain_size.shape[1]):
        state.domain_share[b, f] = 0
        total = 0.0
        for m in range(models):
            total += scratch.domain_part[c, f, m]
        loss = min(total / demand, 1.0) if demand > 0 else 0.0
        state.domain_loss[b, f] = loss
        worst = max(worst, loss)
    if served > 0:
        for s in range(sites):
            if scratch.site_rps[c, s] > 0:
                for d in range(world.site_domain.shape[2]):
                    f = world.site_domain[k, s, d]
                    if f < 0:
                        break
                    state.domain_share[b, f] += scratch.site_rps[c, s] / served
    return worst


@kernel
def effective_nodes(t, b):
    """Effective independent nodes of the traffic: (sum w)^2 / sum_ij w_i rho_ij w_j over sites with traffic."""
    world, state = world_of(t), state_of(t)
    k = state.world[b]
    total, joint = 0.0, 0.0
    for i in range(state.site_share.shape[1]):
        share = state.site_share[b, i]
        if share <= 0:
            continue
        total += share
        joint += share * share * world.correlation[k, i, i]
        for j in range(i):
            if state.site_share[b, j] > 0:
                joint += 2 * share * state.site_share[b, j] * world.correlation[k, i, j]
    return total * total / joint if joint > 0 else 0.0
