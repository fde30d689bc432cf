"""Placement operations: how they are numbered, when one is possible, and what it changes.

Number 0 does nothing; then launch, retire and stage by model and site; then add and remove a verifier, a store and a
gateway by site: V = 1 + 3 M N + 6 N in all.
"""

from __future__ import annotations

from og_env.kernel.arrays import ABSENT, DOWN, FETCHING, FROZEN, LOADING, ON_DISK, STAGING, STORE
from og_env.kernel.bound_views import row_of
from og_env.kernel.compile import kernel

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
def model_operation(env, verb, model, site):
    """Number of launching, retiring or staging model m at site s."""
    models, sites = env.state.phase.shape
    return 1 + verb * models * sites + model * sites + site


@kernel
def role_operation(env, role, remove, site):
    """Number of adding or removing a role at site s."""
    models, sites = env.state.phase.shape
    return 1 + 3 * models * sites + (2 * role + remove) * sites + site


@kernel
def store_lives(env):
    """Whether a store runs at a site that is not seen down."""
    for site in range(env.state.status.shape[0]):
        if env.state.role_ms[STORE, site] == 0 and not env.state.status[site] & DOWN:
            return True
    return False


@kernel
def model_possible(env, verb, model, site, store):
    """Whether launching, retiring or staging is possible at a site that can be reached."""
    gpus = env.world.replica_gpus[model, site]
    phase = env.state.phase[model, site]
    if verb == RETIRE:
        return phase >= FETCHING
    if gpus == 0 or (phase == ABSENT and not store):
        return False
    if verb == STAGE:
        return phase == ABSENT
    return phase < FETCHING and env.state.gpus_used[site] + gpus <= env.world.gpu_count[site]


@kernel
def reachable(env, site):
    """Whether the site exists and can be told to change anything."""
    return env.world.site_valid[site] == 1 and not env.state.status[site] & (DOWN | FROZEN)


@kernel
def write_mask(env, mask):
    """Into mask [B, V]: 1 where an operation is possible."""
    models, sites = env.state.phase.shape
    row = row_of(mask, env.b)
    store = store_lives(env)
    row[0] = 1
    for site in range(sites):
        env.scratch.open[site] = reachable(env, site)
        env.scratch.free[site] = env.world.gpu_count[site] - env.state.gpus_used[site]
    for model in range(models):
        launch, retire, stage = 1 + model * sites, 1 + (models + model) * sites, 1 + (2 * models + model) * sites
        for site in range(sites):
            phase, gpus, open_ = (
                env.state.phase[model, site],
                env.world.replica_gpus[model, site],
                env.scratch.open[site],
            )
            absent, placed = phase == ABSENT, phase >= FETCHING
            fits = (gpus > 0) & (gpus <= env.scratch.free[site])
            row[launch + site] = open_ & fits & (not placed) & (store | (not absent))
            row[retire + site] = open_ & placed
            row[stage + site] = open_ & (gpus > 0) & absent & store
    for role in range(3):
        first = 1 + (3 * models + 2 * role) * sites
        for site in range(sites):
            present, open_ = env.state.role_ms[role, site] >= 0, env.scratch.open[site]
            row[first + site] = open_ & (not present)
            row[first + sites + site] = open_ & present


@kernel
def apply(env, operation):
    """Carry an operation out; returns whether it was possible (0 changes nothing and is)."""
    models, sites = env.state.phase.shape
    if operation == 0:
        return True
    index = operation - 1
    site = index % sites
    if not reachable(env, site):
        return False
    if index >= 3 * models * sites:
        verb = (index - 3 * models * sites) // sites
        role, remove = verb // 2, verb % 2
        present = env.state.role_ms[role, site] >= 0
        if present != (remove == 1):
            return False
        env.state.role_ms[role, site] = -1 if remove else env.world.provision_ms
        return True
    verb = index // (models * sites)
    model = index // sites % models
    if not model_possible(env, verb, model, site, store_lives(env)):
        return False
    phase = env.state.phase[model, site]
    if verb == RETIRE:
        env.state.phase[model, site] = ABSENT if phase == FETCHING else ON_DISK
        env.state.left[model, site] = 0
        env.state.gpus_used[site] -= env.world.replica_gpus[model, site]
        return True
    if phase == ABSENT:
        env.state.left[model, site] = env.world.weights_mb[model]
    if verb == STAGE:
        env.state.phase[model, site] = STAGING
        return True
    if phase == ON_DISK:
        env.state.phase[model, site] = LOADING
        env.state.left[model, site] = env.world.load_ms[model, site]
    else:
        env.state.phase[model, site] = FETCHING
    env.state.gpus_used[site] += env.world.replica_gpus[model, site]
    return True
