"""Fleets drawn from the catalogue: deterministic, unique, spread out, within the filters, and fast."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from og_env.scenario import catalog, loading
from og_env.scenario.random_fleet import sample_regions, sample_sites, site_pool
from og_env.scenario.specs import SampledRegions, SampledSites

GPUS = ("H100", "A100-80GB", "L40S", "RTX-4090")
STANDARD = SampledSites(count=24, providers=6, gpus=GPUS)


def test_a_seed_draws_the_same_fleet_and_another_seed_another_one() -> None:
    fleets = [sample_sites(STANDARD, seed) for seed in range(30)]
    assert fleets == [sample_sites(STANDARD, seed) for seed in range(30)]
    assert len({tuple(site.name for site in fleet) for fleet in fleets}) == 30
    assert sample_sites(STANDARD) == fleets[STANDARD.seed]


def test_the_standard_fleet_stays_as_its_file_describes_it() -> None:
    sites = loading.resolve(loading.load("global-24")).sites
    providers = Counter(site.provider for site in sites)
    assert len(providers) == 10
    assert providers.most_common(2) == [("equinix", 10), ("ovh", 2)]
    cheapest = sorted(sites, key=lambda site: site.usd_per_gpu_hour / catalog.gpus()[site.gpu].bandwidth_gb_per_s)[:14]
    assert sum(site.provider == "equinix" for site in cheapest) == 10


@given(
    count=st.integers(1, 80),
    providers=st.integers(1, 20),
    seed=st.integers(0, 2**40),
    dominant=st.sampled_from([0.0, 0.2, 0.34, 0.65, 1.0]),
    gpu_count=st.sampled_from([(1, 1), (2, 4), (0, 8)]),
)
@settings(max_examples=80, deadline=None)
def test_any_fleet_obeys_its_spec(
    count: int, providers: int, seed: int, dominant: float, gpu_count: tuple[int, int]
) -> None:
    sampled = SampledSites(
        count=count,
        providers=providers,
        gpus=GPUS,
        gpu_count=gpu_count,
        dominant_share=dominant,
        continents=("EU", "NA"),
    )
    sites = sample_sites(sampled, seed)
    assert len(sites) == len({site.name for site in sites}) == count
    assert len({site.provider for site in sites}) <= min(providers, count)
    for site in sites:
        offer = catalog.site_offers()[site.name.partition("#")[0]]
        assert site.gpu in GPUS
        assert site.gpu in dict(offer.offers)
        assert gpu_count[0] <= site.gpu_count <= gpu_count[1]
        assert catalog.continent_of(site.country) in {"EU", "NA"}
    if dominant:
        assert Counter(site.provider for site in sites).most_common(1)[0][1] >= round(dominant * count)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_drawn_sites_are_valid_site_specs(seed: int) -> None:
    sampled = SampledSites(count=60, providers=4, gpus=("H100",), dominant_share=0.5, dominant_price_factor=0.5)
    for site in sample_sites(sampled, seed):
        assert type(site).model_validate(site.model_dump()) == site


def test_host_classes_continents_and_providers_all_occur() -> None:
    for seed in range(50):
        sites = sample_sites(STANDARD, seed)
        assert {site.host_class for site in sites} == {"hyperscale", "gpu_cloud", "bare_metal", "home"}
        assert len({site.provider for site in sites}) == 6
        assert len({catalog.continent_of(site.country) for site in sites}) >= 4
    seen = Counter(catalog.continent_of(site.country) for seed in range(50) for site in sample_sites(STANDARD, seed))
    assert set(seen) == {"AF", "AS", "EU", "ME", "NA", "OC", "SA"}
    assert min(seen.values()) > 0.02 * sum(seen.values())


def test_the_dominant_provider_has_its_share_and_its_price() -> None:
    plain = SampledSites(count=24, providers=6, gpus=("L40S",), dominant_share=1 / 3)
    cheap = plain.model_copy(update={"dominant_price_factor": 0.5})
    for seed in range(20):
        sites, halved = sample_sites(plain, seed), sample_sites(cheap, seed)
        members = site_pool(plain.host_classes, (), ("L40S",)).members
        dominant = max({site.provider for site in sites}, key=lambda provider: (len(members[provider]), provider))
        assert sum(site.provider == dominant for site in sites) == 8
        for before, after in zip(sites, halved, strict=True):
            factor = 0.5 if before.provider == dominant else 1.0
            assert after.name == before.name
            assert after.usd_per_gpu_hour == pytest.approx(factor * before.usd_per_gpu_hour, abs=1e-4)
            assert after.usd_per_vm_hour == pytest.approx(factor * before.usd_per_vm_hour, abs=1e-4)


def test_more_nodes_than_regions_share_a_region_but_not_a_building() -> None:
    pool = site_pool(STANDARD.host_classes, (), ("H100",))
    regions = len(pool.members["aws"]) + len(pool.members["gcp"])
    assert regions < 512
    sampled = SampledSites(count=512, providers=2, gpus=("H100",), host_classes=("hyperscale",))
    sites = sample_sites(sampled, 3)
    assert len({site.name for site in sites}) == 512
    copies = [site for site in sites if "#" in site.name]
    assert copies
    for site in copies:
        offer = catalog.site_offers()[site.name.partition("#")[0]]
        assert (site.provider, site.region, site.city, site.grid) == (
            offer.provider,
            offer.region,
            offer.city,
            offer.grid,
        )
        assert site.facility == ""
        assert 0.9 <= site.usd_per_gpu_hour / dict(offer.offers)["H100"] <= 1.1
    per_region = Counter(site.region for site in sites)
    assert max(per_region.values()) - min(per_region.values()) <= 1


def test_resolve_with_a_fleet_seed_changes_the_sites_only() -> None:
    spec = loading.load("random-24")
    one, two = loading.resolve(spec, 1), loading.resolve(spec, 2)
    assert one.sites != two.sites
    assert (one.models, one.regions, one.gpus, one.spec) == (two.models, two.regions, two.gpus, two.spec)
    assert loading.sites_of(spec, 1) == one.sites


def test_sampled_regions_are_the_largest_of_each_continent_first() -> None:
    seven = sample_regions(SampledRegions(count=7))
    assert {catalog.continent_of(region.country) for region in seven} == {"AF", "AS", "EU", "ME", "NA", "OC", "SA"}
    for region in seven:
        rivals = [
            other.population_m
            for other in catalog.regions().values()
            if catalog.continent_of(other.country) == catalog.continent_of(region.country)
        ]
        assert region.population_m == max(rivals)
    sixteen = sample_regions(SampledRegions(count=16))
    assert sixteen[:7] == seven
    assert len({region.name for region in sixteen}) == 16
    everything = sample_regions(SampledRegions(count=len(catalog.regions())))
    assert {region.name for region in everything} == set(catalog.regions())
