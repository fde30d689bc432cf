"""The planner's offers: every step the operations with the greatest nominal marginal gain.

A cheap score per site shortlists launches for every model; the shortlist, every retirement and the best few role
changes are then priced exactly by `nominal`. Gains are reward per step over the planner's horizon: what the change
brings once it is useful, minus its rent, minus its one-off cost spread over the horizon.
"""

from __future__ import annotations

from og_env.dynamics.loading import fetch_rate_kb_per_s, source_of
from og_env.dynamics.operations import (
    LAUNCH,
    RETIRE,
    STAGE,
    model_operation,
    model_possible,
    reachable,
    role_operation,
    store_lives,
)
from og_env.dynamics.verification import NO_PROOF, quorum_of
from og_env.kernel.arrays import ABSENT, DOWN, FETCHING, GATEWAY, ON_DISK, STORE, TERM, VERIFIER
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.simd import load, splat, total
from og_env.kernel.views import LANES
from og_env.planner.expected_flow import add_nominal, hold, release
from og_env.planner.expected_gain import (
    HORIZON,
    SHORTLIST,
    THRESHOLD,
    begin_trials,
    evaluate,
    priced,
    role_trial,
    trial,
)

REMOVALS = 0.4
"""share of the offers kept for removals"""


@kernel
def offer(env, operation, removal, service, cost, resilience, once, ready_s):
    """Put a candidate into the ordered list of additions or of removals, if it belongs among the best.

    cost: gain per step from rent saved (negative for rent added); once: reward lost once, spread over the horizon."""
    size = env.output.offer.shape[0]
    horizon_s = env.world.planner[HORIZON] * env.world.step_ms / 1000
    useful = max(1 - ready_s / horizon_s, 0.0)
    service *= useful
    resilience *= useful
    cost -= once / env.world.planner[HORIZON]
    gain = service + cost + resilience
    first = size - int(size * REMOVALS) if removal else 0
    last = size if removal else size - int(size * REMOVALS)
    place = last
    while place > first and (env.output.offer[place - 1] == 0 or env.output.offer_gain[place - 1, 0] < gain):
        place -= 1
    if place == last:
        return
    for i in range(last - 1, place, -1):
        env.output.offer[i] = env.output.offer[i - 1]
        for j in range(5):
            env.output.offer_gain[i, j] = env.output.offer_gain[i - 1, j]
    env.output.offer[place] = operation
    env.output.offer_gain[place, 0] = gain
    env.output.offer_gain[place, 1] = service
    env.output.offer_gain[place, 2] = cost
    env.output.offer_gain[place, 3] = resilience
    env.output.offer_gain[place, 4] = ready_s


@kernel
def rent_gain(env, usd_per_hour):
    """Reward per step of not paying this much."""
    return env.world.weights[TERM.cost] * usd_per_hour / env.world.budget_usd_per_hour


@kernel
def fetch_cost(env, model, site):
    """Reward lost once for the egress of model m's weights to site s."""
    source = source_of(env, site)
    if source < 0:
        return 0.0
    usd = env.world.weights_gb[model] * env.world.egress_usd_per_gb[source]
    return rent_gain(env, usd) * 3_600_000 / env.world.step_ms


@inlined
def ready_in_s(env, model, site, loading):
    """Seconds until a replica launched now would be warm (or on disk, without the load), the store's queue included."""
    seconds = env.world.load_ms[model, site] / 1000 if loading else 0.0
    if env.state.phase[model, site] < ON_DISK:
        rate = env.scratch.fetch_kb_per_s[site]
        absent = env.state.phase[model, site] == ABSENT
        left_mb = env.world.weights_mb[model] if absent else env.state.fetch_left_mb[model, site]
        seconds += left_mb * 1000 / rate if rate > 0 else 1e6
    return seconds


@kernel
def score_sites(env):
    """Cheap score of every site as a place for more work: near to demand, outside domains whose loss is large or near;
    whether it can be reached, and the kB/s of one more fetch to it."""
    demand = env.scratch.base[0]
    for site in range(env.state.status.shape[0]):
        env.scratch.path_ms[site] = 0
    for slot in range(env.memo.slots):
        share, gateway = 0.0, env.memo.gateways[slot]
        for model in range(env.scratch.served.shape[0]):
            share += env.scratch.gateway_rps[model, slot] / demand
        for site in range(env.state.status.shape[0]):
            env.scratch.path_ms[site] += share * env.world.rtt_ms[gateway, site]
    for site in range(env.state.status.shape[0]):
        env.scratch.open[site] = reachable(env, site)
        if not env.scratch.open[site]:
            continue
        env.scratch.fetch_kb_per_s[site] = fetch_rate_kb_per_s(env, site, 1)
        danger, worst = 0.0, 0.0
        for d in range(env.world.site_domain.shape[1]):
            domain = env.world.site_domain[site, d]
            if domain < 0:
                break
            if env.world.domain_visible[domain]:
                danger += env.scratch.domain_risk[domain] * env.world.hit[site, d]
                worst = max(worst, min(env.scratch.domain_base[domain] / demand, 1.0))
        env.scratch.site_score[site] = (
            -env.world.weights[TERM.exposure] * worst - env.world.weights[TERM.unserved] * danger
        )


@kernel
def propose_launches(env, model, count, store):
    """Offer the launches of model m that the shortlist holds, and the best stage; `count` replicas stand on the list."""
    sites = env.state.status.shape[0]
    demand = env.scratch.base[0]
    horizon_s = env.world.planner[HORIZON] * env.world.step_ms / 1000
    asked = env.scratch.asked[model]
    wanted = max(asked - env.scratch.served[model], 0.0) + 0.5 * asked
    per_usd, latency = rent_gain(env, 1.0), env.world.weights[TERM.latency]
    more_per_rps, share = env.world.weights[TERM.unserved] / demand, asked / demand
    candidates = 0
    for site in range(sites):
        if env.scratch.open[site] and model_possible(env, LAUNCH, model, site, store):
            delay = env.scratch.path_ms[site] * 0.001 + env.world.service_s[model, site]
            slow = latency * share * delay / (delay + env.world.slo_s[model])
            more = more_per_rps * min(env.world.capacity_rps[model, site], wanted)
            rent = per_usd * (env.world.replica_gpus[model, site] * env.world.usd_per_gpu_hour[site])
            useful = max(1 - ready_in_s(env, model, site, True) / horizon_s, 0.0)
            env.scratch.candidate[candidates] = (more - slow + env.scratch.site_score[site] * share) * useful - rent
            env.scratch.candidate_site[candidates] = site
            candidates += 1
    stage_from = -1
    for _ in range(min(int(env.world.planner[SHORTLIST]), candidates)):
        place = 0
        for i in range(1, candidates):
            place = i if env.scratch.candidate[i] > env.scratch.candidate[place] else place
        best = env.scratch.candidate_site[place]
        env.scratch.candidate[place] = -1e30
        if stage_from < 0 and env.state.phase[model, best] == ABSENT:
            stage_from = best
        add_nominal(env, model, best, count)
        service, resilience = trial(env, model, count + 1)
        release(env, count)
        env.scratch.present[count] = 0
        rent = -rent_gain(env, env.world.replica_gpus[model, best] * env.world.usd_per_gpu_hour[best])
        once = env.world.weights[TERM.churn]
        once += fetch_cost(env, model, best) if env.state.phase[model, best] == ABSENT else 0.0
        ready_s = ready_in_s(env, model, best, True)
        offer(env, model_operation(env, LAUNCH, model, best), False, service, rent, resilience, once, ready_s)
    if stage_from >= 0 and store:
        propose_stage(env, model, stage_from)


@kernel
def propose_stage(env, model, site):
    """Offer to put model m's weights on the disk of site s: what they would save after an outage elsewhere."""
    horizon_s = env.world.planner[HORIZON] * env.world.step_ms / 1000
    fetch_s = ready_in_s(env, model, site, False)
    saved = min(fetch_s / horizon_s, 1.0)
    mark_domains(env, site, 0.0)
    capacity, lost = splat(env.world.capacity_rps[model, site]), splat(0.0)
    for first in range(0, env.scratch.outside.shape[0], LANES):
        part = min(load(env.scratch.domain_part, (model, first)), capacity)
        lost += load(env.scratch.domain_risk, first) * part * load(env.scratch.outside, first)
    mark_domains(env, site, 1.0)
    gain = env.world.weights[TERM.unserved] * total(lost) / env.scratch.base[0] * saved
    rent = -rent_gain(env, env.world.weights_gb[model] * env.world.storage_usd_per_gb_hour)
    once = env.world.weights[TERM.churn] + fetch_cost(env, model, site)
    offer(env, model_operation(env, STAGE, model, site), False, 0.0, rent, gain, once, fetch_s)


@inlined
def mark_domains(env, site, outside):
    """Note site s's domains: it is not outside them (0), or no longer looked at (1)."""
    for d in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        env.scratch.outside[domain] = outside


@kernel
def propose_retirements(env, model, count):
    """Offer to retire each replica of model m; the `count` at sites that are up stand on the list."""
    place = 0
    for site in range(env.state.status.shape[0]):
        if env.state.phase[model, site] < FETCHING or env.state.status[site] & DOWN:
            continue
        if env.scratch.open[site]:
            env.scratch.present[place] = 0
            hold(env, place, -1.0)
            service, resilience = trial(env, model, count)
            release(env, place)
            env.scratch.present[place] = 1
            rent = rent_gain(env, env.world.replica_gpus[model, site] * env.world.usd_per_gpu_hour[site])
            once = env.world.weights[TERM.churn]
            offer(env, model_operation(env, RETIRE, model, site), True, service, rent, resilience, once, 0.0)
        place += 1


@kernel
def role_service(env, role, site, change):
    """Nominal gain per step in service of one more or one less role at site s."""
    models = env.scratch.served.shape[0]
    demand = env.scratch.base[0]
    if role == VERIFIER:
        registered = env.memo.registered + change
        final = registered > 0 and env.memo.live[VERIFIER] + change >= quorum_of(registered)
        now = env.memo.registered > 0 and env.memo.live[VERIFIER] >= quorum_of(env.memo.registered)
        if final == now:
            return 0.0
        provable = 0.0
        for model in range(models):
            provable += env.scratch.served[model] if env.world.verification[model] != NO_PROOF else 0.0
        return (1.0 if final else -1.0) * env.world.weights[TERM.unverified] * provable / demand
    if role == STORE:
        waiting = 1 - env.scratch.base[1] / demand
        stores = env.memo.live[STORE]
        busy = 0
        for other in range(env.state.status.shape[0]):
            busy += env.scratch.store_fetches[other]
        queue = max(busy / (env.world.store_streams * max(stores, 1)) - 1, 0.0)
        relief = env.world.weights[TERM.unserved] * waiting * min(queue, 1.0) / max(stores + (change > 0), 1)
        return relief * change
    if env.memo.slots == 0:
        return priced(env, 1.0) if change > 0 else 0.0
    return gateway_service(env, site, change)


@kernel
def gateway_service(env, site, change):
    """Latency gain per step of one more or one less gateway at site s, replicas and loads as they are."""
    if change < 0 and env.memo.slots == 1:
        return env.scratch.base[2] - priced(env, 1.0)
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
            next_ms = 1e9
            for other in range(env.memo.slots):
                if other != slot:
                    next_ms = min(next_ms, env.world.rtt_user_ms[region, env.memo.gateways[other]])
            gained_ms += rps * (now_ms - next_ms)
    return env.scratch.gain_per_ms * gained_ms


@kernel
def weigh_users(env):
    """Demand of every user region, and the latency gain per step of each requests/s that saves a millisecond."""
    slope, total_rps = 0.0, 1e-9
    for model in range(env.scratch.served.shape[0]):
        total_s = env.scratch.latency_s[model] + env.world.slo_s[model]
        slope += env.scratch.served[model] / env.scratch.base[0] * env.world.slo_s[model] / (total_s * total_s)
    for region in range(env.scratch.demand.shape[0]):
        rps = 0.0
        for model in range(env.scratch.demand.shape[1]):
            rps += env.scratch.demand[region, model]
        env.scratch.user_rps[region] = rps
        total_rps += rps
    env.scratch.gain_per_ms = env.world.weights[TERM.latency] * slope / total_rps / 1000


@kernel
def propose_role(env, role):
    """Offer the best two sites to add a role to, and every running one to take it from."""
    sites = env.state.status.shape[0]
    live = max(env.memo.live[role], 1)
    for site in range(sites):
        env.scratch.candidate[site] = -1e30
        if not env.scratch.open[site]:
            continue
        if env.state.role_ms[role, site] == 0:
            price_role(env, role, site, -1)
        elif env.state.role_ms[role, site] < 0:
            crowd = 0
            for d in range(1, env.world.site_domain.shape[1]):
                domain = env.world.site_domain[site, d]
                if domain >= 0 and env.world.domain_visible[domain]:
                    crowd = max(crowd, env.scratch.domain_role[role, domain])
            value = 0.1 * env.scratch.site_score[site] - 0.2 * crowd / live
            value -= rent_gain(env, env.world.usd_per_vm_hour[site])
            env.scratch.candidate[site] = value + 5 * role_service(env, role, site, 1) if role == GATEWAY else value
    for _ in range(2):
        best, value = -1, -1e29
        for site in range(sites):
            if env.scratch.candidate[site] > value:
                best, value = site, env.scratch.candidate[site]
        if best < 0:
            break
        env.scratch.candidate[best] = -1e30
        price_role(env, role, best, 1)


@kernel
def price_role(env, role, site, change):
    """Price one role change and offer it."""
    resilience = role_trial(env, role, site, change)
    service = role_service(env, role, site, change)
    usd_per_hour = env.world.usd_per_vm_hour[site]
    if role == STORE:
        for model in range(env.world.weights_gb.shape[0]):
            usd_per_hour += env.world.weights_gb[model] * env.world.storage_usd_per_gb_hour
    rent = -change * rent_gain(env, usd_per_hour)
    ready_s = env.world.provision_ms / 1000 if change > 0 else 0.0
    operation = role_operation(env, role, 1 if change < 0 else 0, site)
    offer(env, operation, change < 0, service, rent, resilience, env.world.weights[TERM.churn], ready_s)


@kernel
def propose(env):
    """Fill the environment's offers for its next step."""
    for i in range(env.output.offer.shape[0]):
        env.output.offer[i] = 0
        for j in range(5):
            env.output.offer_gain[i, j] = 0
    evaluate(env, env.state.step)
    score_sites(env)
    store = store_lives(env)
    for model in range(env.state.phase.shape[0]):
        count = begin_trials(env, model)
        propose_launches(env, model, count, store)
        propose_retirements(env, model, count)
    weigh_users(env)
    for role in range(3):
        propose_role(env, role)


@kernel
def autoscale(env):
    """The built-in autoscaler: the best offer, where it gains more than the threshold; else nothing."""
    best, gain = 0, env.world.planner[THRESHOLD]
    for i in range(env.output.offer.shape[0]):
        if env.output.offer[i] != 0 and env.output.offer_gain[i, 0] > gain:
            best, gain = env.output.offer[i], env.output.offer_gain[i, 0]
    return best
