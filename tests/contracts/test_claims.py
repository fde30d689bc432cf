"""Claims of the project about such networks, as tests that can fail."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.scenario.catalog import continent_of, site_offers

FIVE_CONTINENTS = (
    *("aws/us-east-1", "aws/us-west-2", "aws/ca-central-1", "aws/sa-east-1", "aws/eu-west-1", "aws/eu-central-1"),
    *("aws/eu-north-1", "aws/ap-northeast-1", "aws/ap-south-1", "aws/ap-southeast-2"),
)
FIVE_PROVIDERS = (
    *("aws/us-east-1", "aws/ca-central-1", "aws/eu-west-1"),
    *("gcp/us-west1", "gcp/europe-west2"),
    *("ovh/us-west-or", "ovh/bhs", "ovh/waw"),
    *("equinix/md", "ibm/eu-de"),
)
LATENCY_ALONE = {
    "router.latency_temperature_ms": 1.0,
    "router.cold_penalty": 0.0,
    "router.load_penalty": 0.0,
    "router.risk_aversion": 0.0,
    "router.spread": 0.0,
}


def toy(**changes) -> NetworkEnv:
    """The paper world with changes, on raw operations: 0 nothing, 1-3 launch at a, b, c, 4-6 retire, 7-9 stage; then
    add and remove verifiers 10-15, stores 16-21 and gateways 22-27."""
    return NetworkEnv("placement", loading.override(loading.load("toy-3"), changes), interface="operations")


def run(env: NetworkEnv, actions: list[int], outages: list[dict] | None = None) -> list[dict]:
    env.reset(seed=0, options={"outages": outages} if outages else None)
    return [env.step(action)[4] for action in actions]


def outage(domain: str, effect: str = "DOWN", start_h: float = 0.05, duration_h: float = 0.2) -> dict:
    return {"domain": domain, "start_h": start_h, "duration_h": duration_h, "effect": effect}


def test_paper_world_serves_as_computed_by_hand():
    info = run(toy(), [0])[0]
    rho = 0.8
    waits = rho ** (1 + 1.17 * (np.sqrt(5) - 1) + 0.276 * 4 * (1 - rho))
    answer_ms = 500 + waits * 500 * 1.0 / (5 * (1 - rho))
    network_ms = info["latency_mean_ms"] - answer_ms
    assert 0 < network_ms < 12  # user to gateway and gateway to replica, all at site a
    assert info["utilisation"] == pytest.approx(rho, rel=1e-6)
    assert info["served_share"] == 1 and info["verified_share"] == 1 and info["cold_starts"] == 0
    rent = 1.0 + 5 * 0.1 + (10 + 10) * 0.023 / 730
    egress = 8 * 60 * 1e-5 * 0.1 * 60
    assert info["usd_per_hour"] == pytest.approx(rent + egress, rel=1e-3)
    assert info["exposure"] == 1  # one replica, and its site is one domain


def test_near_cold_replica_answers_slower_than_far_warm_one():
    near_cold = toy(**{"start.replica_sites": {"unit": ()}, "network.patience_s": 59.0})
    far_warm = toy(**{"start.replica_sites": {"unit": ("c",)}})
    cold, warm = run(near_cold, [1])[0], run(far_warm, [0])[0]
    assert cold["cold_starts"] == 1 and warm["cold_starts"] == 0
    assert cold["served_share"] > 0 and warm["served_share"] == 1
    assert cold["latency_mean_ms"] > warm["latency_mean_ms"]
    assert run(near_cold, [1, 0])[1]["latency_mean_ms"] < warm["latency_mean_ms"]  # and faster once it is warm


def test_frozen_provider_serves_on_but_cannot_be_placed_on():
    env = toy()
    infos = run(env, [0, 0, 0, 2], [outage("provider:P", "FROZEN")])
    assert infos[2]["served_share"] == 1
    mask = env.action_masks()
    assert not mask[[1, 2, 4, 5]].any() and mask[3]
    assert infos[3]["impossible_operations"] == 1 and infos[3]["operations"] == 0


def test_provider_outage_takes_all_its_sites_and_the_traffic_with_them():
    infos = run(toy(**{"start.replica_sites": {"unit": ("a", "b")}}), [0] * 5, [outage("provider:P")])
    assert infos[0]["served_share"] == 1 and infos[0]["sites_down"] == 0
    assert infos[4]["sites_down"] == 2 and infos[4]["served_share"] == 0


def test_two_providers_survive_what_one_does_not():
    spread = toy(**{"start.replica_sites": {"unit": ("a", "c")}, "start.gateway_sites": ("a", "c")})
    infos = run(spread, [0] * 6, [outage("provider:P")])
    assert infos[5]["sites_down"] == 2 and infos[5]["served_share"] == 1


def test_dead_site_is_used_until_detected():
    slow = {"start.replica_sites": {"unit": ("a", "c")}, "start.gateway_sites": ("c",), "failures.detect_s": 60.0}
    infos = run(toy(**slow), [0] * 6, [outage("site:a")])
    first = next(i for i, info in enumerate(infos) if info["sites_down"] == 1)
    assert infos[first]["refused_share"] > 0.05
    assert infos[first + 1]["refused_share"] == 0
    assert infos[first]["latency_mean_ms"] > infos[first + 1]["latency_mean_ms"] + 100


def test_losing_the_last_store_stops_cold_starts():
    outages = [outage("site:c", start_h=0.0, duration_h=0.9)]
    with_store = run(toy(), [2, 0, 0])
    without = run(toy(), [2, 0, 0, 0, 0], outages)
    assert sum(info["cold_starts"] for info in with_store) == 1
    assert sum(info["cold_starts"] for info in without) == 0 and without[-1]["stores_live"] == 0


def test_losing_a_third_of_the_verifiers_halts_finality():
    infos = run(toy(), [0] * 5, [outage("site:c")])
    assert infos[0]["finality_s"] > 10 and infos[0]["verified_share"] == 1
    assert infos[4]["verifiers_live"] == 2 and infos[4]["quorum"] == 3
    assert infos[4]["finality_s"] == 0 and infos[4]["verified_share"] == 0 and infos[4]["served_share"] == 1


def test_broken_attestation_leaves_answers_unverified():
    infos = run(toy(), [0] * 5, [outage("tee_vendor:nitro", "UNTRUSTED")])
    assert infos[4]["served_share"] == 1 and infos[4]["verified_share"] == 0


def test_struck_site_comes_back_cold():
    env = toy(**{"start.replica_sites": {"unit": ("a", "c")}, "start.gateway_sites": ("c",)})
    infos = run(env, [0] * 20, [outage("site:a", duration_h=0.1)])
    assert infos[-1]["sites_down"] == 0 and infos[-1]["replicas_warm"] == 2
    assert sum(info["cold_starts"] for info in infos) == 1 and infos[-1]["fetch_gb"] == 0


def test_a_warm_replica_at_no_cost_never_lowers_what_is_served():
    """Where demand exceeds all limits, a few requests meet two full replicas one after the other, while a third has room."""
    before = [0.0] * 3
    for replicas in (("a",), ("a", "b"), ("a", "b", "c")):
        served = [
            run(toy(**{"start.replica_sites": {"unit": replicas}, "demand.requests_per_s": rate}), [0])[0]
            for rate in (5.0, 12.0, 30.0)
        ]
        limits = [min(rate, 9.0 * len(replicas)) for rate in (5.0, 12.0, 30.0)]
        rates = [info["served_rps"] for info in served]
        assert rates[:2] == pytest.approx(limits[:2], rel=1e-5)
        assert 0.9 * limits[2] < rates[2] <= limits[2] * (1 + 1e-6)
        assert all(now >= then - 1e-5 for now, then in zip(rates, before, strict=True))
        before = rates


def real_fleet(names: tuple[str, ...], **changes):
    """Catalogue sites with everything everywhere: a warm replica, a verifier, a store and a gateway at each."""
    everywhere = {f"start.{role}_sites": names for role in ("verifier", "store", "gateway")}
    tables = {
        "name": "fleet",
        "description": "sites of the catalogue",
        "models": ({"name": "llama-3.1-8b-bf16"},),
        "regions": ("new-york", "london"),
        "sites": tuple({"name": name, "gpu": "A100-80GB", "gpu_count": 2, "usd_per_gpu_hour": 2.0} for name in names),
        "demand": {"requests_per_s": 5.0, "diurnal_amplitude": 0.0, "burst_sd": 0.0},
        "failures": {"process": "none"},
        "condition": {"drift_sd": 0.0, "grey_per_day": 0.0, "blind_per_day": 0.0},
        "start": {"placement": "named", "replica_sites": {"llama-3.1-8b-bf16": names}},
    }
    return loading.override(loading.load(tables), everywhere | changes)


def worst_case(names: tuple[str, ...]) -> tuple[float, float]:
    """Exposure of the fleet, and the least share served while any one of its shared dependencies is down."""
    env = NetworkEnv("placement", real_fleet(names))
    env.reset(seed=0)
    exposure = env.step(0)[4]["exposure"]
    world, served = env.simulator.world_of(0), []
    for domain in world.domains[: env.simulator.sizes["S"]]:
        outages = [{"domain": f"{domain.kind}:{domain.name}", "start_h": 0.25, "duration_h": 1.0}]
        env.reset(seed=0, options={"outages": outages})
        served.append([env.step(0)[4]["served_share"] for _ in range(6)][-1])
    return exposure, min(served)


def test_five_continents_on_one_provider_lose_everything_to_one_domain_five_providers_on_two_do_not():
    offers = {name: site for name, site in site_offers().items() if name in FIVE_CONTINENTS + FIVE_PROVIDERS}
    assert len({continent_of(offers[name].country) for name in FIVE_CONTINENTS}) == 5
    assert len({offers[name].provider for name in FIVE_CONTINENTS}) == 1
    assert len({continent_of(offers[name].country) for name in FIVE_PROVIDERS}) == 2
    assert len({offers[name].provider for name in FIVE_PROVIDERS}) == 5
    assert worst_case(FIVE_CONTINENTS) == (1.0, 0.0)
    exposure, served = worst_case(FIVE_PROVIDERS)
    assert exposure < 0.5 and served > 0.9


def test_a_router_that_minimises_latency_alone_raises_the_exposure_of_the_traffic():
    """Nearest to the users are two sites of one provider, somewhat farther four of others; all have room to spare.

    Of the traffic, since the N-1 exposure asks what is left after routing anew: demand minus the capacity elsewhere,
    which no router changes. What rides on the worst dependency at the moment it breaks is lost until that is noticed.
    """
    near, farther = ("aws/us-east-1", "aws/eu-west-2"), ("oci/ca-toronto-1", "equinix/fr", "ovh/gra", "gcp/us-central1")
    gateways = ("latitude/nyc", "teraswitch/lon")
    changes = {
        "models": ({"name": "llama-3.1-8b-bf16", "verification": "none"},),
        "start.replica_sites": {"llama-3.1-8b-bf16": near + farther},
        "start.gateway_sites": gateways,
        "failures.process": "correlated",
        "failures.detect_s": 300.0,
    }
    figures = []
    for router in ({}, LATENCY_ALONE):
        env = NetworkEnv("placement", real_fleet(near + farther + gateways, **changes, **router))
        outages = [{"domain": "provider:aws", "start_h": 1.0, "duration_h": 1.0}]
        env.reset(seed=0, options={"outages": outages, "background": False})
        infos, worst = [], []
        for _ in range(13):
            infos.append(env.step(0)[4])
            shared = env.simulator.world_of(0).domains[: env.simulator.sizes["S"]]
            worst.append(max(env.simulator.state.site_share[0, list(domain.members)].sum() for domain in shared))
        assert infos[10]["served_share"] == 1 and infos[10]["sites_down"] == 0 and infos[11]["sites_down"] == 2
        figures.append([infos[10][name] for name in ("latency_mean_ms", "exposure", "n_eff")])
        figures[-1] += [worst[10], infos[11]["refused_share"]]
    usual, fast = (dict(zip(("ms", "exposure", "n_eff", "worst", "late"), row, strict=True)) for row in figures)
    assert fast["ms"] < usual["ms"] - 10
    assert fast["worst"] > 0.9 > 0.6 > usual["worst"]
    assert fast["late"] > 0.9 > 0.6 > usual["late"]
    assert fast["n_eff"] < usual["n_eff"] / 3
    assert fast["exposure"] == usual["exposure"] == 0
