"""What the agent sees at the end of a step, written straight into a flat buffer of the caller's (tables: `fields`)."""

from __future__ import annotations

import math

from og_env.actions import LAUNCH, RETIRE, STAGE
from og_env.digest import digest_models, digest_sites
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
def write_globals(t, b, c, obs, o, top):
    """The global row at offset o."""
    world, state, scratch, tape = world_of(t), state_of(t), scratch_of(t), tape_of(t)
    output, memo = output_of(t), memo_of(t)
    k, row = state.world[b], state.step[b]
    day = world.diurnal.shape[1]
    angle = 2 * math.pi * ((tape.start_step[b] + row) % day) / day
    live, registered = memo.live, memo.registered[b]
    sites = 1e-9
    for s in range(state.status.shape[1]):
        sites += world.site_valid[k, s]
    metrics, terms = output.metrics, output.terms
    obs[b, o + GLOBAL.day_sin] = math.sin(angle)
    obs[b, o + GLOBAL.day_cos] = math.cos(angle)
    obs[b, o + GLOBAL.episode_left] = 1 - row / (tape.attack.shape[1] - 1)
    obs[b, o + GLOBAL.served] = metrics[b, METRIC.served_share]
    obs[b, o + GLOBAL.unverified] = terms[b, TERM.unverified]
    obs[b, o + GLOBAL.exposure] = visible_exposure(t, b)
    obs[b, o + GLOBAL.cost] = clip(terms[b, TERM.cost])
    obs[b, o + GLOBAL.latency] = terms[b, TERM.latency]
    obs[b, o + GLOBAL.demand] = clip(scratch.sums[c, 1])
    obs[b, o + GLOBAL.forecast] = clip(scratch.sums[c, 2])
    obs[b, o + GLOBAL.n_eff] = clip(metrics[b, METRIC.n_eff] / sites)
    obs[b, o + GLOBAL.sites_down] = metrics[b, METRIC.sites_down] / sites
    obs[b, o + GLOBAL.alarm] = top
    obs[b, o + GLOBAL.store_queue] = clip(memo.fetching[b] / (2 * world.store_streams[k] * max(live[b, STORE], 1)))
    quorum = quorum_of(registered)
    obs[b, o + GLOBAL.verifiers_margin] = clip((live[b, VERIFIER] - quorum) / max(registered, 1))
    obs[b, o + GLOBAL.stores] = clip(live[b, STORE] / 8)
    obs[b, o + GLOBAL.gateways] = clip(live[b, GATEWAY] / 8)
    obs[b, o + GLOBAL.utilisation] = clip(metrics[b, METRIC.utilisation])
    obs[b, o + GLOBAL.weight_latency] = magnitude(world.weights[k, TERM.latency])
    obs[b, o + GLOBAL.weight_cost] = magnitude(world.weights[k, TERM.cost])
    obs[b, o + GLOBAL.weight_unserved] = magnitude(world.weights[k, TERM.unserved])
    obs[b, o + GLOBAL.weight_unverified] = magnitude(world.weights[k, TERM.unverified])
    obs[b, o + GLOBAL.weight_exposure] = magnitude(world.weights[k, TERM.exposure])


@kernel
def visible_exposure(t, b):
    """The worst N-1 loss over the domains that the agent is told of."""
    world, state = world_of(t), state_of(t)
    k = state.world[b]
    worst = 0.0
    for f in range(world.domain_size.shape[1]):
        if world.domain_visible[k, f]:
            worst = max(worst, state.domain_loss[b, f])
    return worst


@kernel
def write_models(t, b, c, obs, o, m):
    """The row of model m at offset o."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    sites = state.status.shape[1]
    demand = state.model_demand_rps[b, m]
    latency = state.model_latency_s[b, m]
    obs[b, o + MODEL.share] = scratch.digest[c, m, 0] / scratch.sums[c, 0]
    obs[b, o + MODEL.demand] = clip(scratch.digest[c, m, 1])
    obs[b, o + MODEL.served] = clip(state.model_served_rps[b, m] / demand) if demand > 0 else 0.0
    obs[b, o + MODEL.utilisation] = clip(scratch.digest[c, m, 3])
    obs[b, o + MODEL.replicas] = scratch.digest[c, m, 4] / sites
    obs[b, o + MODEL.loading] = scratch.digest[c, m, 5] / sites
    obs[b, o + MODEL.latency] = latency / (latency + world.slo_s[k, m])
    obs[b, o + MODEL.spare] = clip(scratch.digest[c, m, 6])
    obs[b, o + MODEL.forecast] = clip(scratch.digest[c, m, 2])
    obs[b, o + MODEL.size] = clip(world.weights_gb[k, m] / 200)
    obs[b, o + MODEL.load_time] = clip(scratch.digest[c, m, 7] / 3_600_000)
    obs[b, o + MODEL.tee] = 1 if world.verification[k, m] == TEE else 0
    obs[b, o + MODEL.zkml] = 1 if world.verification[k, m] == ZKML else 0


@kernel
def write_proposal(t, b, c, obs, o, i):
    """The row of offer i at offset o."""
    world, state, scratch, output = world_of(t), state_of(t), scratch_of(t), output_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    operation = output.offer[b, i]
    for j in range(len(PROPOSAL)):
        obs[b, o + j] = 0
    if operation == 0:
        return
    index = operation - 1
    s = index % sites
    gain = output.offer_gain
    obs[b, o + PROPOSAL.valid] = 1
    obs[b, o + PROPOSAL.gain] = squash(gain[b, i, 0])
    obs[b, o + PROPOSAL.gain_service] = squash(gain[b, i, 1])
    obs[b, o + PROPOSAL.gain_cost] = squash(gain[b, i, 2])
    obs[b, o + PROPOSAL.gain_resilience] = squash(gain[b, i, 3])
    obs[b, o + PROPOSAL.ready] = clip(gain[b, i, 4] / 3600)
    usd_per_hour = world.usd_per_vm_hour[k, s]
    if index < 3 * models * sites:
        verb, m = index // (models * sites), index // sites % models
        obs[b, o + PROPOSAL.is_launch] = verb == LAUNCH
        obs[b, o + PROPOSAL.is_retire] = verb == RETIRE
        obs[b, o + PROPOSAL.is_stage] = verb == STAGE
        obs[b, o + PROPOSAL.is_add] = verb != RETIRE
        usd_per_hour = world.replica_gpus[k, m, s] * world.usd_per_gpu_hour[k, s] if verb != STAGE else 0.0
        demand = state.model_demand_rps[b, m]
        obs[b, o + PROPOSAL.model_share] = scratch.digest[c, m, 0] / scratch.sums[c, 0]
        obs[b, o + PROPOSAL.model_utilisation] = clip(scratch.digest[c, m, 3])
        if demand > 0:
            obs[b, o + PROPOSAL.model_unserved] = max(1 - state.model_served_rps[b, m] / demand, 0.0)
        obs[b, o + PROPOSAL.model_forecast] = clip(scratch.digest[c, m, 2])
        obs[b, o + PROPOSAL.model_replicas] = scratch.digest[c, m, 4] / sites
        obs[b, o + PROPOSAL.model_loading] = scratch.digest[c, m, 5] / sites
        phase = state.phase[b, m, s]
        obs[b, o + PROPOSAL.on_disk] = phase >= ON_DISK and phase != FETCHING
    else:
        verb = (index - 3 * models * sites) // sites
        obs[b, o + PROPOSAL.is_verifier] = verb // 2 == VERIFIER
        obs[b, o + PROPOSAL.is_store] = verb // 2 == STORE
        obs[b, o + PROPOSAL.is_gateway] = verb // 2 == GATEWAY
        obs[b, o + PROPOSAL.is_add] = verb % 2 == 0
    obs[b, o + PROPOSAL.price] = clip(HAZARD_SCALE * usd_per_hour / world.budget_usd_per_hour[k])
    obs[b, o + PROPOSAL.distance] = clip(scratch.site_digest[c, s, 0] / RTT_MS)
    obs[b, o + PROPOSAL.alarm] = scratch.site_digest[c, s, 1]
    obs[b, o + PROPOSAL.site_share] = state.site_share[b, s]
    obs[b, o + PROPOSAL.site_free] = 1 - state.gpus_used[b, s] / max(world.gpu_count[k, s], 1)
    obs[b, o + PROPOSAL.site_hazard] = clip(HAZARD_SCALE * world.site_hazard[k, s])
    obs[b, o + PROPOSAL.domain_share] = clip(scratch.site_digest[c, s, 2])
    obs[b, o + PROPOSAL.domain_loss] = scratch.site_digest[c, s, 3]
    obs[b, o + PROPOSAL.tee] = world.tee[k, s]
    obs[b, o + PROPOSAL.alarm_hour] = scratch.site_digest[c, s, 4]


@kernel
def write_site(t, b, c, obs, o, s):
    """The row of site s at offset o."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models = state.phase.shape[1]
    k = state.world[b]
    status = state.status[b, s]
    if not world.site_valid[k, s]:
        for j in range(len(SITE)):
            obs[b, o + j] = 0
        return
    obs[b, o + SITE.valid] = 1
    obs[b, o + SITE.free] = 1 - state.gpus_used[b, s] / max(world.gpu_count[k, s], 1)
    obs[b, o + SITE.gpus] = clip(world.gpu_count[k, s] / 8)
    obs[b, o + SITE.price] = clip(HAZARD_SCALE * world.usd_per_gpu_hour[k, s] / world.budget_usd_per_hour[k])
    obs[b, o + SITE.down] = (status & DOWN) != 0
    obs[b, o + SITE.frozen] = (status & FROZEN) != 0
    obs[b, o + SITE.untrusted] = (status & UNTRUSTED) != 0
    obs[b, o + SITE.slow] = (status & SLOW) != 0
    for role in range(3):
        left_ms = state.role_ms[b, role, s]
        obs[b, o + SITE.verifier + role] = 1.0 if left_ms == 0 else (0.5 if left_ms > 0 else 0.0)
    obs[b, o + SITE.warm] = scratch.site_warm[c, s] / models
    obs[b, o + SITE.loading] = scratch.site_loading[c, s] / models
    obs[b, o + SITE.share] = state.site_share[b, s]
    obs[b, o + SITE.alarm] = scratch.site_digest[c, s, 1]
    obs[b, o + SITE.tee] = world.tee[k, s]
    obs[b, o + SITE.distance] = clip(scratch.site_digest[c, s, 0] / RTT_MS)
    obs[b, o + SITE.hazard] = clip(HAZARD_SCALE * world.site_hazard[k, s])


@kernel
def write_regions(t, b, obs, o):
    """The rows of all user regions from offset o."""
    world, state, tape, memo = world_of(t), state_of(t), tape_of(t), memo_of(t)
    k, row = state.world[b], state.step[b]
    regions = world.region_rps.shape[1]
    day = world.diurnal.shape[1]
    now = (tape.start_step[b] + row) % day
    then = (now + int(world.planner[k, LOOKAHEAD])) % day
    total = 1e-9
    for u in range(regions):
        total += world.region_rps[k, u]
    for u in range(regions):
        slot, first = memo.gateway_of[b, u], o + u * len(REGION)
        gateway_ms = world.rtt_user_ms[k, u, memo.gateways[b, slot]] if slot >= 0 else RTT_MS
        obs[b, first + REGION.load] = clip(tape.regional[b, row, u] - 1)
        obs[b, first + REGION.expected] = clip(world.diurnal[k, now, u] - 1)
        obs[b, first + REGION.expected_hour] = clip(world.diurnal[k, then, u] - 1)
        obs[b, first + REGION.gateway_ms] = clip(gateway_ms / RTT_MS)
        obs[b, first + REGION.weight] = world.region_rps[k, u] / total


@kernel
def write_domains(t, b, obs, o):
    """The rows of all domains from offset o; those of hidden kinds are zero."""
    world, state = world_of(t), state_of(t)
    k, row = state.world[b], state.step[b]
    width = len(DOMAIN)
    sites = state.status.shape[1]
    shared = world.fragile_rate.shape[1]
    for i in range(world.domain_size.shape[1] * width):
        obs[b, o + i] = 0
    for s in range(sites):
        if state.status[b, s] & DOWN:
            for d in range(world.site_domain.shape[2]):
                f = world.site_domain[k, s, d]
                if f < 0:
                    break
                if world.domain_visible[k, f]:
                    obs[b, o + f * width + DOMAIN.down] += 1 / world.domain_size[k, f]
    for f in range(world.domain_size.shape[1]):
        if world.domain_size[k, f] == 0 or not world.domain_visible[k, f]:
            continue
        first = o + f * width
        obs[b, first + DOMAIN.down] = clip(obs[b, first + DOMAIN.down])
        obs[b, first + DOMAIN.valid] = 1
        obs[b, first + DOMAIN.signal] = alarm(t, b, row, f) if f < shared else 0.0
        obs[b, first + DOMAIN.share] = clip(state.domain_share[b, f])
        obs[b, first + DOMAIN.loss] = state.domain_loss[b, f]
        obs[b, first + DOMAIN.size] = world.domain_size[k, f] / sites
        obs[b, first + DOMAIN.hazard] = clip(HAZARD_SCALE * world.domain_rate[k, f] * world.domain_mean_h[k, f])


@kernel
def observe(t, b, c, obs, offsets):
    """Write environment b's observation to obs [B, O]; offsets [6] in the order of TABLES, -1 leaves a table out."""
    state = state_of(t)
    models, sites = state.phase.shape[1:]
    survey(t, b, c)
    digest_models(t, b, c)
    top = digest_sites(t, b, c)
    if offsets[0] >= 0:
        write_globals(t, b, c, obs, offsets[0], top)
    if offsets[1] >= 0:
        for m in range(models):
            write_models(t, b, c, obs, offsets[1] + m * len(MODEL), m)
    if offsets[2] >= 0:
        for i in range(output_of(t).offer.shape[1]):
            write_proposal(t, b, c, obs, offsets[2] + i * len(PROPOSAL), i)
    if offsets[3] >= 0:
        for s in range(sites):
            write_site(t, b, c, obs, offsets[3] + s * len(SITE), s)
    if offsets[4] >= 0:
        write_regions(t, b, obs, offsets[4])
    if offsets[5] >= 0:
        write_domains(t, b, obs, offsets[5])
