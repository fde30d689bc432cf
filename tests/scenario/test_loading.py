"""Shipped scenarios load; a scenario is given by name, path, tables or spec, and entries change the catalogue's."""

from __future__ import annotations

from pathlib import Path

import pytest

from og_env.scenario import catalog, loading
from og_env.scenario.specs import ScenarioSpec
from tests.cases.scenario_tables import SITE, complaint, with_

SHIPPED = (
    "far-and-full",
    "flash-crowd",
    "global-16",
    "global-24",
    "global-512",
    "global-64",
    "grey-failures",
    "grid-blackout",
    "hidden-facility",
    "near-but-cold",
    "one-cloud",
    "opengradient",
    "price-of-distance",
    "provider-blackout",
    "random-24",
    "scarcity",
    "store-loss",
    "tee-break",
    "toy-3",
)


SIZES = {  # sites, regions, models
    "toy-3": (3, 1, 1),
    "global-16": (16, 8, 4),
    "global-24": (24, 8, 4),
    "global-64": (64, 16, 8),
    "global-512": (512, 64, 16),
    "random-24": (24, 8, 4),
}


def test_every_scenario_of_the_contract_is_shipped() -> None:
    assert tuple(loading.names()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenario_loads_and_resolves(name: str) -> None:
    spec = loading.load(name)
    whole = loading.resolve(spec)
    assert spec.name == name
    assert (loading.scenarios_folder() / f"{name}.toml").read_text().startswith("#")
    assert len({site.name for site in whole.sites}) == len(whole.sites)
    assert loading.resolve(spec).sites == whole.sites
    if name in SIZES:
        assert (len(whole.sites), len(whole.regions), len(whole.models)) == SIZES[name]


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "toy-3"])
def test_every_model_fits_on_a_good_part_of_the_sites(name: str) -> None:
    whole = loading.resolve(loading.load(name))
    for model in whole.models:
        room = [
            catalog.gpus_per_replica(model, whole.gpus[site.gpu]) <= site.gpu_count
            for site in whole.sites
            if site.gpu_count
        ]
        assert sum(room) >= len(whole.sites) / 3, model.name


def test_random_24_is_global_24_but_for_its_fleet() -> None:
    own = {"name", "description", "fleet"}
    assert loading.load("random-24").model_dump(exclude=own) == loading.load("global-24").model_dump(exclude=own)
    assert loading.load("random-24").fleet == "random"


def test_toy_3_shares_two_dependencies_and_leaves_nothing_to_chance() -> None:
    whole = loading.resolve(loading.load("toy-3"))
    a, b, c = whole.sites
    for field in ("provider", "region", "city", "country", "grid", "transit", "tee_vendor", "image"):
        values = [getattr(site, field) for site in (a, b, c)]
        shared = {"provider": a.provider == b.provider != c.provider, "grid": b.grid == c.grid != a.grid}
        assert shared.get(field, len(set(values)) == 3), field
    assert not (a.facility or b.facility or c.facility or a.upstream or b.upstream or c.upstream)
    assert whole.spec.failures.process == "none"
    assert whole.spec.demand.burst_sd == whole.spec.demand.diurnal_amplitude == 0


def test_the_outages_strike_what_the_scenarios_say() -> None:
    struck = {
        "provider-blackout": lambda site: site.provider == "equinix",
        "grid-blackout": lambda site: site.grid == "continental-europe",
        "tee-break": lambda site: site.tee_vendor == "sev-snp",
        "store-loss": lambda site: site.provider == "ovh",
        "one-cloud": lambda site: site.provider == "aws",
    }
    share = {}
    for name, hit in struck.items():
        sites = loading.resolve(loading.load(name)).sites
        share[name] = sum(map(hit, sites)) / len(sites)
    assert share["provider-blackout"] == 6 / 16
    assert share["grid-blackout"] == 8 / 16
    assert share["tee-break"] == 9 / 16
    assert share["one-cloud"] == 13 / 20
    stores = loading.load("store-loss").start.store_sites
    assert stores
    assert all(name.startswith("ovh/") for name in stores)
    dark = [site for site in loading.resolve(loading.load("grid-blackout")).sites if struck["grid-blackout"](site)]
    assert (len({site.provider for site in dark}), len({site.country for site in dark})) == (8, 5)
    assert "none" not in {site.tee_vendor for site in loading.resolve(loading.load("tee-break")).sites}
    whole = loading.resolve(loading.load("opengradient"))
    serving = {name for names in whole.spec.start.replica_sites.values() for name in names}
    today, candidates = whole.sites[:14], whole.sites[14:]
    assert {site.name for site in today} == serving
    assert {site.tee_vendor for site in today} == {"nitro"}
    assert {site.facilitator for site in today} == {"registry"}
    assert len(candidates) == 10 and "nitro" not in {site.tee_vendor for site in candidates}
    assert "registry" not in {site.facilitator for site in candidates}


def test_a_scenario_is_given_as_name_path_tables_or_spec(tmp_path: Path) -> None:
    spec = loading.load("toy-3")
    path = loading.scenarios_folder() / "toy-3.toml"
    assert loading.load(path) == spec
    assert loading.load(str(path)) == spec
    assert loading.load(spec) == spec
    assert loading.load(spec.model_dump()) == spec
    assert loading.load(spec.model_dump(mode="json")) == spec


def test_relative_rtt_table_is_beside_the_file(tmp_path: Path) -> None:
    text = (loading.scenarios_folder() / "toy-3.toml").read_text()
    (tmp_path / "own.toml").write_text(text.replace("[network]", '[network]\nrtt_csv = "rtt.csv"'))
    assert loading.load(tmp_path / "own.toml").network.rtt_csv == str(tmp_path / "rtt.csv")


def test_entries_change_catalogue_sites_and_models() -> None:
    tables = with_(
        sites=[
            "equinix/am",
            {"name": "aws/us-east-1", "gpu": "L40S", "gpu_count": 2, "usd_per_gpu_hour": 9.0, "image": "own"},
            {"name": "hetzner/fsn1", "gpu": "L40S", "use_usd_per_gpu_hour": 1.5},
            SITE,
        ],
        models=[{"name": "llama-3.1-8b-bf16", "streams": 3, "input_tokens": 7.0, "slo_clock": "answer"}, "sdxl-fp16"],
    )
    whole = loading.resolve(loading.load(tables))
    first_gpu, first_price = catalog.site_offers()["equinix/am"].offers[0]
    plain, changed, unusual, own = whole.sites
    assert (plain.gpu, plain.usd_per_gpu_hour, plain.gpu_count) == (first_gpu, first_price, loading.DEFAULT_GPU_COUNT)
    assert (changed.gpu, changed.gpu_count, changed.usd_per_gpu_hour, changed.image) == ("L40S", 2, 9.0, "own")
    assert changed.city == catalog.site_offers()["aws/us-east-1"].city
    assert unusual.usd_per_gpu_hour == catalog.gpus()["L40S"].usd_per_hour["bare_metal"]
    assert own.name == "own"
    assert (unusual.use_usd_per_gpu_hour, changed.use_usd_per_gpu_hour) == (1.5, None)
    changed_model = whole.models[0]
    assert (changed_model.streams, changed_model.input_tokens, changed_model.slo_clock) == (3, 7.0, "answer")
    assert whole.models[1] == catalog.models()["sdxl-fp16"]


def test_override_changes_one_key_and_checks_it() -> None:
    spec = loading.load("global-16")
    twin = loading.override(spec, {"failures.process": "independent", "episode.steps": 12})
    assert twin.failures.process == "independent"
    assert twin.episode.steps == 12
    assert twin.sites == spec.sites
    for changes, expected in (
        ({"failurs.process": "none"}, "nearest valid: failures"),
        ({"failures.proces": "none"}, "nearest valid: process"),
        ({"failures.process": "independant"}, "nearest valid: independent"),
        ({"sites.count": -1}, "sites.count: must be >= 1, not -1"),
    ):
        with pytest.raises(ValueError, match=expected):
            loading.override(spec, changes)


def test_specs_made_in_python_are_checked_too() -> None:
    broken = loading.load("toy-3").model_copy(update={"models": ()})
    assert "models: is empty" in complaint(broken)
    assert isinstance(loading.load("toy-3"), ScenarioSpec)
    assert "not int" in complaint(3)


@pytest.mark.parametrize(
    ("name", "nearest"), [("globl-24", "global-24"), ("Tee-Break", "tee-break"), ("store_loss", "store-loss")]
)
def test_unknown_scenario_suggests_the_nearest(name: str, nearest: str) -> None:
    assert complaint(name) == f"unknown scenario {name!r} (nearest valid: {nearest})"


def test_odd_names_are_unknown_scenarios() -> None:
    for name in ("", "a\0b", "x" * 5000, "../..\0"):
        assert "unknown scenario" in complaint(name)


def test_an_installed_package_finds_its_own_scenarios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages" / "og_env"
    folder = installed / "configs" / "scenarios"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text((loading.scenarios_folder() / "toy-3.toml").read_text())
    monkeypatch.setattr(loading, "__file__", str(installed / "scenario" / "loading.py"))
    assert loading.names() == ["mine"]
    assert loading.load("mine").name == "toy-3"
