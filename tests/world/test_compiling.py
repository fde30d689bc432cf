"""The compiled arrays: toy-3 on paper, the starting fleet, padding, and sizes that hold for random fleets."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from og_env.kernel.arrays import DOWN, FROZEN, GATEWAY, KNOBS, PLANNER, STORE, TERMS, VERIFIER, WARM
from og_env.kernel.memory import bind
from og_env.scenario import loading
from og_env.scenario.domain_kinds import KINDS
from og_env.scenario.specs import SampledSites
from og_env.world import CompiledWorld, Domain, compile_world, sizes_of, stack
from og_env.world.sizes import most_shared
from tests.cases.compiled_worlds import compiled

EQUATOR_KM_PER_DEGREE = 2 * math.pi * 6371 / 360
RTT_CSV = Path(__file__).parents[3] / "shared" / "data" / "rtt" / "cloud_interregion_rtt.csv"


def toy(sites: dict[str, dict[str, Any]], changes: dict[str, Any]) -> CompiledWorld:
    """toy-3 with other values at its sites, and at dotted keys."""
    tables = loading.load("toy-3").model_dump()
    tables["sites"] = tuple(site | sites.get(site["name"], {}) for site in tables["sites"])
    return compile_world(loading.resolve(loading.override(loading.load(tables), changes)))


def started(world: CompiledWorld, model: int = 0) -> set[str]:
    phase = world.arrays.start_phase[0, model]
    return {site.name for site, at in zip(world.resolved.sites, phase, strict=True) if at == WARM}


def running(world: CompiledWorld, role: int) -> set[str]:
    role_ms = world.arrays.start_role[0, role]
    assert set(role_ms.tolist()) <= {-1, 0}
    return {site.name for site, at in zip(world.resolved.sites, role_ms, strict=True) if at == 0}


def test_toy_sizes_and_domains() -> None:
    world = compiled()
    assert world.sizes == {"N": 3, "M": 1, "U": 1, "F": 5, "S": 2, "D": 3, "Y": 1440, "T": 61}
    assert world.sizes == sizes_of(loading.load("toy-3"))
    assert world.domains == (
        Domain("provider", "P", (0, 1)),
        Domain("grid", "G", (1, 2)),
        Domain("site", "a", (0,)),
        Domain("site", "b", (1,)),
        Domain("site", "c", (2,)),
    )
    arrays = world.arrays
    assert arrays.site_domain[0].tolist() == [[2, 0, -1], [3, 0, 1], [4, 1, -1]]
    assert arrays.domain_size[0].tolist() == [2, 2, 1, 1, 1]
    assert arrays.domain_visible[0].tolist() == [1] * 5
    # a provider's likeliest effect in the catalogue is a frozen control plane, a grid's is darkness
    assert arrays.domain_effect[0].tolist() == [FROZEN, DOWN, DOWN, DOWN, DOWN]
    # bare metal: provider 0.6, grid 0.5, the machine itself 1
    assert np.allclose(arrays.hit[0], [[1, 0.6, 0], [1, 0.6, 0.5], [1, 0.5, 0]])


def test_toy_speeds_and_prices() -> None:
    arrays = compiled().arrays
    assert arrays.replica_gpus[0, 0].tolist() == [1, 1, 1]
    assert np.allclose(arrays.service_s[0, 0], 0.5)
    assert np.allclose(arrays.busy_s[0, 0], 0.5)
    assert np.allclose(arrays.capacity_rps[0, 0], 10)
    assert arrays.load_ms[0, 0].tolist() == [20_000] * 3
    assert (arrays.weights_mb[0, 0], arrays.weights_gb[0, 0]) == (10_000, 10)
    assert arrays.link_mb_per_s[0].tolist() == [1000] * 3
    assert (arrays.store_mb_per_s[0], arrays.store_streams[0]) == (1000, 1)
    assert arrays.queue_exponent[0, 0] == pytest.approx(1 + 1.17 * (math.sqrt(5) - 1))
    assert (arrays.queue_factor[0], arrays.service_cv[0]) == (1, 1)
    assert (arrays.verification[0, 0], arrays.tee[0].tolist()) == (1, [1, 1, 1])
    assert arrays.budget_usd_per_hour[0] == 4
    assert arrays.storage_usd_per_gb_hour[0] == pytest.approx(0.023 / 730)
    assert (arrays.step_ms[0], arrays.detect_ms[0], arrays.provision_ms[0]) == (60_000, 60_000, 120_000)
    assert arrays.timeout_ms[0] == 2000
    assert np.allclose(arrays.weights[0], [0.25, 0.25, 1, 0.25, 0.25, 0.01])
    assert np.allclose(arrays.knobs[0], [40, 0.1, 2, 0.5, 0.1])
    assert arrays.attack_budget[0] == 0


def test_toy_distances() -> None:
    arrays = compiled().arrays
    far = [9.5 + 0.01516 * EQUATOR_KM_PER_DEGREE * degrees for degrees in (9, 18, 27)]
    rtt_ms = [[0.5, far[0], far[2]], [far[0], 0.5, far[1]], [far[2], far[1], 0.5]]
    assert np.allclose(arrays.rtt_ms[0], rtt_ms, atol=1e-3)
    assert np.allclose(arrays.rtt_user_ms[0, 0], [3.6, far[0], far[2]], atol=1e-3)
    assert arrays.near_site[0].tolist() == [[0, 1, 2], [1, 0, 2], [2, 1, 0]]
    assert arrays.near_user[0].tolist() == [[0, 1, 2]]


def test_toy_demand_and_start() -> None:
    world = compiled()
    assert world.arrays.base_rps[0].tolist() == [[8]]
    assert np.all(world.arrays.diurnal[0] == 1)
    assert started(world) == {"a"}
    assert running(world, VERIFIER) == {"a", "b", "c"}
    assert (running(world, STORE), running(world, GATEWAY)) == ({"c"}, {"a"})


def test_demand_follows_people_popularity_and_the_sun() -> None:
    world = compiled("global-24")
    arrays, spec = world.arrays, world.resolved.spec
    people = np.array([region.population_m for region in world.resolved.regions])
    assert arrays.base_rps.sum() == pytest.approx(spec.demand.requests_per_s)
    assert np.allclose(arrays.base_rps[0].sum(axis=1), spec.demand.requests_per_s * people / people.sum(), rtol=1e-5)
    assert np.allclose(
        arrays.base_rps[0].sum(axis=0), spec.demand.requests_per_s * np.array([0.45, 0.2, 0.3, 0.05]), rtol=1e-5
    )
    assert arrays.diurnal.shape == (1, 288, 8)
    assert np.allclose(arrays.diurnal[0].mean(axis=0), 1, atol=1e-5)
    local_hour = arrays.diurnal[0].argmax(axis=0) / 12 + np.array(
        [region.utc_offset_h for region in world.resolved.regions]
    )
    assert np.allclose(local_hour % 24, spec.demand.peak_hour, atol=1 / 12)
    assert arrays.diurnal.max() == pytest.approx(1.9, abs=1e-4)


def test_a_step_longer_than_a_day_has_one_place_in_the_day() -> None:
    assert compiled(episode__step_s=86_400).sizes["Y"] == 1
    assert compiled(episode__step_s=50_000).sizes["Y"] == 2


def test_speed_scales_with_the_gpus_of_a_replica() -> None:
    world = compiled("global-24")
    for m, model in enumerate(world.resolved.models):
        for s, site in enumerate(world.resolved.sites):
            gpu = world.resolved.gpus[site.gpu]
            need = math.ceil(model.memory_gb / gpu.memory_gb)
            if need > site.gpu_count:
                assert world.arrays.replica_gpus[0, m, s] == world.arrays.capacity_rps[0, m, s] == 0
                continue
            speed = 0.77 * need * gpu.bandwidth_gb_per_s / (model.active_weights_gb or model.weights_gb)
            answer_s = model.output_tokens / speed + 0.1
            assert world.arrays.replica_gpus[0, m, s] == need
            assert world.arrays.service_s[0, m, s] == pytest.approx(answer_s, rel=1e-5)
            assert world.arrays.capacity_rps[0, m, s] == pytest.approx(model.streams / answer_s, rel=1e-5)


def test_a_proof_holds_the_stream_only_where_one_is_asked_for() -> None:
    for verification, busy_s in (("zkml", 2.0), ("none", 0.5), ("tee", 0.5)):
        tables = loading.load("toy-3").model_dump()
        tables["models"] = ({**tables["models"][0], "verification": verification, "proof_multiplier": 4.0},)
        arrays = compile_world(loading.resolve(loading.load(tables))).arrays
        assert np.allclose(arrays.busy_s[0, 0], busy_s)
        assert np.allclose(arrays.service_s[0, 0], 0.5)
        assert np.allclose(arrays.capacity_rps[0, 0], 5 / busy_s)


def test_a_site_without_gpus_holds_only_roles() -> None:
    world = toy({"b": {"gpu": "", "gpu_count": 0}}, {})
    assert world.arrays.replica_gpus[0, 0].tolist() == [1, 0, 1]
    assert world.arrays.capacity_rps[0, 0, 1] == world.arrays.load_ms[0, 0, 1] == 0
    assert "b" in running(world, VERIFIER)


def test_a_fleet_for_free_still_has_a_budget() -> None:
    free = {name: {"usd_per_gpu_hour": 0.0} for name in "abc"}
    assert toy(free, {}).arrays.budget_usd_per_hour[0] == 1
    assert toy(free, {"reward.budget_usd_per_hour": 7.0}).arrays.budget_usd_per_hour[0] == 7


def test_settings_are_in_the_order_of_the_layout() -> None:
    world = compiled("global-24", router__spread=0.25, router__cold_penalty=0.5, reward__churn=0.125)
    assert world.arrays.knobs[0, KNOBS.index("spread")] == 0.25
    assert world.arrays.knobs[0, KNOBS.index("cold_penalty")] == 0.5
    assert world.arrays.weights[0, TERMS.index("churn")] == 0.125
    assert world.arrays.planner[0, PLANNER.risk_weight] == 1
    half = compile_world(world.resolved, risk_weight=0.5)
    assert np.allclose(half.arrays.planner[0], [12, 36, 0.02, 0.002, 6, 0.5])


def test_the_opponent_counts_in_steps() -> None:
    opponent = {"attacks_per_day": 2.0, "budget": 4, "cooldown_h": 1.01, "duration_h": 2.0}
    arrays = compiled("global-24", failures__opponent=opponent).arrays
    assert (arrays.attack_budget[0], arrays.attack_cooldown[0], arrays.attack_steps[0]) == (4, 13, 24)


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


@pytest.mark.parametrize("scenario", loading.names())
def test_every_scenario_compiles_within_its_means(scenario: str) -> None:
    spec = loading.load(scenario)
    world = compile_world(loading.resolve(spec), sizes=sizes_of(spec))
    arrays = world.arrays
    bind(world.sizes | {"W": 1}, arrays)
    for name, values in arrays._asdict().items():
        assert np.all(np.isfinite(values)), name
    warm = arrays.start_phase[0] == WARM
    assert np.all((arrays.replica_gpus[0] * warm).sum(axis=0) <= arrays.gpu_count[0])
    assert np.all(arrays.replica_gpus[0][warm] > 0)
    assert np.all(warm.any(axis=1))
    for s in range(world.sizes["N"]):
        domains = [f for f in arrays.site_domain[0, s].tolist() if f >= 0]
        assert domains[0] == world.sizes["S"] + s
        assert all(s in world.domains[f].members for f in domains)
    members = sum(len(domain.members) for domain in world.domains)
    assert np.sum(arrays.site_domain >= 0) == members == arrays.domain_size.sum()
    assert np.allclose(arrays.rtt_ms, arrays.rtt_ms.transpose(0, 2, 1))
    assert np.diff(np.take_along_axis(arrays.rtt_ms, arrays.near_site, axis=2), axis=2).min() >= 0
    assert np.diff(np.take_along_axis(arrays.rtt_user_ms, arrays.near_user, axis=2), axis=2).min() >= 0
    assert np.array_equal(arrays.near_site[0, :, 0], np.arange(world.sizes["N"]))


def test_padding_adds_nothing() -> None:
    resolved = loading.resolve(loading.override(loading.load("toy-3"), {"failures.process": "correlated"}))
    exact = compile_world(resolved)
    wide = compile_world(resolved, sizes=exact.sizes | {"N": 5, "S": 4, "F": 9, "D": 6})
    bind(wide.sizes | {"W": 1}, wide.arrays)
    assert wide.arrays.site_valid[0].tolist() == [1, 1, 1, 0, 0]
    assert (
        wide.arrays.site_domain[0, :, :4].tolist() == [[4, 0, -1, -1], [5, 0, 1, -1], [6, 1, -1, -1]] + [[-1] * 4] * 2
    )
    assert wide.arrays.domain_size[0].tolist() == [2, 2, 0, 0, 1, 1, 1, 0, 0]
    assert wide.arrays.near_site[0, :3].tolist() == [[0, 1, 2, 3, 4], [1, 0, 2, 3, 4], [2, 1, 0, 3, 4]]
    assert wide.arrays.near_user[0].tolist() == [[0, 1, 2, 3, 4]]
    assert np.all(wide.arrays.start_role[0, :, 3:] == -1)
    assert not wide.arrays.start_phase[0, :, 3:].any() and not wide.arrays.capacity_rps[0, :, 3:].any()
    assert wide.sources == exact.sources
    places = [0, 1, 4, 5, 6]
    for name in ("domain_rate", "domain_mean_h", "domain_effect", "domain_visible"):
        values = getattr(wide.arrays, name)
        assert np.array_equal(values[0, places], getattr(exact.arrays, name)[0])
        assert not np.delete(values[0], places).any()
    assert np.array_equal(wide.arrays.correlation[0, :3, :3], exact.arrays.correlation[0])
    assert [domain.name for domain in wide.domains] == ["P", "G", "", "", "a", "b", "c", "", ""]


def test_random_fleets_share_their_sizes() -> None:
    spec = loading.load("random-24")
    sizes = sizes_of(spec)
    worlds = [compile_world(loading.resolve(spec, seed), sizes=sizes) for seed in range(40)]
    assert all(world.sizes == sizes for world in worlds)
    assert len({world.resolved.sites for world in worlds}) == 40
    stacked = stack(worlds)
    bind(sizes | {"W": 40}, stacked)
    assert np.array_equal(stacked.rtt_ms[7], worlds[7].arrays.rtt_ms[0])
    for world in worlds:
        shared = sum(len(domain.members) >= 2 for domain in world.all_domains)
        assert sum(domain.kind != "" for domain in world.domains[: sizes["S"]]) == shared


def random_selections() -> list[SampledSites]:
    filters: tuple[dict[str, Any], ...] = (
        {},
        {"gpus": ("H100",)},
        {"host_classes": ("home",)},
        {"continents": ("EU",)},
    )
    return [
        SampledSites(count=count, providers=providers, dominant_share=dominant, **chosen)
        for count, providers, dominant, chosen in itertools.product((3, 8, 60), (1, 3, 9), (0.0, 0.4), filters)
    ]


def test_no_drawn_fleet_shares_more_than_its_bound() -> None:
    base = loading.load("random-24")
    for sampled in random_selections():
        bound = most_shared(sampled)
        spec = base.model_copy(update={"sites": sampled})
        sizes = sizes_of(spec)
        for seed in range(4):
            world = compile_world(loading.resolve(spec, seed), sizes=sizes)
            for kind in KINDS:
                shared = sum(domain.kind == kind and len(domain.members) >= 2 for domain in world.all_domains)
                assert shared <= bound[kind], (sampled, seed, kind)


def test_sizes_that_do_not_fit_are_refused() -> None:
    resolved = loading.resolve(loading.load("toy-3"))
    sizes = sizes_of(loading.load("toy-3"))
    for letter in "NDMUYT":
        with pytest.raises(ValueError, match=f"needs {letter} = {sizes[letter]}"):
            compile_world(resolved, sizes=sizes | {letter: sizes[letter] - 1})
    with pytest.raises(ValueError, match="needs T = 61"):
        compile_world(resolved, sizes=sizes | {"T": 62})


def test_only_equal_sizes_stack() -> None:
    with pytest.raises(ValueError, match="world 1 has sizes"):
        stack([compiled("toy-3"), compiled("global-16")])
    with pytest.raises(ValueError, match="no worlds"):
        stack([])


def test_measured_round_trips_replace_modelled_ones(tmp_path: Path) -> None:
    table = tmp_path / "rtt.csv"
    table.write_text("src,dst,rtt_ms\na,b,7\nc,b,99\na,a,3\nc,users,12\n", encoding="utf-8")
    plain, measured = compiled(), compiled(network__rtt_csv=str(table))
    rtt_ms = measured.arrays.rtt_ms[0]
    assert (rtt_ms[0, 1], rtt_ms[1, 0], rtt_ms[1, 2], rtt_ms[2, 1], rtt_ms[0, 0]) == (7, 7, 99, 99, 0.5)
    assert rtt_ms[0, 2] == plain.arrays.rtt_ms[0, 0, 2]
    assert measured.arrays.rtt_user_ms[0, 0, 2] == 12
    assert measured.arrays.rtt_user_ms[0, 0, 1] == plain.arrays.rtt_user_ms[0, 0, 1]
    assert measured.arrays.near_site[0, 2].tolist() == [2, 0, 1]
    table.write_text("src,dst,rtt_ms\na,b,8.5\n", encoding="utf-8")
    assert compiled(network__rtt_csv=str(table)).arrays.rtt_ms[0, 0, 1] == 8.5


def test_a_second_site_of_a_region_has_its_measurements(tmp_path: Path) -> None:
    table = tmp_path / "rtt.csv"
    table.write_text("src,dst,rtt_ms\na,b,7\nb,b,1.5\n", encoding="utf-8")
    tables = loading.load("toy-3").model_dump()
    copy = {**tables["sites"][1], "name": "b#2"}
    tables["sites"] = (*tables["sites"], copy)
    tables["network"]["rtt_csv"] = str(table)
    rtt_ms = compile_world(loading.resolve(loading.load(tables))).arrays.rtt_ms[0]
    assert (rtt_ms[0, 3], rtt_ms[1, 3], rtt_ms[3, 3]) == (7, 1.5, 0.5)


@pytest.mark.skipif(not RTT_CSV.is_file(), reason=f"no measurements at {RTT_CSV}")
def test_the_recorded_matrix_gives_a_cloud_its_round_trips() -> None:
    tables = loading.load("one-cloud").model_dump()
    plain = compile_world(loading.resolve(loading.load(tables)))
    tables["network"]["rtt_csv"] = str(RTT_CSV)
    measured = compile_world(loading.resolve(loading.load(tables)))
    of_aws = np.array([site.provider == "aws" for site in measured.resolved.sites])
    changed = plain.arrays.rtt_ms[0] != measured.arrays.rtt_ms[0]
    np.fill_diagonal(changed, True)
    assert of_aws.sum() == 13 and changed[np.ix_(of_aws, of_aws)].mean() > 0.9
    assert not changed[np.ix_(~of_aws, of_aws)].any()


def test_a_scenario_s_own_distance_model_is_used() -> None:
    flat = {"near_ms": 4.0, "near_ms_per_km": 0.0, "far_ms": 4.0, "far_ms_per_km": 0.0, "pair_factors": {"AF-AF": 2.5}}
    world = compiled(network__distance=flat)
    assert world.arrays.rtt_ms[0, 0].tolist() == [0.5, 10, 10]
    assert world.arrays.rtt_user_ms[0, 0].tolist() == [10, 10, 10]


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"EU-XX": 1.0}, "'EU-XX' is not a pair of AF"),
        ({"EU-NA": 1.0, "NA-EU": 1.1}, "'NA-EU' is given in both orders"),
    ],
)
def test_a_wrong_pair_of_continents_is_one_line(factors: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"network.distance: pair_factors: {message}"):
        compiled(network__distance={"pair_factors": factors})
