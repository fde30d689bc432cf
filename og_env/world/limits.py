"""The operator's limits as arrays."""

from __future__ import annotations

from typing import get_args

from og_env.kernel.arrays import NO_COUNT_LIMIT, NO_RENT_LIMIT, World
from og_env.scenario.loading import ResolvedScenario
from og_env.scenario.specs import Role


def fill_limits(world: World, resolved: ResolvedScenario) -> None:
    """Write floors, caps, the sites that take nothing new and the limit of the rent; all neutral where none is set.

    A forbidden site that this fleet does not have forbids nothing.
    """
    limits = resolved.spec.limits
    for m, model in enumerate(resolved.models):
        world.least_replicas[0, m] = limits.least_replicas.get(model.name, 0)
        world.most_replicas[0, m] = limits.most_replicas.get(model.name, NO_COUNT_LIMIT)
    roles: tuple[Role, ...] = get_args(Role)
    for number, role in enumerate(roles):
        world.least_roles[0, number] = limits.least_roles.get(role, 0)
        world.most_roles[0, number] = limits.most_roles.get(role, NO_COUNT_LIMIT)
    for s, site in enumerate(resolved.sites):
        world.forbidden[0, s] = site.name in limits.forbidden_sites
    usd_per_hour = limits.rent_usd_per_hour
    world.rent_limit_usd_per_hour[0] = NO_RENT_LIMIT if usd_per_hour is None else min(usd_per_hour, NO_RENT_LIMIT)
