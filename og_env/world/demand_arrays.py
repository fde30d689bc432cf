"""Mean demand of user regions and models, and the diurnal curve, as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from og_env.kernel.arrays import World
from og_env.scenario.loading import ResolvedScenario


def population_share(resolved: ResolvedScenario) -> NDArray[np.float64]:
    """Share of the demand that comes from each user region, float64 [U]."""
    population = np.array([region.population_m for region in resolved.regions])
    return population / population.sum()


def fill_demand(world: World, resolved: ResolvedScenario, day: int) -> None:
    """Write mean demand, requests/s, and the expected factor on it at each of the `day` steps of a UTC day.

    The factor is a cosine with its peak at the local `peak_hour`; a recorded trace brings its own curve.
    """
    demand = resolved.spec.demand
    popularity = np.array([model.share for model in resolved.models])
    popularity = popularity / popularity.sum()
    world.base_rps[0] = demand.requests_per_s * np.outer(population_share(resolved), popularity)
    world.region_rps[0] = world.base_rps[0].sum(axis=1, dtype=np.float64)
    offset_h = np.array([region.utc_offset_h for region in resolved.regions])
    hour = np.arange(day)[:, None] * resolved.spec.episode.step_s / 3600 + offset_h
    amplitude = demand.diurnal_amplitude if demand.trace_csv is None else 0.0
    world.diurnal[0] = 1 + amplitude * np.cos(2 * np.pi * (hour - demand.peak_hour) / 24)
