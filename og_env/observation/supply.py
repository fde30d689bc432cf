"""The optional tables of the observation: supply by site and by offer, where a scenario has scarcity."""

from __future__ import annotations

import numpy as np

from og_env.dynamics.supply_bits import may_start
from og_env.kernel.arrays import LEAVING, TAKEN, Environment
from og_env.kernel.compile import kernel
from og_env.observation.fields import columns_of

SUPPLY, OFFER_SUPPLY = columns_of("supply"), columns_of("offer_supply")


@kernel
def write_supply_of(env: Environment, values: np.ndarray, at: int, site: int) -> None:
    """Write the columns of a site's supply, which both tables begin with."""
    supply = env.state.supply[site]
    values[at + SUPPLY.spot] = env.world.spot[site]
    values[at + SUPPLY.open] = 1.0 if may_start(env, site) else 0.0
    values[at + SUPPLY.leaving] = 1.0 if supply & LEAVING else 0.0
    values[at + SUPPLY.taken] = 1.0 if supply & TAKEN else 0.0
    values[at + SUPPLY.chance] = env.world.launch_chance[site]
    values[at + SUPPLY.kept] = env.world.kept_share[site]


@kernel
def write_supply(env: Environment, values: np.ndarray, first: int) -> None:
    """Write the rows of all sites, whose columns begin at `first`; rows that pad a smaller fleet are zero."""
    for site in range(env.state.supply.shape[0]):
        at = first + site * len(SUPPLY)
        if env.world.site_valid[site]:
            write_supply_of(env, values, at, site)
        else:
            for field in range(len(SUPPLY)):
                values[at + field] = 0


@kernel
def write_offer_supply(env: Environment, values: np.ndarray, first: int) -> None:
    """Write the rows of all offers, whose columns begin at `first`; zeros where there is no offer."""
    sites = env.state.supply.shape[0]
    for position in range(env.output.offer.shape[0]):
        at, operation = first + position * len(OFFER_SUPPLY), env.output.offer[position]
        if operation == 0:
            for field in range(len(OFFER_SUPPLY)):
                values[at + field] = 0
            continue
        site = (operation - 1) % sites
        write_supply_of(env, values, at, site)
        members, shut = 0, 0
        for other in range(sites):
            if env.world.region_of[other] == env.world.region_of[site]:
                members += 1
                shut += not may_start(env, other)
        values[at + OFFER_SUPPLY.region] = shut / members


@kernel
def write_scarcity(env: Environment, values: np.ndarray, supply: int, offers: int) -> None:
    """Write the two tables, whose columns begin at `supply` and at `offers`; below 0 a table is left out."""
    if supply >= 0:
        write_supply(env, values, supply)
    if offers >= 0:
        write_offer_supply(env, values, offers)
