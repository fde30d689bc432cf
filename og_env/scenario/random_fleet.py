"""Draw fleets and user regions from the catalogue: `sample_sites` and `sample_regions`."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from og_env.scenario import catalog
from og_env.scenario.catalog import SiteOffer
from og_env.scenario.specs import RegionSpec, SampledRegions, SampledSites, SiteSpec

PRICE_JITTER = 0.1
"""relative half-width of the price of a second site in the same catalogue region: offers of one market differ by about that"""
NEW_CONTINENT_BONUS = 4.0
"""factor of the weight of a provider that brings a continent which is not covered yet"""


class Pool(NamedTuple):
    """Catalogue sites that a SampledSites allows; P sites of K providers."""

    offers: tuple[SiteOffer, ...]
    gpus: tuple[tuple[str, ...], ...]
    """[P] GPU kinds that each site offers and the spec allows"""
    continents: tuple[str, ...]
    """[P] continent of each site"""
    provider_of: tuple[str, ...]
    """[P] provider of each site"""
    members: dict[str, tuple[int, ...]]
    """sites of each provider, in catalogue order"""
    host_classes: dict[str, frozenset[str]]
    """host classes of each provider"""
    sites_on: dict[str, int]
    """number of pool sites on each continent"""


class _Dice:
    """Uniform numbers of one generator, drawn in one call: a call for each would cost more than the fleet."""

    def __init__(self, seed: int, size: int) -> None:
        self._values = np.random.default_rng(seed).random(size).tolist()
        self._next = 0

    def uniform(self) -> float:
        value = self._values[self._next]
        self._next += 1
        return value

    def below(self, count: int) -> int:
        """A whole number in [0, count)."""
        return int(self.uniform() * count)

    def weighted(self, weights: list[float]) -> int:
        """An index, with probability proportional to its weight."""
        rest = self.uniform() * sum(weights)
        for index, weight in enumerate(weights):
            rest -= weight
            if rest < 0:
                return index
        return len(weights) - 1

    def shuffled(self, values: tuple[int, ...] | list[int]) -> list[int]:
        order = list(values)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order


def sample_sites(sampled: SampledSites, seed: int | None = None) -> tuple[SiteSpec, ...]:
    """`sampled.count` sites; `seed` replaces the spec's own. Deterministic; about 10 us a site after the first call."""
    pool = site_pool(sampled.host_classes, sampled.continents, sampled.gpus)
    dice = _Dice(sampled.seed if seed is None else seed, 4 * len(pool.offers) + 8 * sampled.count + 64)
    providers = _draw_providers(pool, sampled, dice)
    dominant = max(providers, key=lambda provider: (len(pool.members[provider]), provider))
    quota_dominant = round(sampled.dominant_share * sampled.count) if sampled.dominant_share > 0 else 0
    others = [provider for provider in providers if quota_dominant == 0 or provider != dominant]
    if not others:
        quota_dominant = sampled.count
    chosen = _draw_places(pool, [dominant], quota_dominant, dice)
    chosen += _draw_places(pool, others, sampled.count - quota_dominant, dice)
    cheap = dominant if sampled.dominant_share > 0 else None
    return tuple(_site(pool, place, copy, sampled, cheap, dice) for place, copy in chosen)


@functools.cache
def site_pool(host_classes: tuple[str, ...], continents: tuple[str, ...], gpus: tuple[str, ...]) -> Pool:
    """The catalogue's sites of these host classes, continents and GPUs; empty `continents` or `gpus` allow all."""
    kept: list[SiteOffer] = []
    kept_gpus: list[tuple[str, ...]] = []
    for offer in catalog.sites():
        allowed = tuple(gpu for gpu, _ in offer.offers if not gpus or gpu in gpus)
        if allowed and offer.host_class in host_classes and (not continents or offer.continent in continents):
            kept.append(offer)
            kept_gpus.append(allowed)
    members: dict[str, list[int]] = {}
    classes: dict[str, set[str]] = {}
    sites_on: dict[str, int] = {}
    for index, offer in enumerate(kept):
        members.setdefault(offer.provider, []).append(index)
        classes.setdefault(offer.provider, set()).add(offer.host_class)
        sites_on[offer.continent] = sites_on.get(offer.continent, 0) + 1
    return Pool(
        offers=tuple(kept),
        gpus=tuple(kept_gpus),
        continents=tuple(offer.continent for offer in kept),
        provider_of=tuple(offer.provider for offer in kept),
        members={provider: tuple(indices) for provider, indices in members.items()},
        host_classes={provider: frozenset(of) for provider, of in classes.items()},
        sites_on=sites_on,
    )


def _draw_providers(pool: Pool, sampled: SampledSites, dice: _Dice) -> list[str]:
    """Draw providers: one of each host class in a random order, then by size, those with a new continent likelier."""
    wanted = min(sampled.providers, len(pool.members), sampled.count)
    classes = [sampled.host_classes[index] for index in dice.shuffled(list(range(len(sampled.host_classes))))]
    chosen: list[str] = []
    covered: set[str] = set()
    while len(chosen) < wanted:
        left = [provider for provider in pool.members if provider not in chosen]
        have = frozenset().union(*(pool.host_classes[provider] for provider in chosen))
        for host_class in classes:
            of_class = [provider for provider in left if host_class in pool.host_classes[provider]]
            if of_class and host_class not in have:
                left = of_class
                break
        provider = left[dice.weighted([_provider_weight(pool, provider, covered) for provider in left])]
        chosen.append(provider)
        covered.update(pool.continents[index] for index in pool.members[provider])
    return chosen


def _provider_weight(pool: Pool, provider: str, covered: set[str]) -> float:
    members = pool.members[provider]
    new = any(pool.continents[index] not in covered for index in members)
    return len(members) ** 0.5 * (NEW_CONTINENT_BONUS if new and covered else 1.0)


def _draw_places(pool: Pool, providers: list[str], count: int, dice: _Dice) -> list[tuple[int, int]]:
    """Draw `count` pairs (pool site, how many times it came before): every provider once, then continents in turn.

    The next continent is the one with the fewest sites for the square root of what the providers have there, so that
    small continents are not left out and large ones still have more.
    """
    chosen: list[tuple[int, int]] = []
    copy = 0
    while len(chosen) < count:
        waiting = {provider: dice.shuffled(pool.members[provider]) for provider in providers}
        available: dict[str, int] = {}
        for places in waiting.values():
            for place in places:
                available[pool.continents[place]] = available.get(pool.continents[place], 0) + 1
        taken = dict.fromkeys(available, 0)
        for provider in providers if copy == 0 else []:
            if len(chosen) == count:
                break
            place = min(waiting[provider], key=lambda at: taken[pool.continents[at]])
            waiting[provider].remove(place)
            taken[pool.continents[place]] += 1
            chosen.append((place, copy))
        queues: dict[str, list[int]] = {}
        for index in dice.shuffled(sorted(place for places in waiting.values() for place in places)):
            queues.setdefault(pool.continents[index], []).append(index)
        while queues and len(chosen) < count:
            continent = min(queues, key=lambda on: ((taken[on] + 0.5) / available[on] ** 0.5, on))
            chosen.append((queues[continent].pop(), copy))
            taken[continent] += 1
            if not queues[continent]:
                del queues[continent]
        copy += 1
        dice = _Dice(dice.below(2**31), 4 * len(pool.offers) + 8) if len(chosen) < count else dice
    return chosen


def _site(pool: Pool, place: int, copy: int, sampled: SampledSites, cheap: str | None, dice: _Dice) -> SiteSpec:
    kinds = pool.gpus[place]
    fewest, most = sampled.gpu_count
    gpu = kinds[dice.below(len(kinds))]
    gpu_count = fewest + dice.below(most - fewest + 1)
    factor = sampled.dominant_price_factor if pool.provider_of[place] == cheap else 1.0
    jitter = 2 * dice.uniform() - 1
    site = priced_site(pool.offers[place].name, gpu, gpu_count, factor)
    if copy == 0:
        return site
    return site.model_copy(
        update={
            "name": f"{site.name}#{copy + 1}",
            "facility": "",
            "usd_per_gpu_hour": round(site.usd_per_gpu_hour * (1 + PRICE_JITTER * jitter), 4),
        }
    )


@functools.lru_cache(maxsize=65_536)
def priced_site(name: str, gpu: str, gpu_count: int, price_factor: float) -> SiteSpec:
    """A catalogue site with its GPUs, its prices times `price_factor`."""
    site = catalog.site_offers()[name].site(gpu, gpu_count)
    if price_factor == 1:
        return site
    return site.model_copy(
        update={
            "usd_per_gpu_hour": round(site.usd_per_gpu_hour * price_factor, 4),
            "usd_per_vm_hour": round(site.usd_per_vm_hour * price_factor, 4),
        }
    )


def sample_regions(sampled: SampledRegions) -> tuple[RegionSpec, ...]:
    """The largest metro of each continent, then those with most people for the regions that their continent has."""
    waiting: dict[str, list[RegionSpec]] = {}
    for region in sorted(catalog.regions().values(), key=lambda region: (-region.population_m, region.name)):
        waiting.setdefault(catalog.continent_of(region.country), []).append(region)
    taken = dict.fromkeys(waiting, 0)
    chosen: list[RegionSpec] = []
    while len(chosen) < sampled.count:
        ready = [continent for continent, regions in waiting.items() if taken[continent] < len(regions)]
        if not ready:
            raise ValueError(f"the catalogue has {len(chosen)} user regions, not {sampled.count}")
        continent = max(
            ready, key=lambda on: (taken[on] == 0, waiting[on][taken[on]].population_m / (1 + taken[on]), on)
        )
        chosen.append(waiting[continent][taken[continent]])
        taken[continent] += 1
    return tuple(chosen)
