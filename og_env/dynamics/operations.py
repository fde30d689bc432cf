"""Placement operations: how they are numbered, when one is possible, and what it changes.

Number 0 does nothing; then launch, retire and stage by model and site; then add and remove a verifier, a store and a
gateway by site: V = 1 + 3 M N + 6 N in all. The operator's limits (`limits`) make some impossible.
"""

from __future__ import annotations

from typing import Any

from og_env.dynamics.fleet_memo import forget
from og_env.dynamics.limits import launch_within, limits_rent, role_within, stage_within, write_limits
from og_env.dynamics.supply_bits import may_rent, may_start, refuses, role_up
from og_env.kernel.arrays import (
    ABSENT,
    DOWN,
    FETCHING,
    FROZEN,
    LOADING,
    ON_DISK,
    PLACES,
    ROLES,
    STAGING,
    STORE,
    Environment,
)
from og_env.kernel.compile import kernel
from og_env.kernel.views import row_of

LAUNCH, RETIRE, STAGE = range(3)
VERBS = ("launch", "retire", "stage")
ROLE_VERBS = ("add verifier", "remove verifier", "add store", "remove store", "add gateway", "remove gateway")


def count(sites: int, models: int) -> int:
    """Number of operations, doing nothing included."""
    return 1 + 3 * models * sites + 6 * sites


def describe(operation: int, site_names: list[str], model_names: list[str]) -> str:
    """An operation in words, such as "launch llama-3.1-8b-bf16 at aws/us-east-1"."""
    sites, models = len(site_names), len(model_names)
    if operation == 0:
        return "do nothing"
    index = operation - 1
    if index < 3 * models * sites:
        verb, rest = divmod(index, models * sites)
        model, site = divmod(rest, sites)
        return f"{VERBS[verb]} {model_names[model]} at {site_names[site]}"
    verb, site = divmod(index - 3 * models * sites, sites)
    return f"{ROLE_VERBS[verb]} at {site_names[site]}"


@kernel
def model_operation(env: Environment, verb: int, model: int, site: int) -> int:
    """Number of launching, retiring or staging a model at a site."""
    models, sites = env.state.phase.shape
    return 1 + verb * models * sites + model * sites + site


@kernel
def role_operation(env: Environment, role: int, remove: int, site: int) -> int:
    """Number of adding (remove 0) or removing (1) a role at a site."""
    models, sites = env.state.phase.shape
    return 1 + 3 * models * sites + (2 * role + remove) * sites + site


@kernel
def store_lives(env: Environment) -> bool:
    """Whether a store runs at a site that is not seen down."""
    for site in range(env.state.status.shape[0]):
        if env.state.role_ms[STORE, site] == 0 and role_up(env, STORE, site):
            return True
    return False


@kernel
def model_possible(env: Environment, verb: int, model: int, site: int, fetchable: bool) -> bool:
    """Whether launching, retiring or staging is possible at a site in reach; fetchable: a store lives.

    It reads what `write_limits` wrote.
    """
    gpus = env.world.replica_gpus[model, site]
    phase = env.state.phase[model, site]
    if verb == RETIRE:
        return phase >= FETCHING and env.scratch.may_retire[model] == 1
    if gpus == 0 or (phase == ABSENT and not fetchable):
        return False
    if verb == STAGE:
        return phase == ABSENT and stage_within(env, model, site)
    room = env.state.gpus_used[site] + gpus <= env.world.gpu_count[site]
    return phase < FETCHING and room and may_start(env, site) and launch_within(env, model, site)


@kernel
def reachable(env: Environment, site: int) -> bool:
    """Whether the site exists and can be told to change anything."""
    return env.world.site_valid[site] == 1 and not env.state.status[site] & (DOWN | FROZEN)


@kernel
def write_mask(env: Environment, mask: Any) -> None:
    """Write to the environment's row of mask [B, V]: 1 where an operation is possible, else 0."""
    models, sites = env.state.phase.shape
    row = row_of(mask, env.b)
    fetchable = store_lives(env)
    write_limits(env)
    row[0] = 1
    for site in range(sites):
        env.scratch.open_site[site] = reachable(env, site)
        env.scratch.open_to_more[site] = env.scratch.open_site[site] & (env.world.forbidden[site] == 0)
        env.scratch.may_start[site] = env.scratch.open_to_more[site] & may_start(env, site)
        env.scratch.may_rent[site] = env.scratch.open_to_more[site] & may_rent(env, site)
        env.scratch.free_gpus[site] = env.world.gpu_count[site] - env.state.gpus_used[site]
    for model in range(models):
        launch = model_operation(env, LAUNCH, model, 0)
        retire = model_operation(env, RETIRE, model, 0)
        stage = model_operation(env, STAGE, model, 0)
        more, less = env.scratch.may_launch[model], env.scratch.may_retire[model]
        for site in range(sites):
            phase, gpus = env.state.phase[model, site], env.world.replica_gpus[model, site]
            open_, absent, placed = env.scratch.open_to_more[site], phase == ABSENT, phase >= FETCHING
            fits = (gpus > 0) & (gpus <= env.scratch.free_gpus[site])
            row[launch + site] = env.scratch.may_start[site] & fits & (not placed) & (fetchable | (not absent)) & more
            row[retire + site] = env.scratch.open_site[site] & placed & less
            row[stage + site] = open_ & (gpus > 0) & absent & fetchable
    for role in range(env.state.role_ms.shape[0]):
        add, remove = role_operation(env, role, 0, 0), role_operation(env, role, 1, 0)
        more, less = env.scratch.may_add[role], env.scratch.may_remove[role]
        for site in range(sites):
            present, open_ = env.state.role_ms[role, site] >= 0, env.scratch.open_site[site]
            row[add + site] = env.scratch.may_rent[site] & (not present) & more
            row[remove + site] = open_ & present & less
    if limits_rent(env):
        bar_by_rent(env, mask)


@kernel
def bar_by_rent(env: Environment, mask: Any) -> None:
    """Write 0 to the environment's row of mask [B, V] where an operation would lift the rent above its limit."""
    row = row_of(mask, env.b)
    models, sites = env.state.phase.shape
    for model in range(models):
        launch, stage = model_operation(env, LAUNCH, model, 0), model_operation(env, STAGE, model, 0)
        for site in range(sites):
            row[launch + site] &= launch_within(env, model, site)
            row[stage + site] &= stage_within(env, model, site)
    for role in range(env.state.role_ms.shape[0]):
        add = role_operation(env, role, 0, 0)
        for site in range(sites):
            row[add + site] &= role_within(env, role, site)


@kernel
def apply(env: Environment, operation: int) -> bool:
    """Carry an operation out; returns whether it was possible (0 changes nothing and is)."""
    models, sites = env.state.phase.shape
    if operation == 0:
        return True
    row, site = (operation - 1) // sites, (operation - 1) % sites
    if not reachable(env, site):
        return False
    write_limits(env)
    if row >= 3 * models:
        role, remove = (row - 3 * models) // 2, (row - 3 * models) % 2
        return change_role(env, role, site, remove == 1)
    return change_replica(env, row // models, row % models, site)


@kernel
def change_role(env: Environment, role: int, site: int, remove: bool) -> bool:
    """Remove a role from a site, or rent a machine there that will run it; returns whether that was possible.

    It reads what `write_limits` wrote.
    """
    present = env.state.role_ms[role, site] >= 0
    if present != remove:
        return False
    if not (env.scratch.may_remove[role] == 1 if remove else may_rent(env, site) and role_within(env, role, site)):
        return False
    env.state.role_ms[role, site] = -1 if remove else env.world.provision_ms
    forget(env, PLACES | ROLES)
    return True


@kernel
def change_replica(env: Environment, verb: int, model: int, site: int) -> bool:
    """Launch, retire or stage a model at a site; returns whether that was possible."""
    if not model_possible(env, verb, model, site, store_lives(env)):
        return False
    if verb == LAUNCH and refuses(env, site):
        return False
    forget(env, PLACES)
    phase = env.state.phase[model, site]
    if verb == RETIRE:
        env.state.phase[model, site] = ABSENT if phase == FETCHING else ON_DISK
        env.state.fetch_left_mb[model, site] = 0
        env.state.load_left_ms[model, site] = 0
        env.state.gpus_used[site] -= env.world.replica_gpus[model, site]
        return True
    if phase == ABSENT:
        env.state.fetch_left_mb[model, site] = env.world.weights_mb[model]
    if verb == STAGE:
        env.state.phase[model, site] = STAGING
        return True
    if phase == ON_DISK:
        env.state.phase[model, site] = LOADING
        env.state.load_left_ms[model, site] = env.world.load_ms[model, site]
    else:
        env.state.phase[model, site] = FETCHING
    env.state.gpus_used[site] += env.world.replica_gpus[model, site]
    return True
