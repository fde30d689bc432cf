"""Loading, checking and resolving scenarios: good files load, every kind of bad input is one line."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from og_env.scenario import catalog, loading
from og_env.scenario.specs import ScenarioSpec

SHIPPED = (
    "flash-crowd",
    "global-16",
    "global-24",
    "global-512",
    "global-64",
    "grid-blackout",
    "hidden-facility",
    "near-but-cold",
    "one-cloud",
    "opengradient",
    "provider-blackout",
    "random-24",
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
GOOD: dict[str, Any] = {
    "name": "test",
    "description": "two named sites",
    "sites": [
        {"name": "aws/us-east-1", "gpu": "H100", "gpu_count": 2},
        {"name": "equinix/am", "gpu": "L40S", "gpu_count": 4},
    ],
    "models": ["llama-3.1-8b-bf16"],
    "regions": ["london", "tokyo"],
}
SITE = {
    "name": "own", "provider": "me", "region": "r", "city": "Bern", "country": "CH", "lat_deg": 46.9, "lon_deg": 7.4,
    "grid": "g", "transit": "t", "tee_vendor": "none", "host_class": "home", "gpu": "H100", "gpu_count": 1,
    "usd_per_gpu_hour": 2.0,
}  # fmt: skip
SAMPLED = {"sites": {"count": 8, "providers": 3, "gpus": ["H100", "L40S"]}}


def with_(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **changes}


def complaint(tables: Any) -> str:
    with pytest.raises(ValueError, match=": ") as caught:
        loading.load(tables)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


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
    network = loading.resolve(loading.load("opengradient")).sites
    assert {site.tee_vendor for site in network} == {"nitro"}
    assert {site.facilitator for site in network} == {"registry"}


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
            {"name": "hetzner/fsn1", "gpu": "L40S"},
            SITE,
        ],
        models=[{"name": "llama-3.1-8b-bf16", "streams": 3}, "sdxl-fp16"],
    )
    whole = loading.resolve(loading.load(tables))
    first_gpu, first_price = catalog.site_offers()["equinix/am"].offers[0]
    plain, changed, unusual, own = whole.sites
    assert (plain.gpu, plain.usd_per_gpu_hour, plain.gpu_count) == (first_gpu, first_price, loading.DEFAULT_GPU_COUNT)
    assert (changed.gpu, changed.gpu_count, changed.usd_per_gpu_hour, changed.image) == ("L40S", 2, 9.0, "own")
    assert changed.city == catalog.site_offers()["aws/us-east-1"].city
    assert unusual.usd_per_gpu_hour == catalog.gpus()["L40S"].usd_per_hour["bare_metal"]
    assert own.name == "own"
    assert whole.models[0].streams == 3
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


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt key": (with_(regoins=["london"]), "regoins: unknown key (nearest valid: regions)"),
    "misspelt key in a table": (with_(demand={"request_per_s": 1.0}), "(nearest valid: requests_per_s)"),
    "misspelt key three deep": (
        with_(failures={"outages": [{"domain": "grid:x", "start_h": 1.0, "duration": 1.0}]}),
        "failures.outages[0].duration: unknown key (nearest valid: duration_h)",
    ),
    "misspelt key of an entry": (
        with_(sites=[{"name": "aws/us-east-1", "gpu_cuont": 2}]),
        "sites[0].gpu_cuont: unknown key (nearest valid: gpu_count)",
    ),
    "misspelt key of a sampler": (with_(sites={"count": 3, "provider": 2}), "sites.provider: unknown key"),
    "negative price": (with_(sites=[{**SITE, "usd_per_gpu_hour": -2.0}]), "sites[0].usd_per_gpu_hour: must be >= 0"),
    "latitude 123": (with_(sites=[{**SITE, "lat_deg": 123.0}]), "sites[0].lat_deg: must be <= 90, not 123"),
    "not a number": (with_(sites=[{**SITE, "lat_deg": float("nan")}]), "sites[0].lat_deg: must be a finite number"),
    "wrong type": (with_(demand={"requests_per_s": "many"}), "demand.requests_per_s: must be a number, not 'many'"),
    "yes is not 1": (with_(episode={"steps": True}), "episode.steps: must be a whole number, not True"),
    "half a step": (with_(episode={"steps": 1.5}), "episode.steps: must be a whole number, not 1.5"),
    "table wanted": (with_(episode=5), "episode: must be a table, not 5"),
    "list wanted": (with_(models="llama-3.1-8b-bf16"), "models: must be a list of names and tables"),
    "name or table wanted": (with_(models=[5]), "models[0]: must be a name or a table, not 5"),
    "missing": ({key: part for key, part in GOOD.items() if key != "models"}, "models: is missing"),
    "missing in a table": (with_(regions=[{"name": "x", "lat_deg": 1.0}]), "regions[0].country: is missing"),
    "unknown word": (with_(fleet="fixde"), "fleet: 'fixde' is not valid (nearest valid: fixed)"),
    "unknown version": (with_(version=2), "version: 2 is not valid (valid: 1)"),
    "unknown site": (with_(sites=["aws/us-esat-1"]), "sites[0]: unknown site 'aws/us-esat-1' (nearest valid: aws/us-e"),
    "unknown GPU": (with_(sites=[{"name": "aws/us-east-1", "gpu": "H1000"}]), "GPU 'H1000' (nearest valid: H100)"),
    "unknown GPU of an own site": (with_(sites=[{**SITE, "gpu": "H20O"}]), "sites[0].gpu: unknown GPU 'H20O'"),
    "unknown GPU of a sampler": (with_(sites={"count": 3, "gpus": ["L4OS"]}), "sites.gpus[0]: unknown GPU 'L4OS'"),
    "unknown model": (with_(models=["llama-3.1-8b"]), "models[0]: unknown model 'llama-3.1-8b' (nearest valid: llama"),
    "unknown region": (with_(regions=["londn"]), "regions[0]: unknown user region 'londn' (nearest valid: london)"),
    "unknown kind": (
        with_(failures={"kind_shares": {"providr": 1.0}}),
        "failures.kind_shares.providr: 'providr' is not valid (nearest valid: provider)",
    ),
    "unknown continent": (with_(sites={"count": 3, "continents": ["XX"]}), "sites.continents[0]: unknown continent"),
    "shares do not sum to 1": (
        with_(failures={"kind_shares": {"grid": 0.5}}),
        "failures: kind_shares sum to 0.5, not 1",
    ),
    "shocks without shares": (with_(failures={"shocks_per_day": 1.0}), "shocks_per_day needs kind_shares"),
    "no demand": (with_(models=[{"name": "sdxl-fp16", "share": 0}]), "models: every share is 0"),
    "empty fleet": (with_(sites=[]), "sites: is empty"),
    "nothing to serve": (with_(models=[]), "models: is empty"),
    "fleet of none": (with_(sites={"count": 0}), "sites.count: must be >= 1, not 0"),
    "duplicate site": (with_(sites=["equinix/am", "equinix/am"]), "sites: 'equinix/am' is listed 2 times"),
    "duplicate model": (with_(models=["sdxl-fp16"] * 3), "models: 'sdxl-fp16' is listed 3 times"),
    "duplicate region": (with_(regions=["london", "london"]), "regions: 'london' is listed 2 times"),
    "nameless site": (with_(sites=[{**SITE, "name": " "}]), "sites: has an empty name"),
    "model too large": (
        with_(models=["llama-3.1-405b-bf16"]),
        "needs 912 GB of GPU memory, which no site has (largest: 192",
    ),
    "no GPU anywhere": (with_(sites=[{**SITE, "gpu_count": 0}]), "which no site has (largest: 0 GB)"),
    "too many sites": (with_(sites=["equinix/am"] * 2_000_000), "sites: has 2,000,000 entries (at most 4,096)"),
    "too large a sample": (with_(sites={"count": 2_000_000}), "sites.count: must be <= 4096, not 2000000"),
    "too many providers": (with_(sites={"count": 9, "gpus": ["GH200"], "providers": 99}), "but only"),
    "too many regions": (with_(regions={"count": 512}), "regions.count: 512, but the catalogue has"),
    "GPU count upside down": (
        with_(sites={"count": 9, "gpu_count": [4, 2]}),
        "sites.gpu_count: fewest 4 is above most 2",
    ),
    "no such sites": (with_(sites={"count": 9, "gpus": ["H100"], "host_classes": ["home"]}), "no catalogue site has"),
    "random list": (with_(fleet="random"), "fleet: random needs sampled sites"),
    "huge number": (with_(sites={"count": 3, "seed": 10**30}), "sites.seed: is too large a number"),
    "outage of nothing": (
        with_(failures={"outages": [{"domain": "provider:aw", "start_h": 1.0, "duration_h": 1.0}]}),
        "failures.outages[0].domain: unknown provider of this fleet 'aw' (nearest valid: aws)",
    ),
    "outage of a strange kind": (
        with_(failures={"outages": [{"domain": "gird:x", "start_h": 1.0, "duration_h": 1.0}]}),
        "unknown kind of domain 'gird' (nearest valid: grid)",
    ),
    "outage without a kind": (
        with_(failures={"outages": [{"domain": "aws", "start_h": 1.0, "duration_h": 1.0}]}),
        "'aws' is not KIND:NAME",
    ),
    "start at no site": (
        with_(start={"placement": "named", "store_sites": ["equinix/ma"]}),
        "start.store_sites[0]: unknown site 'equinix/ma' (nearest valid: equinix/am)",
    ),
    "start of no model": (
        with_(start={"placement": "named", "replica_sites": {"llama": ["equinix/am"]}}),
        "start.replica_sites.llama: unknown model 'llama'",
    ),
    "start without room": (
        with_(
            models=["llama-3.1-70b-fp8", "mixtral-8x7b-bf16"],
            start={
                "placement": "named",
                "replica_sites": {"llama-3.1-70b-fp8": ["aws/us-east-1"], "mixtral-8x7b-bf16": ["aws/us-east-1"]},
            },
        ),
        "start.replica_sites.mixtral-8x7b-bf16: no room for it at aws/us-east-1",
    ),
    "names that would not count": (with_(start={"store_sites": ["equinix/am"]}), "start.store_sites: counts only with"),
    "names in a random fleet": (
        with_(**SAMPLED, fleet="random", start={"placement": "named"}),
        "named needs fleet = fixed",
    ),
    "domain of no site": (
        with_(domains=[{"kind": "facility", "name": "hall", "sites": ["equinix/ma"]}]),
        "domains[0].sites[0]: unknown site 'equinix/ma'",
    ),
    "domain without sites": (
        with_(domains=[{"kind": "facility", "name": "h", "sites": []}]),
        "domains[0].sites: is empty",
    ),
    "domain that is there already": (
        with_(domains=[{"kind": "provider", "name": "aws", "sites": ["equinix/am"]}]),
        "domains[0]: provider:aws already follows",
    ),
    "nested too deeply": (with_(demand={"a": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}), "is nested too deeply"),
    "line feed in a name": (with_(sites=["a\nb"]), "sites[0]: unknown site 'a\\nb'"),
    "line feed in a key": (with_(**{"a\nb": 1}), "a b: unknown key"),
    "endless key": (with_(**{"x" * 9999: 1}), "xxx...: unknown key"),
    "line feed in an own name": (
        with_(sites=[{**SITE, "name": "a\nb"}], start={"placement": "named", "store_sites": ["a"]}),
        "unknown site 'a' (nearest valid: a b)",
    ),
    "key that is no string": (with_(demand={3: 1}), "demand: has the key 3, which is not a string"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case: str) -> None:
    tables, expected = BAD[case]
    message = complaint(tables)
    assert message.startswith("scenario: ")
    assert expected in message


def test_two_million_sites_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    path.write_text("sites = [" + '"equinix/am",' * 2_000_000 + "]")
    assert "bytes are too many for a scenario" in complaint(path)
    complaint(with_(sites=["equinix/am"] * 2_000_000))


def test_files_that_cannot_be_scenarios(tmp_path: Path) -> None:
    cases = {
        "syntax.toml": (b"name = 'x'\nsites = [1,\n= 2\n", "line 3"),
        "twice.toml": (b"name = 'x'\nname = 'y'\n", "line 2"),
        "latin.toml": (b"name = '\xe9'\n", "is not UTF-8 text (byte 8)"),
        "deep.toml": (b"a = " + b"[" * 5000 + b"]" * 5000, "deep"),
        "digits.toml": (b"a = " + b"1" * 5000, "TOML"),
        "empty.toml": (b"", "sites: is missing"),
    }
    for name, (raw, expected) in cases.items():
        path = tmp_path / name
        path.write_bytes(raw)
        message = complaint(path)
        assert message.startswith(f"{path}: ")
        assert expected in message
    assert complaint(tmp_path) == f"{tmp_path}: is a directory, not a scenario file"
    assert complaint(tmp_path / "none.toml") == f"{tmp_path / 'none.toml'}: no such file"
    assert "too long for a scenario" in complaint("/dev/zero")


def test_the_file_is_named_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = (loading.scenarios_folder() / "toy-3.toml").read_text()
    path.write_text(text.replace("lat_deg = 0.0\nlon_deg = 19.0", "lat_deg = 123.0\nlon_deg = 19.0"))
    assert complaint(path) == f"{path}: sites[1].lat_deg: must be <= 90, not 123.0"


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
