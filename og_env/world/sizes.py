"""Sizes of arrays that hold for every fleet of a scenario: exact for a fixed fleet, upper bounds for a random one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from og_env.scenario import loading
from og_env.scenario.domain_kinds import KINDS, domain_of
from og_env.scenario.random_fleet import Pool, site_pool
from og_env.scenario.specs import SampledRegions, SampledSites, ScenarioSpec
from og_env.world.fault_domains import Domain, derive_domains, shared_domains


def sizes_of(spec: ScenarioSpec) -> dict[str, int]:
    """N, M, U, F, S, D, Y and T of the scenario's arrays, see DIMENSIONS in og_env/kernel/views.py."""
    if spec.fleet == "random" and isinstance(spec.sites, SampledSites):
        by_kind = most_shared(spec.sites)
        shared, memberships = sum(by_kind.values()), 1 + sum(count > 0 for count in by_kind.values())
        sites = spec.sites.count
    else:
        fleet = loading.sites_of(spec)
        domains = shared_domains(derive_domains(fleet, spec.domains))
        sites, shared, memberships = len(fleet), len(domains), most_memberships(domains)
    regions = spec.regions.count if isinstance(spec.regions, SampledRegions) else len(spec.regions)
    return assemble(spec, sites, regions, shared, memberships)


def assemble(spec: ScenarioSpec, sites: int, regions: int, shared: int, memberships: int) -> dict[str, int]:
    """The size of each dimension, by its letter."""
    return {
        "N": sites,
        "M": len(spec.models),
        "U": regions,
        "F": shared + sites,
        "S": shared,
        "D": memberships,
        "Y": max(1, round(86_400 / spec.episode.step_s)),
        "T": spec.episode.steps + 1,
    }


def most_memberships(shared: Sequence[Domain]) -> int:
    """Largest number of domains that one site is in, its own included."""
    return 1 + max(Counter(member for domain in shared for member in domain.members).values(), default=0)


def most_shared(sampled: SampledSites) -> dict[str, int]:
    """For every kind, a number of shared domains that no fleet drawn from `sampled` exceeds.

    A shared domain has at least two sites, so there are at most count / 2 of them. Its name must come twice in the
    selected part of the catalogue, or once where a region may be drawn twice. The names of a fleet come from no more
    providers than are drawn.
    """
    pool = site_pool(sampled.host_classes, sampled.continents, sampled.gpus)
    again = _may_repeat(pool, sampled)
    fleet = [offer.site(offer.offers[0][0], 1) for offer in pool.offers]
    result: dict[str, int] = {}
    for kind in KINDS:
        names = [domain_of(site, kind) for site in fleet]
        times = Counter(name for name in names if name)
        # a second site of a region has another name and no facility
        repeats = again and kind not in ("site", "facility")
        shareable = sum(count >= 2 or repeats for count in times.values())
        by_provider = sorted(
            (len({names[place] for place in places} - {""}) for places in pool.members.values()), reverse=True
        )
        result[kind] = min(shareable, sampled.count // 2, sum(by_provider[: sampled.providers]))
    return result


def _may_repeat(pool: Pool, sampled: SampledSites) -> bool:
    """Whether the drawn providers can have fewer sites than are wanted, so that a region may be drawn twice."""
    smallest = sorted(len(places) for places in pool.members.values())[: min(sampled.providers, sampled.count)]
    dominant = round(sampled.dominant_share * sampled.count)
    if dominant == 0:
        return sum(smallest) < sampled.count
    return smallest[-1] < dominant or sum(smallest[:-1]) < sampled.count - dominant
