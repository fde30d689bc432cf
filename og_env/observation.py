"""What the agent sees at the end of a step, written straight into a flat buffer of the caller's (tables: `fields`)."""

from __future__ import annotations

import math

from og_env.actions import LAUNCH, RETIRE, STAGE
from og_env.dynamics import METRIC, TERM
from og_env.fields import TABLES, column, named
from og_env.jit import kernel
from og_env.layout import (
    DOWN,
    FETCHING,
    FROZEN,
    GATEWAY,
    LOADING,
    ON_DISK,
    SLOW,
    STAGING,
    STORE,
    UNTRUSTED,
    VERIFIER,
    WARM,
    output_of,
    scratch_of,
    state_of,
    tape_of,
    world_of,
)
from og_env.nominal import LOOKAHEAD
from og_env.routing import alarm
from og_env.status import TEE, ZKML, quorum_of

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
def digest(t, b, c):
    """Figures that several tables use: demand by region, distance of sites, totals by model; to the scratch."""
    world, state, scratch, tape = world_of(t), state_of(t), scratch_of(t), tape_of(t)
    models, sites = state.phase.shape[1:]
    k, row = state.world[b], state.step[b]
    day = world.diurnal.shape[1]
    now = (tape.start_step[b] + row) % day
    then = (now + int(world.planner[k, LOOKAHEAD])) % day
    regions = world.near_user.shape[1]
    total, mean_total, later_total = 1e-9, 1e-9, 0.0
    for m in range(models):
        rps, mean_rps, later_rps = 1e-9, 1e-9, 0.0
        for u in range(regions):
            base = world.base_rps[k, u, m]
            present = base * tape.regional[b, row, u] * tape.model[b, row, m]
            rps += present
            mean_rps += base
            later_rps += present * world.diurnal[k, then, u] / max(world.diurnal[k, now, u], 1e-3)
        capacity, load, warm, loading, load_ms, hosts = 1e-9, 0.0, 0, 0, 0.0, 0
        for s in range(sites):
            if world.replica_gpus[k, m, s] > 0:
                hosts += 1
                load_ms += world.load_ms[k, m, s]
            phase = state.phase[b, m, s]
            if phase == WARM and not state.status[b, s] & DOWN:
                warm += 1
                capacity += world.capacity_rps[k, m, s]
                load += state.load_rps[b, m, s]
            elif phase >= FETCHING and not state.status[b, s] & DOWN:
                loading += 1
        scratch.digest[c, m, 0] = rps
        scratch.digest[c, m, 1] = rps / mean_rps - 1
        scratch.digest[c, m, 2] = later_rps / rps - 1
        scratch.digest[c, m, 3] = load / capacity
        scratch.digest[c, m, 4] = warm
        scratch.digest[c, m, 5] = loading
        scratch.digest[c, m, 6] = (capacity - load) / rps
        scratch.digest[c, m, 7] = load_ms / max(hosts, 1)
        total += rps
        mean_total += mean_rps
        later_total += later_rps
    scratch.sums[c, 0] = total
    scratch.sums[c, 1] = total / mean_total - 1
    scratch.sums[c, 2] = later_total / total - 1


@kernel
def digest_sites(t, b, c):
    """Distance, highest alarm, largest domain share and loss of every site, to the scratch; returns the highest alarm."""
    world, state, scratch, tape = world_of(t), state_of(t), scratch_of(t), tape_of(t)
    k, row = state.world[b], state.step[b]
    shared = world.fragile_rate.shape[1]
    regions, models = world.base_rps.shape[1:]
    top, weights = 0.0, 1e-9
    for u in range(regions):
        rps = 0.0
        for m in range(models):
            rps += world.base_rps[k, u, m]
        scratch.region_rps[c, u] = rps * tape.regional[b, row, u]
        weights += scratch.region_rps[c, u]
    for s in range(state.status.shape[1]):
        ms = 0.0
        for u in range(regions):
            ms += scratch.region_rps[c, u] * world.rtt_user_ms[k, u, s]
        highest, share, loss = 0.0, 0.0, 0.0
        for d in range(world.site_domain.shape[2]):
            f = world.site_domain[k, s, d]
            if f < 0:
                break
            if world.domain_visible[k, f]:
                loss = max(loss, state.domain_loss[b, f])
                if f < shared:
                    highest = max(highest, alarm(t, b, row, f))
                    share = max(share, state.domain_share[b, f])
        scratch.site_digest[c, s, 0] = ms / weights
        scratch.site_digest[c, s, 1] = highest
        scratch.site_digest[c, s, 2] = share
        scratch.site_digest[c, s, 3] = loss
        top = max(top, highest)
    return top


@kernel
def write_globals(t, b, c, obs, o, top):
    """The global row at offset o."""
    world, state, scratch, tape, output = world_of(t), state_of(t), scratch_of(t), tape_of(t), output_of(t)
    k, row = state.world[b], state.step[b]
    day = world.diurnal.shape[1]
    angle = 2 * math.pi * ((tape.start_step[b] + row) % day) / day
    sites, down, busy = 0, 0, 0
    live = scratch.live
    live[c, 0], live[c, 1], live[c, 2], registered = 0, 0, 0, 0
    for s in range(state.status.shape[1]):
        sites += world.site_valid[k, s]
        up = not state.status[b, s] & DOWN
        down += not up
        registered += state.role_ms[b, VERIFIER, s] == 0
        for role in range(3):
            live[c, role] += up and state.role_ms[b, role, s] == 0
        for m in range(state.phase.shape[1]):
            busy += state.phase[b, m, s] == STAGING or state.phase[b, m, s] == FETCHING
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
    obs[b, o + GLOBAL.n_eff] = clip(metrics[b, METRIC.n_eff] / max(sites, 1))
    obs[b, o + GLOBAL.sites_down] = down / max(sites, 1)
    obs[b, o + GLOBAL.alarm] = top
    obs[b, o + GLOBAL.store_queue] = clip(busy / (2 * world.store_streams[k] * max(live[c, STORE], 1)))
    quorum = quorum_of(registered)
    obs[b, o + GLOBAL.verifiers_margin] = clip((live[c, VERIFIER] - quorum) / max(registered, 1))
    obs[b, o + GLOBAL.stores] = clip(live[c, STORE] / 8)
    obs[b, o + GLOBAL.gateways] = clip(live[c, GATEWAY] / 8)
    obs[b, o + GLOBAL.utilisation] = clip(metrics[b, METRIC.utilisation])


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


@kernel
def write_site(t, b, c, obs, o, s):
    """The row of site s at offset o."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models = state.phase.shape[1]
    k = state.world[b]
    status = state.status[b, s]
    for j in range(len(SITE)):
        obs[b, o + j] = 0
    if not world.site_valid[k, s]:
        return
    warm, loading = 0, 0
    for m in range(models):
        warm += state.phase[b, m, s] == WARM
        loading += state.phase[b, m, s] == FETCHING or state.phase[b, m, s] == LOADING
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
    obs[b, o + SITE.warm] = warm / models
    obs[b, o + SITE.loading] = loading / models
    obs[b, o + SITE.share] = state.site_share[b, s]
    obs[b, o + SITE.alarm] = scratch.site_digest[c, s, 1]
    obs[b, o + SITE.tee] = world.tee[k, s]
    obs[b, o + SITE.distance] = clip(scratch.site_digest[c, s, 0] / RTT_MS)
    obs[b, o + SITE.hazard] = clip(HAZARD_SCALE * world.site_hazard[k, s])


@kernel
def write_region(t, b, c, obs, o, u):
    """The row of user region u at offset o."""
    world, state, tape = world_of(t), state_of(t), tape_of(t)
    k, row = state.world[b], state.step[b]
    day = world.diurnal.shape[1]
    now = (tape.start_step[b] + row) % day
    then = (now + int(world.planner[k, LOOKAHEAD])) % day
    total, mine, gateway_ms = 1e-9, 0.0, RTT_MS
    for other in range(world.base_rps.shape[1]):
        for m in range(world.base_rps.shape[2]):
            total += world.base_rps[k, other, m]
            mine += world.base_rps[k, other, m] if other == u else 0.0
    for position in range(state.status.shape[1]):
        s = world.near_user[k, u, position]
        if state.role_ms[b, GATEWAY, s] == 0 and not state.status[b, s] & DOWN:
            gateway_ms = world.rtt_user_ms[k, u, s]
            break
    obs[b, o + REGION.load] = clip(tape.regional[b, row, u] - 1)
    obs[b, o + REGION.expected] = clip(world.diurnal[k, now, u] - 1)
    obs[b, o + REGION.expected_hour] = clip(world.diurnal[k, then, u] - 1)
    obs[b, o + REGION.gateway_ms] = clip(gateway_ms / RTT_MS)
    obs[b, o + REGION.weight] = mine / total


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
    digest(t, b, c)
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
        for u in range(world_of(t).near_user.shape[1]):
            write_region(t, b, c, obs, offsets[4] + u * len(REGION), u)
    if offsets[5] >= 0:
        write_domains(t, b, obs, offsets[5])
