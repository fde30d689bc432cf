"""What the project says about such networks, as tests that can fail."""

from __future__ import annotations

import numpy as np
import pytest

from og_env import config
from og_env.env import NetworkEnv


def toy(**changes) -> NetworkEnv:
    """The paper world with changes, on raw operations: 0 nothing, 1-3 launch at a, b, c, 4-6 retire, 7-9 stage; then
    add and remove verifiers 10-15, stores 16-21 and gateways 22-27."""
    return NetworkEnv("placement", config.override(config.load("toy-3"), changes), interface="operations")


def run(env: NetworkEnv, actions: list[int], outages: list[dict] | None = None) -> list[dict]:
    env.reset(seed=0, options={"outages": outages} if outages else None)
    return [env.step(action)[4] for action in actions]


def outage(domain: str, effect: str = "DOWN", start_h: float = 0.05, duration_h: float = 0.2) -> dict:
    return {"domain": domain, "start_h": start_h, "duration_h": duration_h, "effect": effect}


def test_paper_world_serves_as_computed_by_hand():
    info = run(toy(), [0])[0]
    rho = 0.8
    waits = rho ** (np.sqrt(12) - 1)
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
    assert infos[first]["timeout_share"] > 0.05
    assert infos[first + 1]["timeout_share"] == 0
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
    for replicas in (("a",), ("a", "b"), ("a", "b", "c")):
        served = [
            run(toy(**{"start.replica_sites": {"unit": replicas}, "demand.requests_per_s": rate}), [0])[0]
            for rate in (5.0, 12.0, 30.0)
        ]
        limits = [min(rate, 9.0 * len(replicas)) for rate in (5.0, 12.0, 30.0)]
        assert [info["served_rps"] for info in served] == pytest.approx(limits, rel=1e-5)
