"""Figures that several tables of the observation use, by model and by site; to the scratch."""

from __future__ import annotations

from og_env.jit import kernel
from og_env.layout import output_of, scratch_of, state_of, tape_of, world_of
from og_env.nominal import LOOKAHEAD
from og_env.routing import listen
from og_env.status import hour_begins


@kernel
def digest_models(t, b, c):
    """Demand, its mean and its forecast, load and replicas by model, and demand in all (sums 0 to 2)."""
    world, state, scratch, tape = world_of(t), state_of(t), scratch_of(t), tape_of(t)
    regions, models = world.base_rps.shape[1:]
    k, row = state.world[b], state.step[b]
    day = world.diurnal.shape[1]
    now = (tape.start_step[b] + row) % day
    then = (now + int(world.planner[k, LOOKAHEAD])) % day
    for u in range(regions):
        scratch.growth[c, u] = world.diurnal[k, then, u] / max(world.diurnal[k, now, u], 1e-3)
    for m in range(models):
        for i in range(3):
            scratch.digest[c, m, i] = 0
    for u in range(regions):
        growth = scratch.growth[c, u]
        for m in range(models):
            base = world.base_rps[k, u, m]
            present = base * tape.regional[b, row, u] * tape.model[b, row, m]
            scratch.digest[c, m, 0] += present
            scratch.digest[c, m, 1] += base
            scratch.digest[c, m, 2] += present * growth
    total, mean_total, later_total = 1e-9, 1e-9, 0.0
    for m in range(models):
        rps = scratch.digest[c, m, 0] + 1e-9
        mean_rps, later_rps = scratch.digest[c, m, 1] + 1e-9, scratch.digest[c, m, 2]
        capacity, load = scratch.tally[c, m, 2] + 1e-9, scratch.tally[c, m, 3]
        scratch.digest[c, m, 0] = rps
        scratch.digest[c, m, 1] = rps / mean_rps - 1
        scratch.digest[c, m, 2] = later_rps / rps - 1
        scratch.digest[c, m, 3] = load / capacity
        scratch.digest[c, m, 4] = scratch.tally[c, m, 0]
        scratch.digest[c, m, 5] = scratch.tally[c, m, 1]
        scratch.digest[c, m, 6] = (capacity - load) / rps
        scratch.digest[c, m, 7] = world.mean_load_ms[k, m]
        total += rps
        mean_total += mean_rps
        later_total += later_rps
    scratch.sums[c, 0] = total
    scratch.sums[c, 1] = total / mean_total - 1
    scratch.sums[c, 2] = later_total / total - 1


@kernel
def remember(t, b, c):
    """Mean signal of the visible shared domains over the last hour of the episode, so that noise averages out."""
    world, state, scratch, tape = world_of(t), state_of(t), scratch_of(t), tape_of(t)
    k, row = state.world[b], state.step[b]
    shared = world.fragile_rate.shape[1]
    first = hour_begins(row, world.step_ms[k])
    for f in range(shared):
        scratch.alarm_hour[c, f] = 0
    for i in range(first, row + 1):
        for f in range(shared):
            scratch.alarm_hour[c, f] += tape.signal[b, i, f]
    for f in range(shared):
        mean = scratch.alarm_hour[c, f] / (127.5 * (row + 1 - first)) - 0.25
        scratch.alarm_hour[c, f] = min(max(mean, 0.0), 1.0) if world.domain_visible[k, f] else 0.0


@kernel
def surroundings(t, b, c, s):
    """Of the domains of site s: the highest alarm of the last hour and the largest traffic share of visible shared ones,
    and the largest loss of visible ones."""
    world, scratch, output = world_of(t), scratch_of(t), output_of(t)
    k, shared = state_of(t).world[b], world.fragile_rate.shape[1]
    hour, share, loss = 0.0, 0.0, 0.0
    for d in range(world.site_domain.shape[2]):
        f = world.site_domain[k, s, d]
        if f < 0:
            break
        if world.domain_visible[k, f]:
            loss = max(loss, output.domain_loss[b, f])
        if f < shared:
            hour = max(hour, scratch.alarm_hour[c, f])
            share = max(share, scratch.carried[c, f])
    return hour, share, loss


@kernel
def digest_sites(t, b, c):
    """Distance from demand and highest alarm of every site, to the scratch; returns the highest alarm."""
    world, state, scratch, tape = world_of(t), state_of(t), scratch_of(t), tape_of(t)
    k, row = state.world[b], state.step[b]
    sites = state.status.shape[1]
    weights = 1e-9
    for s in range(sites):
        scratch.path_ms[c, s] = 0
    for u in range(world.region_rps.shape[1]):
        rps = world.region_rps[k, u] * tape.regional[b, row, u]
        weights += rps
        for s in range(sites):
            scratch.path_ms[c, s] += rps * world.rtt_user_ms[k, u, s]
    for s in range(sites):
        scratch.path_ms[c, s] /= weights
    listen(t, b, c, row)
    top = 0.0
    for s in range(sites):
        highest = 0.0
        for d in range(1, world.site_domain.shape[2]):
            f = world.site_domain[k, s, d]
            highest = max(highest, scratch.alarm[c, f] if f >= 0 else 0.0)
        scratch.site_alarm[c, s] = highest
        top = max(top, highest)
    return top
