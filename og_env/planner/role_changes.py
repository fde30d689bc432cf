"""Offers that add or remove a verifier, a store or a gateway."""

from __future__ import annotations

import math

from og_env.dynamics.limits import role_within
from og_env.dynamics.operations import role_operation
from og_env.dynamics.verification import NO_PROOF, quorum_of
from og_env.kernel.arrays import GATEWAY, STORE, TERM, VERIFIER, Environment
from og_env.kernel.compile import kernel
from og_env.planner.expected_gain import LEAST_DEMAND_RPS, price_unserved, rent_gain, role_trial
from og_env.planner.offer_list import insert_offer, next_site

SHORTLIST = 2
"""sites at which a role's addition is priced by a trial, in every step; set by hand"""
SITE_SCORE, CROWDING, GATEWAY_SERVICE = 0.1, 0.2, 5.0
"""weights of the shortlist's score: the site's own score, the share of live roles that one of its domains holds, and a
gateway's gain in service. They only rank sites, beside the rent. Set by hand."""


@kernel
def verifier_service(env: Environment, change: int) -> float:
    """Gain in service of one more or one less verifier: all proofs where the quorum comes or goes, else nothing."""
    registered = env.memo.registered + change
    will_do = registered > 0 and env.memo.live[VERIFIER] + change >= quorum_of(registered)
    does = env.memo.registered > 0 and env.memo.live[VERIFIER] >= quorum_of(env.memo.registered)
    if will_do == does:
        return 0.0
    provable_rps = 0.0
    for model in range(env.scratch.fleet_served_rps.shape[0]):
        provable_rps += env.scratch.fleet_served_rps[model] if env.world.verification[model] != NO_PROOF else 0.0
    sign = 1.0 if will_do else -1.0
    return sign * env.world.weights[TERM.unverified] * provable_rps / env.scratch.expected_demand_rps


@kernel
def store_service(env: Environment, change: int) -> float:
    """Gain in service of one more or one less store: of the demand that waits for replicas, as far as fetches queue."""
    waiting = 1 - env.scratch.expected_served_rps / env.scratch.expected_demand_rps
    stores = env.memo.live[STORE]
    fetches = 0
    for site in range(env.state.status.shape[0]):
        fetches += env.scratch.store_fetches[site]
    queue = max(fetches / (env.world.store_streams * max(stores, 1)) - 1, 0.0)
    relief = env.world.weights[TERM.unserved] * waiting * min(queue, 1.0) / max(stores + (change > 0), 1)
    return relief * change


@kernel
def gateway_service(env: Environment, site: int, change: int) -> float:
    """Gain in service of one more or one less gateway at a site: users reach the nearest; all else stays as it is.

    The first gateway gains all demand, and the last one loses it.
    """
    if env.memo.slots == 0:
        return price_unserved(env, 1.0) if change > 0 else 0.0
    if change < 0 and env.memo.slots == 1:
        return env.scratch.unserved_price - price_unserved(env, 1.0)
    gained_ms = 0.0
    for region in range(env.world.near_user.shape[0]):
        rps = env.scratch.user_rps[region]
        slot = env.memo.gateway_of[region]
        if slot < 0:
            continue
        now_ms = env.world.rtt_user_ms[region, env.memo.gateways[slot]]
        if change > 0:
            gained_ms += rps * max(now_ms - env.world.rtt_user_ms[region, site], 0.0)
        elif env.memo.gateways[slot] == site:
            next_ms = math.inf
            for other in range(env.memo.slots):
                if other != slot:
                    next_ms = min(next_ms, env.world.rtt_user_ms[region, env.memo.gateways[other]])
            gained_ms += rps * (now_ms - next_ms)
    return env.scratch.gain_per_ms * gained_ms


@kernel
def role_service(env: Environment, role: int, site: int, change: int) -> float:
    """Gain in service, reward per step, of one more (change 1) or one less (-1) running role at a site."""
    if role == VERIFIER:
        return verifier_service(env, change)
    if role == STORE:
        return store_service(env, change)
    return gateway_service(env, site, change)


@kernel
def weigh_users(env: Environment) -> None:
    """Write the demand of every user region, and the reward per step of each request/s that saves a millisecond."""
    slope, total_rps = 0.0, LEAST_DEMAND_RPS
    for model in range(env.scratch.fleet_served_rps.shape[0]):
        slope += env.scratch.fleet_late_per_ms[model] * env.world.round_trips / env.scratch.expected_demand_rps
    for region in range(env.scratch.demand.shape[0]):
        rps = 0.0
        for model in range(env.scratch.demand.shape[1]):
            rps += env.scratch.demand[region, model]
        env.scratch.user_rps[region] = rps
        total_rps += rps
    env.scratch.gain_per_ms = env.world.weights[TERM.latency] * slope / total_rps


@kernel
def score_role_site(env: Environment, role: int, site: int) -> float:
    """Cheap estimate of what a role would gain at a site, to choose the few that are priced by a trial."""
    crowd = 0
    for d in range(1, env.world.site_domain.shape[1]):  # the first one is the site itself
        domain = env.world.site_domain[site, d]
        if domain >= 0 and env.world.domain_visible[domain]:
            crowd = max(crowd, env.scratch.domain_role[role, domain])
    score = SITE_SCORE * env.scratch.site_score[site] - CROWDING * crowd / max(env.memo.live[role], 1)
    score -= rent_gain(env, env.world.usd_per_vm_hour[site])
    return score + GATEWAY_SERVICE * role_service(env, role, site, 1) if role == GATEWAY else score


@kernel
def propose_role(env: Environment, role: int) -> None:
    """Offer to remove a role from every site that runs it, and to add it at the sites of its shortlist."""
    candidates = 0
    for site in range(env.state.status.shape[0]):
        if not env.scratch.can_change[site]:
            continue
        if env.state.role_ms[role, site] == 0 and env.scratch.may_remove[role]:
            price_role(env, role, site, -1)
        elif env.state.role_ms[role, site] < 0 and role_within(env, role, site):
            env.scratch.candidate_score[candidates] = score_role_site(env, role, site)
            env.scratch.candidate_site[candidates] = site
            candidates += 1
    for _ in range(min(SHORTLIST, candidates)):
        price_role(env, role, next_site(env, candidates), 1)


@kernel
def price_role(env: Environment, role: int, site: int, change: int) -> None:
    """Price one more (change 1) or one less (-1) role at a site by a trial, and offer it. A store holds all weights."""
    usd_per_hour = env.world.usd_per_vm_hour[site]
    if role == STORE:
        for model in range(env.world.weights_gb.shape[0]):
            usd_per_hour += env.world.weights_gb[model] * env.world.storage_usd_per_gb_hour
    removes, once = change < 0, env.world.weights[TERM.churn]
    service, resilience = role_service(env, role, site, change), role_trial(env, role, site, change)
    rent, ready_s = -change * rent_gain(env, usd_per_hour), 0.0 if removes else env.world.provision_ms / 1000
    operation = role_operation(env, role, 1 if removes else 0, site)
    insert_offer(env, operation, removes, service=service, resilience=resilience, rent=rent, once=once, ready_s=ready_s)
