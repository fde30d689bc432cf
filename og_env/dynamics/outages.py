"""Outages: the opponent's attack, the status of every site, what a strike destroys and how long nobody notices."""

from __future__ import annotations

from og_env.dynamics.fleet_memo import forget
from og_env.kernel.arrays import DOWN, HALF, LOADING, LOW, PLACES, ROLES, Environment
from og_env.kernel.compile import inlined, kernel


@kernel
def begin_outages(env: Environment) -> None:
    """Write the status [N] of the tape's row 0, every outage noticed and no attack under way."""
    for site in range(env.state.status.shape[0]):
        env.state.status[site] = status_at(env, 0, site)
        env.state.undetected_ms[site] = 0
    env.state.attack_domain = -1
    env.state.attack_until = -1
    env.state.attack_ready = 0
    env.state.attacks_left = env.world.attack_budget
    env.memo.dying = 0


@kernel
def attack(env: Environment, row: int) -> None:
    """Let the opponent strike, where the tape permits it, the shared domain that carries most of the served traffic.

    Reads domain_share [F]; writes the attack's domain and steps to the state.
    """
    if not env.tape.attack[row] or env.state.attacks_left <= 0 or row < env.state.attack_ready:
        return
    target, most = -1, 0.0
    for domain in range(env.world.fragile_rate.shape[0]):
        if env.world.domain_size[domain] > 0 and env.scratch.domain_share[domain] > most:
            target, most = domain, env.scratch.domain_share[domain]
    if target >= 0:
        env.state.attack_domain = target
        env.state.attack_until = row + env.world.attack_steps - 1
        env.state.attack_ready = row + env.world.attack_steps + env.world.attack_cooldown
        env.state.attacks_left -= 1


@inlined
def status_at(env: Environment, row: int, site: int) -> int:
    """Status bits of a site in a row of the tape, which packs two rows into a byte."""
    return (env.tape.status_pairs[row >> 1, site] >> ((row & 1) * HALF)) & LOW


@kernel
def inside(env: Environment, site: int, domain: int) -> bool:
    """Whether a site belongs to a fault domain."""
    for d in range(env.world.site_domain.shape[1]):
        if env.world.site_domain[site, d] == domain:
            return True
    return False


@kernel
def notice_outages(env: Environment) -> None:
    """Let the router know the status as it is: writes it to seen [N], and dead_share [N] 0."""
    for site in range(env.state.status.shape[0]):
        env.scratch.seen[site] = env.state.status[site]
        env.scratch.dead_share[site] = 0


@kernel
def strike(env: Environment, row: int) -> None:
    """Put the step's status into effect; a struck site loses what its GPUs hold and keeps its disk.

    Answers in progress there are lost and asked again (asked_again [M]).
    Writes status and undetected_ms [N], phase and load_left_ms [M, N] of struck replicas, and to the scratch `seen` [N],
    the status before, and `dead_share` [N], the share of the step in which the router still uses a dead site.
    """
    for model in range(env.state.phase.shape[0]):
        env.scratch.asked_again[model] = 0
    attacked = env.state.attack_domain if row <= env.state.attack_until else -1
    differs, down, changed, dying = attacked >= 0, 0, False, False
    for site in range(env.state.status.shape[0]):
        before, status = env.state.status[site], status_at(env, row, site)
        differs |= before != status
        down |= (before | status) & DOWN
    if not differs and not down:
        notice_outages(env)
        for site in range(env.state.status.shape[0]):
            env.state.undetected_ms[site] = 0
    else:
        for site in range(env.state.status.shape[0]):
            before, status = env.state.status[site], status_at(env, row, site)
            if attacked >= 0 and inside(env, site, attacked):
                status |= DOWN
            env.scratch.seen[site] = before
            env.state.status[site] = status
            dead_share = 0.0
            if status & DOWN:
                dead_share = lose(env, site, before)
            else:
                env.state.undetected_ms[site] = 0
            env.scratch.dead_share[site] = dead_share
            changed = changed or status != before
            dying = dying or dead_share > 0
    if changed or dying or env.memo.dying:
        forget(env, PLACES | ROLES)
    env.memo.dying = dying


@kernel
def lose(env: Environment, site: int, before: int) -> float:
    """Empty the GPUs of a site that is down; `before` is its status until now.

    Returns the step's share in which the router still uses the site, and takes that time off undetected_ms.
    """
    if not before & DOWN:
        env.state.undetected_ms[site] = env.world.detect_ms
        for model in range(env.state.phase.shape[0]):
            env.scratch.asked_again[model] += env.state.in_flight[model, site] * env.world.loses_answers
    used_ms = min(env.state.undetected_ms[site], env.world.step_ms)
    env.state.undetected_ms[site] -= used_ms
    for model in range(env.state.phase.shape[0]):
        if env.state.phase[model, site] >= LOADING:
            env.state.phase[model, site] = LOADING
            env.state.load_left_ms[model, site] = env.world.load_ms[model, site]
    return used_ms / env.world.step_ms
