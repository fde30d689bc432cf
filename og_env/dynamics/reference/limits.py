"""The operator's limits in the readable step: which operations they allow, whatever else forbids."""

from __future__ import annotations

import numpy as np

from og_env.dynamics.limits import RENT_SLACK
from og_env.dynamics.reference.world_rows import Facts
from og_env.kernel.arrays import ABSENT, FETCHING, NO_RENT_LIMIT, STORE, State


def within_limits(facts: Facts, state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Allowed by the limits: launches, retirements, stages [B, M, N], additions and removals of roles [B, 3, N]."""
    world, phase, role_ms = facts.world, state.phase, state.role_ms
    replicas, roles = (phase >= FETCHING).sum(axis=2), (role_ms >= 0).sum(axis=2)
    may_launch, may_retire = replicas < world.most_replicas, replicas > world.least_replicas
    may_add, may_remove = roles < world.most_roles, roles > world.least_roles
    open_to_more = (world.forbidden == 0)[:, None]

    storage_usd = world.weights_gb * world.storage_usd_per_gb_hour[:, None]  # [B, M]
    launch_usd = world.replica_gpus * world.usd_per_gpu_hour[:, None]
    launch_usd = launch_usd + np.where(phase == ABSENT, storage_usd[:, :, None], 0)
    role_usd = np.repeat(world.usd_per_vm_hour[:, None], 3, axis=1)
    role_usd[:, STORE] += storage_usd.sum(axis=1)[:, None]
    spare_usd = _spare_usd_per_hour(facts, state, storage_usd)[:, None, None]

    everywhere = np.ones(phase.shape, bool)
    launch = may_launch[:, :, None] & open_to_more & (launch_usd <= spare_usd)
    stage = open_to_more & (storage_usd[:, :, None] <= spare_usd) & everywhere
    add = may_add[:, :, None] & open_to_more & (role_usd <= spare_usd)
    retire = may_retire[:, :, None] & everywhere
    return launch, retire, stage, add, np.broadcast_to(may_remove[:, :, None], role_ms.shape)


def _spare_usd_per_hour(facts: Facts, state: State, storage_usd: np.ndarray) -> np.ndarray:
    """[B]: what may be added to the rent, which counts every site as up and every fetch as arrived."""
    world = facts.world
    gpu_usd = (state.gpus_used * world.usd_per_gpu_hour).sum(axis=1)
    machine_usd = ((state.role_ms >= 0).sum(axis=1) * world.usd_per_vm_hour).sum(axis=1)
    copies = (state.phase != ABSENT).sum(axis=2) + (state.role_ms[:, STORE] >= 0).sum(axis=1)[:, None]
    rent_usd = gpu_usd + machine_usd + (copies * storage_usd).sum(axis=1)
    limit_usd = world.rent_limit_usd_per_hour
    spare_usd = np.maximum(limit_usd * (1 + RENT_SLACK) - rent_usd, 0)
    return np.where(limit_usd < NO_RENT_LIMIT, spare_usd, np.inf)
