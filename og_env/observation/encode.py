"""What the agent sees at the end of a step, written straight into a flat buffer of the caller's (tables: `fields`)."""

from __future__ import annotations

import math

from og_env.dynamics.memo import survey
from og_env.dynamics.operations import LAUNCH, RETIRE, STAGE
from og_env.dynamics.routing import alarm
from og_env.dynamics.step import METRIC, TERM
from og_env.dynamics.verification import TEE, ZKML, quorum_of
from og_env.kernel.arrays import (
    DOWN,
    FETCHING,
    FROZEN,
    GAIN,
    GATEWAY,
    ON_DISK,
    PLANNER,
    SLOW,
    STORE,
    UNTRUSTED,
    VERIFIER,
)
from og_env.kernel.compile import kernel
from og_env.kernel.views import row_of
from og_env.observation.fields import TABLES, column, named
from og_env.observation.summary import digest_models, digest_sites, remember, surroundings

__all__ = ["TABLES", "column", "observe"]

GLOBAL, MODEL, PROPOSAL = named("globals"), named("models"), named("proposals")
SITE, REGION, DOMAIN = named("sites"), named("regions"), named("domains")
GAIN_SCALE = 0.05
RTT_MS = 300.0
HAZARD_SCALE = 10.0


@kernel
def clip(value):
    """Into [-1, 1]."""
    return min(max(value, -1.0), 1.0)


@kernel
def squash(gain):
    """g / (|g| + 0.05): monotone, keeps the sign."""
    return gain / (abs(gain) + GAIN_SCALE)


@kernel
def magnitude(weight):
    """A weight of the reward, by its power of ten: -1 at 0.01 and below, 1 at 100 and above."""
    return clip(math.log10(max(weight, 0.01)) / 2)


@kernel
def write_globals(env, row, o, top):
    """The global row at offset o."""
    step = env.state.step
    day = env.world.diurnal.shape[0]
    angle = 2 * math.pi * ((env.tape.start_step + step) % day) / day
    live, registered = env.memo.live, env.memo.registered
    sites = 1e-9
    for site in range(env.state.status.shape[0]):
        sites += env.world.site_valid[site]
    metrics, terms = env.output.metrics, env.output.terms
    row[o + GLOBAL.day_sin] = math.sin(angle)
    row[o + GLOBAL.day_cos] = math.cos(angle)
    row[o + GLOBAL.episode_left] = 1 - step / (env.tape.attack.shape[0] - 1)
    row[o + GLOBAL.served] = metrics[METRIC.served_share]
    row[o + GLOBAL.unverified] = terms[TERM.unverified]
    row[o + GLOBAL.exposure] = env.output.seen_loss
    row[o + GLOBAL.cost] = clip(terms[TERM.cost])
    row[o + GLOBAL.latency] = terms[TERM.latency]
    row[o + GLOBAL.demand] = clip(env.scratch.sums[1])
    row[o + GLOBAL.forecast] = clip(env.scratch.sums[2])
    row[o + GLOBAL.n_eff] = clip(metrics[METRIC.n_eff] / sites)
    row[o + GLOBAL.sites_down] = metrics[METRIC.sites_down] / sites
    row[o + GLOBAL.alarm] = top
    row[o + GLOBAL.store_queue] = clip(env.memo.fetching / (2 * env.world.store_streams * max(live[STORE], 1)))
    quorum = quorum_of(registered)
    row[o + GLOBAL.verifiers_margin] = clip((live[VERIFIER] - quorum) / max(registered, 1))
    row[o + GLOBAL.stores] = clip(live[STORE] / 8)
    row[o + GLOBAL.gateways] = clip(live[GATEWAY] / 8)
    row[o + GLOBAL.utilisation] = clip(metrics[METRIC.utilisation])
    row[o + GLOBAL.weight_latency] = magnitude(env.world.weights[TERM.latency])
    row[o + GLOBAL.weight_cost] = magnitude(env.world.weights[TERM.cost])
    row[o + GLOBAL.weight_unserved] = magnitude(env.world.weights[TERM.unserved])
    row[o + GLOBAL.weight_unverified] = magnitude(env.world.weights[TERM.unverified])
    row[o + GLOBAL.weight_exposure] = magnitude(env.world.weights[TERM.exposure])


@kernel
def write_models(env, row, o, model):
    """The row of model m at offset o."""
    sites = env.state.status.shape[0]
    demand = env.state.model_demand_rps[model]
    latency = env.state.model_latency_s[model]
    row[o + MODEL.share] = env.scratch.digest[model, 0] / env.scratch.sums[0]
    row[o + MODEL.demand] = clip(env.scratch.digest[model, 1])
    row[o + MODEL.served] = clip(env.state.model_served_rps[model] / demand) if demand > 0 else 0.0
    row[o + MODEL.utilisation] = clip(env.scratch.digest[model, 3])
    row[o + MODEL.replicas] = env.scratch.digest[model, 4] / sites
    row[o + MODEL.loading] = env.scratch.digest[model, 5] / sites
    row[o + MODEL.latency] = latency / (latency + env.world.slo_s[model])
    row[o + MODEL.spare] = clip(env.scratch.digest[model, 6])
    row[o + MODEL.forecast] = clip(env.scratch.digest[model, 2])
    row[o + MODEL.size] = clip(env.world.weights_gb[model] / 200)
    row[o + MODEL.load_time] = clip(env.scratch.digest[model, 7] / 3_600_000)
    row[o + MODEL.tee] = 1 if env.world.verification[model] == TEE else 0
    row[o + MODEL.zkml] = 1 if env.world.verification[model] == ZKML else 0


@kernel
def write_proposal(env, row, o, i):
    """The row of offer i at offset o."""
    models, sites = env.state.phase.shape
    operation = env.output.offer[i]
    for j in range(len(PROPOSAL)):
        row[o + j] = 0
    if operation == 0:
        return
    index = operation - 1
    site = index % sites
    gain = env.output.offer_gain
    row[o + PROPOSAL.valid] = 1
    row[o + PROPOSAL.gain] = squash(gain[i, GAIN.total])
    row[o + PROPOSAL.gain_service] = squash(gain[i, GAIN.service])
    row[o + PROPOSAL.gain_cost] = squash(gain[i, GAIN.cost])
    row[o + PROPOSAL.gain_resilience] = squash(gain[i, GAIN.resilience])
    row[o + PROPOSAL.ready] = clip(env.output.offer_ready_s[i] / 3600)
    usd_per_hour = env.world.usd_per_vm_hour[site]
    if index < 3 * models * sites:
        verb, model = index // (models * sites), index // sites % models
        row[o + PROPOSAL.is_launch] = verb == LAUNCH
        row[o + PROPOSAL.is_retire] = verb == RETIRE
        row[o + PROPOSAL.is_stage] = verb == STAGE
        row[o + PROPOSAL.is_add] = verb != RETIRE
        usd_per_hour = env.world.replica_gpus[model, site] * env.world.usd_per_gpu_hour[site] if verb != STAGE else 0.0
        demand = env.state.model_demand_rps[model]
        row[o + PROPOSAL.model_share] = env.scratch.digest[model, 0] / env.scratch.sums[0]
        row[o + PROPOSAL.model_utilisation] = clip(env.scratch.digest[model, 3])
        if demand > 0:
            row[o + PROPOSAL.model_unserved] = max(1 - env.state.model_served_rps[model] / demand, 0.0)
        row[o + PROPOSAL.model_forecast] = clip(env.scratch.digest[model, 2])
        row[o + PROPOSAL.model_replicas] = env.scratch.digest[model, 4] / sites
        row[o + PROPOSAL.model_loading] = env.scratch.digest[model, 5] / sites
        phase = env.state.phase[model, site]
        row[o + PROPOSAL.on_disk] = phase >= ON_DISK and phase != FETCHING
    else:
        verb = (index - 3 * models * sites) // sites
        row[o + PROPOSAL.is_verifier] = verb // 2 == VERIFIER
        row[o + PROPOSAL.is_store] = verb // 2 == STORE
        row[o + PROPOSAL.is_gateway] = verb // 2 == GATEWAY
        row[o + PROPOSAL.is_add] = verb % 2 == 0
    row[o + PROPOSAL.price] = clip(HAZARD_SCALE * usd_per_hour / env.world.budget_usd_per_hour)
    hour, share, loss = surroundings(env, site)
    row[o + PROPOSAL.distance] = clip(env.scratch.path_ms[site] / RTT_MS)
    row[o + PROPOSAL.alarm] = env.scratch.site_alarm[site]
    row[o + PROPOSAL.site_share] = env.state.site_share[site]
    row[o + PROPOSAL.site_free] = 1 - env.state.gpus_used[site] / max(env.world.gpu_count[site], 1)
    row[o + PROPOSAL.site_hazard] = clip(HAZARD_SCALE * env.world.site_hazard[site])
    row[o + PROPOSAL.domain_share] = clip(share)
    row[o + PROPOSAL.domain_loss] = loss
    row[o + PROPOSAL.tee] = env.world.tee[site]
    row[o + PROPOSAL.alarm_hour] = hour


@kernel
def write_sites(env, row, o):
    """The rows of all sites from offset o."""
    models, sites = env.state.phase.shape
    per_usd, per_model = HAZARD_SCALE / env.world.budget_usd_per_hour, 1 / models
    for site in range(sites):
        env.scratch.free_share[site] = 1 - env.state.gpus_used[site] / max(env.world.gpu_count[site], 1)
        env.scratch.distance[site] = clip(env.scratch.path_ms[site] / RTT_MS)
    for site in range(sites):
        first, status = o + site * len(SITE), env.state.status[site]
        if not env.world.site_valid[site]:
            for j in range(len(SITE)):
                row[first + j] = 0
            continue
        row[first + SITE.valid] = 1
        row[first + SITE.free] = env.scratch.free_share[site]
        row[first + SITE.gpus] = clip(env.world.gpu_count[site] * 0.125)
        row[first + SITE.price] = clip(env.world.usd_per_gpu_hour[site] * per_usd)
        row[first + SITE.down] = (status & DOWN) != 0
        row[first + SITE.frozen] = (status & FROZEN) != 0
        row[first + SITE.untrusted] = (status & UNTRUSTED) != 0
        row[first + SITE.slow] = (status & SLOW) != 0
        for role in range(3):
            left_ms = env.state.role_ms[role, site]
            row[first + SITE.verifier + role] = 0.5 * ((left_ms >= 0) + (left_ms == 0))
        row[first + SITE.warm] = env.scratch.site_warm[site] * per_model
        row[first + SITE.loading] = env.scratch.site_loading[site] * per_model
        row[first + SITE.share] = env.state.site_share[site]
        row[first + SITE.alarm] = env.scratch.site_alarm[site]
        row[first + SITE.tee] = env.world.tee[site]
        row[first + SITE.distance] = env.scratch.distance[site]
        row[first + SITE.hazard] = clip(HAZARD_SCALE * env.world.site_hazard[site])


@kernel
def write_regions(env, row, o):
    """The rows of all user regions from offset o."""
    step = env.state.step
    regions = env.world.region_rps.shape[0]
    day = env.world.diurnal.shape[0]
    now = (env.tape.start_step + step) % day
    then = (now + int(env.world.planner[PLANNER.lookahead_steps])) % day
    total = 1e-9
    for region in range(regions):
        total += env.world.region_rps[region]
    for region in range(regions):
        slot, first = env.memo.gateway_of[region], o + region * len(REGION)
        gateway_ms = env.world.rtt_user_ms[region, env.memo.gateways[slot]] if slot >= 0 else RTT_MS
        row[first + REGION.load] = clip(env.tape.regional[step, region] - 1)
        row[first + REGION.expected] = clip(env.world.diurnal[now, region] - 1)
        row[first + REGION.expected_hour] = clip(env.world.diurnal[then, region] - 1)
        row[first + REGION.gateway_ms] = clip(gateway_ms / RTT_MS)
        row[first + REGION.weight] = env.world.region_rps[region] / total


@kernel
def write_domains(env, row, o):
    """The rows of all domains from offset o; those of hidden kinds are zero."""
    step = env.state.step
    width = len(DOMAIN)
    sites = env.state.status.shape[0]
    shared = env.world.fragile_rate.shape[0]
    for i in range(env.world.domain_size.shape[0] * width):
        row[o + i] = 0
    for site in range(sites):
        if env.state.status[site] & DOWN:
            for d in range(env.world.site_domain.shape[1]):
                domain = env.world.site_domain[site, d]
                if domain < 0:
                    break
                if env.world.domain_visible[domain]:
                    row[o + domain * width + DOMAIN.down] += 1 / env.world.domain_size[domain]
    for domain in range(env.world.domain_size.shape[0]):
        if env.world.domain_size[domain] == 0 or not env.world.domain_visible[domain]:
            continue
        first = o + domain * width
        row[first + DOMAIN.down] = clip(row[first + DOMAIN.down])
        row[first + DOMAIN.valid] = 1
        row[first + DOMAIN.signal] = alarm(env, step, domain) if domain < shared else 0.0
        row[first + DOMAIN.share] = clip(env.scratch.domain_share[domain])
        row[first + DOMAIN.loss] = env.output.domain_loss[domain]
        row[first + DOMAIN.size] = env.world.domain_size[domain] / sites
        row[first + DOMAIN.hazard] = clip(
            HAZARD_SCALE * env.world.domain_rate[domain] * env.world.domain_mean_h[domain]
        )


@kernel
def observe(env, obs, offsets):
    """Write environment b's observation to obs [B, O]; offsets [6] in the order of TABLES, -1 leaves a table out."""
    row, models = row_of(obs, env.b), env.state.phase.shape[0]
    survey(env)
    digest_models(env)
    top = digest_sites(env)
    if offsets[0] >= 0:
        write_globals(env, row, offsets[0], top)
    if offsets[1] >= 0:
        for model in range(models):
            write_models(env, row, offsets[1] + model * len(MODEL), model)
    if offsets[2] >= 0:
        remember(env)
        for i in range(env.output.offer.shape[0]):
            write_proposal(env, row, offsets[2] + i * len(PROPOSAL), i)
    if offsets[3] >= 0:
        write_sites(env, row, offsets[3])
    if offsets[4] >= 0:
        write_regions(env, row, offsets[4])
    if offsets[5] >= 0:
        write_domains(env, row, offsets[5])
