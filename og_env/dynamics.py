"""One step of the network, in the order of real time. The dynamics exist once, here; everything else calls them."""

from __future__ import annotations

from og_env.actions import apply
from og_env.binding import LANES
from og_env.contingency import effective_nodes, list_critical, write_held, write_losses, write_part
from og_env.jit import kernel
from og_env.lanes import load, store
from og_env.latency import finality, lognormal_percentiles, model_latency, write_delays
from og_env.layout import (
    DOWN,
    FETCHING,
    GATEWAY,
    KNOBS,
    LOADING,
    METRICS,
    ROLES,
    STORE,
    TERMS,
    VERIFIER,
    WARM,
    memo_of,
    output_of,
    scratch_of,
    state_of,
    tape_of,
    world_of,
)
from og_env.named import columns
from og_env.placement import choose_attack, count_fetches, progress, status_in, strike, write_waits
from og_env.reward import latency_term, unserved_term, weighted
from og_env.routing import gather, list_placed, list_replicas, listen, room, split, step_demand
from og_env.status import NO_PROOF, quorum_of
from og_env.survey import survey

TERM = columns("Term", TERMS)
METRIC = columns("Metric", METRICS)


@kernel
def begin(t, b, c):
    """The state before the first step: the starting fleet, and the status of the tape's row 0."""
    world, state, output, memo = world_of(t), state_of(t), output_of(t), memo_of(t)
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
        status = status_in(t, b, 0, s)
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
            state.load_rps[b, m, s] = 0
            if phase >= FETCHING:
                state.gpus_used[b, s] += world.replica_gpus[k, m, s]
    output.seen_loss[b] = 0
    for f in range(output.domain_loss.shape[1]):
        output.domain_loss[b, f] = 0
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
    memo.known[b] = 0
    memo.dying[b] = 0
    list_placed(t, b, c)
    tally(t, b, c)


@kernel
def route_model(t, b, c, m):
    """Route, delay and verify model m; fills its figures and returns its seconds to finality summed over requests/s."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    count = list_replicas(t, b, c, m)
    served, late = split(t, b, c, m, count)
    write_delays(t, b, c, m, count)
    latency_s, variance = model_latency(t, b, c, m, count, served, late)
    verified, final_s = finality(t, b, c, m, count)
    spare_total, spare_trusted = room(t, c, count)
    write_held(t, b, c, count)
    write_part(t, b, c, m, served, verified, spare_total, spare_trusted)
    for first in range(0, scratch.domain_lost.shape[1], LANES):
        lost = load(scratch.domain_lost, (c, first)) + load(scratch.column_part, (c, first))
        store(scratch.domain_lost, (c, first), lost)
    scratch.served[c, m] = served
    scratch.verified[c, m] = verified
    scratch.latency_s[c, m] = latency_s
    scratch.latency_var[c, m] = variance
    scratch.timeouts[c, m] = late
    k = state.world[b]
    for s in range(state.status.shape[1]):
        state.load_rps[b, m, s] = 0
    capacities, waits, egress = 0.0, 0.0, 0.0
    for r in range(count):
        s = scratch.replicas[c, r]
        rps, wait_s = scratch.total_rps[c, r], scratch.replica_wait_s[c, r]
        state.load_rps[b, m, s] = rps
        scratch.site_rps[c, s] += rps
        capacities += scratch.cap_rps[c, r]
        waits += rps * wait_s * wait_s
        egress += rps * world.egress_usd_per_gb[k, s]
    scratch.sums[c, 0] += capacities
    scratch.sums[c, 1] += waits * 500 / world.step_ms[k]
    scratch.sums[c, 2] += egress * world.request_gb[k, m]
    return final_s + verified * latency_s


@kernel
def step(t, b, c, operation):
    """Advance environment b by one step with one placement operation and the knobs in its state."""
    world, state, scratch, output, memo = world_of(t), state_of(t), scratch_of(t), output_of(t), memo_of(t)
    k = state.world[b]
    row = state.step[b] + 1

    possible = apply(t, b, operation)
    if possible and operation != 0:
        memo.known[b] &= ROLES if operation <= 3 * state.phase.shape[1] * state.phase.shape[2] else 0
    listen(t, b, c, row - 1)
    choose_attack(t, b, c, row)
    strike(t, b, c, row)
    survey(t, b, c)
    list_critical(t, b, c)
    list_placed(t, b, c)
    if memo.moving[b] > 0:
        count_fetches(t, b, c)
        write_waits(t, b, c)
    step_demand(t, b, c, row)
    gather(t, b, c)
    for i in range(3):
        scratch.sums[c, i] = 0
    for s in range(state.status.shape[1]):
        scratch.site_rps[c, s] = 0
    for f in range(scratch.domain_lost.shape[1]):
        scratch.domain_lost[c, f] = 0
    final_s = 0.0
    for m in range(state.phase.shape[1]):
        final_s += route_model(t, b, c, m)
    usd_per_hour = memo.rent_usd_per_hour[b]
    cold_starts, fetched_gb, egress_usd = 0, 0.0, 0.0
    if memo.moving[b] > 0:
        cold_starts, fetched_gb, egress_usd = progress(t, b, c)
    usd_per_hour += (scratch.sums[c, 2] + egress_usd * 1000 / world.step_ms[k]) * 3600

    values = output.metrics
    values[b, METRIC.cold_starts] = cold_starts
    values[b, METRIC.fetch_gb] = fetched_gb
    values[b, METRIC.active_outages] = tape_of(t).outages[b, row] + (1 if row <= state.attack_until[b] else 0)
    values[b, METRIC.operations] = 1 if possible and operation != 0 else 0
    values[b, METRIC.impossible_operations] = 0 if possible else 1
    output.operation[b] = operation if possible else 0
    account(t, b, c, usd_per_hour, final_s)
    tally(t, b, c)
    state.step[b] = row
    output.truncated[b] = 1 if row == tape_of(t).attack.shape[1] - 1 else 0


@kernel
def account(t, b, c, usd_per_hour, final_s):
    """Terms, reward and metrics of a step from the figures of all models."""
    world, state, scratch, output, memo = world_of(t), state_of(t), scratch_of(t), output_of(t), memo_of(t)
    k = state.world[b]
    demand, served, verified, asked, late, mean, second, latency = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for m in range(state.phase.shape[1]):
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
    per_served = 1 / served if served > 0 else 0.0
    per_demand = 1 / demand if demand > 0 else 0.0
    for s in range(state.status.shape[1]):
        state.site_share[b, s] = scratch.site_rps[c, s] * per_served
    exposure = write_losses(t, b, c, per_demand)

    unserved = max(1 - served * per_demand, 0.0) if demand > 0 else 0.0
    output.terms[b, TERM.latency] = latency * per_demand
    output.terms[b, TERM.cost] = usd_per_hour / world.budget_usd_per_hour[k]
    output.terms[b, TERM.unserved] = unserved_term(unserved, world.convexity[k])
    output.terms[b, TERM.unverified] = max(asked - verified, 0.0) * per_demand
    output.terms[b, TERM.exposure] = exposure
    output.terms[b, TERM.churn] = 1 if output.operation[b] != 0 else 0
    output.reward[b] = weighted(output.terms, world.weights, b, k)

    mean *= per_served
    second = max(second * per_served - mean * mean, 0.0)
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
    values[b, METRIC.usd_per_1000_requests] = usd_per_hour * per_served / 3.6
    values[b, METRIC.cold_wait_s] = scratch.sums[c, 1] * per_served
    values[b, METRIC.timeout_share] = late * per_served
    values[b, METRIC.utilisation] = served / scratch.sums[c, 0] if scratch.sums[c, 0] > 0 else 0.0
    values[b, METRIC.exposure] = exposure
    values[b, METRIC.n_eff] = effective_nodes(t, b, c)
    values[b, METRIC.verifiers_live] = memo.live[b, VERIFIER]
    values[b, METRIC.stores_live] = memo.live[b, STORE]
    values[b, METRIC.gateways_live] = memo.live[b, GATEWAY]
    values[b, METRIC.quorum] = quorum_of(memo.registered[b]) if memo.registered[b] > 0 else 0


@kernel
def tally(t, b, c):
    """Count, at the end of the step, sites that are down, replicas that are warm or under way, by model and by site,
    and add up the capacity of the warm ones that are up; whoever served is one of them. The lists of the placed hold."""
    world, state, scratch, values = world_of(t), state_of(t), scratch_of(t), output_of(t).metrics
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    down = 0
    for s in range(sites):
        down += state.status[b, s] & DOWN
        scratch.site_warm[c, s] = 0
        scratch.site_loading[c, s] = 0
    all_warm, all_loading = 0, 0
    for m in range(models):
        warm, loading, capacity = 0, 0, 0.0
        for i in range(scratch.placed_count[c, m]):
            s = scratch.placed[c, m, i]
            is_warm, up = state.phase[b, m, s] == WARM, not state.status[b, s] & DOWN
            scratch.site_warm[c, s] += is_warm
            all_warm += is_warm
            warm += is_warm & up
            loading += (not is_warm) & up
            capacity += world.capacity_rps[k, m, s] if is_warm & up else 0.0
        for i in range(scratch.placed_count[c, m]):
            scratch.site_loading[c, scratch.placed[c, m, i]] += 1
        all_loading += scratch.placed_count[c, m]
        scratch.tally[c, m, 0] = warm
        scratch.tally[c, m, 1] = loading
        scratch.tally[c, m, 2] = capacity
        scratch.tally[c, m, 3] = state.model_served_rps[b, m]
    all_loading -= all_warm
    for s in range(sites):
        scratch.site_loading[c, s] -= scratch.site_warm[c, s]
    values[b, METRIC.sites_down] = down
    values[b, METRIC.replicas_warm] = all_warm
    values[b, METRIC.replicas_loading] = all_loading
