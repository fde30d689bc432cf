"""What only changes when a phase, a role or a status does: worked out then, and kept in the memo."""

from __future__ import annotations

from og_env.contingency import NO_STORE, count_disks, count_roles, mark_critical
from og_env.jit import kernel
from og_env.layout import (
    DOWN,
    FETCHING,
    LOADING,
    ON_DISK,
    PLACES,
    ROLES,
    STAGING,
    STORE,
    VERIFIER,
    memo_of,
    scratch_of,
    state_of,
    world_of,
)
from og_env.routing import find_gateways


@kernel
def count_moving(t, b):
    """Fetches, loads and roles under way."""
    state, memo = state_of(t), memo_of(t)
    models, sites = state.phase.shape[1:]
    loading, fetching, provisioning = 0, 0, 0
    for m in range(models):
        for s in range(sites):
            phase = state.phase[b, m, s]
            fetching += (phase == STAGING) | (phase == FETCHING)
            loading += phase == LOADING
    for role in range(3):
        for s in range(sites):
            provisioning += state.role_ms[b, role, s] > 0
    memo.fetching[b] = fetching
    memo.moving[b] = loading + fetching + provisioning


@kernel
def write_rent(t, b):
    """Dollars an hour for GPUs, machines and stored weights. Down sites bill no machines; disks are paid for."""
    world, state = world_of(t), state_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    usd, stored_gb, catalogue_gb = 0.0, 0.0, 0.0
    for m in range(models):
        catalogue_gb += world.weights_gb[k, m]
        copies = 0
        for s in range(sites):
            phase = state.phase[b, m, s]
            copies += (phase >= ON_DISK) & (phase != FETCHING)
        stored_gb += copies * world.weights_gb[k, m]
    for s in range(sites):
        up = 0.0 if state.status[b, s] & DOWN else 1.0
        roles = 0
        for role in range(3):
            roles += state.role_ms[b, role, s] >= 0
        gpus = float(state.gpus_used[b, s])  # an int16 times a float32 would be a float32
        usd += up * (gpus * world.usd_per_gpu_hour[k, s] + roles * world.usd_per_vm_hour[k, s])
        stored_gb += catalogue_gb if state.role_ms[b, STORE, s] >= 0 else 0.0
    memo_of(t).rent_usd_per_hour[b] = usd + stored_gb * world.storage_usd_per_gb_hour[k]


@kernel
def survey(t, b, c):
    """Bring the memo up to date, where something has changed. Copies on disk are counted where they matter."""
    memo = memo_of(t)
    known = memo.known[b]
    if known & (PLACES | ROLES) != PLACES | ROLES:
        count_moving(t, b)
        write_rent(t, b)
    if not known & ROLES:
        count_roles(t, b, c)
        mark_critical(t, b, c)
        find_gateways(t, b, c)
        for s in range(memo.last_vote.shape[1]):
            memo.last_vote[b, s] = -1
    memo.known[b] = PLACES | ROLES
    state, scratch = state_of(t), scratch_of(t)
    for s in range(state.status.shape[1]):
        scratch.votes[c, s] = (state.role_ms[b, VERIFIER, s] == 0) & ((state.status[b, s] & DOWN) == 0)
    if memo.criticals[b] & NO_STORE:
        count_disks(t, b, c)
