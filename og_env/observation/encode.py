"""The observation at the end of a step, written straight into a flat buffer; its tables are those of fields.py."""

from __future__ import annotations

import math

import numpy as np

from og_env.dynamics.alarm_signals import HOUR_MS, alarm
from og_env.dynamics.fleet_memo import survey
from og_env.dynamics.operations import LAUNCH, RETIRE, STAGE
from og_env.dynamics.verification import TEE, ZKML, quorum_of
from og_env.kernel.arrays import (
    DOWN,
    FETCHING,
    FROZEN,
    GAIN,
    GATEWAY,
    METRIC,
    ON_DISK,
    SLOW,
    STEER_RANGE,
    STORE,
    TERM,
    UNTRUSTED,
    VERIFIER,
    Environment,
)
from og_env.kernel.compile import kernel
from og_env.kernel.memory import columns
from og_env.kernel.views import row_of
from og_env.observation.fields import ALL_TABLES, columns_of
from og_env.observation.summary import (
    TINY,
    average_alarms,
    lookahead_step,
    step_of_day,
    summarise_models,
    summarise_sites,
    worst_of_domains,
)
from og_env.observation.supply import write_scarcity

TABLE = columns("Table", tuple(ALL_TABLES))
"""position of each table among the offsets"""
GLOBAL, MODEL, PROPOSAL = columns_of("globals"), columns_of("models"), columns_of("proposals")
SITE, REGION, DOMAIN = columns_of("sites"), columns_of("regions"), columns_of("domains")

GAIN_SCALE = 0.05
"""gain per step that shows as one half"""
RTT_SCALE_MS = 300.0
"""round trip that shows as 1, about the longest on Earth"""
RARE_SCALE = 10.0
"""factor on shares that rarely exceed a tenth"""
QUEUE_SCALE = 2
"""fetches per full-speed stream of the live stores that show as 1"""
ROLE_SCALE = 8
"""running stores or gateways that show as 1"""
PER_SERVER = 0.125
"""one over the GPUs that show as 1, those of a usual server"""
PER_STEER = 1 / STEER_RANGE
"""one over the bias that shows as 1"""
WEIGHTS_SCALE_GB = 200
"""weights that show as 1"""
HOUR_S = 3600
SECOND = 1.0
"""a time that shows as one half"""
PER_OCTAVE = 0.5
"""doublings of the time of service that show as 1"""
LEAST_WEIGHT, DECADES = 0.01, 2
"""weights of the reward show by their power of ten: from -1 at LEAST_WEIGHT to 1 at so many powers of ten"""


@kernel
def clip(value: float) -> float:
    """Clip to [-1, 1]."""
    return min(max(value, -1.0), 1.0)


@kernel
def squash(gain: float) -> float:
    """Bring a gain g into (-1, 1) as g / (|g| + GAIN_SCALE), which is monotone and keeps the sign."""
    return gain / (abs(gain) + GAIN_SCALE)


@kernel
def magnitude(weight: float) -> float:
    """Show a weight of the reward by its power of ten: -1 at 0.01 and below, 1 at 100 and above."""
    return clip(math.log10(max(weight, LEAST_WEIGHT)) / DECADES)


@kernel
def write_globals(env: Environment, values: np.ndarray, first: int, highest_alarm: float) -> None:
    """Write the single row of the globals, whose columns begin at `first`."""
    angle = 2 * math.pi * step_of_day(env) / env.world.diurnal.shape[0]
    live, registered = env.memo.live, env.memo.registered
    sites = TINY
    for site in range(env.state.status.shape[0]):
        sites += env.world.site_valid[site]
    metrics, terms = env.output.metrics, env.output.last_terms
    values[first + GLOBAL.day_sin] = math.sin(angle)
    values[first + GLOBAL.day_cos] = math.cos(angle)
    values[first + GLOBAL.episode_left] = 1 - env.state.step / (env.tape.attack.shape[0] - 1)
    values[first + GLOBAL.served] = metrics[METRIC.served_share]
    values[first + GLOBAL.unverified] = terms[TERM.unverified]
    values[first + GLOBAL.exposure] = env.output.seen_loss
    values[first + GLOBAL.cost] = clip(terms[TERM.cost])
    values[first + GLOBAL.latency] = terms[TERM.latency]
    values[first + GLOBAL.refused] = clip(metrics[METRIC.refused_share])
    values[first + GLOBAL.demand] = clip(env.scratch.all_over_mean)
    values[first + GLOBAL.forecast] = clip(env.scratch.all_expected_change)
    values[first + GLOBAL.n_eff] = clip(metrics[METRIC.n_eff] / sites)
    values[first + GLOBAL.sites_down] = metrics[METRIC.sites_down] / sites
    values[first + GLOBAL.alarm] = highest_alarm
    values[first + GLOBAL.store_queue] = clip(
        env.memo.fetching / (QUEUE_SCALE * env.world.store_streams * max(live[STORE], 1))
    )
    quorum = quorum_of(registered)
    values[first + GLOBAL.verifiers_margin] = clip((live[VERIFIER] - quorum) / max(registered, 1))
    values[first + GLOBAL.stores] = clip(live[STORE] / ROLE_SCALE)
    values[first + GLOBAL.gateways] = clip(live[GATEWAY] / ROLE_SCALE)
    values[first + GLOBAL.utilisation] = clip(metrics[METRIC.utilisation])
    values[first + GLOBAL.weight_latency] = magnitude(env.world.weights[TERM.latency])
    values[first + GLOBAL.weight_cost] = magnitude(env.world.weights[TERM.cost])
    values[first + GLOBAL.weight_unserved] = magnitude(env.world.weights[TERM.unserved])
    values[first + GLOBAL.weight_unverified] = magnitude(env.world.weights[TERM.unverified])
    values[first + GLOBAL.weight_exposure] = magnitude(env.world.weights[TERM.exposure])
    values[first + GLOBAL.operations_left] = 1 - env.state.decisions / max(env.world.operations_per_step, 1)


@kernel
def write_model(env: Environment, values: np.ndarray, first: int, model: int) -> None:
    """Write the row of a model, whose columns begin at `first`."""
    sites = env.state.status.shape[0]
    demand = env.state.model_demand_rps[model]
    values[first + MODEL.share] = env.scratch.present_rps[model] / env.scratch.all_present_rps
    values[first + MODEL.demand] = clip(env.scratch.over_mean[model])
    values[first + MODEL.served] = clip(env.state.model_served_rps[model] / demand) if demand > 0 else 0.0
    values[first + MODEL.utilisation] = clip(env.scratch.warm_utilisation[model])
    values[first + MODEL.replicas] = env.scratch.model_warm[model] / sites
    values[first + MODEL.loading] = env.scratch.model_loading[model] / sites
    values[first + MODEL.late] = clip(env.state.model_late_share[model])
    first_token_s = env.state.model_first_token_s[model]
    values[first + MODEL.first_token] = first_token_s / (first_token_s + SECOND)
    values[first + MODEL.refused] = clip(env.state.model_refused_share[model])
    values[first + MODEL.spare] = clip(env.scratch.spare_share[model])
    values[first + MODEL.forecast] = clip(env.scratch.expected_change[model])
    values[first + MODEL.size] = clip(env.world.weights_gb[model] / WEIGHTS_SCALE_GB)
    values[first + MODEL.load_time] = clip(env.world.mean_load_ms[model] / HOUR_MS)
    values[first + MODEL.tee] = 1 if env.world.verification[model] == TEE else 0
    values[first + MODEL.zkml] = 1 if env.world.verification[model] == ZKML else 0


@kernel
def write_proposal(env: Environment, values: np.ndarray, first: int, position: int) -> None:
    """Write the row of the offer at a position, whose columns begin at `first`; zeros where there is no offer."""
    models, sites = env.state.phase.shape
    operation = env.output.offer[position]
    for field in range(len(PROPOSAL)):
        values[first + field] = 0
    if operation == 0:
        return
    index, model_operations = operation - 1, 3 * models * sites
    site = index % sites
    gain = env.output.offer_gain
    values[first + PROPOSAL.valid] = 1
    values[first + PROPOSAL.gain] = squash(gain[position, GAIN.total])
    values[first + PROPOSAL.gain_service] = squash(gain[position, GAIN.service])
    values[first + PROPOSAL.gain_cost] = squash(gain[position, GAIN.cost])
    values[first + PROPOSAL.gain_resilience] = squash(gain[position, GAIN.resilience])
    values[first + PROPOSAL.ready] = clip(env.output.offer_ready_s[position] / HOUR_S)
    usd_per_hour = env.world.usd_per_vm_hour[site]
    if index < model_operations:
        verb, model = index // (models * sites), index // sites % models
        values[first + PROPOSAL.is_launch] = verb == LAUNCH
        values[first + PROPOSAL.is_retire] = verb == RETIRE
        values[first + PROPOSAL.is_stage] = verb == STAGE
        values[first + PROPOSAL.is_add] = verb != RETIRE
        usd_per_hour = env.world.replica_gpus[model, site] * env.world.usd_per_gpu_hour[site] if verb != STAGE else 0.0
        demand = env.state.model_demand_rps[model]
        values[first + PROPOSAL.model_share] = env.scratch.present_rps[model] / env.scratch.all_present_rps
        values[first + PROPOSAL.model_utilisation] = clip(env.scratch.warm_utilisation[model])
        if demand > 0:
            values[first + PROPOSAL.model_unserved] = max(1 - env.state.model_served_rps[model] / demand, 0.0)
        values[first + PROPOSAL.model_forecast] = clip(env.scratch.expected_change[model])
        values[first + PROPOSAL.model_replicas] = env.scratch.model_warm[model] / sites
        values[first + PROPOSAL.model_loading] = env.scratch.model_loading[model] / sites
        phase = env.state.phase[model, site]
        values[first + PROPOSAL.on_disk] = phase >= ON_DISK and phase != FETCHING
    else:
        role_verb = (index - model_operations) // sites
        values[first + PROPOSAL.is_verifier] = role_verb // 2 == VERIFIER
        values[first + PROPOSAL.is_store] = role_verb // 2 == STORE
        values[first + PROPOSAL.is_gateway] = role_verb // 2 == GATEWAY
        values[first + PROPOSAL.is_add] = role_verb % 2 == 0
    values[first + PROPOSAL.price] = clip(RARE_SCALE * usd_per_hour / env.world.budget_usd_per_hour)
    alarm_hour, share, loss = worst_of_domains(env, site)
    values[first + PROPOSAL.distance] = clip(env.scratch.user_ms[site] / RTT_SCALE_MS)
    values[first + PROPOSAL.alarm] = env.scratch.site_alarm[site]
    values[first + PROPOSAL.site_share] = env.state.site_share[site]
    values[first + PROPOSAL.site_free] = 1 - env.state.gpus_used[site] / max(env.world.gpu_count[site], 1)
    values[first + PROPOSAL.site_hazard] = clip(RARE_SCALE * env.world.site_hazard[site])
    values[first + PROPOSAL.domain_share] = clip(share)
    values[first + PROPOSAL.domain_loss] = loss
    values[first + PROPOSAL.tee] = env.world.tee[site]
    values[first + PROPOSAL.alarm_hour] = alarm_hour


@kernel
def write_measured(env: Environment, values: np.ndarray, at: int, site: int) -> None:
    """Write to a site's row what was measured there, as it was last shown."""
    values[at + SITE.slowness] = clip(env.state.shown_slowness_log2[site] * PER_OCTAVE)
    wait_s = env.state.shown_wait_s[site]
    values[at + SITE.wait] = wait_s / (wait_s + SECOND)
    values[at + SITE.refused] = clip(env.state.shown_refused[site])
    values[at + SITE.load] = clip(env.state.shown_load[site])
    values[at + SITE.blind] = env.state.blind[site]


@kernel
def write_sites(env: Environment, values: np.ndarray, first: int) -> None:
    """Write the rows of all sites, whose columns begin at `first`; rows that pad a smaller fleet are zero."""
    models, sites = env.state.phase.shape
    per_usd, per_model = RARE_SCALE / env.world.budget_usd_per_hour, 1 / models
    for site in range(sites):
        env.scratch.free_share[site] = 1 - env.state.gpus_used[site] / max(env.world.gpu_count[site], 1)
        env.scratch.distance[site] = clip(env.scratch.user_ms[site] / RTT_SCALE_MS)
    for site in range(sites):
        at, status = first + site * len(SITE), env.state.status[site]
        if not env.world.site_valid[site]:
            for field in range(len(SITE)):
                values[at + field] = 0
            continue
        values[at + SITE.valid] = 1
        values[at + SITE.free] = env.scratch.free_share[site]
        values[at + SITE.gpus] = clip(env.world.gpu_count[site] * PER_SERVER)
        values[at + SITE.price] = clip(env.world.usd_per_gpu_hour[site] * per_usd)
        values[at + SITE.down] = (status & DOWN) != 0
        values[at + SITE.frozen] = (status & FROZEN) != 0
        values[at + SITE.untrusted] = (status & UNTRUSTED) != 0
        values[at + SITE.slow] = (status & SLOW) != 0
        for role in range(3):
            left_ms = env.state.role_ms[role, site]
            values[at + SITE.verifier + role] = 0.5 * ((left_ms >= 0) + (left_ms == 0))
        values[at + SITE.warm] = env.scratch.site_warm[site] * per_model
        values[at + SITE.loading] = env.scratch.site_loading[site] * per_model
        values[at + SITE.share] = env.state.site_share[site]
        values[at + SITE.alarm] = env.scratch.site_alarm[site]
        values[at + SITE.tee] = env.world.tee[site]
        values[at + SITE.distance] = env.scratch.distance[site]
        values[at + SITE.hazard] = clip(RARE_SCALE * env.world.site_hazard[site])
        write_measured(env, values, at, site)
        values[at + SITE.steer] = clip(env.state.steer[site] * PER_STEER)


@kernel
def write_regions(env: Environment, values: np.ndarray, first: int) -> None:
    """Write the rows of all user regions, whose columns begin at `first`."""
    regions, now = env.world.region_rps.shape[0], step_of_day(env)
    later = lookahead_step(env, now)
    total = TINY
    for region in range(regions):
        total += env.world.region_rps[region]
    for region in range(regions):
        slot, at = env.memo.gateway_of[region], first + region * len(REGION)
        gateway_ms = env.world.rtt_user_ms[region, env.memo.gateways[slot]] if slot >= 0 else RTT_SCALE_MS
        values[at + REGION.load] = clip(env.tape.regional[env.state.step, region] - 1)
        values[at + REGION.expected] = clip(env.world.diurnal[now, region] - 1)
        values[at + REGION.expected_hour] = clip(env.world.diurnal[later, region] - 1)
        values[at + REGION.gateway_ms] = clip(gateway_ms / RTT_SCALE_MS)
        values[at + REGION.weight] = env.world.region_rps[region] / total


@kernel
def write_domains(env: Environment, values: np.ndarray, first: int) -> None:
    """Write the rows of all domains, whose columns begin at `first`; those of hidden kinds are zero."""
    width = len(DOMAIN)
    sites = env.state.status.shape[0]
    shared = env.world.fragile_rate.shape[0]
    for field in range(env.world.domain_size.shape[0] * width):
        values[first + field] = 0
    for site in range(sites):
        if env.state.status[site] & DOWN:
            for membership in range(env.world.site_domain.shape[1]):
                domain = env.world.site_domain[site, membership]
                if domain < 0:
                    break
                if env.world.domain_visible[domain]:
                    values[first + domain * width + DOMAIN.down] += 1 / env.world.domain_size[domain]
    for domain in range(env.world.domain_size.shape[0]):
        if env.world.domain_size[domain] == 0 or not env.world.domain_visible[domain]:
            continue
        at = first + domain * width
        values[at + DOMAIN.down] = clip(values[at + DOMAIN.down])
        values[at + DOMAIN.valid] = 1
        values[at + DOMAIN.signal] = alarm(env, env.state.step, domain) if domain < shared else 0.0
        values[at + DOMAIN.share] = clip(env.scratch.domain_share[domain])
        values[at + DOMAIN.loss] = env.output.domain_loss[domain]
        values[at + DOMAIN.size] = env.world.domain_size[domain] / sites
        values[at + DOMAIN.hazard] = clip(RARE_SCALE * env.world.domain_rate[domain] * env.world.domain_mean_h[domain])


@kernel
def observe(env: Environment, observations: np.ndarray, offsets: np.ndarray) -> None:
    """Write the environment's row of `observations` float32 [B, O].

    `offsets` int64 [8] are the first columns of ALL_TABLES, in their order; -1 leaves a table out.
    """
    values = row_of(observations, env.b)
    survey(env)
    summarise_models(env)
    highest_alarm = summarise_sites(env)
    if offsets[TABLE.globals] >= 0:
        write_globals(env, values, offsets[TABLE.globals], highest_alarm)
    if offsets[TABLE.models] >= 0:
        for model in range(env.state.phase.shape[0]):
            write_model(env, values, offsets[TABLE.models] + model * len(MODEL), model)
    if offsets[TABLE.proposals] >= 0:
        average_alarms(env)
        for position in range(env.output.offer.shape[0]):
            write_proposal(env, values, offsets[TABLE.proposals] + position * len(PROPOSAL), position)
    if offsets[TABLE.sites] >= 0:
        write_sites(env, values, offsets[TABLE.sites])
    if offsets[TABLE.regions] >= 0:
        write_regions(env, values, offsets[TABLE.regions])
    if offsets[TABLE.domains] >= 0:
        write_domains(env, values, offsets[TABLE.domains])
    write_scarcity(env, values, offsets[TABLE.supply], offsets[TABLE.offer_supply])
