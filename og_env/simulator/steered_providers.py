"""The providers that Joint steers to and away from with steering="domains": which sites each of them has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from og_env.scenario.specs import SampledSites, ScenarioSpec
from og_env.world import CompiledWorld, most_shared

KIND = "provider"


def steered(compiled: CompiledWorld) -> list[tuple[int, ...]]:
    """Sites of every provider that two sites or more share and the agent is told of, in the order of the domains."""
    visible = compiled.arrays.domain_visible[0]
    shared = enumerate(compiled.domains[: compiled.sizes["S"]])
    return [domain.members for f, domain in shared if domain.kind == KIND and visible[f]]


def most_steered(spec: ScenarioSpec, compiled: CompiledWorld) -> int:
    """A number of such providers that no fleet of the scenario exceeds; ValueError where there is none."""
    count = len(steered(compiled))
    if spec.fleet == "random" and isinstance(spec.sites, SampledSites):
        count = 0 if KIND in spec.failures.hidden else most_shared(spec.sites)[KIND]
    if count == 0:
        raise ValueError(
            f"steering is 'domains', but no sites of {spec.name} share a {KIND} that the agent is told of; take sites"
        )
    return count


def provider_sites(compiled: CompiledWorld, places: int) -> npt.NDArray[np.float32]:
    """Float32 [K, N] with 1 where the provider of a place has a site; a fleet with fewer leaves the last places empty."""
    result = np.zeros((places, compiled.sizes["N"]), np.float32)
    for place, members in enumerate(steered(compiled)[:places]):
        result[place, list(members)] = 1
    return result
