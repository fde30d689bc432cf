"""N-1: for every fault domain, the share of demand that would be lost, unverified or unfetchable if it broke now."""

from __future__ import annotations

from og_env.dynamics.verification import NO_PROOF, TEE, quorum_of
from og_env.kernel.arrays import DOWN, FETCHING, ON_DISK, UNTRUSTED, VERIFIER
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.simd import load, splat, store
from og_env.kernel.views import LANES

NO_GATEWAY, NO_QUORUM, NO_STORE = 1, 2, 4
"""what is left without a critical domain"""
LEFT_WITHOUT = (NO_QUORUM, NO_STORE, NO_GATEWAY)
"""the same by role"""


@kernel
def count_roles(env):
    """Live roles, in all and by domain, and registered verifiers."""
    for role in range(3):
        for domain in range(env.world.domain_size.shape[0]):
            env.scratch.domain_role[role, domain] = 0
    for role in range(3):
        env.memo.live[role] = 0
    env.memo.registered = 0
    for role in range(3):
        for site in range(env.state.status.shape[0]):
            if env.state.role_ms[role, site] != 0:
                continue
            env.memo.registered += role == VERIFIER
            if env.state.status[site] & DOWN:
                continue
            env.memo.live[role] += 1
            for d in range(env.world.site_domain.shape[1]):
                domain = env.world.site_domain[site, d]
                if domain < 0:
                    break
                env.scratch.domain_role[role, domain] += 1


@inlined
def critical_from(env, role):
    """How many of a role's live sites a domain must hold for the rest not to do: all, or more than the votes to spare."""
    live = env.memo.live[role]
    return live - quorum_of(env.memo.registered) + 1 if role == VERIFIER else live


@kernel
def mark_critical(env):
    """Which domains hold all gateways, all stores or so many verifiers that the rest is no quorum. Those that only take
    trust away do not break roles."""
    domains = env.memo.critical.shape[0]
    for domain in range(domains):
        env.memo.critical[domain] = 0
    for role in range(3):
        least, bit = critical_from(env, role), LEFT_WITHOUT[role]
        for domain in range(domains):
            env.memo.critical[domain] |= bit if breaks(env, role, domain, least) else 0
    env.memo.criticals = 0
    for domain in range(domains):
        env.memo.criticals |= env.memo.critical[domain]


@inlined
def breaks(env, role, domain, least):
    """Whether domain f exists, takes sites down and holds at least so many live sites of a role."""
    breaking = (env.world.domain_size[domain] > 0) & (env.world.domain_effect[domain] != UNTRUSTED)
    return breaking & (env.scratch.domain_role[role, domain] >= least)


@kernel
def changed_bits(env, role):
    """Whether any domain's bit of a role is another than the memo has it, by the counts of its live sites."""
    bit = LEFT_WITHOUT[role]
    least, changed = critical_from(env, role), 0
    for domain in range(env.memo.critical.shape[0]):
        changed |= breaks(env, role, domain, least) != ((env.memo.critical[domain] & bit) != 0)
    return changed != 0


@inlined
def bits_of(env, role, domain):
    """Domain f's bits, that of a role by the counts of its live sites and the others as the memo has them."""
    bit = LEFT_WITHOUT[role]
    others = env.memo.critical[domain] & ~bit
    return others | bit if breaks(env, role, domain, critical_from(env, role)) else others


@kernel
def count_disks(env):
    """Copies of every model on disk, in all and by domain: asked for only where a domain holds all stores."""
    models, sites = env.state.phase.shape
    for domain in range(env.world.domain_size.shape[0]):
        for model in range(models):
            env.scratch.domain_disk[domain, model] = 0
    for model in range(models):
        env.scratch.disk_total[model] = 0
        for site in range(sites):
            phase = env.state.phase[model, site]
            if phase < ON_DISK or phase == FETCHING or env.state.status[site] & DOWN:
                continue
            env.scratch.disk_total[model] += 1
            for d in range(env.world.site_domain.shape[1]):
                domain = env.world.site_domain[site, d]
                if domain < 0:
                    break
                env.scratch.domain_disk[domain, model] += 1


@kernel
def list_critical(env):
    """The critical domains, to critical_at, and their number."""
    count = 0
    if env.memo.criticals:
        for domain in range(env.memo.critical.shape[0]):
            env.scratch.critical_at[count] = domain  # the next one is written over it, unless it counts
            count += env.memo.critical[domain] != 0
    env.scratch.criticals = count


@kernel
def write_held(env, count):
    """What the listed replicas in each domain serve and could serve more, requests/s, to held.

    Domains whose effect is UNTRUSTED count trusted replicas only."""
    for domain in range(env.scratch.held.shape[0]):
        env.scratch.held[domain] = 0
    for r in range(count):
        site, rps = env.scratch.replicas[r], env.scratch.total_rps[r] + env.scratch.room_rps[r]
        counts = env.scratch.trust[r] > 0
        for d in range(env.world.site_domain.shape[1]):
            domain = env.world.site_domain[site, d]
            if domain < 0:
                break
            if counts or env.scratch.untrusting[domain] == 0:
                env.scratch.held[domain] += rps


@kernel
def write_part(env, model, served, verified, spare, spare_trusted):
    """Requests/s of model m lost, unverified or unfetchable without each domain, to column_part; what goes with its
    replicas alone, to column_plain: what they serve, less what the others have to spare."""
    nothing, one = splat(0.0), splat(1.0)
    all_spare, more_spare = splat(spare), splat(spare_trusted - spare)
    unasked = splat(0.0 if env.world.verification[model] == TEE else 1.0)
    for first in range(0, env.scratch.held.shape[0], LANES):
        untrusting = load(env.scratch.untrusting, first)
        lost = max(load(env.scratch.held, first) - (all_spare + untrusting * more_spare), nothing)
        lost = lost * (one - untrusting * unasked)
        store(env.scratch.column_plain, first, lost)
        store(env.scratch.column_part, first, lost)
    for i in range(env.scratch.criticals):
        domain = env.scratch.critical_at[i]
        bits, plain = env.memo.critical[domain], env.scratch.column_plain[domain]
        env.scratch.column_part[domain] = critical_part(env, domain, bits, model, plain, served, verified)


@kernel
def critical_part(env, domain, bits, model, lost, served, verified):
    """The same of one domain, critical by its bits, `lost` being what goes with its replicas."""
    lost = served if bits & NO_GATEWAY else lost
    if bits & NO_QUORUM and env.world.verification[model] != NO_PROOF:
        lost += max(verified - lost, 0.0)
    if bits & NO_STORE and env.scratch.disk_total[model] <= env.scratch.domain_disk[domain, model]:
        lost = max(lost, env.scratch.asked[model])
    return lost


@kernel
def write_losses(env, per_demand):
    """Share of demand lost without each domain, and the worst visible one, to the output; returns the worst of all.

    per_demand: one over all demand, 0 where there is none."""
    worst, seen = 0.0, 0.0
    for domain in range(env.world.domain_size.shape[0]):
        loss = min(env.scratch.domain_lost[domain] * per_demand, 1.0)
        worst = max(worst, loss)
        seen = max(seen, loss if env.world.domain_visible[domain] else 0.0)
    for domain in range(env.output.domain_loss.shape[0]):
        env.output.domain_loss[domain] = min(env.scratch.domain_lost[domain] * per_demand, 1.0)
    env.output.seen_loss = seen
    return worst


@kernel
def effective_nodes(env):
    """Effective independent nodes of the traffic: (sum w)^2 / sum_ij w_i rho_ij w_j over sites with traffic."""
    sites = env.state.site_share.shape[0]
    for j in range(sites):
        env.scratch.related[j] = 0
    for i in range(sites):
        share = env.state.site_share[i]
        if share > 0:
            for j in range(sites):
                env.scratch.related[j] += share * env.world.correlation[i, j]
    total, joint = 0.0, 0.0
    for j in range(sites):
        total += env.state.site_share[j]
        joint += env.state.site_share[j] * env.scratch.related[j]
    return total * total / joint if joint > 0 else 0.0
