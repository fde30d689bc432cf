"""The books of a step: figures by model and by site while it runs, then terms, reward, metrics and counts."""

from __future__ import annotations

from og_env.dynamics.contingency import effective_nodes, write_losses
from og_env.dynamics.cost import S_PER_HOUR
from og_env.dynamics.latency import write_percentiles
from og_env.dynamics.reward import unserved_term, weighted
from og_env.dynamics.verification import NO_PROOF, quorum_of
from og_env.kernel.arrays import DOWN, GATEWAY, METRIC, STORE, TERM, VERIFIER, WARM, Environment
from og_env.kernel.compile import kernel

MS_PER_S = 1000
TAIL_P50, TAIL_P95, TAIL_P99 = 0.5, 0.05, 0.01
"""shares of requests beyond the percentiles in the metrics"""
LANES_PER_CLOCK = 4
"""percentiles of the answer stand in the first four lanes, those of the first token in the others"""
HALF_MS_PER_S = 500
"""a replica that is warm after w of a step of length t delays a request by w^2 / 2t: seconds^2 over ms times 500"""
KILO_REQUESTS_PER_RPS_HOUR = 3.6
"""thousands of requests in an hour at one a second"""


@kernel
def clear_report(env: Environment) -> None:
    """Set reward, terms, metrics, truncation and operation of the output to 0."""
    clear_reward(env)
    env.output.operation = 0
    for i in range(env.output.last_terms.shape[0]):
        env.output.last_terms[i] = 0
    for i in range(env.output.metrics.shape[0]):
        env.output.metrics[i] = 0


@kernel
def clear_reward(env: Environment) -> None:
    """Set reward, terms and truncation of the output to 0, as where no time has passed."""
    env.output.reward = 0
    env.output.truncated = 0
    for i in range(env.output.terms.shape[0]):
        env.output.terms[i] = 0


@kernel
def book_traffic(env: Environment, model: int, count: int, served_rps: float, refused_rps: float) -> None:
    """Book what a model's `count` listed replicas serve: by replica (load_rps, in_flight [M, N]), by site and by model."""
    for site in range(env.state.status.shape[0]):
        env.state.load_rps[model, site] = 0
        env.state.in_flight[model, site] = 0
    listed_rps, cold_rps_s2, late_rps, again_rps, answers_usd, use_usd = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for position in range(count):
        site = env.scratch.replicas[position]
        rps, wait_s = env.scratch.replica_rps[position], env.scratch.replica_wait_s[position]
        waiting_s, again = env.scratch.replica_wait_mean_s[position], env.scratch.retried_rps[position]
        env.state.load_rps[model, site] = rps
        env.state.in_flight[model, site] = rps * (waiting_s + env.scratch.service_s[position])
        env.scratch.site_rps[site] += rps
        env.scratch.site_wait_rps_s[site] += rps * waiting_s
        if not env.state.status[site] & DOWN:
            gpus = float(env.world.replica_gpus[model, site])
            env.scratch.site_listed_gpus[site] += gpus
            env.scratch.site_busy_gpus[site] += gpus * rps / env.world.capacity_rps[model, site]
        listed_rps += env.scratch.cap_rps[position]
        cold_rps_s2 += rps * wait_s * wait_s
        late_rps += (rps - again) * env.scratch.late_share[position]
        if again > 0:
            late_rps += again * env.scratch.late_again_share[position]
            again_rps += again
        answers_usd += rps * env.world.answer_usd[model, site]
        use_usd += rps * env.world.use_usd[model, site]
    env.scratch.served_rps[model] = served_rps
    env.scratch.refused_rps[model] = refused_rps
    env.scratch.patient_rps[model] = again_rps
    env.scratch.late_rps[model] = late_rps + (served_rps - late_rps) * env.scratch.again_share[model]
    env.scratch.listed_rps[model] = listed_rps
    env.scratch.cold_rps_s[model] = cold_rps_s2 * HALF_MS_PER_S / env.world.step_ms
    env.scratch.answers_usd_per_s[model] = answers_usd
    env.scratch.use_usd_per_s[model] = use_usd


@kernel
def book_proofs(env: Environment, model: int, verified_rps: float, beyond_rps_s: float) -> None:
    """Book a model's verified requests/s and their time to finality.

    beyond_rps_s: the sum over the verified of the seconds to finality beyond the answer.
    """
    served_rps = env.scratch.served_rps[model]
    answer_rps_s = env.scratch.answer_rps_s[model] + env.scratch.waiting_rps_s[model]
    env.scratch.verified_rps[model] = verified_rps
    env.scratch.final_rps_s[model] = beyond_rps_s + (
        verified_rps * answer_rps_s / served_rps if served_rps > 0 else 0.0
    )


@kernel
def report_operation(env: Environment, operation: int, possible: bool) -> None:
    """Write an operation to the output, and how many of the step were carried out and were impossible so far."""
    env.output.operation = operation if possible else 0
    metrics = env.output.metrics
    metrics[METRIC.operations] = env.state.changes
    metrics[METRIC.impossible_operations] = env.state.decisions - env.state.changes
    metrics[METRIC.refused_launches] = env.state.refusals


@kernel
def report_events(env: Environment, row: int, cold_starts: int, fetched_gb: float) -> None:
    """Write the metrics that count what happened in the step, but for its operations."""
    metrics = env.output.metrics
    metrics[METRIC.cold_starts] = cold_starts
    metrics[METRIC.fetch_gb] = fetched_gb
    metrics[METRIC.active_outages] = env.tape.outages[row] + (1 if row <= env.state.attack_until else 0)


@kernel
def remember_models(env: Environment) -> None:
    """Write to the state what the next step remembers of every model in this one."""
    for model in range(env.state.phase.shape[0]):
        served_rps, demand_rps = env.scratch.served_rps[model], env.scratch.asked[model]
        per_served = 1 / served_rps if served_rps > 0 else 0.0
        waiting_rps_s = env.scratch.waiting_rps_s[model]
        env.state.model_demand_rps[model] = demand_rps
        env.state.model_served_rps[model] = served_rps
        env.state.model_first_token_s[model] = (env.scratch.first_rps_s[model] + waiting_rps_s) * per_served
        env.state.model_late_share[model] = env.scratch.late_rps[model] * per_served
        env.state.model_refused_share[model] = env.scratch.refused_rps[model] / demand_rps if demand_rps > 0 else 0.0


@kernel
def account(env: Environment, usd_per_hour: float) -> None:
    """Write terms, reward and the metrics of traffic and money from the booked figures of all models.

    Writes to the state what the next step remembers of this one: site_share [N] and figures by model [M].
    """
    demand, served, verified, asked, late, refused, again = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    listed, cold_rps_s, final_rps_s, use_usd, lost = 0.0, 0.0, 0.0, 0.0, 0.0
    for model in range(env.state.phase.shape[0]):
        served_rps = env.scratch.served_rps[model]
        demand += env.scratch.asked[model]
        served += served_rps
        late += env.scratch.late_rps[model]
        refused += env.scratch.refused_rps[model]
        again += env.scratch.patient_rps[model]
        lost += env.scratch.asked_again[model]
        use_usd += env.scratch.use_usd_per_s[model]
        if env.world.verification[model] != NO_PROOF:
            asked += served_rps
            verified += env.scratch.verified_rps[model]
        listed += env.scratch.listed_rps[model]
        cold_rps_s += env.scratch.cold_rps_s[model]
        final_rps_s += env.scratch.final_rps_s[model]
    remember_models(env)
    per_served = 1 / served if served > 0 else 0.0
    per_demand = 1 / demand if demand > 0 else 0.0
    for site in range(env.state.status.shape[0]):
        env.state.site_share[site] = env.scratch.site_rps[site] * per_served
    unserved = max(1 - served * per_demand, 0.0) if demand > 0 else 0.0
    terms, metrics = env.output.terms, env.output.metrics
    terms[TERM.latency] = late * per_demand
    terms[TERM.cost] = usd_per_hour / env.world.budget_usd_per_hour
    terms[TERM.unserved] = unserved_term(unserved, env.world.convexity)
    terms[TERM.unverified] = max(asked - verified, 0.0) * per_demand
    exposure = write_losses(env, per_demand)
    terms[TERM.exposure] = exposure
    terms[TERM.churn] = env.state.changes
    env.output.reward = weighted(terms, env.world.weights)
    for i in range(terms.shape[0]):
        env.output.last_terms[i] = terms[i]

    write_times(env, served)
    metrics[METRIC.in_time_share] = max(1 - late * per_served, 0.0) if served > 0 else 0.0
    metrics[METRIC.finality_s] = final_rps_s / verified if verified > 0 else 0.0
    metrics[METRIC.demand_rps] = demand
    metrics[METRIC.served_rps] = served
    metrics[METRIC.served_share] = 1 - unserved
    metrics[METRIC.verified_share] = verified / asked if asked > 0 else 1.0
    metrics[METRIC.usd_per_hour] = usd_per_hour
    metrics[METRIC.usd_per_1000_requests] = usd_per_hour * per_served / KILO_REQUESTS_PER_RPS_HOUR
    metrics[METRIC.use_usd_per_hour] = use_usd * S_PER_HOUR
    metrics[METRIC.cold_wait_s] = cold_rps_s * per_served
    metrics[METRIC.refused_share] = refused * per_demand
    metrics[METRIC.retried_share] = again * per_served
    metrics[METRIC.answers_lost] = lost
    metrics[METRIC.utilisation] = served / listed if listed > 0 else 0.0
    metrics[METRIC.exposure] = exposure


@kernel
def write_times(env: Environment, served_rps: float) -> None:
    """Write mean and percentiles of the time to the first token and of that to the answer to the metrics."""
    first_s, first_s2, answer_s, answer_s2, waiting, waiting_s = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for model in range(env.state.phase.shape[0]):
        first_s += env.scratch.first_rps_s[model]
        first_s2 += env.scratch.first_rps_s2[model]
        answer_s += env.scratch.answer_rps_s[model]
        answer_s2 += env.scratch.answer_rps_s2[model]
        waiting += env.scratch.waiting_rps[model]
        waiting_s += env.scratch.waiting_rps_s[model]
    per_served = 1 / served_rps if served_rps > 0 else 0.0
    share, queue_s = waiting * per_served, waiting_s / waiting if waiting > 0 else 0.0
    metrics = env.output.metrics
    for clock in range(2):
        mean_s = (first_s if clock else answer_s) * per_served
        variance = (first_s2 if clock else answer_s2) * per_served - mean_s * mean_s
        at = METRIC.first_token_mean_ms if clock else METRIC.latency_mean_ms
        metrics[at] = (mean_s + waiting_s * per_served) * MS_PER_S
        lane = LANES_PER_CLOCK * clock
        env.scratch.percentile_tail[lane] = TAIL_P50
        env.scratch.percentile_tail[lane + 1] = TAIL_P95
        env.scratch.percentile_tail[lane + 2] = TAIL_P99
        env.scratch.percentile_tail[lane + 3] = TAIL_P99  # the fourth lane of a clock is not read
        for i in range(lane, lane + LANES_PER_CLOCK):
            env.scratch.percentile_mean_s[i] = mean_s
            env.scratch.percentile_var[i] = variance
    write_percentiles(env, share, queue_s)
    for clock in range(2):
        at = METRIC.first_token_p50_ms if clock else METRIC.latency_p50_ms
        for i in range(LANES_PER_CLOCK - 1):
            metrics[at + i] = env.scratch.percentile_s[LANES_PER_CLOCK * clock + i] * MS_PER_S


@kernel
def report_roles(env: Environment) -> None:
    """Write the metrics of the step's fleet: independence of its traffic, live roles and the quorum."""
    metrics, live = env.output.metrics, env.memo.live
    metrics[METRIC.n_eff] = effective_nodes(env)
    metrics[METRIC.verifiers_live] = live[VERIFIER]
    metrics[METRIC.stores_live] = live[STORE]
    metrics[METRIC.gateways_live] = live[GATEWAY]
    metrics[METRIC.quorum] = quorum_of(env.memo.registered) if env.memo.registered > 0 else 0


@kernel
def tally(env: Environment) -> None:
    """Count replicas that are warm or under way; `placed` holds.

    Writes site_warm and site_loading [N]; and of sites that are up, model_warm, model_loading and model_capacity_rps
    [M], the capacity of the warm replicas. Whoever served in the step is one of the warm.
    """
    models, sites = env.state.phase.shape
    for site in range(sites):
        env.scratch.site_warm[site] = 0
        env.scratch.site_loading[site] = 0
    for model in range(models):
        warm, loading, capacity_rps = 0, 0, 0.0
        for i in range(env.scratch.placed_count[model]):
            site = env.scratch.placed[model, i]
            is_warm, up = env.state.phase[model, site] == WARM, not env.state.status[site] & DOWN
            env.scratch.site_warm[site] += is_warm
            env.scratch.site_loading[site] += not is_warm
            warm += is_warm & up
            loading += (not is_warm) & up
            capacity_rps += env.world.capacity_rps[model, site] if is_warm & up else 0.0
        env.scratch.model_warm[model] = warm
        env.scratch.model_loading[model] = loading
        env.scratch.model_capacity_rps[model] = capacity_rps


@kernel
def report_replicas(env: Environment) -> None:
    """Write the metrics of sites that are down and of replicas, which `tally` has counted."""
    down, warm, loading = 0, 0, 0
    for site in range(env.state.status.shape[0]):
        down += env.state.status[site] & DOWN
        warm += env.scratch.site_warm[site]
        loading += env.scratch.site_loading[site]
    metrics = env.output.metrics
    metrics[METRIC.sites_down] = down
    metrics[METRIC.replicas_warm] = warm
    metrics[METRIC.replicas_loading] = loading
