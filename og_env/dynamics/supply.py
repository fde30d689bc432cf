"""Supply: where launches are refused, capacity is withdrawn, new machines are impaired, and gateways or stores are off.

All of it stands on the tape. A site that refuses launches shows it only when one is tried, unless the scenario announces
it; that site is then left alone for a while. What will be withdrawn is announced before.
"""

from __future__ import annotations

from og_env.dynamics.fleet_memo import forget
from og_env.kernel.arrays import ABSENT, DOWN, FETCHING, LEAVING, METRIC, ON_DISK, PLACES, ROLES, TAKEN, Environment
from og_env.kernel.compile import kernel


@kernel
def begin_supply(env: Environment) -> None:
    """Write the supply [N] of the tape's row 0; nothing was refused before."""
    env.state.refusals = 0
    for site in range(env.state.supply.shape[0]):
        env.state.supply[site] = env.tape.supply[0, site]
        env.state.refused_ms[site] = 0


@kernel
def take_supply(env: Environment, row: int) -> None:
    """Put the step's supply into effect, after its status: what is withdrawn leaves the GPUs and keeps its disk.

    Answers in progress are lost and asked again where no notice was given. Writes the metric `withdrawn`.
    """
    withdrawn, changed = 0, False
    for site in range(env.state.supply.shape[0]):
        before, supply = env.state.supply[site], env.tape.supply[row, site]
        if env.state.refused_ms[site] > 0:
            env.state.refused_ms[site] = max(env.state.refused_ms[site] - env.world.step_ms, 0)
        if before == supply:
            continue
        changed = True
        env.state.supply[site] = supply
        if supply & TAKEN and not before & TAKEN:
            withdrawn += withdraw(env, site, not (before & LEAVING))
    env.output.metrics[METRIC.withdrawn] = withdrawn
    if changed:
        forget(env, PLACES | ROLES)


@kernel
def withdraw(env: Environment, site: int, sudden: bool) -> int:
    """Take the GPUs of a site away; returns the number of replicas that go. `sudden`: their answers are cut off."""
    withdrawn = 0
    for model in range(env.state.phase.shape[0]):
        phase = env.state.phase[model, site]
        if phase < FETCHING:
            continue
        withdrawn += 1
        if sudden and not env.state.status[site] & DOWN:
            env.scratch.asked_again[model] += env.state.in_flight[model, site] * env.world.loses_answers
        env.state.phase[model, site] = ABSENT if phase == FETCHING else ON_DISK
        env.state.fetch_left_mb[model, site] = 0
        env.state.load_left_ms[model, site] = 0
    env.state.gpus_used[site] = 0
    return withdrawn
