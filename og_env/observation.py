"""What the agent sees at the end of a step, written straight into a flat buffer of the caller's (tables: `fields`)."""

from __future__ import annotations

import math

from og_env.actions import LAUNCH, RETIRE, STAGE
from og_env.binding import row_of
from og_env.digest import digest_models, digest_sites, remember, surroundings
from og_env.dynamics import METRIC, TERM
from og_env.fields import TABLES, column, named
from og_env.jit import kernel
from og_env.layout import (
    DOWN,
    FETCHING,
    FROZEN,
    GATEWAY,
    ON_DISK,
    SLOW,
    STORE,
    UNTRUSTED,
    VERIFIER,
    memo_of,
    output_of,
    scratch_of,
    state_of,
    tape_of,
    world_of,
)
from og_env.nominal import LOOKAHEAD
from og_env.routing import alarm
from og_env.status import TEE, ZKML, quorum_of
from og_env.survey import survey

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
def write_globals(t, b, c, row, o, top):
    """The global row at offset o."""
    world, state, scratch, tape = world_of(t), state_of(t), scratch_of(t), tape_of(t)
    output, memo = output_of(t), memo_of(t)
    k, step = state.world[b], state.step[b]
    day = world.diurnal.shape[1]
    angle = 2 * math.pi * ((tape.start_step[b] + step) % day) / day
    live, registered = memo.live, memo.registered[b]
    sites = 1e-9
    for s in range(state.status.shape[1]):
        sites += world.site_valid[k, s]
    metrics, terms = output.metrics, output.terms
    row[o + GLOBAL.day_sin] = math.sin(angle)
    row[o + GLOBAL.day_cos] = math.cos(angle)
    row[o + GLOBAL.episode_left] = 1 - step / (tape.attack.shape[1] - 1)
    row[o + GLOBAL.served] = metrics[b, METRIC.served_share]
    row[o + GLOBAL.unverified] = terms[b, TERM.unverified]
    row[o + GLOBAL.exposure] = output.seen_loss[b]
    row[o + GLOBAL.cost] = clip(terms[b, TERM.cost])
    row[o + GLOBAL.latency] = terms[b, TERM.latency]
    row[o + GLOBAL.demand] = clip(scratch.sums[c, 1])
    row[o + GLOBAL.forecast] = clip(scratch.sums[c, 2])
    row[o + GLOBAL.n_eff] = clip(metrics[b, METRIC.n_eff] / sites)
    row[o + GLOBAL.sites_down] = metrics[b, METRIC.sites_down] / sites
    row[o + GLOBAL.alarm] = top
    row[o + GLOBAL.store_queue] = clip(memo.fetching[b] / (2 * world.store_streams[k] * max(live[b, STORE], 1)))
    quorum = quorum_of(registered)
    row[o + GLOBAL.verifiers_margin] = clip((live[b, VERIFIER] - quorum) / max(registered, 1))
    row[o + GLOBAL.stores] = clip(live[b, STORE] / 8)
    row[o + GLOBAL.gateways] = clip(live[b, GATEWAY] / 8)
    row[o + GLOBAL.utilisation] = clip(metrics[b, METRIC.utilisation])
    row[o + GLOBAL.weight_latency] = magnitude(world.weights[k, TERM.latency])
    row[o + GLOBAL.weight_cost] = magnitude(world.weights[k, TERM.cost])
    row[o + GLOBAL.weight_unserved] = magnitude(world.weights[k, TERM.unserved])
    row[o + GLOBAL.weight_unverified] = magnitude(world.weights[k, TERM.unverified])
    row[o + GLOBAL.weight_exposure] = magnitude(world.weights[k, TERM.exposure])


@kernel
def write_models(t, b, c, row, o, m):
    """The row of model m at offset o."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    sites = state.status.shape[1]
    demand = state.model_demand_rps[b, m]
    latency = state.model_latency_s[b, m]
    row[o + MODEL.share] = scratch.digest[c, m, 0] / scratch.sums[c, 0]
    row[o + MODEL.demand] = clip(scratch.digest[c, m, 1])
    row[o + MODEL.served] = clip(state.model_served_rps[b, m] / demand) if demand > 0 else 0.0
    row[o + MODEL.utilisation] = clip(scratch.digest[c, m, 3])
    row[o + MODEL.replicas] = scratch.digest[c, m, 4] / sites
    row[o + MODEL.loading] = scratch.digest[c, m, 5] / sites
    row[o + MODEL.latency] = latency / (latency + world.slo_s[k, m])
    row[o + MODEL.spare] = clip(scratch.digest[c, m, 6])
    row[o + MODEL.forecast] = clip(scratch.digest[c, m, 2])
    row[o + MODEL.size] = clip(world.weights_gb[k, m] / 200)
    row[o + MODEL.load_time] = clip(scratch.digest[c, m, 7] / 3_600_000)
    row[o + MODEL.tee] = 1 if world.verification[k, m] == TEE else 0
    row[o + MODEL.zkml] = 1 if world.verification[k, m] == ZKML else 0


@kernel
def write_proposal(t, b, c, row, o, i):
    """The row of offer i at offset o."""
    world, state, scratch, output = world_of(t), state_of(t), scratch_of(t), output_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    operation = output.offer[b, i]
    for j in range(len(PROPOSAL)):
        row[o + j] = 0
    if operation == 0:
        return
    index = operation - 1
    s = index % sites
    gain = output.offer_gain
    row[o + PROPOSAL.valid] = 1
    row[o + PROPOSAL.gain] = squash(gain[b, i, 0])
    row[o + PROPOSAL.gain_service] = squash(gain[b, i, 1])
    row[o + PROPOSAL.gain_cost] = squash(gain[b, i, 2])
    row[o + PROPOSAL.gain_resilience] = squash(gain[b, i, 3])
    row[o + PROPOSAL.ready] = clip(gain[b, i, 4] / 3600)
    usd_per_hour = world.usd_per_vm_hour[k, s]
    if index < 3 * models * sites:
        verb, m = index // (models * sites), index // sites % models
        row[o + PROPOSAL.is_launch] = verb == LAUNCH
        row[o + PROPOSAL.is_retire] = verb == RETIRE
        row[o + PROPOSAL.is_stage] = verb == STAGE
        row[o + PROPOSAL.is_add] = verb != RETIRE
        usd_per_hour = world.replica_gpus[k, m, s] * world.usd_per_gpu_hour[k, s] if verb != STAGE else 0.0
        demand = state.model_demand_rps[b, m]
        row[o + PROPOSAL.model_share] = scratch.digest[c, m, 0] / scratch.sums[c, 0]
        row[o + PROPOSAL.model_utilisation] = clip(scratch.digest[c, m, 3])
        if demand > 0:
            row[o + PROPOSAL.model_unserved] = max(1 - state.model_served_rps[b, m] / demand, 0.0)
        row[o + PROPOSAL.model_forecast] = clip(scratch.digest[c, m, 2])
        row[o + PROPOSAL.model_replicas] = scratch.digest[c, m, 4] / sites
        row[o + PROPOSAL.model_loading] = scratch.digest[c, m, 5] / sites
        phase = state.phase[b, m, s]
        row[o + PROPOSAL.on_disk] = phase >= ON_DISK and phase != FETCHING
    else:
        verb = (index - 3 * models * sites) // sites
        row[o + PROPOSAL.is_verifier] = verb // 2 == VERIFIER
        row[o + PROPOSAL.is_store] = verb // 2 == STORE
        row[o + PROPOSAL.is_gateway] = verb // 2 == GATEWAY
        row[o + PROPOSAL.is_add] = verb % 2 == 0
    row[o + PROPOSAL.price] = clip(HAZARD_SCALE * usd_per_hour / world.budget_usd_per_hour[k])
    hour, share, loss = surroundings(t, b, c, s)
    row[o + PROPOSAL.distance] = clip(scratch.path_ms[c, s] / RTT_MS)
    row[o + PROPOSAL.alarm] = scratch.site_alarm[c, s]
    row[o + PROPOSAL.site_share] = state.site_share[b, s]
    row[o + PROPOSAL.site_free] = 1 - state.gpus_used[b, s] / max(world.gpu_count[k, s], 1)
    row[o + PROPOSAL.site_hazard] = clip(HAZARD_SCALE * world.site_hazard[k, s])
    row[o + PROPOSAL.domain_share] = clip(share)
    row[o + PROPOSAL.domain_loss] = loss
    row[o + PROPOSAL.tee] = world.tee[k, s]
    row[o + PROPOSAL.alarm_hour] = hour


@kernel
def write_sites(t, b, c, row, o):
    """The rows of all sites from offset o."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    per_usd, per_model = HAZARD_SCALE / world.budget_usd_per_hour[k], 1 / models
    for s in range(sites):
        scratch.free_share[c, s] = 1 - state.gpus_used[b, s] / max(world.gpu_count[k, s], 1)
        scratch.distance[c, s] = clip(scratch.path_ms[c, s] / RTT_MS)
    for s in range(sites):
        first, status = o + s * len(SITE), state.status[b, s]
        if not world.site_valid[k, s]:
            for j in range(len(SITE)):
                row[first + j] = 0
            continue
        row[first + SITE.valid] = 1
        row[first + SITE.free] = scratch.free_share[c, s]
        row[first + SITE.gpus] = clip(world.gpu_count[k, s] * 0.125)
        row[first + SITE.price] = clip(world.usd_per_gpu_hour[k, s] * per_usd)
        row[first + SITE.down] = (status & DOWN) != 0
        row[first + SITE.frozen] = (status & FROZEN) != 0
        row[first + SITE.untrusted] = (status & UNTRUSTED) != 0
        row[first + SITE.slow] = (status & SLOW) != 0
        for role in range(3):
            left_ms = state.role_ms[b, role, s]
            row[first + SITE.verifier + role] = 0.5 * ((left_ms >= 0) + (left_ms == 0))
        row[first + SITE.warm] = scratch.site_warm[c, s] * per_model
        row[first + SITE.loading] = scratch.site_loading[c, s] * per_model
        row[first + SITE.share] = state.site_share[b, s]
        row[first + SITE.alarm] = scratch.site_alarm[c, s]
        row[first + SITE.tee] = world.tee[k, s]
        row[first + SITE.distance] = scratch.distance[c, s]
        row[first + SITE.hazard] = clip(HAZARD_SCALE * world.site_hazard[k, s])


@kernel
def write_regions(t, b, row, o):
    """The rows of all user regions from offset o."""
    world, state, tape, memo = world_of(t), state_of(t), tape_of(t), memo_of(t)
    k, step = state.world[b], state.step[b]
    regions = world.region_rps.shape[1]
    day = world.diurnal.shape[1]
    now = (tape.start_step[b] + step) % day
    then = (now + int(world.planner[k, LOOKAHEAD])) % day
    total = 1e-9
    for u in range(regions):
        total += world.region_rps[k, u]
    for u in range(regions):
        slot, first = memo.gateway_of[b, u], o + u * len(REGION)
        gateway_ms = world.rtt_user_ms[k, u, memo.gateways[b, slot]] if slot >= 0 else RTT_MS
        row[first + REGION.load] = clip(tape.regional[b, step, u] - 1)
        row[first + REGION.expected] = clip(world.diurnal[k, now, u] - 1)
        row[first + REGION.expected_hour] = clip(world.diurnal[k, then, u] - 1)
        row[first + REGION.gateway_ms] = clip(gateway_ms / RTT_MS)
        row[first + REGION.weight] = world.region_rps[k, u] / total


@kernel
def write_domains(t, b, c, row, o):
    """The rows of all domains from offset o; those of hidden kinds are zero."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k, step = state.world[b], state.step[b]
    width = len(DOMAIN)
    sites = state.status.shape[1]
    shared = world.fragile_rate.shape[1]
    for i in range(world.domain_size.shape[1] * width):
        row[o + i] = 0
    for s in range(sites):
        if state.status[b, s] & DOWN:
            for d in range(world.site_domain.shape[2]):
                f = world.site_domain[k, s, d]
                if f < 0:
                    break
                if world.domain_visible[k, f]:
                    row[o + f * width + DOMAIN.down] += 1 / world.domain_size[k, f]
    for f in range(world.domain_size.shape[1]):
        if world.domain_size[k, f] == 0 or not world.domain_visible[k, f]:
            continue
        first = o + f * width
        row[first + DOMAIN.down] = clip(row[first + DOMAIN.down])
        row[first + DOMAIN.valid] = 1
        row[first + DOMAIN.signal] = alarm(t, b, step, f) if f < shared else 0.0
        row[first + DOMAIN.share] = clip(scratch.domain_share[c, f])
        row[first + DOMAIN.loss] = output_of(t).domain_loss[b, f]
        row[first + DOMAIN.size] = world.domain_size[k, f] / sites
        row[first + DOMAIN.hazard] = clip(HAZARD_SCALE * world.domain_rate[k, f] * world.domain_mean_h[k, f])


@kernel
def observe(t, b, c, obs, offsets):
    """Write environment b's observation to obs [B, O]; offsets [6] in the order of TABLES, -1 leaves a table out."""
    row, models = row_of(obs, b), state_of(t).phase.shape[1]
    survey(t, b, c)
    digest_models(t, b, c)
    top = digest_sites(t, b, c)
    if offsets[0] >= 0:
        write_globals(t, b, c, row, offsets[0], top)
    if offsets[1] >= 0:
        for m in range(models):
            write_models(t, b, c, row, offsets[1] + m * len(MODEL), m)
    if offsets[2] >= 0:
        remember(t, b, c)
        for i in range(output_of(t).offer.shape[1]):
            write_proposal(t, b, c, row, offsets[2] + i * len(PROPOSAL), i)
    if offsets[3] >= 0:
        write_sites(t, b, c, row, offsets[3])
    if offsets[4] >= 0:
        write_regions(t, b, row, offsets[4])
    if offsets[5] >= 0:
        write_domains(t, b, c, row, offsets[5])
