"""One step of the network, in the order of real time. The dynamics exist once, here; everything else calls them."""

from __future__ import annotations

from og_env.actions import apply
from og_env.contingency import count_members, count_roles, effective_nodes, write_losses, write_parts
from og_env.jit import entry, kernel
from og_env.latency import finality, lognormal_percentiles, model_latency, write_delays
from og_env.layout import (
    DOWN,
    FETCHING,
    GATEWAY,
    KNOBS,
    LOADING,
    METRICS,
    ON_DISK,
    STORE,
    TERMS,
    VERIFIER,
    WARM,
    output_of,
    scratch_of,
    state_of,
    tape_of,
    world_of,
)
from og_env.named import columns
from og_env.placement import choose_attack, find_sources, progress, strike, write_waits
from og_env.reward import latency_term, unserved_term, weighted
from og_env.routing import gather, list_replicas, split, step_demand, write_loads, write_risk
from og_env.status import NO_PROOF, quorum_of

TERM = columns("Term", TERMS)
METRIC = columns("Metric", METRICS)


@kernel
def begin(t, b):
    """The state before the first step: the starting fleet, and the status of the tape's row 0."""
    world, state, tape, output = world_of(t), state_of(t), tape_of(t), output_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    state.step[b] = 0
    output.reward[b] = 0
    output.truncated[b] = 0
    output.operation[b] = 0
    for i in range(len(TERMS)):
        output.terms[b, i] = 0
    for i in range(len(METRICS)):
        output.metrics[b, i] = 0
    for s in range(sites):
        status = tape.status[b, 0, s]
        state.status[b, s] = status
        state.undetected_ms[b, s] = 0
        state.gpus_used[b, s] = 0
        state.site_share[b, s] = 0
        for role in range(3):
            state.role_ms[b, role, s] = world.start_role[k, role, s]
        for m in range(models):
            phase = world.start_phase[k, m, s]
            if phase >= LOADING and status & DOWN:
                phase = LOADING
            state.phase[b, m, s] = phase
            state.left[b, m, s] = world.load_ms[k, m, s] if phase == LOADING else 0
            state.utilisation[b, m, s] = 0
            state.load_rps[b, m, s] = 0
            if phase >= FETCHING:
                state.gpus_used[b, s] += world.replica_gpus[k, m, s]
    for f in range(state.domain_share.shape[1]):
        state.domain_share[b, f] = 0
        state.domain_loss[b, f] = 0
    for m in range(models):
        state.model_demand_rps[b, m] = 0
        state.model_served_rps[b, m] = 0
        state.model_latency_s[b, m] = 0
    for i in range(len(KNOBS)):
        state.knobs[b, i] = world.knobs[k, i]
    state.attack_domain[b] = -1
    state.attack_until[b] = -1
    state.attack_ready[b] = 0
    state.attacks_left[b] = world.attack_budget[k]


@kernel
def route_model(t, b, c, m):
    """Route, delay and verify model m; fills its tables and returns its seconds to finality summed over requests/s."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    final = scratch.final[c] == 1
    count = list_replicas(t, b, c, m)
    served, late = split(t, b, c, m, count)
    write_loads(t, b, c, m, count)
    write_delays(t, b, c, m, count)
    latency_s, variance = model_latency(t, b, c, m, count, served, late)
    verified, final_s = finality(t, b, c, m, count, final)
    scratch.served[c, m] = served
    scratch.verified[c, m] = verified
    scratch.latency_s[c, m] = latency_s
    scratch.latency_var[c, m] = variance
    scratch.timeouts[c, m] = late
    write_parts(t, b, c, m, count)
    for s in range(state.status.shape[1]):
        state.utilisation[b, m, s] = 0
    step_s = world.step_ms[state.world[b]] / 1000
    for r in range(count):
        s = scratch.replicas[c, r]
        load, capacity = scratch.total_rps[c, r], scratch.cap_rps[c, r]
        state.utilisation[b, m, s] = load / capacity if capacity > 0 else 0.0
        scratch.site_rps[c, s] += load
        scratch.sums[c, 0] += capacity
        wait_s = scratch.replica_wait_s[c, r]
        scratch.sums[c, 1] += load * wait_s * wait_s / (2 * step_s)
    return final_s + verified * latency_s


@kernel
def rent_usd_per_hour(t, b):
    """Dollars an hour for GPUs, machines and stored weights at this moment."""
    world, state = world_of(t), state_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    usd, stored_gb = 0.0, 0.0
    catalogue_gb = 0.0
    for m in range(models):
        catalogue_gb += world.weights_gb[k, m]
    for s in range(sites):
        up = not state.status[b, s] & DOWN
        if up:
            usd += state.gpus_used[b, s] * world.usd_per_gpu_hour[k, s]
        for role in range(3):
            if state.role_ms[b, role, s] >= 0:
                usd += world.usd_per_vm_hour[k, s] if up else 0.0
                stored_gb += catalogue_gb if role == STORE else 0.0
        for m in range(models):
            if state.phase[b, m, s] >= ON_DISK and state.phase[b, m, s] != FETCHING:
                stored_gb += world.weights_gb[k, m]
    return usd + stored_gb * world.storage_usd_per_gb_hour[k]


@kernel
def answers_usd(t, b, c):
    """Dollars of egress for the answers served in this step."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    usd_per_s = 0.0
    for m in range(models):
        for s in range(sites):
            load = scratch.load[c, m, s]
            if load > 0:
                usd_per_s += load * world.request_gb[k, m] * world.egress_usd_per_gb[k, s]
    return usd_per_s * (world.step_ms[k] // 1000)


@kernel
def step(t, b, c, operation):
    """Advance environment b by one step with one placement operation and the knobs in its state."""
    world, state, scratch, output = world_of(t), state_of(t), scratch_of(t), output_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    row = state.step[b] + 1

    possible = apply(t, b, operation)
    choose_attack(t, b, row)
    write_risk(t, b, c, row - 1)
    strike(t, b, c, row)
    find_sources(t, b, c)
    write_waits(t, b, c)
    final = count_roles(t, b, c)
    scratch.final[c] = 1 if final else 0
    count_members(t, b, c)
    step_demand(t, b, c, row)
    gather(t, b, c)
    scratch.sums[c, 0] = 0
    scratch.sums[c, 1] = 0
    for s in range(sites):
        scratch.site_rps[c, s] = 0
    final_s = 0.0
    for m in range(models):
        final_s += route_model(t, b, c, m)
    usd_per_hour = rent_usd_per_hour(t, b)
    answers = answers_usd(t, b, c)
    cold_starts, fetched_gb, egress_usd = progress(t, b, c)
    usd_per_hour += (answers + egress_usd) * 3600 / (world.step_ms[k] // 1000)

    demand, served, verified, asked, late, mean, second, latency = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for m in range(models):
        served_m, latency_m = scratch.served[c, m], scratch.latency_s[c, m]
        demand += scratch.asked[c, m]
        served += served_m
        late += scratch.timeouts[c, m]
        if world.verification[k, m] != NO_PROOF:
            asked += served_m
            verified += scratch.verified[c, m]
        mean += served_m * latency_m
        second += served_m * (latency_m * latency_m + scratch.latency_var[c, m])
        latency += served_m * latency_term(latency_m, world.slo_s[k, m])
        state.model_demand_rps[b, m] = scratch.asked[c, m]
        state.model_served_rps[b, m] = served_m
        state.model_latency_s[b, m] = latency_m
        for s in range(sites):
            state.load_rps[b, m, s] = scratch.load[c, m, s]
    for s in range(sites):
        state.site_share[b, s] = scratch.site_rps[c, s] / served if served > 0 else 0.0
    exposure = write_losses(t, b, c, demand, served)

    output.terms[b, TERM.latency] = latency / demand if demand > 0 else 0.0
    output.terms[b, TERM.cost] = usd_per_hour / world.budget_usd_per_hour[k]
    unserved = max(1 - served / demand, 0.0) if demand > 0 else 0.0
    output.terms[b, TERM.unserved] = unserved_term(unserved, world.convexity[k])
    output.terms[b, TERM.unverified] = max(asked - verified, 0.0) / demand if demand > 0 else 0.0
    output.terms[b, TERM.exposure] = exposure
    output.terms[b, TERM.churn] = 1 if possible and operation != 0 else 0
    output.reward[b] = weighted(output.terms, world.weights, b, k)
    output.operation[b] = operation if possible else 0

    if served > 0:
        mean /= served
        second = max(second / served - mean * mean, 0.0)
    p50, p95, p99 = lognormal_percentiles(mean, second)
    values = output.metrics
    values[b, METRIC.latency_mean_ms] = mean * 1000
    values[b, METRIC.latency_p50_ms] = p50 * 1000
    values[b, METRIC.latency_p95_ms] = p95 * 1000
    values[b, METRIC.latency_p99_ms] = p99 * 1000
    values[b, METRIC.finality_s] = final_s / verified if verified > 0 else 0.0
    values[b, METRIC.demand_rps] = demand
    values[b, METRIC.served_rps] = served
    values[b, METRIC.served_share] = 1 - unserved
    values[b, METRIC.verified_share] = verified / asked if asked > 0 else 1.0
    values[b, METRIC.usd_per_hour] = usd_per_hour
    values[b, METRIC.usd_per_1000_requests] = usd_per_hour / (served * 3.6) if served > 0 else 0.0
    values[b, METRIC.cold_starts] = cold_starts
    values[b, METRIC.cold_wait_s] = scratch.sums[c, 1] / served if served > 0 else 0.0
    values[b, METRIC.timeout_share] = late / served if served > 0 else 0.0
    values[b, METRIC.utilisation] = served / scratch.sums[c, 0] if scratch.sums[c, 0] > 0 else 0.0
    values[b, METRIC.exposure] = exposure
    values[b, METRIC.n_eff] = effective_nodes(t, b)
    values[b, METRIC.active_outages] = tape_of(t).outages[b, row] + (1 if row <= state.attack_until[b] else 0)
    values[b, METRIC.fetch_gb] = fetched_gb
    values[b, METRIC.operations] = 1 if possible and operation != 0 else 0
    values[b, METRIC.impossible_operations] = 0 if possible else 1
    values[b, METRIC.verifiers_live] = scratch.live[c, VERIFIER]
    values[b, METRIC.stores_live] = scratch.live[c, STORE]
    values[b, METRIC.gateways_live] = scratch.live[c, GATEWAY]
    values[b, METRIC.quorum] = quorum_of(scratch.registered[c]) if scratch.registered[c] > 0 else 0
    count_states(t, b)
    state.step[b] = row
    output.truncated[b] = 1 if row == tape_of(t).attack.shape[1] - 1 else 0


@kernel
def count_states(t, b):
    """How many sites are down and how many replicas are warm or on their way, at the end of the step."""
    state, values = state_of(t), output_of(t).metrics
    models, sites = state.phase.shape[1:]
    down, warm, loading = 0, 0, 0
    for s in range(sites):
        down += (state.status[b, s] & DOWN) != 0
        for m in range(models):
            warm += state.phase[b, m, s] == WARM
            loading += state.phase[b, m, s] == FETCHING or state.phase[b, m, s] == LOADING
    values[b, METRIC.sites_down] = down
    values[b, METRIC.replicas_warm] = warm
    values[b, METRIC.replicas_loading] = loading


@entry
def step_rows(t, lo, hi, c, operations):
    """Advance environments lo .. hi - 1 with operations [B], on scratch slot c."""
    for b in range(lo, hi):
        step(t, b, c, operations[b])
