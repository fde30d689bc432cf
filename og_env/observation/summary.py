"""Figures that several tables of the observation use, by model and by site; to the scratch."""

from __future__ import annotations

from og_env.dynamics.routing import listen
from og_env.dynamics.verification import hour_begins
from og_env.kernel.arrays import PLANNER
from og_env.kernel.compile import kernel


@kernel
def digest_models(env):
    """Demand, its mean and its forecast, load and replicas by model, and demand in all (sums 0 to 2)."""
    regions, models = env.world.base_rps.shape
    row = env.state.step
    day = env.world.diurnal.shape[0]
    now = (env.tape.start_step + row) % day
    then = (now + int(env.world.planner[PLANNER.lookahead_steps])) % day
    for region in range(regions):
        env.scratch.growth[region] = env.world.diurnal[then, region] / max(env.world.diurnal[now, region], 1e-3)
    for model in range(models):
        for i in range(3):
            env.scratch.digest[model, i] = 0
    for region in range(regions):
        growth = env.scratch.growth[region]
        for model in range(models):
            base = env.world.base_rps[region, model]
            present = base * env.tape.regional[row, region] * env.tape.model[row, model]
            env.scratch.digest[model, 0] += present
            env.scratch.digest[model, 1] += base
            env.scratch.digest[model, 2] += present * growth
    total, mean_total, later_total = 1e-9, 1e-9, 0.0
    for model in range(models):
        rps = env.scratch.digest[model, 0] + 1e-9
        mean_rps, later_rps = env.scratch.digest[model, 1] + 1e-9, env.scratch.digest[model, 2]
        capacity, load = env.scratch.tally[model, 2] + 1e-9, env.scratch.tally[model, 3]
        env.scratch.digest[model, 0] = rps
        env.scratch.digest[model, 1] = rps / mean_rps - 1
        env.scratch.digest[model, 2] = later_rps / rps - 1
        env.scratch.digest[model, 3] = load / capacity
        env.scratch.digest[model, 4] = env.scratch.tally[model, 0]
        env.scratch.digest[model, 5] = env.scratch.tally[model, 1]
        env.scratch.digest[model, 6] = (capacity - load) / rps
        env.scratch.digest[model, 7] = env.world.mean_load_ms[model]
        total += rps
        mean_total += mean_rps
        later_total += later_rps
    env.scratch.sums[0] = total
    env.scratch.sums[1] = total / mean_total - 1
    env.scratch.sums[2] = later_total / total - 1


@kernel
def remember(env):
    """Mean signal of the visible shared domains over the last hour of the episode, so that noise averages out."""
    row = env.state.step
    shared = env.world.fragile_rate.shape[0]
    first = hour_begins(row, env.world.step_ms)
    for domain in range(shared):
        env.scratch.alarm_hour[domain] = 0
    for i in range(first, row + 1):
        for domain in range(shared):
            env.scratch.alarm_hour[domain] += env.tape.signal[i, domain]
    for domain in range(shared):
        mean = env.scratch.alarm_hour[domain] / (127.5 * (row + 1 - first)) - 0.25
        env.scratch.alarm_hour[domain] = min(max(mean, 0.0), 1.0) if env.world.domain_visible[domain] else 0.0


@kernel
def surroundings(env, site):
    """Of the domains of site s: the highest alarm of the last hour and the largest traffic share of visible shared ones,
    and the largest loss of visible ones."""
    shared = env.world.fragile_rate.shape[0]
    hour, share, loss = 0.0, 0.0, 0.0
    for d in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        if env.world.domain_visible[domain]:
            loss = max(loss, env.output.domain_loss[domain])
        if domain < shared:
            hour = max(hour, env.scratch.alarm_hour[domain])
            share = max(share, env.scratch.carried[domain])
    return hour, share, loss


@kernel
def digest_sites(env):
    """Distance from demand and highest alarm of every site, to the scratch; returns the highest alarm."""
    row = env.state.step
    sites = env.state.status.shape[0]
    weights = 1e-9
    for site in range(sites):
        env.scratch.path_ms[site] = 0
    for region in range(env.world.region_rps.shape[0]):
        rps = env.world.region_rps[region] * env.tape.regional[row, region]
        weights += rps
        for site in range(sites):
            env.scratch.path_ms[site] += rps * env.world.rtt_user_ms[region, site]
    for site in range(sites):
        env.scratch.path_ms[site] /= weights
    listen(env, row)
    top = 0.0
    for site in range(sites):
        highest = 0.0
        for d in range(1, env.world.site_domain.shape[1]):
            domain = env.world.site_domain[site, d]
            highest = max(highest, env.scratch.alarm[domain] if domain >= 0 else 0.0)
        env.scratch.site_alarm[site] = highest
        top = max(top, highest)
    return top
