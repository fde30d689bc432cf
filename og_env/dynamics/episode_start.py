"""The state before the first step of an episode."""

from __future__ import annotations

from og_env.dynamics.condition import show_nothing
from og_env.dynamics.contingency import clear_losses, write_losses
from og_env.dynamics.fleet_memo import forget
from og_env.dynamics.outages import begin_outages
from og_env.dynamics.replicas import list_placed
from og_env.dynamics.step_report import clear_report, report_replicas, tally
from og_env.dynamics.supply import begin_supply
from og_env.kernel.arrays import ABSENT, DOWN, FETCHING, LOADING, ON_DISK, PLACES, ROLES, TAKEN, Environment
from og_env.kernel.compile import kernel


@kernel
def begin(env: Environment) -> None:
    """Write the state before an episode's first step, and an output in which nothing happened."""
    env.state.step = 0
    env.state.decisions = 0
    env.state.changes = 0
    for knob in range(env.state.knobs.shape[0]):
        env.state.knobs[knob] = env.world.knobs[knob]
    begin_outages(env)
    begin_supply(env)
    begin_fleet(env)
    show_nothing(env)
    for model in range(env.state.phase.shape[0]):
        env.state.model_demand_rps[model] = 0
        env.state.model_served_rps[model] = 0
        env.state.model_first_token_s[model] = 0
        env.state.model_late_share[model] = 0
        env.state.model_refused_share[model] = 0
    forget(env, PLACES | ROLES)
    clear_report(env)
    clear_losses(env)
    write_losses(env, 0.0)
    list_placed(env)
    tally(env)
    report_replicas(env)


@kernel
def begin_fleet(env: Environment) -> None:
    """Write roles, phases and GPUs in use as the scenario has them; where a site is down, warm replicas load again.

    No site is steered to or away from.
    """
    models, sites = env.state.phase.shape
    for site in range(sites):
        env.state.gpus_used[site] = 0
        env.state.site_share[site] = 0
        env.state.steer[site] = 0
        for role in range(env.state.role_ms.shape[0]):
            env.state.role_ms[role, site] = env.world.start_role[role, site]
        for model in range(models):
            phase = env.world.start_phase[model, site]
            if phase >= LOADING and env.state.status[site] & DOWN:
                phase = LOADING
            if phase >= FETCHING and env.state.supply[site] & TAKEN:
                phase = ABSENT if phase == FETCHING else ON_DISK
            env.state.phase[model, site] = phase
            env.state.fetch_left_mb[model, site] = 0
            env.state.load_left_ms[model, site] = env.world.load_ms[model, site] if phase == LOADING else 0
            env.state.load_rps[model, site] = 0
            env.state.in_flight[model, site] = 0
            if phase >= FETCHING:
                env.state.gpus_used[site] += env.world.replica_gpus[model, site]
