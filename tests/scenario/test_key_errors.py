"""Bad input is one line that names the file, the key and the nearest valid word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from og_env.scenario import loading
from tests.cases.scenario_tables import GOOD, SAMPLED, SITE, complaint, with_

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
    "negative price of use": (
        with_(sites=[{**SITE, "use_usd_per_gpu_hour": -2.0}]),
        "sites[0].use_usd_per_gpu_hour: must be >= 0",
    ),
    "share of a price": (with_(prices={"rent_share": -0.1}), "prices.rent_share: must be >= 0, not -0.1"),
    "misspelt price": (with_(prices={"use_shar": 0.1}), "prices.use_shar: unknown key (nearest valid: use_share)"),
    "unknown payment": (with_(payment={"mode": "x404"}), "payment.mode: 'x404' is not valid (nearest valid: x402)"),
    "unknown country of the facilitator": (
        with_(payment={"facilitator_country": "UQ"}),
        "payment.facilitator_country: unknown country 'UQ' (nearest valid: ",
    ),
    "too many retries": (with_(network={"retries": 11}), "network.retries: must be <= 10, not 11"),
    "share above 1": (with_(network={"kept_alive_share": 1.5}), "network.kept_alive_share: must be <= 1, not 1.5"),
    "lost or not": (with_(failures={"lose_answers": 1}), "failures.lose_answers: must be true or false, not 1"),
    "unknown clock": (
        with_(models=[{"name": "sdxl-fp16", "slo_clock": "first"}]),
        "models[0].slo_clock: 'first' is not valid (nearest valid: first_token)",
    ),
    "unknown GPU of a prefill speed": (
        with_(models=[{"name": "m", "weights_gb": 1.0, "memory_gb": 2.0, "prefill_tokens_per_s": {"H10": 9.0}}]),
        "models[0].prefill_tokens_per_s: unknown GPU 'H10' (nearest valid: H100)",
    ),
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
    "limit of no model": (
        with_(limits={"most_replicas": {"llama-3.1-8b-fb16": 2}}),
        "limits.most_replicas.llama-3.1-8b-fb16: unknown model 'llama-3.1-8b-fb16' (nearest valid: llama-3.1-8b-bf16)",
    ),
    "limit of no role": (
        with_(limits={"least_roles": {"verifer": 2}}),
        "limits.least_roles.verifer: 'verifer' is not valid (nearest valid: verifier)",
    ),
    "limit at no site": (
        with_(limits={"forbidden_sites": ["equinix/ma"]}),
        "limits.forbidden_sites[0]: unknown site 'equinix/ma' (nearest valid: equinix/am)",
    ),
    "limit at a site twice": (
        with_(limits={"forbidden_sites": ["equinix/am"] * 2}),
        "limits.forbidden_sites: 'equinix/am' is listed 2 times",
    ),
    "limit in a random fleet": (
        with_(**SAMPLED, fleet="random", limits={"forbidden_sites": ["aws/us-esat-1"]}),
        "limits.forbidden_sites[0]: unknown site 'aws/us-esat-1' (nearest valid: aws/us-east-1)",
    ),
    "floor above the cap of a model": (
        with_(limits={"least_replicas": {"llama-3.1-8b-bf16": 3}, "most_replicas": {"llama-3.1-8b-bf16": 2}}),
        "limits.least_replicas.llama-3.1-8b-bf16: 3 is above limits.most_replicas.llama-3.1-8b-bf16, which is 2",
    ),
    "floor above the cap of a role": (
        with_(limits={"least_roles": {"store": 1}, "most_roles": {"store": 0}}),
        "limits.least_roles.store: 1 is above limits.most_roles.store, which is 0",
    ),
    "negative floor": (with_(limits={"least_roles": {"store": -1}}), "limits.least_roles.store: must be >= 0, not -1"),
    "misspelt limit": (with_(limits={"rent_usd_per_hr": 1.0}), "(nearest valid: rent_usd_per_hour)"),
    "nested too deeply": (with_(demand={"a": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}), "is nested too deeply"),
    "line feed in a name": (with_(sites=["a\nb"]), "sites[0]: unknown site 'a\\nb'"),
    "line feed in a key": (with_(**{"a\nb": 1}), "has the key 'a\\nb', which holds a control character"),
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


def test_the_file_is_named_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = (loading.scenarios_folder() / "toy-3.toml").read_text()
    path.write_text(text.replace("lat_deg = 0.0\nlon_deg = 19.0", "lat_deg = 123.0\nlon_deg = 19.0"))
    assert complaint(path) == f"{path}: sites[1].lat_deg: must be <= 90, not 123.0"
