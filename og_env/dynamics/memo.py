"""What only changes when a phase, a role or a status does: worked out then, and kept in the memo."""

from __future__ import annotations

from og_env.dynamics.contingency import NO_STORE, count_disks, count_roles, mark_critical
from og_env.dynamics.routing import find_gateways
from og_env.kernel.arrays import DOWN, FETCHING, LOADING, ON_DISK, PLACES, ROLES, STAGING, STORE, VERIFIER
from og_env.kernel.compile import kernel


@kernel
def count_moving(env):
    """Fetches, loads and roles under way."""
    models, sites = env.state.phase.shape
    loading, fetching, provisioning = 0, 0, 0
    for model in range(models):
        for site in range(sites):
            phase = env.state.phase[model, site]
            fetching += (phase == STAGING) | (phase == FETCHING)
            loading += phase == LOADING
    for role in range(3):
        for site in range(sites):
            provisioning += env.state.role_ms[role, site] > 0
    env.memo.fetching = fetching
    env.memo.moving = loading + fetching + provisioning


@kernel
def write_rent(env):
    """Dollars an hour for GPUs, machines and stored weights. Down sites bill no machines; disks are paid for."""
    models, sites = env.state.phase.shape
    usd, stored_gb, catalogue_gb = 0.0, 0.0, 0.0
    for model in range(models):
        catalogue_gb += env.world.weights_gb[model]
        copies = 0
        for site in range(sites):
            phase = env.state.phase[model, site]
            copies += (phase >= ON_DISK) & (phase != FETCHING)
        stored_gb += copies * env.world.weights_gb[model]
    for site in range(sites):
        up = 0.0 if env.state.status[site] & DOWN else 1.0
        roles = 0
        for role in range(3):
            roles += env.state.role_ms[role, site] >= 0
        gpus = float(env.state.gpus_used[site])  # an int16 times a float32 would be a float32
        usd += up * (gpus * env.world.usd_per_gpu_hour[site] + roles * env.world.usd_per_vm_hour[site])
        stored_gb += catalogue_gb if env.state.role_ms[STORE, site] >= 0 else 0.0
    env.memo.rent_usd_per_hour = usd + stored_gb * env.world.storage_usd_per_gb_hour


@kernel
def survey(env):
    """Bring the memo up to date, where something has changed. Copies on disk are counted where they matter."""
    known = env.memo.known
    if known & (PLACES | ROLES) != PLACES | ROLES:
        count_moving(env)
        write_rent(env)
    if not known & ROLES:
        count_roles(env)
        mark_critical(env)
        find_gateways(env)
        for site in range(env.memo.last_vote.shape[0]):
            env.memo.last_vote[site] = -1
    env.memo.known = PLACES | ROLES
    for site in range(env.state.status.shape[0]):
        env.scratch.votes[site] = (env.state.role_ms[VERIFIER, site] == 0) & ((env.state.status[site] & DOWN) == 0)
    if env.memo.criticals & NO_STORE:
        count_disks(env)
