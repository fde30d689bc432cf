"""One step of the network, in the order of real time. The dynamics exist once, here; everything else calls them."""

from __future__ import annotations

from og_env.dynamics.contingency import effective_nodes, list_critical, write_held, write_losses, write_part
from og_env.dynamics.latency import finality, lognormal_percentiles, model_latency, write_delays
from og_env.dynamics.memo import survey
from og_env.dynamics.operations import apply
from og_env.dynamics.placement import choose_attack, count_fetches, progress, status_in, strike, write_waits
from og_env.dynamics.reward import latency_term, unserved_term, weighted
from og_env.dynamics.routing import gather, list_placed, list_replicas, listen, room, split, step_demand
from og_env.dynamics.verification import NO_PROOF, quorum_of
from og_env.kernel.arrays import DOWN, FETCHING, GATEWAY, KNOBS, LOADING, METRICS, ROLES, STORE, TERMS, VERIFIER, WARM
from og_env.kernel.columns import columns
from og_env.kernel.compile import kernel
from og_env.kernel.simd import load, store
from og_env.kernel.views import LANES

TERM = columns("Term", TERMS)
METRIC = columns("Metric", METRICS)


@kernel
def begin(env):
    """The state before the first step: the starting fleet, and the status of the tape's row 0."""
    models, sites = env.state.phase.shape
    env.state.step = 0
    env.output.reward = 0
    env.output.truncated = 0
    env.output.operation = 0
    for i in range(len(TERMS)):
        env.output.terms[i] = 0
    for i in range(len(METRICS)):
        env.output.metrics[i] = 0
    for site in range(sites):
        status = status_in(env, 0, site)
        env.state.status[site] = status
        env.state.undetected_ms[site] = 0
        env.state.gpus_used[site] = 0
        env.state.site_share[site] = 0
        for role in range(3):
            env.state.role_ms[role, site] = env.world.start_role[role, site]
        for model in range(models):
            phase = env.world.start_phase[model, site]
            if phase >= LOADING and status & DOWN:
                phase = LOADING
            env.state.phase[model, site] = phase
            env.state.left[model, site] = env.world.load_ms[model, site] if phase == LOADING else 0
            env.state.load_rps[model, site] = 0
            if phase >= FETCHING:
                env.state.gpus_used[site] += env.world.replica_gpus[model, site]
    env.output.seen_loss = 0
    for domain in range(env.output.domain_loss.shape[0]):
        env.output.domain_loss[domain] = 0
    for model in range(models):
        env.state.model_demand_rps[model] = 0
        env.state.model_served_rps[model] = 0
        env.state.model_latency_s[model] = 0
    for i in range(len(KNOBS)):
        env.state.knobs[i] = env.world.knobs[i]
    env.state.attack_domain = -1
    env.state.attack_until = -1
    env.state.attack_ready = 0
    env.state.attacks_left = env.world.attack_budget
    env.memo.known = 0
    env.memo.dying = 0
    list_placed(env)
    tally(env)


@kernel
def route_model(env, model):
    """Route, delay and verify model m; fills its figures and returns its seconds to finality summed over requests/s."""
    count = list_replicas(env, model)
    served, late = split(env, model, count)
    write_delays(env, model, count)
    latency_s, variance = model_latency(env, model, count, served, late)
    verified, final_s = finality(env, model, count)
    spare_total, spare_trusted = room(env, count)
    write_held(env, count)
    write_part(env, model, served, verified, spare_total, spare_trusted)
    for first in range(0, env.scratch.domain_lost.shape[0], LANES):
        lost = load(env.scratch.domain_lost, first) + load(env.scratch.column_part, first)
        store(env.scratch.domain_lost, first, lost)
    env.scratch.served[model] = served
    env.scratch.verified[model] = verified
    env.scratch.latency_s[model] = latency_s
    env.scratch.latency_var[model] = variance
    env.scratch.timeouts[model] = late
    for site in range(env.state.status.shape[0]):
        env.state.load_rps[model, site] = 0
    capacities, waits, egress = 0.0, 0.0, 0.0
    for r in range(count):
        site = env.scratch.replicas[r]
        rps, wait_s = env.scratch.total_rps[r], env.scratch.replica_wait_s[r]
        env.state.load_rps[model, site] = rps
        env.scratch.site_rps[site] += rps
        capacities += env.scratch.cap_rps[r]
        waits += rps * wait_s * wait_s
        egress += rps * env.world.egress_usd_per_gb[site]
    env.scratch.sums[0] += capacities
    env.scratch.sums[1] += waits * 500 / env.world.step_ms
    env.scratch.sums[2] += egress * env.world.request_gb[model]
    return final_s + verified * latency_s


@kernel
def step(env, operation):
    """Advance environment b by one step with one placement operation and the knobs in its state."""
    row = env.state.step + 1

    possible = apply(env, operation)
    if possible and operation != 0:
        env.memo.known &= ROLES if operation <= 3 * env.state.phase.shape[0] * env.state.phase.shape[1] else 0
    listen(env, row - 1)
    choose_attack(env, row)
    strike(env, row)
    survey(env)
    list_critical(env)
    list_placed(env)
    if env.memo.moving > 0:
        count_fetches(env)
        write_waits(env)
    step_demand(env, row)
    gather(env)
    for i in range(3):
        env.scratch.sums[i] = 0
    for site in range(env.state.status.shape[0]):
        env.scratch.site_rps[site] = 0
    for domain in range(env.scratch.domain_lost.shape[0]):
        env.scratch.domain_lost[domain] = 0
    final_s = 0.0
    for model in range(env.state.phase.shape[0]):
        final_s += route_model(env, model)
    usd_per_hour = env.memo.rent_usd_per_hour
    cold_starts, fetched_gb, egress_usd = 0, 0.0, 0.0
    if env.memo.moving > 0:
        cold_starts, fetched_gb, egress_usd = progress(env)
    usd_per_hour += (env.scratch.sums[2] + egress_usd * 1000 / env.world.step_ms) * 3600

    values = env.output.metrics
    values[METRIC.cold_starts] = cold_starts
    values[METRIC.fetch_gb] = fetched_gb
    values[METRIC.active_outages] = env.tape.outages[row] + (1 if row <= env.state.attack_until else 0)
    values[METRIC.operations] = 1 if possible and operation != 0 else 0
    values[METRIC.impossible_operations] = 0 if possible else 1
    env.output.operation = operation if possible else 0
    account(env, usd_per_hour, final_s)
    tally(env)
    env.state.step = row
    env.output.truncated = 1 if row == env.tape.attack.shape[0] - 1 else 0


@kernel
def account(env, usd_per_hour, final_s):
    """Terms, reward and metrics of a step from the figures of all models."""
    demand, served, verified, asked, late, mean, second, latency = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for model in range(env.state.phase.shape[0]):
        served_m, latency_m = env.scratch.served[model], env.scratch.latency_s[model]
        demand += env.scratch.asked[model]
        served += served_m
        late += env.scratch.timeouts[model]
        if env.world.verification[model] != NO_PROOF:
            asked += served_m
            verified += env.scratch.verified[model]
        mean += served_m * latency_m
        second += served_m * (latency_m * latency_m + env.scratch.latency_var[model])
        latency += served_m * latency_term(latency_m, env.world.slo_s[model])
        env.state.model_demand_rps[model] = env.scratch.asked[model]
        env.state.model_served_rps[model] = served_m
        env.state.model_latency_s[model] = latency_m
    per_served = 1 / served if served > 0 else 0.0
    per_demand = 1 / demand if demand > 0 else 0.0
    for site in range(env.state.status.shape[0]):
        env.state.site_share[site] = env.scratch.site_rps[site] * per_served
    exposure = write_losses(env, per_demand)

    unserved = max(1 - served * per_demand, 0.0) if demand > 0 else 0.0
    env.output.terms[TERM.latency] = latency * per_demand
    env.output.terms[TERM.cost] = usd_per_hour / env.world.budget_usd_per_hour
    env.output.terms[TERM.unserved] = unserved_term(unserved, env.world.convexity)
    env.output.terms[TERM.unverified] = max(asked - verified, 0.0) * per_demand
    env.output.terms[TERM.exposure] = exposure
    env.output.terms[TERM.churn] = 1 if env.output.operation != 0 else 0
    env.output.reward = weighted(env.output.terms, env.world.weights)

    mean *= per_served
    second = max(second * per_served - mean * mean, 0.0)
    p50, p95, p99 = lognormal_percentiles(mean, second)
    values = env.output.metrics
    values[METRIC.latency_mean_ms] = mean * 1000
    values[METRIC.latency_p50_ms] = p50 * 1000
    values[METRIC.latency_p95_ms] = p95 * 1000
    values[METRIC.latency_p99_ms] = p99 * 1000
    values[METRIC.finality_s] = final_s / verified if verified > 0 else 0.0
    values[METRIC.demand_rps] = demand
    values[METRIC.served_rps] = served
    values[METRIC.served_share] = 1 - unserved
    values[METRIC.verified_share] = verified / asked if asked > 0 else 1.0
    values[METRIC.usd_per_hour] = usd_per_hour
    values[METRIC.usd_per_1000_requests] = usd_per_hour * per_served / 3.6
    values[METRIC.cold_wait_s] = env.scratch.sums[1] * per_served
    values[METRIC.timeout_share] = late * per_served
    values[METRIC.utilisation] = served / env.scratch.sums[0] if env.scratch.sums[0] > 0 else 0.0
    values[METRIC.exposure] = exposure
    values[METRIC.n_eff] = effective_nodes(env)
    values[METRIC.verifiers_live] = env.memo.live[VERIFIER]
    values[METRIC.stores_live] = env.memo.live[STORE]
    values[METRIC.gateways_live] = env.memo.live[GATEWAY]
    values[METRIC.quorum] = quorum_of(env.memo.registered) if env.memo.registered > 0 else 0


@kernel
def tally(env):
    """Count, at the end of the step, sites that are down, replicas that are warm or under way, by model and by site,
    and add up the capacity of the warm ones that are up; whoever served is one of them. The lists of the placed hold."""
    values = env.output.metrics
    models, sites = env.state.phase.shape
    down = 0
    for site in range(sites):
        down += env.state.status[site] & DOWN
        env.scratch.site_warm[site] = 0
        env.scratch.site_loading[site] = 0
    all_warm, all_loading = 0, 0
    for model in range(models):
        warm, loading, capacity = 0, 0, 0.0
        for i in range(env.scratch.placed_count[model]):
            site = env.scratch.placed[model, i]
            is_warm, up = env.state.phase[model, site] == WARM, not env.state.status[site] & DOWN
            env.scratch.site_warm[site] += is_warm
            all_warm += is_warm
            warm += is_warm & up
            loading += (not is_warm) & up
            capacity += env.world.capacity_rps[model, site] if is_warm & up else 0.0
        for i in range(env.scratch.placed_count[model]):
            env.scratch.site_loading[env.scratch.placed[model, i]] += 1
        all_loading += env.scratch.placed_count[model]
        env.scratch.tally[model, 0] = warm
        env.scratch.tally[model, 1] = loading
        env.scratch.tally[model, 2] = capacity
        env.scratch.tally[model, 3] = env.state.model_served_rps[model]
    all_loading -= all_warm
    for site in range(sites):
        env.scratch.site_loading[site] -= env.scratch.site_warm[site]
    values[METRIC.sites_down] = down
    values[METRIC.replicas_warm] = all_warm
    values[METRIC.replicas_loading] = all_loading
