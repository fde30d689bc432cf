"""Sources of shocks of a compiled world, against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from og_env.kernel.arrays import DOWN, UNTRUSTED
from og_env.scenario import catalog, loading
from og_env.scenario.domain_kinds import KINDS
from og_env.world import CompiledWorld, Domain, Source
from tests.cases.compiled_worlds import BY_CATALOGUE, compiled


def test_toy_never_fails() -> None:
    world = compiled()
    assert world.sources == ()
    assert world.source_arrays.member_start.tolist() == [0]
    assert world.source_arrays.effects.shape == (0, 4)
    assert not world.arrays.domain_rate.any() and not world.arrays.site_hazard.any()
    assert np.array_equal(world.arrays.correlation[0], np.eye(3))


def rate_by_domain(world: CompiledWorld) -> dict[tuple[str, str], float]:
    return {(source.kind, source.name): source.rate_per_h for source in world.sources}


def test_shocks_per_day_are_shared_out_by_kind_and_domain() -> None:
    world = compiled("global-24")
    rates = rate_by_domain(world)
    a_day = world.resolved.spec.failures.shocks_per_day
    assert a_day is not None and sum(rates.values()) == pytest.approx(a_day / 24)
    for kind, share in world.resolved.spec.failures.kind_shares.items():
        of_kind = [rate for (other, _), rate in rates.items() if other == kind]
        assert sum(of_kind) == pytest.approx(a_day * share / 24)
        assert len(set(of_kind)) == 1
        assert len(of_kind) == sum(domain.kind == kind for domain in world.all_domains)


def test_the_share_of_an_absent_kind_goes_to_the_others() -> None:
    shares = {"provider": 0.3, "grid": 0.1, "upstream": 0.6}
    rates = rate_by_domain(
        compiled(failures__process="correlated", failures__shocks_per_day=4.0, failures__kind_shares=shares)
    )
    assert rates["provider", "P"] + rates["provider", "Q"] == pytest.approx(3 / 24)
    assert rates["grid", "A"] + rates["grid", "G"] == pytest.approx(1 / 24)


def test_catalogue_rates_times_intensity() -> None:
    world = compiled("global-24", **BY_CATALOGUE, failures__intensity=3.0)
    rates = rate_by_domain(world)
    for domain in world.all_domains:
        yearly = catalog.rate_per_year(domain.kind, domain.name)
        assert rates.get((domain.kind, domain.name), 0.0) == pytest.approx(3 * yearly / 8760)


def test_durations_and_effects() -> None:
    world = compiled("global-24", failures__duration_scale=2.0)
    for source in world.sources:
        kind = catalog.failure_kind(source.kind, source.name)
        assert (source.median_h, source.heavy_median_h) == (2 * kind.duration_h, 2 * kind.heavy_duration_h)
        assert sum(source.effects) == pytest.approx(1)
        frozen = (
            world.resolved.spec.failures.frozen_share
            if source.kind in ("region", "provider")
            else kind.effects.get("FROZEN", 0.0)
        )
        assert source.effects[1] == pytest.approx(frozen)
        mean_h = 0.85 * source.median_h * math.exp(source.sigma**2 / 2)
        mean_h += 0.15 * source.heavy_median_h * math.exp(source.heavy_sigma**2 / 2)
        assert source.mean_h == pytest.approx(mean_h)
    providers = [f for f, domain in enumerate(world.domains) if domain.kind == "provider"]
    assert set(world.arrays.domain_effect[0, providers].tolist()) == {DOWN}
    tee = [f for f, domain in enumerate(world.domains) if domain.kind == "tee_vendor"]
    assert set(world.arrays.domain_effect[0, tee].tolist()) == {UNTRUSTED}


def test_regimes_keep_the_average() -> None:
    world = compiled("global-24", failures__fragile_share=0.1, failures__fragile_factor=20.0)
    for source in world.sources:
        average = 0.9 * source.calm_rate_per_h + 0.1 * source.fragile_rate_per_h
        assert average == pytest.approx(source.rate_per_h)
        regimes = source.shared >= 0
        assert source.fragile_rate_per_h == pytest.approx(source.calm_rate_per_h * (20 if regimes else 1))
        assert regimes == (len(source.members) >= 2)
        if regimes:
            assert world.domains[source.shared] == Domain(source.kind, source.name, source.members)
            growth = 0.4 * (source.fragile_rate_per_h - source.calm_rate_per_h) * 4
            assert world.arrays.fragile_rate[0, source.shared] == pytest.approx(
                source.fragile_rate_per_h / (1 + growth)
            )
            assert world.arrays.domain_rate[0, source.shared] == pytest.approx(source.rate_per_h)


def by_site(sources: tuple[Source, ...]) -> list[tuple[Any, ...]]:
    """Parameters of every shock source of each site, sorted, with its rate last."""
    rows = [
        (member, source.kind, source.name, hit, *source[6:])
        for source in sources
        for member, hit in zip(source.members, source.hit, strict=True)
    ]
    return sorted((*row, rate) for row, rate in zip(rows, rates_of(sources), strict=True))


def rates_of(sources: tuple[Source, ...]) -> list[float]:
    return [source.rate_per_h for source in sources for _ in source.members]


def test_the_independent_twin_has_the_same_marginals_and_no_company() -> None:
    world, twin = compiled("global-24"), compiled("global-24", failures__process="independent")
    assert by_site(world.sources) == by_site(twin.sources)
    assert all(len(source.members) == 1 for source in twin.sources)
    assert any(source.shared >= 0 for source in twin.sources)
    assert world.domains == twin.domains
    assert np.allclose(world.arrays.site_hazard, twin.arrays.site_hazard)
    assert world.arrays.site_hazard.min() > 0
    assert np.array_equal(twin.arrays.correlation[0], np.eye(24))
    assert world.arrays.correlation[0].sum() > 30
    shared = world.sizes["S"]
    assert not twin.arrays.domain_rate[0, :shared].any() and not twin.arrays.fragile_rate.any()
    hits = sum(source.rate_per_h * sum(source.hit) for source in world.sources)
    assert twin.arrays.domain_rate[0, shared:].sum() == pytest.approx(hits, rel=1e-5)


def test_no_failures_without_a_process() -> None:
    assert compiled("global-24", failures__process="none").sources == ()


@pytest.mark.parametrize("process", ["correlated", "independent"])
def test_source_arrays_are_the_sources(process: str) -> None:
    world = compiled("global-24", failures__process=process)
    arrays = world.source_arrays
    assert len(arrays.rate_per_h) == len(world.sources) == len(arrays.member_start) - 1
    for r, source in enumerate(world.sources):
        inside = slice(arrays.member_start[r], arrays.member_start[r + 1])
        assert tuple(arrays.member_site[inside]) == source.members
        assert tuple(arrays.member_hit[inside]) == source.hit
        assert KINDS[arrays.kind[r]] == source.kind
        assert tuple(arrays.effects[r]) == source.effects
        for name in (
            "rate_per_h",
            "calm_rate_per_h",
            "fragile_rate_per_h",
            "median_h",
            "sigma",
            "heavy_median_h",
            "heavy_sigma",
            "heavy_weight",
            "shared",
        ):
            assert getattr(arrays, name)[r] == getattr(source, name)
    assert arrays.member_start[-1] == len(arrays.member_site) == len(arrays.member_hit)


def test_a_shock_hits_by_host_class() -> None:
    world = compiled("global-24", **BY_CATALOGUE)
    rows = catalog.failure_kind("grid").hit_by_host_class
    seen = set()
    for source in world.sources:
        if source.kind == "grid":
            for member, hit in zip(source.members, source.hit, strict=True):
                assert hit == rows[world.resolved.sites[member].host_class]
                seen.add(hit)
    assert len(seen) > 1


def test_an_llm_vendor_fails_often_in_part_and_in_bursts_of_its_own() -> None:
    sites = [
        {"name": name, "llm_vendor": vendor}
        for name, vendor in (
            ("aws/us-east-1", "v"),
            ("gcp/us-central1", "v"),
            ("oci/us-ashburn-1", "w"),
            ("ovh/gra", "w"),
        )
    ]
    world = compiled("global-16", sites=sites, failures__shocks_per_day=None)
    vendors = [source for source in world.sources if source.kind == "llm_vendor"]
    assert {(source.name, len(source.members)) for source in vendors} == {("v", 2), ("w", 2)}, "each fails alone"
    one = vendors[0]
    per_year = one.rate_per_h * 8766
    assert 70 <= per_year <= 90 and one.median_h == 1
    hours = per_year * one.mean_h * one.hit[0]
    assert hours * one.effects[0] / 8766 < 0.001 and hours * one.effects[3] / 8766 < 0.003
    # spans of 8 h for 0.02 of the time: 22 a year with 3.6 incidents each, on 6 to 8 % of the days
    assert (one.fragile_share, one.fragile_dwell_h, one.aftershock) == (0.02, 8, 0)
    spans = one.fragile_share * 8766 / one.fragile_dwell_h
    touched = spans * (1 - 1 / (1 + one.fragile_rate_per_h * one.fragile_dwell_h)) * (1 + one.fragile_dwell_h / 24 / 2)
    assert 0.05 < (touched + one.calm_rate_per_h * 8766) / 365 < 0.08
    others = [source for source in world.sources if source.kind == "provider"]
    assert all(source.aftershock == world.resolved.spec.failures.aftershock for source in others)


def test_no_shipped_fleet_names_a_vendor_or_an_edge() -> None:
    for name in loading.names():
        kinds = {source.kind for source in compiled(name).sources}
        assert not kinds & {"llm_vendor", "edge"}, name
