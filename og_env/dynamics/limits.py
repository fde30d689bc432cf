"""The operator's limits: how few or many replicas and roles, which sites take nothing new, how high the rent may be.

They bind operations and nothing else: an outage may break a limit, and so may the starting fleet. `write_limits` works
out once what they leave; the other functions read what it wrote.
"""

from __future__ import annotations

from og_env.dynamics.cost import rent_usd_per_hour, store_storage_usd_per_hour
from og_env.kernel.arrays import ABSENT, FETCHING, NO_COUNT_LIMIT, NO_RENT_LIMIT, STORE, Environment
from og_env.kernel.compile import inlined, kernel

RENT_SLACK = 1e-6
"""share by which the rent may exceed its limit: prices are stored in single precision, and a sum of them that should
equal the limit may come out above it"""


@kernel
def write_limits(env: Environment) -> None:
    """Write whether the limits leave room for one more replica or role, or let one go, and the rent to spare."""
    models, sites = env.state.phase.shape
    for model in range(models):
        least, most = env.world.least_replicas[model], env.world.most_replicas[model]
        held = 0
        if least > 0 or most < NO_COUNT_LIMIT:
            for site in range(sites):
                held += env.state.phase[model, site] >= FETCHING
        env.scratch.may_launch[model] = most >= NO_COUNT_LIMIT or held < most
        env.scratch.may_retire[model] = least <= 0 or held > least
    for role in range(env.state.role_ms.shape[0]):
        least, most = env.world.least_roles[role], env.world.most_roles[role]
        held = 0
        if least > 0 or most < NO_COUNT_LIMIT:
            for site in range(sites):
                held += env.state.role_ms[role, site] >= 0
        env.scratch.may_add[role] = most >= NO_COUNT_LIMIT or held < most
        env.scratch.may_remove[role] = least <= 0 or held > least
    env.scratch.spare_rent_usd_per_hour = NO_RENT_LIMIT
    if limits_rent(env):
        most_usd = env.world.rent_limit_usd_per_hour * (1 + RENT_SLACK)
        env.scratch.spare_rent_usd_per_hour = max(most_usd - rent_usd_per_hour(env, True), 0.0)


@inlined
def limits_rent(env: Environment) -> bool:
    """Whether the rent has a limit."""
    return env.world.rent_limit_usd_per_hour < NO_RENT_LIMIT


@inlined
def launch_within(env: Environment, model: int, site: int) -> bool:
    """Whether the limits allow to launch a model at a site."""
    usd = env.world.replica_gpus[model, site] * env.world.usd_per_gpu_hour[site]
    if env.state.phase[model, site] == ABSENT:
        usd += env.world.weights_gb[model] * env.world.storage_usd_per_gb_hour
    allowed = env.scratch.may_launch[model] == 1 and env.world.forbidden[site] == 0
    return allowed and usd <= env.scratch.spare_rent_usd_per_hour


@inlined
def stage_within(env: Environment, model: int, site: int) -> bool:
    """Whether the limits allow to stage a model at a site."""
    usd = env.world.weights_gb[model] * env.world.storage_usd_per_gb_hour
    return env.world.forbidden[site] == 0 and usd <= env.scratch.spare_rent_usd_per_hour


@inlined
def role_within(env: Environment, role: int, site: int) -> bool:
    """Whether the limits allow to add a role at a site. A store also rents a disk for all weights."""
    allowed = env.scratch.may_add[role] == 1 and env.world.forbidden[site] == 0
    if not allowed or not limits_rent(env):
        return allowed
    usd = 0.0 + env.world.usd_per_vm_hour[site]
    if role == STORE:
        usd += store_storage_usd_per_hour(env)
    return usd <= env.scratch.spare_rent_usd_per_hour
