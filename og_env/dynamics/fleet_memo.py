"""The memo: what only changes when a phase, a role or a status does is worked out then, and kept from step to step.

Whoever changes one of them calls `forget`; `survey` works out anew what is not known.
"""

from __future__ import annotations

from og_env.dynamics.contingency import NO_STORE, count_disks, count_roles, mark_critical
from og_env.dynamics.cost import write_rent
from og_env.dynamics.gateways import find_gateways
from og_env.dynamics.verification import forget_votes, write_votes
from og_env.kernel.arrays import FETCHING, LOADING, PLACES, ROLES, STAGING, Environment
from og_env.kernel.compile import inlined, kernel


@inlined
def forget(env: Environment, bits: int) -> None:
    """Note that figures of phases and GPUs (bit PLACES), or of roles and statuses (bit ROLES), hold no longer."""
    env.memo.known &= ~bits


@kernel
def count_moving(env: Environment) -> None:
    """Write the number of fetches, and that of fetches, loads and provisioning roles together (moving)."""
    models, sites = env.state.phase.shape
    loading, fetching, provisioning = 0, 0, 0
    for model in range(models):
        for site in range(sites):
            phase = env.state.phase[model, site]
            fetching += (phase == STAGING) | (phase == FETCHING)
            loading += phase == LOADING
    for role in range(env.state.role_ms.shape[0]):
        for site in range(sites):
            provisioning += env.state.role_ms[role, site] > 0
    env.memo.fetching = fetching
    env.memo.moving = loading + fetching + provisioning


@kernel
def survey(env: Environment) -> None:
    """Bring the memo up to date, where something has changed; write votes [N], and copies on disk where they matter."""
    known = env.memo.known
    if known & (PLACES | ROLES) != PLACES | ROLES:
        count_moving(env)
        write_rent(env)
    if not known & ROLES:
        count_roles(env)
        mark_critical(env)
        find_gateways(env)
        forget_votes(env)
    env.memo.known = PLACES | ROLES
    write_votes(env)
    if env.memo.critical_any & NO_STORE:
        count_disks(env)
