"""Offers that change where models run: launches, retirements, and weights staged on a disk."""

from __future__ import annotations

from og_env.dynamics.alarm_signals import HOUR_MS
from og_env.dynamics.latency import LEAST_DEVIATION_S, LOGISTIC, MOST_SLOPES
from og_env.dynamics.loading import MS_PER_S, fetch_rate_kb_per_s, has_peer, peer_kb_per_s, source_of
from og_env.dynamics.operations import LAUNCH, RETIRE, STAGE, model_operation, model_possible
from og_env.dynamics.supply_bits import stays
from og_env.kernel.arrays import ABSENT, FETCHING, LOADING, ON_DISK, PLANNER, TERM, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import exp, load, root, splat, total
from og_env.planner.expected_flow import append_expected, divide_demand, hold_limit, restore_held
from og_env.planner.expected_gain import horizon_ms, rent_gain, trial
from og_env.planner.offer_list import ADDS, REMOVES, insert_offer, next_site, useful_share
from og_env.planner.settled_load import start_burden

HEADROOM_WANTED = 0.5
"""for the shortlist, capacity counts up to what is not served plus this share of the model's demand; set by hand"""
NO_SOURCE_S = 1e6
"""seconds that a fetch from nowhere takes: longer than any horizon"""


@kernel
def fetch_loss(env: Environment, model: int, site: int) -> float:
    """Reward lost once for the egress of a model's weights to a site."""
    source = source_of(env, site)
    if source < 0 or has_peer(env, model, site):
        return 0.0
    usd = env.world.weights_gb[model] * env.world.egress_usd_per_gb[source]
    return rent_gain(env, usd) * HOUR_MS / env.world.step_ms


@inlined
def seconds_until_ready(env: Environment, model: int, site: int, loading: bool) -> float:
    """Seconds until a model ordered now would be warm at a site, or on its disk, where it isn't loaded.

    The fetch shares the store with those that are under way.
    """
    seconds = env.world.load_ms[model, site] / 1000 if loading else 0.0
    if env.state.phase[model, site] < ON_DISK:
        kb_per_s = peer_kb_per_s(env) if has_peer(env, model, site) else env.scratch.fetch_kb_per_s[site]
        absent = env.state.phase[model, site] == ABSENT
        left_mb = env.world.weights_mb[model] if absent else env.state.fetch_left_mb[model, site]
        seconds += left_mb * 1000 / kb_per_s if kb_per_s > 0 else NO_SOURCE_S
    return seconds


@inlined
def seconds_until_warm(env: Environment, model: int, site: int) -> float:
    """Seconds until a replica that is fetched or loaded is warm; 0 where it is."""
    if env.state.phase[model, site] == LOADING:
        return env.state.load_left_ms[model, site] / 1000
    if env.state.phase[model, site] != FETCHING:
        return 0.0
    kb_per_s = peer_kb_per_s(env) if has_peer(env, model, site) else fetch_rate_kb_per_s(env, site, 0)
    fetch_s = env.state.fetch_left_mb[model, site] * 1000 / kb_per_s if kb_per_s > 0 else NO_SOURCE_S
    return fetch_s + env.world.load_ms[model, site] / 1000


@inlined
def late_unloaded(env: Environment, model: int, site: int) -> float:
    """Share of a model's demand that would be late at a replica without load at a site."""
    once_s = (env.scratch.entry_mean_ms + env.scratch.gateway_path_ms[site]) / MS_PER_S
    timed_s = env.world.timed_s[model, site]
    mean_s = env.world.round_trips * once_s + env.world.payment_ms[site] / MS_PER_S + timed_s
    trips = env.world.round_trips2 - env.world.round_trips * env.world.round_trips
    varied_s = env.world.service_cv * timed_s
    deviation_s = max(root(max(trips, 0.0) * once_s * once_s + varied_s * varied_s), LEAST_DEVIATION_S)
    return 1 / (1 + exp(min((env.world.slo_s[model] - mean_s) * LOGISTIC / deviation_s, MOST_SLOPES)))


@inlined
def drawn_rps(env: Environment, model: int, site: int, weight: float) -> float:
    """Requests/s that a new replica of such a weight would be sent beside the listed ones; `divide_demand` was called."""
    drawn = 0.0
    for slot in range(env.memo.slots):
        pull = env.world.attraction[site, env.memo.gateways[slot]] * weight
        whole = env.scratch.slot_pulls[slot] + pull
        drawn += env.scratch.slot_even[slot] + (
            env.scratch.gateway_rps[model, slot] * pull / whole if pull > 0 else 0.0
        )
    return drawn


@kernel
def shortlist_launches(env: Environment, model: int, replicas: int, store_live: bool) -> int:
    """Score the sites where a model could be launched, as the shortlist; returns their number.

    The score estimates the gain without a trial: demand that the router would send there and the capacity would serve,
    latency and risk of the model's whole demand at this site, for as long as it is useful, less the rent. The model's
    `replicas` stand on the list.
    """
    demand_rps, asked_rps = env.scratch.expected_demand_rps, env.scratch.asked[model]
    wanted_rps = max(asked_rps - env.scratch.fleet_served_rps[model], 0.0) + HEADROOM_WANTED * asked_rps
    per_usd, latency = rent_gain(env, 1.0), env.world.weights[TERM.latency]
    more_per_rps, share = env.world.weights[TERM.unserved] / demand_rps, asked_rps / demand_rps
    candidates, weight = 0, 0.0
    divide_demand(env, model, replicas)
    for position in range(replicas):
        weight += env.scratch.weight[position] / replicas
    for site in range(env.state.status.shape[0]):
        if env.scratch.can_change[site] and model_possible(env, LAUNCH, model, site, store_live):
            slow = latency * share * late_unloaded(env, model, site)
            capacity_rps = env.world.capacity_rps[model, site]
            if replicas > 0:
                capacity_rps = min(capacity_rps, drawn_rps(env, model, site, weight))
            more = more_per_rps * min(capacity_rps, wanted_rps)
            rent = per_usd * (env.world.replica_gpus[model, site] * env.world.usd_per_gpu_hour[site])
            useful = useful_share(env, seconds_until_ready(env, model, site, True))
            score = (more - slow + env.scratch.site_score[site] * share) * useful - rent
            env.scratch.candidate_score[candidates] = uncertain(env, site, score)
            env.scratch.candidate_site[candidates] = site
            candidates += 1
    return candidates


@inlined
def uncertain(env: Environment, site: int, gain: float) -> float:
    """A gain of a launch at a site, times the chance that it is not refused and the share of time that it is kept."""
    chance = env.world.launch_chance[site] * env.world.kept_share[site]
    return gain * chance if chance < 1 else gain


@kernel
def propose_launches(env: Environment, model: int, replicas: int, store_live: bool) -> None:
    """Offer the launches of a model on the shortlist, and to stage it at the best of these sites that lacks its weights.

    The model's `replicas` stand on the list of `expected_flow`, and stand there again afterwards.
    """
    candidates = shortlist_launches(env, model, replicas, store_live)
    stage_at = -1
    for _ in range(min(int(env.world.planner[PLANNER.shortlist]), candidates)):
        site = next_site(env, candidates)
        absent = env.state.phase[model, site] == ABSENT
        if stage_at < 0 and absent:
            stage_at = site
        append_expected(env, model, site, replicas)
        start_burden(env, replicas)
        service, resilience = trial(env, model, replicas + 1)
        restore_held(env, replicas)
        env.scratch.present[replicas] = 0
        rent = -rent_gain(env, env.world.replica_gpus[model, site] * env.world.usd_per_gpu_hour[site])
        service, resilience, rent = (
            uncertain(env, site, service),
            uncertain(env, site, resilience),
            uncertain(env, site, rent),
        )
        once = env.world.weights[TERM.churn] + (fetch_loss(env, model, site) if absent else 0.0)
        ready_s, operation = seconds_until_ready(env, model, site, True), model_operation(env, LAUNCH, model, site)
        insert_offer(
            env, operation, ADDS, service=service, resilience=resilience, rent=rent, once=once, ready_s=ready_s
        )
    if stage_at >= 0 and store_live:
        propose_stage(env, model, stage_at)


@kernel
def propose_stage(env: Environment, model: int, site: int) -> None:
    """Offer to put a model's weights on the disk of a site: what this would save after an outage elsewhere.

    A launch would then come sooner by the time of the fetch. So the gain is the model's loss by each domain that the
    site isn't in, up to the site's capacity, times the share of the horizon that the domain is expected to be broken,
    times the share of the horizon that the fetch takes.
    """
    fetch_s = seconds_until_ready(env, model, site, False)
    saved = min(fetch_s / (horizon_ms(env) / 1000), 1.0)
    mark_domains(env, site, 0.0)
    capacity, lost = splat(env.world.capacity_rps[model, site]), splat(0.0)
    for first in range(0, env.scratch.elsewhere.shape[0], LANES):
        part = min(load(env.scratch.fleet_part_rps, (model, first)), capacity)
        lost += load(env.scratch.broken_share, first) * part * load(env.scratch.elsewhere, first)
    mark_domains(env, site, 1.0)
    resilience = env.world.weights[TERM.unserved] * total(lost) / env.scratch.expected_demand_rps * saved
    rent = -rent_gain(env, env.world.weights_gb[model] * env.world.storage_usd_per_gb_hour)
    once = env.world.weights[TERM.churn] + fetch_loss(env, model, site)
    operation = model_operation(env, STAGE, model, site)
    insert_offer(env, operation, ADDS, service=0.0, resilience=resilience, rent=rent, once=once, ready_s=fetch_s)


@inlined
def mark_domains(env: Environment, site: int, elsewhere: float) -> None:
    """Write for the domains of a site that they are not elsewhere (0), or that no site is looked at any more (1)."""
    for d in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        env.scratch.elsewhere[domain] = elsewhere


@kernel
def propose_retirements(env: Environment, model: int, replicas: int) -> None:
    """Offer to retire each replica of a model; the `replicas` at sites that are up stand on the list, in their order.

    Who retires a replica that is still under way loses what it would do from the moment when it is warm.
    """
    position = 0
    for site in range(env.state.status.shape[0]):
        if env.state.phase[model, site] < FETCHING or not stays(env, site):
            continue
        if env.scratch.can_change[site] and env.scratch.may_retire[model]:
            env.scratch.present[position] = 0
            hold_limit(env, position, -1.0)
            service, resilience = trial(env, model, replicas)
            restore_held(env, position)
            env.scratch.present[position] = 1
            useful = useful_share(env, seconds_until_warm(env, model, site))
            service, resilience = service * useful, resilience * useful
            rent = rent_gain(env, env.world.replica_gpus[model, site] * env.world.usd_per_gpu_hour[site])
            once, operation = env.world.weights[TERM.churn], model_operation(env, RETIRE, model, site)
            insert_offer(
                env, operation, REMOVES, service=service, resilience=resilience, rent=rent, once=once, ready_s=0.0
            )
        position += 1
