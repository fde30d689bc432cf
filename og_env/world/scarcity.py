"""Scarcity of a world: spells of every site, every region and all sites, so that they coincide as much as is stated.

With spells that come as a Poisson process, a site is free of them for exp(-L) of the time, L being their mean number at a
time. Two sites that share a mean of s spells are free together exp(s) times as often as if they were independent. So a
correlation r of two sites that are scarce for a share p each takes s = ln(1 + r p / (1 - p)) shared spells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.kernel.arrays import World
from og_env.scenario.domain_kinds import domain_of
from og_env.scenario.loading import ResolvedScenario
from og_env.scenario.specs import ScarcitySpec, ScenarioSpec, SiteSpec
from og_env.world.site_arrays import whole

MOST_REFUSED = 0.9
"""largest share of time in which a site refuses launches"""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class SpellArrays(NamedTuple):
    """K sources of spells; the members of source k are the entries member_start[k] to member_start[k + 1] - 1."""

    rate_per_h: Floats
    """[K] spells per hour"""
    member_start: Ints
    """[K + 1] first entry of each source's members, and the end of the last one's"""
    member_site: Ints
    """[members of all sources] indices of sites"""
    member_hit: Floats
    """[members of all sources] probability that a spell of the source is one of the member's"""
    spot: Ints
    """[N] 1 for a spot site"""


def has_scarcity(spec: ScenarioSpec, resolved: ResolvedScenario) -> bool:
    """Whether launches can be refused or capacity withdrawn, by spells, by a scripted outage, or at a spot site."""
    scripted = any(outage.effect in ("SCARCE", "WITHDRAWN") for outage in spec.failures.outages)
    return spec.scarcity.acts or scripted or any(site.market == "spot" for site in resolved.sites)


def refused_shares(spec: ScarcitySpec, sites: Sequence[SiteSpec]) -> Floats:
    """[N]: share of time in which each site refuses launches."""
    shares = [spec.refused_by_gpu.get(site.gpu, spec.refused_share) for site in sites]
    factors = [spec.spot_factor if site.market == "spot" else 1.0 for site in sites]
    return np.minimum(np.array(shares) * np.array(factors), MOST_REFUSED)


def spells_of(resolved: ResolvedScenario) -> SpellArrays:
    """The sources of spells: one of all sites, one of each region, one of each site; none where scarcity is off."""
    spec, sites = resolved.spec.scarcity, resolved.sites
    spot = np.array([site.market == "spot" for site in sites], np.int64)
    groups: list[tuple[float, list[int], list[float]]] = []
    if spec.acts:
        share = refused_shares(spec, sites)
        between = np.log1p(spec.between_regions * share / (1 - share))
        within = np.log1p(spec.within_region * share / (1 - share)) - between
        load, left = -np.log1p(-share), -np.log1p(-share)
        regions: dict[str, list[int]] = {}
        for index, site in enumerate(sites):
            regions.setdefault(domain_of(site, "region"), []).append(index)
        shared = [(between, list(range(len(sites)))), *((within, members) for members in regions.values())]
        hits = [_hits(need[members]) for need, members in shared]
        carried = np.zeros(len(sites))
        for (need, members), hit in zip(shared, hits, strict=True):
            carried[members] += need[members].max() * hit
        fits = np.divide(load, carried, out=np.ones(len(sites)), where=carried > load)
        for (need, members), hit in zip(shared, hits, strict=True):
            lowered = hit * fits[members]
            groups.append((float(need[members].max()), members, lowered.tolist()))
            left[members] -= need[members].max() * lowered
        groups += [(float(rest), [index], [1.0]) for index, rest in enumerate(np.maximum(left, 0))]
    groups = [group for group in groups if group[0] > 0]
    return SpellArrays(
        rate_per_h=np.array([mean / spec.mean_h for mean, _, _ in groups], np.float64),
        member_start=np.cumsum([0, *(len(members) for _, members, _ in groups)], dtype=np.int64),
        member_site=np.array([site for _, members, _ in groups for site in members], np.int64),
        member_hit=np.array([hit for _, _, hits in groups for hit in hits], np.float64),
        spot=spot,
    )


def _hits(need: Floats) -> Floats:
    """Hit probabilities of members, so that two that need as much share exactly that: the largest need is hit always."""
    most = need.max()
    return np.sqrt(need / most) if most > 0 else np.zeros(len(need))


def fill_scarcity(world: World, resolved: ResolvedScenario, horizon_h: float) -> None:
    """Write which sites are spot, how likely a launch is refused, and how much of a horizon what runs there is kept."""
    spec, sites = resolved.spec.scarcity, resolved.sites
    n, share = len(sites), refused_shares(resolved.spec.scarcity, resolved.sites)
    spot = np.array([site.market == "spot" for site in sites])
    per_h = -np.log1p(-share) / spec.mean_h * spec.withdrawn_share * spot
    expected = per_h * horizon_h
    kept = -np.expm1(-expected) / np.where(expected > 0, expected, 1)
    names = [domain_of(site, "region") for site in sites]
    world.region_of[0] = -1
    world.region_of[0, :n] = [names.index(name) for name in names]
    world.spot[0, :n] = spot
    world.launch_chance[0] = world.kept_share[0] = 1
    world.launch_chance[0, :n] = 1 - share
    world.kept_share[0, :n] = np.where(expected > 0, kept, 1)
    world.announces[0] = spec.announced
    world.retry_ms[0] = whole(spec.retry_s * 1000, 0)
