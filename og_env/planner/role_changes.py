"""Offers that add or remove a verifier, a store or a gateway."""

from __future__ import annotations

from og_env.dynamics.limits import role_within
from og_env.dynamics.loading import MS_PER_S, source_of
from og_env.dynamics.operations import role_operation
from og_env.dynamics.supply_bits import may_rent, role_up
from og_env.dynamics.verification import NO_PROOF, quorum_of
from og_env.kernel.arrays import DOWN, FETCHING, GATEWAY, LOADING, STORE, TERM, VERIFIER, WARM, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.planner.expected_gain import LEAST_DEMAND_RPS, horizon_ms, rent_gain, role_trial
from og_env.planner.gateway_trial import GATEWAY_TRIALS, begin_gateway_trial, gateway_gain, next_slot
from og_env.planner.offer_list import insert_offer, next_site

SHORTLIST = 2
"""sites at which a role's addition is priced by a trial, in every step; set by hand"""
SITE_SCORE, CROWDING, SERVICE = 0.1, 0.2, 5.0
"""weights of the shortlist's score: the site's own score, the share of live roles that one of its domains holds, and the
gain in service of a gateway or a store. They only rank sites, beside the rent. Set by hand."""


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
def store_service(env: Environment, site: int, change: int) -> float:
    """Gain in service of one more or one less store at a site: fetches that it takes over, or leaves, end sooner or later.

    A new store takes over the fetches to sites that it is the nearest store of; those that one leaves join the others,
    evenly. Fetches share the streams of their store. A launch that comes so much sooner serves what waits for it.
    """
    stores, fetches, taken = env.memo.live[STORE], 0, 0
    if stores == 0 or stores + change == 0:
        return 0.0
    for i in range(env.scratch.moves):
        source = move_source(env, i)
        fetches += source >= 0
        taken += takes_over(env, i, source, site, change)
    if taken == 0:
        return 0.0
    streams, saved_rps_s = env.world.store_streams, 0.0
    then = max(taken / streams, 1.0) if change > 0 else max(fetches / (streams * (stores - 1)), 1.0)
    for i in range(env.scratch.moves):
        model, to, source = env.scratch.move_model[i], env.scratch.move_site[i], move_source(env, i)
        if takes_over(env, i, source, site, change) and env.state.phase[model, to] == FETCHING:
            alone_s = env.state.fetch_left_mb[model, to] / env.world.store_mb_per_s
            sooner_s = alone_s * (max(env.scratch.store_fetches[source] / streams, 1.0) - then)
            limit_rps = env.world.utilisation_limit * env.world.capacity_rps[model, to]
            saved_rps_s += sooner_s * min(limit_rps, waiting_for_warmth(env, model))
    saved = saved_rps_s / (env.scratch.expected_demand_rps * horizon_ms(env) / MS_PER_S)
    return env.world.weights[TERM.unserved] * min(max(saved, -1.0), 1.0)


@inlined
def move_source(env: Environment, move: int) -> int:
    """The store of the given fetch or load under way; -1 for a load, and where nothing is fetched."""
    site = env.scratch.move_site[move]
    loading = env.state.phase[env.scratch.move_model[move], site] == LOADING
    return -1 if loading or env.state.status[site] & DOWN else source_of(env, site)


@inlined
def takes_over(env: Environment, move: int, source: int, site: int, change: int) -> bool:
    """Whether a new store at a site takes the given fetch over from its source, or a store that goes leaves it."""
    to = env.scratch.move_site[move]
    nearer = env.world.rtt_ms[to, site] < env.world.rtt_ms[to, max(source, 0)]
    return (source >= 0) & (nearer if change > 0 else source == site)


@kernel
def waiting_for_warmth(env: Environment, model: int) -> float:
    """Requests/s of a model that are expected to be served once all is warm, and that the warm replicas have no room for."""
    warm_rps = 0.0
    for i in range(env.scratch.placed_count[model]):
        site = env.scratch.placed[model, i]
        if env.state.phase[model, site] == WARM and not env.state.status[site] & DOWN:
            warm_rps += env.world.utilisation_limit * env.world.capacity_rps[model, site]
    return max(env.scratch.fleet_served_rps[model] - warm_rps, 0.0)


@inlined
def moving_gain(env: Environment, region: int, source: int, target: int, more_ms: float) -> float:
    """Estimate of the gain in service, for the shortlist, if users enter at a target, after so many ms more.

    They are late or turned away as users of that site are by now.
    """
    fewer = (env.scratch.turned_away[source] - env.scratch.turned_away[target]) / env.scratch.expected_demand_rps
    served = env.world.weights[TERM.unserved] * fewer / env.scratch.expected_demand_rps
    return env.scratch.user_rps[region] * (served - env.scratch.gain_per_ms * more_ms)


@kernel
def entry_gain(env: Environment, site: int) -> float:
    """Estimate of the gain in service of a gateway at a site: from users for whom it is the nearest."""
    gain = 0.0
    for region in range(env.world.near_user.shape[0]):
        slot = env.memo.gateway_of[region]
        if slot >= 0:
            source = env.memo.gateways[slot]
            more_ms = env.world.rtt_user_ms[region, site] - env.world.rtt_user_ms[region, source]
            if more_ms < 0:
                gain += moving_gain(env, region, source, site, more_ms)
    return gain


@kernel
def exit_gain(env: Environment, site: int) -> float:
    """Estimate of the gain in service if the gateway at a site leaves its users to the next one."""
    gain = 0.0
    for region in range(env.world.near_user.shape[0]):
        slot = env.memo.gateway_of[region]
        if slot < 0 or env.memo.gateways[slot] != site:
            continue
        other = next_slot(env, region, slot)
        if other >= 0:
            target = env.memo.gateways[other]
            more_ms = env.world.rtt_user_ms[region, target] - env.world.rtt_user_ms[region, site]
            gain += moving_gain(env, region, site, target, more_ms)
    return gain


@kernel
def role_service(env: Environment, role: int, site: int, change: int) -> float:
    """Gain in service, reward per step, of one more (change 1) or one less (-1) verifier or store at a site."""
    return verifier_service(env, change) if role == VERIFIER else store_service(env, site, change)


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
    if role == GATEWAY:
        score += SERVICE * entry_gain(env, site)
    if role == STORE:
        score += SERVICE * store_service(env, site, 1)
    return score


@kernel
def list_removals(env: Environment, role: int) -> int:
    """List the sites that may lose a role as candidates, and score gateways among them; returns their number."""
    removals = 0
    for site in range(env.state.status.shape[0]):
        if env.scratch.can_change[site] and runs(env, role, site) and env.scratch.may_remove[role]:
            env.scratch.candidate_score[removals] = exit_gain(env, site) if role == GATEWAY else 0.0
            env.scratch.candidate_site[removals] = site
            removals += 1
    return removals


@inlined
def runs(env: Environment, role: int, site: int) -> bool:
    """Whether a role runs at a site and is of use there."""
    return env.state.role_ms[role, site] == 0 and role_up(env, role, site)


@inlined
def can_add(env: Environment, role: int, site: int) -> bool:
    """Whether a role can be added at a site."""
    lacks = env.scratch.can_change[site] and env.state.role_ms[role, site] < 0 and may_rent(env, site)
    return lacks and role_within(env, role, site)


@kernel
def list_additions(env: Environment, role: int) -> int:
    """List the sites that may get a role as candidates, with their scores; returns their number."""
    candidates = 0
    for site in range(env.state.status.shape[0]):
        if can_add(env, role, site):
            env.scratch.candidate_score[candidates] = score_role_site(env, role, site)
            env.scratch.candidate_site[candidates] = site
            candidates += 1
    return candidates


@kernel
def choose_gateways(env: Environment) -> int:
    """Begin trials of the gateways that seem best to add and to remove, as many as GATEWAY_TRIALS; returns their number."""
    trials, additions = 0, list_additions(env, GATEWAY)
    for _ in range(min(SHORTLIST, additions)):
        begin_gateway_trial(env, trials, next_site(env, additions), 1)
        trials += 1
    removals = list_removals(env, GATEWAY)
    for _ in range(min(GATEWAY_TRIALS - trials, removals)):
        begin_gateway_trial(env, trials, next_site(env, removals), -1)
        trials += 1
    return trials


@kernel
def propose_gateways(env: Environment, trials: int) -> None:
    """Offer the gateways on trial, of which all models have their part."""
    for trial in range(trials):
        site, change = env.scratch.trial_gateway[trial], env.scratch.trial_change[trial]
        price_role(env, GATEWAY, site, change, gateway_gain(env, trial))


@kernel
def propose_role(env: Environment, role: int) -> None:
    """Offer to remove a role, not a gateway, from every site that runs it, and to add it at the sites of its shortlist."""
    removals = list_removals(env, role)
    for _ in range(removals):
        site = next_site(env, removals)
        price_role(env, role, site, -1, role_service(env, role, site, -1))
    additions = list_additions(env, role)
    for _ in range(min(SHORTLIST, additions)):
        site = next_site(env, additions)
        price_role(env, role, site, 1, role_service(env, role, site, 1))


@kernel
def price_role(env: Environment, role: int, site: int, change: int, service: float) -> None:
    """Offer one more (change 1) or one less (-1) role at a site, with its gain in service. A store holds all weights."""
    usd_per_hour = env.world.usd_per_vm_hour[site]
    if role == STORE:
        for model in range(env.world.weights_gb.shape[0]):
            usd_per_hour += env.world.weights_gb[model] * env.world.storage_usd_per_gb_hour
    removes, once = change < 0, env.world.weights[TERM.churn]
    resilience = role_trial(env, role, site, change)
    rent, ready_s = -change * rent_gain(env, usd_per_hour), 0.0 if removes else env.world.provision_ms / 1000
    operation = role_operation(env, role, 1 if removes else 0, site)
    insert_offer(env, operation, removes, service=service, resilience=resilience, rent=rent, once=once, ready_s=ready_s)
