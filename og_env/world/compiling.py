"""A resolved scenario compiled into the arrays of World, in the order in which each needs the others."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from og_env.kernel.arrays import World
from og_env.kernel.memory import allocate
from og_env.scenario.loading import ResolvedScenario
from og_env.world.demand_arrays import fill_demand
from og_env.world.distances import fill_distances
from og_env.world.domain_arrays import fill_domains, fill_hazards
from og_env.world.fault_domains import NO_DOMAIN, Domain, derive_domains, is_own, shared_domains
from og_env.world.limits import fill_limits
from og_env.world.scarcity import fill_scarcity
from og_env.world.settings import PLANNER_DEFAULTS, fill_settings
from og_env.world.shock_sources import Source, SourceArrays, domain_risks, flatten_sources, make_sources
from og_env.world.site_arrays import fill_models, fill_sites
from og_env.world.sizes import assemble, most_memberships
from og_env.world.starting_fleet import fill_start


class CompiledWorld(NamedTuple):
    """A scenario with one fleet, ready for a simulator."""

    arrays: World
    """the arrays, with W = 1"""
    sizes: dict[str, int]
    """size of each dimension N, M, U, F, S, D, Y and T, padding included"""
    domains: tuple[Domain, ...]
    """fault domain of every index [F]: shared ones, NO_DOMAIN up to S, then one per site, NO_DOMAIN up to N"""
    sources: tuple[Source, ...]
    """every source that can send a shock"""
    source_arrays: SourceArrays
    """the sources as arrays, which the drawing of tapes reads"""
    all_domains: tuple[Domain, ...]
    """all fault domains of the fleet, those with one member included; see `find_members`"""
    resolved: ResolvedScenario
    """the scenario with its sites, regions and models filled in"""


def compile_world(
    resolved: ResolvedScenario, *, risk_weight: float = 1.0, sizes: Mapping[str, int] | None = None
) -> CompiledWorld:
    """The arrays of a scenario, padded to `sizes`; None makes them exactly as large as needed, see `sizes_of`.

    Shared domains have the indices 0 to S - 1, and site s has the index S + s. Where S is too small, the domains with
    most members have an index and the others count as risks of their single members.

    Raises:
        ValueError: Sites, models, regions or the clock do not fit into `sizes`.
    """
    domains = derive_domains(resolved.sites, resolved.domains)
    risks = domain_risks(domains, resolved.spec.failures)
    shared = shared_domains(domains, None if sizes is None else sizes["S"])
    full = _sizes(resolved, shared, sizes)
    index = {domain: position for position, domain in enumerate(shared)}
    sources = make_sources(domains, risks, index, sites=resolved.sites, failures=resolved.spec.failures)
    world = World(*(blank.copy() for blank in _blank(tuple((full | {"W": 1}).items()))))
    fill_sites(world, resolved)
    fill_distances(world, resolved, full["N"])
    fill_models(world, resolved)
    fill_demand(world, resolved, full["Y"])
    fill_domains(world, domains, risks, index, resolved)
    fill_hazards(world, sources, resolved)
    fill_settings(world, resolved, risk_weight)
    fill_limits(world, resolved)
    fill_scarcity(world, resolved, PLANNER_DEFAULTS.horizon_steps * resolved.spec.episode.step_s / 3600)
    fill_start(world, resolved)
    own = [domain for domain in domains if is_own(domain, resolved.sites)]
    listed = [*shared, *[NO_DOMAIN] * (full["S"] - len(shared)), *own, *[NO_DOMAIN] * (full["N"] - len(own))]
    return CompiledWorld(
        arrays=world,
        sizes=full,
        domains=tuple(listed),
        sources=sources,
        source_arrays=flatten_sources(sources),
        all_domains=tuple(domains),
        resolved=resolved,
    )


def stack(worlds: Sequence[CompiledWorld]) -> World:
    """The arrays of n worlds of equal sizes as one, W = n.

    Raises:
        ValueError: There is no world, or their sizes differ.
    """
    if not worlds:
        raise ValueError("no worlds to stack")
    for at, world in enumerate(worlds):
        if world.sizes != worlds[0].sizes:
            raise ValueError(f"world {at} has sizes {world.sizes}, not {worlds[0].sizes}; compile them with sizes_of")
    return World(*(np.concatenate(parts) for parts in zip(*(world.arrays for world in worlds), strict=True)))


def find_members(compiled: CompiledWorld, kind: str, name: str) -> tuple[int, ...]:
    """Indices of the sites in a domain of any size, for instance ("provider", "aws"); empty without such a domain."""
    for domain in compiled.all_domains:
        if domain.kind == kind and domain.name == name:
            return domain.members
    return ()


@functools.lru_cache(maxsize=16)
def _blank(sizes: tuple[tuple[str, int], ...]) -> World:
    """World arrays filled with zeros, which are copied: allocating them takes longer."""
    return allocate(World, dict(sizes))


def _sizes(resolved: ResolvedScenario, shared: Sequence[Domain], given: Mapping[str, int] | None) -> dict[str, int]:
    """The sizes given, where the fleet fits into them; models, regions and clock must fill theirs."""
    exact = assemble(resolved.spec, len(resolved.sites), len(resolved.regions), len(shared), most_memberships(shared))
    if given is None:
        return exact
    for letter, need in exact.items():
        most = given[letter]
        if need > most or (letter in "MUYT" and need != most):
            raise ValueError(f"this fleet needs {letter} = {need}, but the sizes given have {most}")
    return {letter: given[letter] for letter in exact}
