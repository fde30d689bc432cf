"""The shipped facts are complete, consistent and near independent records; a bad row is one clear line."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from og_env.scenario import catalog
from og_env.scenario.catalog import table_schemas
from og_env.scenario.distance_model import CONTINENTS, great_circle_km
from og_env.scenario.specs import GpuSpec, HostClass, Kind, ModelSpec, SiteSpec
from tests.cases.catalog_tables import ALL_TABLES, raw

SHARED = Path(__file__).parents[3] / "shared"
HYPERSCALERS = {"aws", "gcp", "azure", "oci", "alibaba", "ibm", "tencent"}

DELIBERATE = {
    "aws/ap-southeast-5": "they give the centre of Malaysia; the region is at Kuala Lumpur",
    "aws/ap-southeast-6": "they give the centre of New Zealand; the region is at Auckland",
    "aws/ap-southeast-7": "they give the centre of Thailand; the region is at Bangkok",
    "gcp/asia-southeast3": "they give the centre of Thailand; the region is at Bangkok",
    "azure/eastus": "they give western Virginia; 10 ms to eastus2 and 1-2 ms to its neighbours place it in Ashburn",
    "azure/westcentralus": "they give south-west Wyoming; the data centres are at Cheyenne",
    "azure/francecentral": "they give the centre of France; the region is at Paris",
    "azure/francesouth": "they give Tarn; the region is at Marseille",
    "azure/germanynorth": "they name Berlin, but give Bremen's coordinates",
    "azure/spaincentral": "their longitude lacks its sign",
    "azure/israelcentral": "their point lies in Sinai",
}


def _shared(name: str) -> list[dict[str, str]]:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no reference data at {path}")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_there_is_enough_of_everything() -> None:
    sites = catalog.sites()
    providers = {site.provider for site in sites if site.host_class != "home"}
    assert len(sites) >= 170
    assert len(providers) >= 18
    assert {site.host_class for site in sites} == set(get_args(HostClass))
    assert {site.continent for site in sites} == set(CONTINENTS)
    assert len(catalog.gpus()) >= 12
    assert len(catalog.models()) >= 15
    assert len(catalog.regions()) >= 32
    assert {catalog.continent_of(region.country) for region in catalog.regions().values()} == set(CONTINENTS)
    assert set(catalog.failure_kinds()) == set(get_args(Kind))
    assert len(catalog.incidents()) == 41


def test_every_row_says_where_it_is_from_and_when() -> None:
    for name in ALL_TABLES:
        for number, row in enumerate(raw(name), start=2):
            assert len(row["source"]) > 5, f"{name} line {number}"
            assert date(2024, 1, 1) <= date.fromisoformat(row["as_of"]) <= date(2026, 12, 31), f"{name} line {number}"


def test_sites_are_named_by_provider_and_region() -> None:
    offers = catalog.site_offers()
    assert tuple(offers.values()) == catalog.sites()
    assert all(name == f"{site.provider}/{site.region}" == site.name for name, site in offers.items())
    assert offers["aws/us-east-1"].city == "Ashburn"


def test_a_provider_has_one_host_class_and_clouds_have_a_backbone_of_their_own() -> None:
    classes: dict[str, set[str]] = {}
    for site in catalog.sites():
        classes.setdefault(site.provider, set()).add(site.host_class)
    assert all(len(of) == 1 for of in classes.values())
    assert {provider for provider, of in classes.items() if of == {"hyperscale"}} == HYPERSCALERS
    for site in catalog.sites():
        if site.host_class == "hyperscale":
            assert site.transit.endswith("-backbone"), site.name
        if site.host_class == "home":
            assert not site.transit.endswith("-backbone"), site.name
    assert {site.tee_vendor for site in catalog.sites() if site.provider == "aws"} == {"nitro"}


def test_sites_of_one_city_are_close_and_stand_on_one_grid() -> None:
    metros: dict[tuple[str, str], list[catalog.SiteOffer]] = {}
    for site in catalog.sites():
        state = site.grid if site.country in ("US", "CR") else ""
        metros.setdefault((site.city, site.country + state), []).append(site)
    for (city, country), members in metros.items():
        assert len({site.grid for site in members}) == 1, (city, country)
        first = members[0]
        for site in members:
            km = float(great_circle_km(first.lat_deg, first.lon_deg, site.lat_deg, site.lon_deg))
            assert km < 120, (first.name, site.name, km)


def test_grids_cross_borders_where_they_do_and_stop_where_they_do() -> None:
    grid = {name: site.grid for name, site in catalog.site_offers().items()}
    assert grid["aws/us-east-1"] == grid["gcp/northamerica-northeast2"] == "eastern-interconnection"
    assert grid["aws/us-west-2"] == grid["aws/ca-west-1"] == "western-interconnection"
    assert grid["gcp/us-south1"] == "ercot"
    assert grid["aws/ca-central-1"] == grid["ovh/bhs"] == "quebec"
    assert grid["aws/eu-central-1"] == grid["gcp/europe-west9"] == grid["gcp/europe-central2"] == "continental-europe"
    assert grid["aws/eu-south-2"] == grid["operator-pt-1/lisbon"] == "iberia"
    assert len({grid["aws/ap-northeast-1"], grid["aws/ap-northeast-3"]}) == 2
    assert len({grid["aws/eu-west-1"], grid["aws/eu-west-2"], grid["aws/eu-north-1"]}) == 3


def test_a_building_is_in_one_place_and_some_are_shared_by_providers() -> None:
    buildings: dict[str, list[catalog.SiteOffer]] = {}
    for site in catalog.sites():
        if site.facility:
            buildings.setdefault(site.facility, []).append(site)
    assert all(len({(site.lat_deg, site.lon_deg) for site in members}) == 1 for members in buildings.values())
    assert sum(len({site.provider for site in members}) > 1 for members in buildings.values()) >= 5


def test_a_site_with_gpus_has_the_price_that_was_offered() -> None:
    offer = catalog.site_offers()["aws/us-east-1"]
    site = offer.site("H100", 4)
    assert isinstance(site, SiteSpec)
    assert (site.gpu, site.gpu_count, site.usd_per_gpu_hour) == ("H100", 4, dict(offer.offers)["H100"])
    assert site.name == "aws/us-east-1"
    assert all(getattr(site, field) == getattr(offer, field) for field in table_schemas.MATCHABLE)
    with pytest.raises(ValueError, match="aws/us-east-1 does not offer 'RTX-4090'"):
        offer.site("RTX-4090", 1)


def test_prices_are_in_the_bands_of_their_host_class() -> None:
    """No offer is more than 2.5 times off the table's price for that kind and class (level of the country included)."""
    for site in catalog.sites():
        for gpu, usd in site.offers:
            table = catalog.gpus()[gpu].usd_per_hour
            assert site.host_class in table, f"{site.name} offers {gpu}, which the GPU table has no price for"
            assert 0.4 <= usd / table[site.host_class] <= 2.5, (site.name, gpu, usd, table[site.host_class])


def test_gpu_tables_agree_with_the_reference_facts() -> None:
    names = {
        "RTX 4090": "RTX-4090",
        "RTX 6000 Ada": "RTX-6000-Ada",
        "A100 80GB": "A100-80GB",
        "H100 SXM": "H100",
        "H200 SXM": "H200",
    }
    for row in _shared("facts/gpus.csv"):
        if row["gpu"].startswith("Nitro"):
            continue
        gpu = catalog.gpus()[names.get(row["gpu"], row["gpu"])]
        assert gpu.memory_gb == float(row["vram_gb"])
        assert gpu.bandwidth_gb_per_s == float(row["mem_bw_GBps"])
        low, _, high = row["usd_per_hour_range"].partition("-")
        assert max(gpu.usd_per_hour.values()) <= float(high or low), gpu.name
        speed = row["tok_s_1stream_llama8b_bf16(derived 0.77*bw/16)"]
        if speed:
            derived = catalog.tokens_per_s(catalog.models()["llama-3.1-8b-bf16"], gpu)
            assert derived == pytest.approx(float(speed), abs=0.06), gpu.name


def test_models_agree_with_the_reference_facts() -> None:
    ours = catalog.models()
    known = {(model.weights_gb, model.memory_gb) for model in ours.values()}
    facts = _shared("facts/models.csv")
    for row in facts:
        weights_gb, memory_gb = float(row["weights_gb"]), float(row["vram_gb_8k_ctx"])
        if row["kind"] == "proxy":
            assert ours["llm-proxy"].memory_gb <= 0.1
        elif not row["model"].startswith("FLUX"):  # the facts leave out its text encoder
            assert (weights_gb, memory_gb) in known, row["model"]
    assert len(ours) >= len(facts)


def test_decode_speed_follows_bandwidth_active_weights_and_gpu_count() -> None:
    gpu = GpuSpec(name="g", memory_gb=10.0, bandwidth_gb_per_s=1000.0, usd_per_hour={})
    dense = ModelSpec(name="m", weights_gb=10.0, memory_gb=25.0)
    assert catalog.tokens_per_s(dense, gpu) == pytest.approx(77.0)
    assert catalog.tokens_per_s(dense, gpu, 3) == pytest.approx(231.0)
    sparse = dense.model_copy(update={"active_weights_gb": 2.0})
    assert catalog.tokens_per_s(sparse, gpu) == pytest.approx(385.0)
    told = dense.model_copy(update={"tokens_per_s": {"g": 50.0}})
    assert catalog.tokens_per_s(told, gpu, 4) == 50.0
    assert catalog.gpus_per_replica(dense, gpu) == 3
    assert catalog.gpus_per_replica(dense.model_copy(update={"memory_gb": 30.0}), gpu) == 3
    with pytest.raises(ValueError, match="has no memory"):
        catalog.gpus_per_replica(dense, gpu.model_copy(update={"memory_gb": 0.0}))


def test_every_model_fits_on_a_site_and_the_proxy_needs_no_gpu() -> None:
    offered = {gpu for site in catalog.sites() for gpu, _ in site.offers}
    assert offered <= set(catalog.gpus())
    for model in catalog.models().values():
        assert model.memory_gb >= model.weights_gb, model.name
        assert (model.active_weights_gb or model.weights_gb) <= model.weights_gb, model.name
        assert min(catalog.gpus_per_replica(model, catalog.gpus()[gpu]) for gpu in offered) <= 8, model.name
    proxy, risk, host = catalog.models()["llm-proxy"], catalog.models()["onnx-risk-zkml"], catalog.gpus()["cpu-host"]
    assert catalog.gpus_per_replica(proxy, host) == 1
    assert {catalog.tokens_per_s(proxy, gpu) for gpu in catalog.gpus().values()} == {65.0}
    assert risk.verification == "zkml"
    assert risk.proof_multiplier >= 1000
    assert 1 <= risk.proof_multiplier * risk.output_tokens / catalog.tokens_per_s(risk, host) <= 10, "proof seconds"


def test_user_metros_are_real_cities_with_their_time() -> None:
    for region in catalog.regions().values():
        # Standard time is within 2.5 hours of the sun everywhere; China and Spain are far west of their zones.
        assert abs(region.utc_offset_h - region.lon_deg / 15) < 2.5, region.name
        assert 1 <= region.population_m <= 40, region.name
    assert catalog.regions()["mumbai"].utc_offset_h == 5.5
    assert catalog.regions()["sao-paulo"].utc_offset_h == -3


def test_failure_parameters_are_those_of_the_failure_model() -> None:
    kinds = catalog.failure_kinds()
    assert kinds["provider"].rate_per_year == 0.27
    assert kinds["provider"].effects == {"FROZEN": 0.6, "DOWN": 0.4}
    assert kinds["grid"].hit_by_host_class["home"] == 1
    assert kinds["grid"].hit_by_host_class["hyperscale"] == 0.3
    assert {kind for kind, spec in kinds.items() if spec.heavy_weight != 0.15} == {"llm_vendor"}, (
        "their median is of all"
    )
    assert all(spec.heavy_duration_h > spec.duration_h for spec in kinds.values())
    assert catalog.rate_per_year("tee_vendor", "sev-snp") == 3
    assert catalog.rate_per_year("tee_vendor", "tdx") == 1.5
    assert catalog.rate_per_year("tee_vendor", "nitro") == 0
    assert catalog.rate_per_year("region", "aws/us-east-1") == 0.9
    assert catalog.rate_per_year("region", "aws/us-west-2") == kinds["region"].rate_per_year == 0.1
    assert catalog.failure_kind("tee_vendor", "sev-snp").effects == {"UNTRUSTED": 1.0}
    with pytest.raises(ValueError, match=r"unknown kind of dependency 'providr' \(nearest valid: provider\)"):
        catalog.failure_kind("providr")


def test_incidents_are_the_recorded_ones() -> None:
    ours = catalog.incidents()
    for row in _shared("facts/incidents.csv"):
        incident = ours[row["id"]]
        assert incident.date == row["date"]
        assert incident.duration_h == float(row["duration_h"])
        assert incident.record_kind == row["kind"]
        hours, _, minutes = row["start_utc"].partition(":")
        expected = int(hours) + int(minutes) / 60 if hours else None
        assert incident.start_utc_h == (pytest.approx(expected, abs=1e-3) if hours else None)
        assert incident.summary != row["effect"]


def test_incidents_hit_what_they_are_about() -> None:
    """A pattern of every incident names real fields (checked on load) and, but for three, catches a catalogue site."""
    hits = {
        incident.id: [site for site in catalog.sites() if catalog.matches(incident, site)]
        for incident in catalog.incidents().values()
    }
    # Nobody in the catalogue stands behind Fastly, in Meta's network or on Windows.
    assert {name for name, sites in hits.items() if not sites} == {
        "fastly-2021-06-08",
        "facebook-2021-10-04",
        "crowdstrike-2024-07-19",
    }
    assert [site.name for site in hits["gcp-oci-2022-07-19"]] == ["gcp/europe-west2", "oci/uk-london-1"]
    assert [site.name for site in hits["aws-uae-2026-03-01"]] == ["aws/me-south-1", "aws/me-central-1"]
    assert {site.provider for site in hits["hetzner-solana-2022-11-02"]} == {"hetzner"}
    assert {site.country for site in hits["iberia-2025-04-28"]} == {"ES", "PT"}
    assert all(site.tee_vendor != "nitro" for site in hits["teefail-2025-10-28"])
    assert {site.transit for site in hits["lumen-2020-08-30"]} == {"lumen"}
    effects = {incident.id: incident.effect for incident in catalog.incidents().values()}
    for incident in catalog.incidents().values():
        if incident.record_kind == "tee_break":
            assert effects[incident.id] == "UNTRUSTED"
        if incident.record_kind == "provider_control_plane":
            assert effects[incident.id] == "FROZEN"
        if incident.record_kind == "network_cable":
            assert effects[incident.id] == "SLOW"
        assert sum(catalog.matches(incident, site.site(site.offers[0][0], 1)) for site in catalog.sites()) == len(
            hits[incident.id]
        )


def test_coordinates_are_within_150_km_of_an_independent_list() -> None:
    theirs = {
        (row["provider"], row["region"].lower()): (float(row["lat"]), float(row["lon"]), row["country"])
        for row in _shared("data/regions/cloud_regions.csv")
    }
    hetzner = {"nbg1": "2", "hel1": "3", "fsn1": "4", "ash": "5", "hil": "6", "sin": "7"}
    compared, far = 0, set()
    for site in catalog.sites():
        provider = {"alibaba": "alicloud", "hetzner": "hcloud"}.get(site.provider, site.provider)
        key = (provider, hetzner.get(site.region, site.region) if provider == "hcloud" else site.region)
        if key in theirs:
            lat_deg, lon_deg, country = theirs[key]
            compared += 1
            assert country == site.country, site.name
            if great_circle_km(lat_deg, lon_deg, site.lat_deg, site.lon_deg) > 150:
                far.add(site.name)
    assert compared >= 200
    assert far == set(DELIBERATE)


def test_aws_egress_prices_are_the_list_prices() -> None:
    listed = {
        row["src"]: float(row["cost"])
        for row in _shared("data/prices/aws_egress_cost_pairs_skyplane.csv")
        if row["dst"] == "internet"
    }
    ours = {site.region: site.egress_usd_per_gb for site in catalog.sites() if site.provider == "aws"}
    common = ours.keys() & listed.keys()
    assert len(common) >= 15
    assert {region: ours[region] for region in common} == {region: listed[region] for region in common}
