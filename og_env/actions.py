"""Placement operations: how they are numbered, when one is possible, and what it changes.

Number 0 does nothing; then launch, retire and stage by model and site; then add and remove a verifier, a store and a
gateway by site: V = 1 + 3 M N + 6 N in all.
"""

from __future__ import annotations

from og_env.binding import row_of
from og_env.jit import kernel
from og_env.layout import (
    ABSENT,
    DOWN,
    FETCHING,
    FROZEN,
    LOADING,
    ON_DISK,
    STAGING,
    STORE,
    scratch_of,
    state_of,
    world_of,
)

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
def model_operation(t, b, verb, m, s):
    """Number of launching, retiring or staging model m at site s."""
    models, sites = state_of(t).phase.shape[1:]
    return 1 + verb * models * sites + m * sites + s


@kernel
def role_operation(t, b, role, remove, s):
    """Number of adding or removing a role at site s."""
    models, sites = state_of(t).phase.shape[1:]
    return 1 + 3 * models * sites + (2 * role + remove) * sites + s


@kernel
def store_lives(t, b):
    """Whether a store runs at a site that is not seen down."""
    state = state_of(t)
    for s in range(state.status.shape[1]):
        if state.role_ms[b, STORE, s] == 0 and not state.status[b, s] & DOWN:
            return True
    return False


@kernel
def model_possible(t, b, verb, m, s, store):
    """Whether launching, retiring or staging is possible at a site that can be reached."""
    world, state = world_of(t), state_of(t)
    k = state.world[b]
    gpus = world.replica_gpus[k, m, s]
    phase = state.phase[b, m, s]
    if verb == RETIRE:
        return phase >= FETCHING
    if gpus == 0 or (phase == ABSENT and not store):
        return False
    if verb == STAGE:
        return phase == ABSENT
    return phase < FETCHING and state.gpus_used[b, s] + gpus <= world.gpu_count[k, s]


@kernel
def reachable(t, b, s):
    """Whether the site exists and can be told to change anything."""
    state = state_of(t)
    return world_of(t).site_valid[state.world[b], s] == 1 and not state.status[b, s] & (DOWN | FROZEN)


@kernel
def write_mask(t, b, c, mask):
    """Into mask [B, V]: 1 where an operation is possible."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    row, k = row_of(mask, b), state.world[b]
    store = store_lives(t, b)
    row[0] = 1
    for s in range(sites):
        scratch.open[c, s] = reachable(t, b, s)
        scratch.free[c, s] = world.gpu_count[k, s] - state.gpus_used[b, s]
    for m in range(models):
        launch, retire, stage = 1 + m * sites, 1 + (models + m) * sites, 1 + (2 * models + m) * sites
        for s in range(sites):
            phase, gpus, open_ = state.phase[b, m, s], world.replica_gpus[k, m, s], scratch.open[c, s]
            absent, placed = phase == ABSENT, phase >= FETCHING
            fits = (gpus > 0) & (gpus <= scratch.free[c, s])
            row[launch + s] = open_ & fits & (not placed) & (store | (not absent))
            row[retire + s] = open_ & placed
            row[stage + s] = open_ & (gpus > 0) & absent & store
    for role in range(3):
        first = 1 + (3 * models + 2 * role) * sites
        for s in range(sites):
            present, open_ = state.role_ms[b, role, s] >= 0, scratch.open[c, s]
            row[first + s] = open_ & (not present)
            row[first + sites + s] = open_ & present


@kernel
def apply(t, b, operation):
    """Carry an operation out; returns whether it was possible (0 changes nothing and is)."""
    world, state = world_of(t), state_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    if operation == 0:
        return True
    index = operation - 1
    s = index % sites
    if not reachable(t, b, s):
        return False
    if index >= 3 * models * sites:
        verb = (index - 3 * models * sites) // sites
        role, remove = verb // 2, verb % 2
        present = state.role_ms[b, role, s] >= 0
        if present != (remove == 1):
            return False
        state.role_ms[b, role, s] = -1 if remove else world.provision_ms[k]
        return True
    verb = index // (models * sites)
    m = index // sites % models
    if not model_possible(t, b, verb, m, s, store_lives(t, b)):
        return False
    phase = state.phase[b, m, s]
    if verb == RETIRE:
        state.phase[b, m, s] = ABSENT if phase == FETCHING else ON_DISK
        state.left[b, m, s] = 0
        state.gpus_used[b, s] -= world.replica_gpus[k, m, s]
        return True
    if phase == ABSENT:
        state.left[b, m, s] = world.weights_mb[k, m]
    if verb == STAGE:
        state.phase[b, m, s] = STAGING
        return True
    if phase == ON_DISK:
        state.phase[b, m, s] = LOADING
        state.left[b, m, s] = world.load_ms[k, m, s]
    else:
        state.phase[b, m, s] = FETCHING
    state.gpus_used[b, s] += world.replica_gpus[k, m, s]
    return True
