"""Where replicas and roles stand when an episode begins."""

from __future__ import annotations

import numpy as np

from og_env.kernel.arrays import GATEWAY, STORE, VERIFIER
from og_env.scenario import loading
from tests.cases.compiled_worlds import compiled, running, started, toy


def test_toy_demand_and_start() -> None:
    world = compiled()
    assert world.arrays.base_rps[0].tolist() == [[8]]
    assert np.all(world.arrays.diurnal[0] == 1)
    assert started(world) == {"a"}
    assert running(world, VERIFIER) == {"a", "b", "c"}
    assert (running(world, STORE), running(world, GATEWAY)) == ({"c"}, {"a"})


def test_spread_goes_to_another_provider_before_a_cheaper_site() -> None:
    dear = {"c": {"usd_per_gpu_hour": 50.0, "usd_per_vm_hour": 5.0}}
    start = {"replicas_per_model": 2, "verifiers": 2, "stores": 1, "gateways": 9}
    spread = toy(dear, {"start": start | {"placement": "spread"}})
    assert started(spread) == {"a", "c"}
    assert running(spread, VERIFIER) == {"a", "c"}
    assert (running(spread, STORE), running(spread, GATEWAY)) == ({"a"}, {"a", "b", "c"})
    cheapest = toy(dear, {"start": start | {"placement": "cheapest"}})
    assert started(cheapest) == {"a", "b"}
    assert running(cheapest, VERIFIER) == {"a", "b"}


def test_spread_prefers_sites_that_can_attest() -> None:
    changes = {"start": {"placement": "spread", "replicas_per_model": 2}}
    assert started(toy({"c": {"tee_vendor": "none"}}, changes)) == {"a", "b"}
    assert started(toy({}, changes)) == {"a", "c"}


def test_spread_gateways_stand_where_the_users_are() -> None:
    dear = {"a": {"usd_per_vm_hour": 9.0}}
    changes = {"start": {"placement": "spread", "gateways": 1, "stores": 1}}
    assert running(toy(dear, changes), GATEWAY) == {"a"}
    assert running(toy(dear, changes), STORE) == {"b"}


def test_a_second_gateway_goes_to_users_who_are_far_from_the_first() -> None:
    west = loading.load("toy-3").model_dump()["regions"][0]
    east = west | {"name": "east", "country": "KE", "lon_deg": 37.0, "population_m": 0.5}
    changes = {"start": {"placement": "spread", "gateways": 2}, "regions": (west, east)}
    # b is nearer to users on average, but a already serves those near it
    assert running(toy({"b": {"provider": "R"}}, changes), GATEWAY) == {"a", "c"}


def test_the_cheapest_site_is_so_with_the_price_of_its_use() -> None:
    start = {"start": {"placement": "cheapest", "replicas_per_model": 1}}
    assert started(toy({}, start)) == {"a"}
    assert started(toy({"a": {"use_usd_per_gpu_hour": 0.5}}, start)) == {"c"}
