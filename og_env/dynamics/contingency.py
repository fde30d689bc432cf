"""N-1: for every fault domain, the share of demand that would be lost, unverified or unfetchable if it broke now."""

from __future__ import annotations

from typing import Any

from og_env.dynamics.routing import room
from og_env.dynamics.supply_bits import role_up
from og_env.dynamics.verification import NO_PROOF, TEE, quorum_of
from og_env.kernel.arrays import DOWN, FETCHING, ON_DISK, UNTRUSTED, VERIFIER, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import load, splat, store

NO_GATEWAY, NO_QUORUM, NO_STORE = 1, 2, 4
"""bits: what is missing without a critical domain"""
LEFT_WITHOUT = (NO_QUORUM, NO_STORE, NO_GATEWAY)
"""the bit of each role: VERIFIER, STORE, GATEWAY"""


@kernel
def count_roles(env: Environment) -> None:
    """Count live roles, in all (live [3]) and by domain (domain_role [3, F]), and registered verifiers."""
    roles, sites = env.state.role_ms.shape
    env.memo.registered = 0
    for role in range(roles):
        env.memo.live[role] = 0
        for domain in range(env.world.domain_size.shape[0]):
            env.scratch.domain_role[role, domain] = 0
    for role in range(roles):
        for site in range(sites):
            if env.state.role_ms[role, site] != 0:
                continue
            env.memo.registered += role == VERIFIER
            if role_up(env, role, site):
                count_live(env, role, site, 1)


@inlined
def count_live(env: Environment, role: int, site: int, change: int) -> None:
    """Change the counts of live roles, in all and by domain, by so many at a site."""
    env.memo.live[role] += change
    for d in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        env.scratch.domain_role[role, domain] += change


@kernel
def count_role(env: Environment, role: int, site: int, change: int) -> None:
    """Change the counts of `count_roles` as if one more (change 1) or one less (-1) ran at a site that is up."""
    if role == VERIFIER:
        env.memo.registered += change
    count_live(env, role, site, change)


@inlined
def critical_from(env: Environment, role: int) -> int:
    """How many of a role's live sites a domain must hold for the rest not to do.

    All of them; of verifiers, more than there are votes to spare.
    """
    live = env.memo.live[role]
    return live - quorum_of(env.memo.registered) + 1 if role == VERIFIER else live


@kernel
def mark_critical(env: Environment) -> None:
    """Write to critical [F] which domains hold all gateways, all stores or so many verifiers that the rest is no quorum.

    Domains that only take trust away do not break roles.
    """
    domains = env.memo.critical.shape[0]
    for domain in range(domains):
        env.memo.critical[domain] = 0
    for role in range(env.state.role_ms.shape[0]):
        least, bit = critical_from(env, role), LEFT_WITHOUT[role]
        for domain in range(domains):
            env.memo.critical[domain] |= bit if breaks(env, role, domain, least) else 0
    env.memo.critical_any = 0
    for domain in range(domains):
        env.memo.critical_any |= env.memo.critical[domain]


@inlined
def breaks(env: Environment, role: int, domain: int, least: int) -> bool:
    """Whether a domain exists, takes sites down and holds at least so many live sites of a role."""
    breaking = (env.world.domain_size[domain] > 0) & (env.world.domain_effect[domain] != UNTRUSTED)
    return breaking & (env.scratch.domain_role[role, domain] >= least)


@kernel
def changed_bits(env: Environment, role: int) -> bool:
    """Whether any domain's bit of a role is another than the memo has it, by the counts of its live sites."""
    bit = LEFT_WITHOUT[role]
    least, changed = critical_from(env, role), 0
    for domain in range(env.memo.critical.shape[0]):
        changed |= breaks(env, role, domain, least) != ((env.memo.critical[domain] & bit) != 0)
    return changed != 0


@inlined
def bits_of(env: Environment, role: int, domain: int) -> int:
    """A domain's bits: that of a role by the counts of its live sites, the others as the memo has them."""
    bit = LEFT_WITHOUT[role]
    others = env.memo.critical[domain] & ~bit
    return others | bit if breaks(env, role, domain, critical_from(env, role)) else others


@kernel
def count_disks(env: Environment) -> None:
    """Count copies of every model on disks that are up, in all (disk_total [M]) and by domain (domain_disk [F, M])."""
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
def list_critical(env: Environment) -> None:
    """List the critical domains (critical_at [F], critical_count), and mark those that only take trust away.

    The latter have 1 in untrusting [G].
    """
    count = 0
    if env.memo.critical_any:
        for domain in range(env.memo.critical.shape[0]):
            env.scratch.critical_at[count] = domain  # the next one is written over it, unless it counts
            count += env.memo.critical[domain] != 0
    env.scratch.critical_count = count
    for domain in range(env.world.domain_effect.shape[0]):
        env.scratch.untrusting[domain] = env.world.domain_effect[domain] == UNTRUSTED


@kernel
def clear_losses(env: Environment) -> None:
    """Set the losses of all domains, domain_loss_rps [G], to 0."""
    for domain in range(env.scratch.domain_loss_rps.shape[0]):
        env.scratch.domain_loss_rps[domain] = 0


@inlined
def add_losses(env: Environment, model: int, count: int, served_rps: float, verified_rps: float) -> None:
    """Add to domain_loss_rps [G] what would be lost, unverified or unfetchable of a model without each domain."""
    spare_rps, spare_trusted_rps = room(env, count)
    write_held(env, count)
    write_part(env, env.scratch.held_rps, model, served_rps, verified_rps, spare_rps, spare_trusted_rps)
    for first in range(0, env.scratch.domain_loss_rps.shape[0], LANES):
        lost = load(env.scratch.domain_loss_rps, first) + load(env.scratch.column_part, first)
        store(env.scratch.domain_loss_rps, first, lost)


@kernel
def write_held(env: Environment, count: int) -> None:
    """Write what the listed replicas in each domain serve and could serve more to held_rps [G].

    Domains whose effect is UNTRUSTED count trusted replicas only.
    """
    for domain in range(env.scratch.held_rps.shape[0]):
        env.scratch.held_rps[domain] = 0
    for position in range(count):
        site, rps = env.scratch.replicas[position], env.scratch.replica_rps[position] + env.scratch.room_rps[position]
        counts = env.scratch.trust[position] > 0
        for d in range(env.world.site_domain.shape[1]):
            domain = env.world.site_domain[site, d]
            if domain < 0:
                break
            if counts or env.scratch.untrusting[domain] == 0:
                env.scratch.held_rps[domain] += rps


@kernel
def write_part(
    env: Environment,
    held_rps: Any,
    model: int,
    served_rps: float,
    verified_rps: float,
    spare_rps: float,
    spare_trusted_rps: float,
) -> None:
    """Write requests/s of a model lost, unverified or unfetchable without each domain to column_part [G].

    Writes to column_plain [G] what goes with its replicas alone: what they hold (held_rps, a field [G]) less the spare.
    """
    nothing, one = splat(0.0), splat(1.0)
    all_spare, more_spare = splat(spare_rps), splat(spare_trusted_rps - spare_rps)
    unasked = splat(0.0 if env.world.verification[model] == TEE else 1.0)
    for first in range(0, held_rps.shape[0], LANES):
        untrusting = load(env.scratch.untrusting, first)
        lost = max(load(held_rps, first) - (all_spare + untrusting * more_spare), nothing)
        lost = lost * (one - untrusting * unasked)
        store(env.scratch.column_plain, first, lost)
        store(env.scratch.column_part, first, lost)
    for i in range(env.scratch.critical_count):
        domain = env.scratch.critical_at[i]
        bits, plain = env.memo.critical[domain], env.scratch.column_plain[domain]
        env.scratch.column_part[domain] = critical_part(env, domain, bits, model, plain, served_rps, verified_rps)


@kernel
def critical_part(
    env: Environment, domain: int, bits: int, model: int, lost_rps: float, served_rps: float, verified_rps: float
) -> float:
    """Requests/s of a model lost, unverified or unfetchable without a domain that is critical by its bits.

    lost_rps: what goes with its replicas.
    """
    lost_rps = served_rps if bits & NO_GATEWAY else lost_rps
    if bits & NO_QUORUM and env.world.verification[model] != NO_PROOF:
        lost_rps += max(verified_rps - lost_rps, 0.0)
    if bits & NO_STORE and env.scratch.disk_total[model] <= env.scratch.domain_disk[domain, model]:
        lost_rps = max(lost_rps, env.scratch.asked[model])
    return lost_rps


@kernel
def write_losses(env: Environment, per_demand: float) -> float:
    """Write the share of demand lost without each domain to the output; returns the worst of all.

    Writes domain_loss [H] and, of the worst visible one, seen_loss. per_demand: one over all demand, 0 where there is none.
    """
    worst, seen = 0.0, 0.0
    for domain in range(env.world.domain_size.shape[0]):
        loss = min(env.scratch.domain_loss_rps[domain] * per_demand, 1.0)
        worst = max(worst, loss)
        seen = max(seen, loss if env.world.domain_visible[domain] else 0.0)
    for domain in range(env.output.domain_loss.shape[0]):
        env.output.domain_loss[domain] = min(env.scratch.domain_loss_rps[domain] * per_demand, 1.0)
    env.output.seen_loss = seen
    return worst


@kernel
def effective_nodes(env: Environment) -> float:
    """Effective independent nodes of the traffic: (sum w)^2 / sum_ij w_i rho_ij w_j over sites with traffic."""
    sites = env.state.site_share.shape[0]
    for other in range(sites):
        env.scratch.related[other] = 0
    for site in range(sites):
        share = env.state.site_share[site]
        if share > 0:
            for other in range(sites):
                env.scratch.related[other] += share * env.world.correlation[site, other]
    total, joint = 0.0, 0.0
    for site in range(sites):
        total += env.state.site_share[site]
        joint += env.state.site_share[site] * env.scratch.related[site]
    return total * total / joint if joint > 0 else 0.0
