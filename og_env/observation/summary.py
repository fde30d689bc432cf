"""Figures that several tables of the observation share, by model, by site and by domain; kept in the scratch."""

from __future__ import annotations

from og_env.dynamics.alarm_signals import hour_begins, read_signals
from og_env.kernel.arrays import CODES_PER_UNIT, PLANNER, SIGNAL_LOW, Environment
from og_env.kernel.compile import kernel

TINY = 1e-9
"""added to sums that divide, so that an empty one does not divide by 0"""
LEAST_FACTOR = 1e-3
"""smallest present demand factor by which a later one is divided"""


@kernel
def lookahead_step(env: Environment, now: int) -> int:
    """The step of the UTC day to which the planner looks ahead from the step `now` of a day."""
    return (now + int(env.world.planner[PLANNER.lookahead_steps])) % env.world.diurnal.shape[0]


@kernel
def step_of_day(env: Environment) -> int:
    """The step of the UTC day at the end of the last step."""
    return (env.tape.start_step + env.state.step) % env.world.diurnal.shape[0]


@kernel
def summarise_models(env: Environment) -> None:
    """Write demand, forecast, utilisation and spare capacity of every model, and demand and forecast of all models."""
    regions, models = env.world.base_rps.shape
    row, now = env.state.step, step_of_day(env)
    later = lookahead_step(env, now)
    for region in range(regions):
        factor = max(env.world.diurnal[now, region], LEAST_FACTOR)
        env.scratch.expected_growth[region] = env.world.diurnal[later, region] / factor
    all_rps, all_mean_rps, all_later_rps = TINY, TINY, 0.0
    for model in range(models):
        present_rps, mean_rps, later_rps = 0.0, 0.0, 0.0
        for region in range(regions):
            base_rps = env.world.base_rps[region, model]
            rps = base_rps * env.tape.regional[row, region] * env.tape.model[row, model]
            present_rps += rps
            mean_rps += base_rps
            later_rps += rps * env.scratch.expected_growth[region]
        present_rps, mean_rps = present_rps + TINY, mean_rps + TINY
        capacity_rps = env.scratch.model_capacity_rps[model] + TINY
        served_rps = env.state.model_served_rps[model]
        env.scratch.present_rps[model] = present_rps
        env.scratch.over_mean[model] = present_rps / mean_rps - 1
        env.scratch.expected_change[model] = later_rps / present_rps - 1
        env.scratch.warm_utilisation[model] = served_rps / capacity_rps
        env.scratch.spare_share[model] = (capacity_rps - served_rps) / present_rps
        all_rps += present_rps
        all_mean_rps += mean_rps
        all_later_rps += later_rps
    env.scratch.all_present_rps = all_rps
    env.scratch.all_over_mean = all_rps / all_mean_rps - 1
    env.scratch.all_expected_change = all_later_rps / all_rps - 1


@kernel
def average_alarms(env: Environment) -> None:
    """Write the mean signal of every visible shared domain over the last hour, in which noise averages out."""
    row = env.state.step
    shared = env.world.fragile_rate.shape[0]
    first = hour_begins(row, env.world.step_ms)
    for domain in range(shared):
        env.scratch.alarm_hour[domain] = 0
    for passed in range(first, row + 1):
        for domain in range(shared):
            env.scratch.alarm_hour[domain] += env.tape.signal[passed, domain]
    for domain in range(shared):
        mean = env.scratch.alarm_hour[domain] / (CODES_PER_UNIT * (row + 1 - first)) + SIGNAL_LOW
        env.scratch.alarm_hour[domain] = min(max(mean, 0.0), 1.0) if env.world.domain_visible[domain] else 0.0


@kernel
def worst_of_domains(env: Environment, site: int) -> tuple[float, float, float]:
    """The highest values among a site's visible domains: mean alarm of the last hour, traffic share and loss.

    Alarm and traffic share are those of shared domains only; the loss is N-1, a share of demand.
    """
    shared = env.world.fragile_rate.shape[0]
    alarm_hour, share, loss = 0.0, 0.0, 0.0
    for membership in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, membership]
        if domain < 0:
            break
        if env.world.domain_visible[domain]:
            loss = max(loss, env.output.domain_loss[domain])
        if domain < shared:
            alarm_hour = max(alarm_hour, env.scratch.alarm_hour[domain])
            share = max(share, env.scratch.carried[domain])
    return alarm_hour, share, loss


@kernel
def summarise_sites(env: Environment) -> float:
    """Write every site's mean round trip to users and the highest alarm of its domains; returns the highest of all."""
    row = env.state.step
    sites = env.state.status.shape[0]
    all_rps = TINY
    for site in range(sites):
        env.scratch.user_ms[site] = 0
    for region in range(env.world.region_rps.shape[0]):
        rps = env.world.region_rps[region] * env.tape.regional[row, region]
        all_rps += rps
        for site in range(sites):
            env.scratch.user_ms[site] += rps * env.world.rtt_user_ms[region, site]
    for site in range(sites):
        env.scratch.user_ms[site] /= all_rps
    read_signals(env, row)
    highest_alarm = 0.0
    for site in range(sites):
        alarm = 0.0
        for membership in range(1, env.world.site_domain.shape[1]):
            domain = env.world.site_domain[site, membership]
            alarm = max(alarm, env.scratch.alarm[domain] if domain >= 0 else 0.0)
        env.scratch.site_alarm[site] = alarm
        highest_alarm = max(highest_alarm, alarm)
    return highest_alarm
