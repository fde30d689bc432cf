"""The planner's offers: every step the operations with the greatest nominal marginal gain.

A cheap score per site shortlists launches for every model; the shortlist, every retirement and the best few role
changes are then priced exactly by `nominal`. Gains are reward per step over the planner's horizon: what the change
brings once it is useful, minus its rent, minus its one-off cost spread over the horizon.
"""

from __future__ import annotations

from og_env.actions import (
    LAUNCH,
    RETIRE,
    STAGE,
    model_operation,
    model_possible,
    reachable,
    role_operation,
    store_lives,
)
from og_env.binding import LANES
from og_env.dynamics import TERM
from og_env.jit import inlined, kernel
from og_env.lanes import load, splat, total
from og_env.layout import (
    ABSENT,
    DOWN,
    FETCHING,
    GATEWAY,
    ON_DISK,
    STORE,
    VERIFIER,
    memo_of,
    output_of,
    scratch_of,
    state_of,
    world_of,
)
from og_env.nominal import HORIZON, SHORTLIST, THRESHOLD, begin_trials, evaluate, priced, role_trial, trial
from og_env.nominal_flow import add_nominal, hold, release
from og_env.placement import fetch_rate, source_of
from og_env.status import NO_PROOF, quorum_of

REMOVALS = 0.4
"""share of the offers kept for removals"""


@kernel
def offer(t, b, operation, removal, service, cost, resilience, once, ready_s):
    """Put a candidate into the ordered list of additions or of removals, if it belongs among the best.

    cost: gain per step from rent saved (negative for rent added); once: reward lost once, spread over the horizon."""
    world, output = world_of(t), output_of(t)
    k = state_of(t).world[b]
    size = output.offer.shape[1]
    horizon_s = world.planner[k, HORIZON] * world.step_ms[k] / 1000
    useful = max(1 - ready_s / horizon_s, 0.0)
    service *= useful
    resilience *= useful
    cost -= once / world.planner[k, HORIZON]
    gain = service + cost + resilience
    first = size - int(size * REMOVALS) if removal else 0
    last = size if removal else size - int(size * REMOVALS)
    place = last
    while place > first and (output.offer[b, place - 1] == 0 or output.offer_gain[b, place - 1, 0] < gain):
        place -= 1
    if place == last:
        return
    for i in range(last - 1, place, -1):
        output.offer[b, i] = output.offer[b, i - 1]
        for j in range(5):
            output.offer_gain[b, i, j] = output.offer_gain[b, i - 1, j]
    output.offer[b, place] = operation
    output.offer_gain[b, place, 0] = gain
    output.offer_gain[b, place, 1] = service
    output.offer_gain[b, place, 2] = cost
    output.offer_gain[b, place, 3] = resilience
    output.offer_gain[b, place, 4] = ready_s


@kernel
def rent_gain(t, b, usd_per_hour):
    """Reward per step of not paying this much."""
    world = world_of(t)
    k = state_of(t).world[b]
    return world.weights[k, TERM.cost] * usd_per_hour / world.budget_usd_per_hour[k]


@kernel
def fetch_cost(t, b, c, m, s):
    """Reward lost once for the egress of model m's weights to site s."""
    world = world_of(t)
    k = state_of(t).world[b]
    source = source_of(t, b, c, s)
    if source < 0:
        return 0.0
    usd = world.weights_gb[k, m] * world.egress_usd_per_gb[k, source]
    return rent_gain(t, b, usd) * 3_600_000 / world.step_ms[k]


@inlined
def ready_in_s(t, b, c, m, s, loading):
    """Seconds until a replica launched now would be warm (or on disk, without the load), the store's queue included."""
    world, state = world_of(t), state_of(t)
    k = state.world[b]
    seconds = world.load_ms[k, m, s] / 1000 if loading else 0.0
    if state.phase[b, m, s] < ON_DISK:
        rate = scratch_of(t).fetch_kb_per_s[c, s]
        left = world.weights_mb[k, m] if state.phase[b, m, s] == ABSENT else state.left[b, m, s]
        seconds += left * 1000 / rate if rate > 0 else 1e6
    return seconds


@kernel
def score_sites(t, b, c):
    """Cheap score of every site as a place for more work: near to demand, outside domains whose loss is large or near;
    whether it can be reached, and the kB/s of one more fetch to it."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    k = state.world[b]
    demand = scratch.base[c, 0]
    for s in range(state.status.shape[1]):
        scratch.path_ms[c, s] = 0
    for slot in range(memo.slots[b]):
        share, gateway = 0.0, memo.gateways[b, slot]
        for m in range(scratch.served.shape[1]):
            share += scratch.gateway_rps[c, slot, m] / demand
        for s in range(state.status.shape[1]):
            scratch.path_ms[c, s] += share * world.rtt_ms[k, gateway, s]
    for s in range(state.status.shape[1]):
        scratch.open[c, s] = reachable(t, b, s)
        if not scratch.open[c, s]:
            continue
        scratch.fetch_kb_per_s[c, s] = fetch_rate(t, b, c, s, 1)
        danger, worst = 0.0, 0.0
        for d in range(world.site_domain.shape[2]):
            f = world.site_domain[k, s, d]
            if f < 0:
                break
            if world.domain_visible[k, f]:
                danger += scratch.domain_risk[c, f] * world.hit[k, s, d]
                worst = max(worst, min(scratch.domain_base[c, f] / demand, 1.0))
        scratch.site_score[c, s] = -world.weights[k, TERM.exposure] * worst - world.weights[k, TERM.unserved] * danger


@kernel
def propose_launches(t, b, c, m, count, store):
    """Offer the launches of model m that the shortlist holds, and the best stage; `count` replicas stand on the list."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    sites = state.status.shape[1]
    k = state.world[b]
    demand = scratch.base[c, 0]
    horizon_s = world.planner[k, HORIZON] * world.step_ms[k] / 1000
    asked = scratch.asked[c, m]
    wanted = max(asked - scratch.served[c, m], 0.0) + 0.5 * asked
    per_usd, latency = rent_gain(t, b, 1.0), world.weights[k, TERM.latency]
    more_per_rps, share = world.weights[k, TERM.unserved] / demand, asked / demand
    candidates = 0
    for s in range(sites):
        if scratch.open[c, s] and model_possible(t, b, LAUNCH, m, s, store):
            delay = scratch.path_ms[c, s] * 0.001 + world.service_s[k, m, s]
            slow = latency * share * delay / (delay + world.slo_s[k, m])
            more = more_per_rps * min(world.capacity_rps[k, m, s], wanted)
            rent = per_usd * (world.replica_gpus[k, m, s] * world.usd_per_gpu_hour[k, s])
            useful = max(1 - ready_in_s(t, b, c, m, s, True) / horizon_s, 0.0)
            scratch.candidate[c, candidates] = (more - slow + scratch.site_score[c, s] * share) * useful - rent
            scratch.candidate_site[c, candidates] = s
            candidates += 1
    stage_from = -1
    for _ in range(min(int(world.planner[k, SHORTLIST]), candidates)):
        place = 0
        for i in range(1, candidates):
            place = i if scratch.candidate[c, i] > scratch.candidate[c, place] else place
        best = scratch.candidate_site[c, place]
        scratch.candidate[c, place] = -1e30
        if stage_from < 0 and state.phase[b, m, best] == ABSENT:
            stage_from = best
        add_nominal(t, b, c, m, best, count)
        service, resilience = trial(t, b, c, m, count + 1)
        release(t, b, c, count)
        scratch.factor[c, count] = 0
        rent = -rent_gain(t, b, world.replica_gpus[k, m, best] * world.usd_per_gpu_hour[k, best])
        once = world.weights[k, TERM.churn]
        once += fetch_cost(t, b, c, m, best) if state.phase[b, m, best] == ABSENT else 0.0
        ready_s = ready_in_s(t, b, c, m, best, True)
        offer(t, b, model_operation(t, b, LAUNCH, m, best), False, service, rent, resilience, once, ready_s)
    if stage_from >= 0 and store:
        propose_stage(t, b, c, m, stage_from)


@kernel
def propose_stage(t, b, c, m, s):
    """Offer to put model m's weights on the disk of site s: what they would save after an outage elsewhere."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    horizon_s = world.planner[k, HORIZON] * world.step_ms[k] / 1000
    fetch_s = ready_in_s(t, b, c, m, s, False)
    saved = min(fetch_s / horizon_s, 1.0)
    mark_domains(t, b, c, s, 0.0)
    capacity, lost = splat(world.capacity_rps[k, m, s]), splat(0.0)
    for first in range(0, scratch.outside.shape[1], LANES):
        part = min(load(scratch.domain_part, (c, m, first)), capacity)
        lost += load(scratch.domain_risk, (c, first)) * part * load(scratch.outside, (c, first))
    mark_domains(t, b, c, s, 1.0)
    gain = world.weights[k, TERM.unserved] * total(lost) / scratch.base[c, 0] * saved
    rent = -rent_gain(t, b, world.weights_gb[k, m] * world.storage_usd_per_gb_hour[k])
    once = world.weights[k, TERM.churn] + fetch_cost(t, b, c, m, s)
    offer(t, b, model_operation(t, b, STAGE, m, s), False, 0.0, rent, gain, once, fetch_s)


@inlined
def mark_domains(t, b, c, s, outside):
    """Note site s's domains: it is not outside them (0), or no longer looked at (1)."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    for d in range(world.site_domain.shape[2]):
        f = world.site_domain[k, s, d]
        if f < 0:
            break
        scratch.outside[c, f] = outside


@kernel
def propose_retirements(t, b, c, m, count):
    """Offer to retire each replica of model m; the `count` at sites that are up stand on the list."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    place = 0
    for s in range(state.status.shape[1]):
        if state.phase[b, m, s] < FETCHING or state.status[b, s] & DOWN:
            continue
        if scratch.open[c, s]:
            scratch.factor[c, place] = 0
            hold(t, b, c, place, -1.0)
            service, resilience = trial(t, b, c, m, count)
            release(t, b, c, place)
            scratch.factor[c, place] = 1
            rent = rent_gain(t, b, world.replica_gpus[k, m, s] * world.usd_per_gpu_hour[k, s])
            once = world.weights[k, TERM.churn]
            offer(t, b, model_operation(t, b, RETIRE, m, s), True, service, rent, resilience, once, 0.0)
        place += 1


@kernel
def role_service(t, b, c, role, s, change):
    """Nominal gain per step in service of one more or one less role at site s."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    k = state.world[b]
    models = scratch.served.shape[1]
    demand = scratch.base[c, 0]
    if role == VERIFIER:
        registered = memo.registered[b] + change
        final = registered > 0 and memo.live[b, VERIFIER] + change >= quorum_of(registered)
        now = memo.registered[b] > 0 and memo.live[b, VERIFIER] >= quorum_of(memo.registered[b])
        if final == now:
            return 0.0
        provable = 0.0
        for m in range(models):
            provable += scratch.served[c, m] if world.verification[k, m] != NO_PROOF else 0.0
        return (1.0 if final else -1.0) * world.weights[k, TERM.unverified] * provable / demand
    if role == STORE:
        waiting = 1 - scratch.base[c, 1] / demand
        stores = memo.live[b, STORE]
        busy = 0
        for other in range(state.status.shape[1]):
            busy += scratch.store_fetches[c, other]
        queue = max(busy / (world.store_streams[k] * max(stores, 1)) - 1, 0.0)
        relief = world.weights[k, TERM.unserved] * waiting * min(queue, 1.0) / max(stores + (change > 0), 1)
        return relief * change
    if memo.slots[b] == 0:
        return priced(t, b, c, 1.0) if change > 0 else 0.0
    return gateway_service(t, b, c, s, change)


@kernel
def gateway_service(t, b, c, s, change):
    """Latency gain per step of one more or one less gateway at site s, replicas and loads as they are."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    k = state.world[b]
    if change < 0 and memo.slots[b] == 1:
        return scratch.base[c, 2] - priced(t, b, c, 1.0)
    gained_ms = 0.0
    for u in range(world.near_user.shape[1]):
        rps = scratch.user_rps[c, u]
        slot = memo.gateway_of[b, u]
        if slot < 0:
            continue
        now_ms = world.rtt_user_ms[k, u, memo.gateways[b, slot]]
        if change > 0:
            gained_ms += rps * max(now_ms - world.rtt_user_ms[k, u, s], 0.0)
        elif memo.gateways[b, slot] == s:
            next_ms = 1e9
            for other in range(memo.slots[b]):
                if other != slot:
                    next_ms = min(next_ms, world.rtt_user_ms[k, u, memo.gateways[b, other]])
            gained_ms += rps * (now_ms - next_ms)
    return scratch.gain_per_ms[c] * gained_ms


@kernel
def weigh_users(t, b, c):
    """Demand of every user region, and the latency gain per step of each requests/s that saves a millisecond."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    slope, total_rps = 0.0, 1e-9
    for m in range(scratch.served.shape[1]):
        total_s = scratch.latency_s[c, m] + world.slo_s[k, m]
        slope += scratch.served[c, m] / scratch.base[c, 0] * world.slo_s[k, m] / (total_s * total_s)
    for u in range(scratch.demand.shape[1]):
        rps = 0.0
        for m in range(scratch.demand.shape[2]):
            rps += scratch.demand[c, u, m]
        scratch.user_rps[c, u] = rps
        total_rps += rps
    scratch.gain_per_ms[c] = world.weights[k, TERM.latency] * slope / total_rps / 1000


@kernel
def propose_role(t, b, c, role):
    """Offer the best two sites to add a role to, and every running one to take it from."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    sites = state.status.shape[1]
    k = state.world[b]
    live = max(memo.live[b, role], 1)
    for s in range(sites):
        scratch.candidate[c, s] = -1e30
        if not scratch.open[c, s]:
            continue
        if state.role_ms[b, role, s] == 0:
            price_role(t, b, c, role, s, -1)
        elif state.role_ms[b, role, s] < 0:
            crowd = 0
            for d in range(1, world.site_domain.shape[2]):
                f = world.site_domain[k, s, d]
                if f >= 0 and world.domain_visible[k, f]:
                    crowd = max(crowd, scratch.domain_role[c, role, f])
            value = 0.1 * scratch.site_score[c, s] - 0.2 * crowd / live
            value -= rent_gain(t, b, world.usd_per_vm_hour[k, s])
            scratch.candidate[c, s] = value + 5 * role_service(t, b, c, role, s, 1) if role == GATEWAY else value
    for _ in range(2):
        best, value = -1, -1e29
        for s in range(sites):
            if scratch.candidate[c, s] > value:
                best, value = s, scratch.candidate[c, s]
        if best < 0:
            break
        scratch.candidate[c, best] = -1e30
        price_role(t, b, c, role, best, 1)


@kernel
def price_role(t, b, c, role, s, change):
    """Price one role change and offer it."""
    world = world_of(t)
    k = state_of(t).world[b]
    resilience = role_trial(t, b, c, role, s, change)
    service = role_service(t, b, c, role, s, change)
    usd_per_hour = world.usd_per_vm_hour[k, s]
    if role == STORE:
        for m in range(world.weights_gb.shape[1]):
            usd_per_hour += world.weights_gb[k, m] * world.storage_usd_per_gb_hour[k]
    rent = -change * rent_gain(t, b, usd_per_hour)
    ready_s = world.provision_ms[k] / 1000 if change > 0 else 0.0
    operation = role_operation(t, b, role, 1 if change < 0 else 0, s)
    offer(t, b, operation, change < 0, service, rent, resilience, world.weights[k, TERM.churn], ready_s)


@kernel
def propose(t, b, c):
    """Fill the environment's offers for its next step."""
    state, output = state_of(t), output_of(t)
    for i in range(output.offer.shape[1]):
        output.offer[b, i] = 0
        for j in range(5):
            output.offer_gain[b, i, j] = 0
    evaluate(t, b, c, state.step[b])
    score_sites(t, b, c)
    store = store_lives(t, b)
    for m in range(state.phase.shape[1]):
        count = begin_trials(t, b, c, m)
        propose_launches(t, b, c, m, count, store)
        propose_retirements(t, b, c, m, count)
    weigh_users(t, b, c)
    for role in range(3):
        propose_role(t, b, c, role)


@kernel
def autoscale(t, b):
    """The built-in autoscaler: the best offer, where it gains more than the threshold; else nothing."""
    output = output_of(t)
    best, gain = 0, world_of(t).planner[state_of(t).world[b], THRESHOLD]
    for i in range(output.offer.shape[1]):
        if output.offer[b, i] != 0 and output.offer_gain[b, i, 0] > gain:
            best, gain = output.offer[b, i], output.offer_gain[b, i, 0]
    return best
