"""Trust behaves as it must at the extremes, for scenarios, candidates and bad fleets."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from og_env.scenario.specs import DomainSpec, FailureSpec, SiteSpec
from og_env.trust import (
    active_shocks,
    audit,
    availability,
    best_additions,
    build_fleet,
    concentration,
    correlation_matrix,
    curve_as_listed,
    curve_greedy,
    dense,
    fleet_n_eff,
    fleet_of_scenario,
    join,
    leave_one_out,
    mean_duration_h,
    nakamoto,
    pairs,
    scenario_kind,
    select,
    shapley,
    survival,
)
from og_env.trust.quorum_downtime import enumerate_states
from tests.cases.small_fleets import KINDS, TABLE, failure, fleets, large_fleet, table_of


def certain(label, name):
    return failure("provider", rate=50, hit=1.0) if label == "provider" else None


def test_independent_equal_nodes_count_fully_and_a_certain_shared_failure_leaves_one():
    alone = build_fleet(list("abcde"), {"provider": list("vwxyz")}, certain)
    together = build_fleet(list("abcde"), {"provider": ["v"] * 5}, certain)
    assert fleet_n_eff(alone) == pytest.approx(5, rel=1e-12)
    assert fleet_n_eff(together) == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(correlation_matrix(*dense(together)), 1.0)


def test_a_copy_of_a_node_adds_almost_nothing():
    nodes = [f"n{i}" for i in range(20)]
    fleet = build_fleet([*nodes, "copy"], {"site": [*nodes, "n0"]}, lambda label, name: TABLE["site"])
    assert leave_one_out(fleet, pairs(fleet))[-1] < 1e-9
    assert shapley(select(fleet, np.arange(10, 21)), pairs(select(fleet, np.arange(10, 21)))).value.min() > 0.9


@settings(max_examples=40, deadline=None)
@given(fleets(), st.sampled_from(KINDS))
def test_n_eff_never_rises_when_two_domains_merge(fleet, kind):
    k = fleet.kinds.index(kind)
    for a, b in itertools.combinations(range(len(fleet.names[k])), 2):
        domain = fleet.domain.copy()
        domain[domain[:, k] == b, k] = a
        assert fleet_n_eff(fleet._replace(domain=domain)) <= fleet_n_eff(fleet) * (1 + 1e-9)


def test_a_missing_value_keeps_the_availability_but_not_the_company():
    fleet = build_fleet(list("abc"), {"provider": ["x", "x", ""]}, table_of)
    up = availability(fleet.load, fleet.hit)
    assert up[0] == up[2]
    rho = correlation_matrix(*dense(fleet))
    assert rho[0, 1] > 0 and rho[0, 2] == 0


def test_a_dependency_that_a_node_does_not_have_raises_its_availability():
    fleet = build_fleet(list("ab"), {"provider": ["x", None]}, table_of)
    assert np.diff(availability(fleet.load, fleet.hit))[0] > 0


def test_hit_probability_follows_the_host_class():
    fleet = build_fleet(list("abc"), {"grid": ["g"] * 3}, table_of, host_class=["home", "bare_metal", "hyperscale"])
    assert fleet.hit[:, 0].tolist() == [1.0, 0.5, 0.3]


def test_active_shocks_count_only_effects_that_stop_a_vote():
    kind = failure(rate=8760.0, duration_sigma=0.0, heavy_duration_sigma=0.0, effects={"DOWN": 0.25, "FROZEN": 0.75})
    assert mean_duration_h(kind) == pytest.approx(0.85 * 5 + 0.15 * 20)
    assert active_shocks(kind) == pytest.approx(0.25 * 7.25)
    assert active_shocks(kind, ("DOWN", "FROZEN")) == pytest.approx(7.25)


def test_mean_durations_up_to_a_limit_match_drawn_ones():
    kind = failure(duration_h=2.0, duration_sigma=1.0, heavy_duration_h=30.0, heavy_duration_sigma=0.7)
    rng = np.random.default_rng(3)
    ordinary = 2.0 * np.exp(rng.standard_normal(200_000))
    heavy = 30.0 * np.exp(0.7 * rng.standard_normal(200_000))
    drawn = np.where(rng.random(200_000) < kind.heavy_weight, heavy, ordinary)
    for limit in (0.5, 3.0, 48.0, math.inf):
        assert mean_duration_h(kind, limit) == pytest.approx(np.minimum(drawn, limit).mean(), rel=0.02)
    fixed = failure(duration_h=2.0, duration_sigma=0.0, heavy_duration_h=30.0, heavy_duration_sigma=0.0)
    assert mean_duration_h(fixed, 10.0) == pytest.approx(0.85 * 2 + 0.15 * 10)


def test_a_registry_takes_its_frozen_clients_down_after_half_an_hour():
    kind = failure("facilitator", rate=8760.0, effects={"FROZEN": 1.0}, duration_sigma=0.0, heavy_duration_sigma=0.0)
    assert active_shocks(kind, ("FROZEN",)) == pytest.approx(0.5)
    assert active_shocks(kind, ("DOWN",)) == pytest.approx(0.85 * 4.5 + 0.15 * 19.5)
    assert active_shocks(kind, ("DOWN", "FROZEN")) == pytest.approx(mean_duration_h(kind))
    assert active_shocks(failure("region", effects={"FROZEN": 1.0})) == 0


def test_closed_form_matches_a_simulated_shock_process():
    """10^6 hours of two nodes with one shared and two own domains; shares of time down and joint, within 5 standard errors."""
    rng = np.random.default_rng(11)
    hours, kind = 1_000_000, failure(rate=200.0, hit=0.6, duration_h=2.0, heavy_duration_h=6.0)
    shared = active_shocks(kind)
    hit = np.array([[0.6, 1.0, 0.0], [0.6, 0.0, 1.0]])
    load = np.array([shared, shared / 2, shared / 2])
    down = np.zeros((2, hours), np.int64)
    for d, factor in enumerate((1.0, 0.5, 0.5)):
        count = rng.poisson(kind.rate_per_year * factor * hours / 8760)
        start = rng.uniform(0, hours, count)
        heavy = rng.random(count) < kind.heavy_weight
        ordinary = kind.duration_h * np.exp(kind.duration_sigma * rng.standard_normal(count))
        long = kind.heavy_duration_h * np.exp(kind.heavy_duration_sigma * rng.standard_normal(count))
        end = start + np.where(heavy, long, ordinary)
        for i in range(2):
            struck = rng.random(count) < hit[i, d]
            change = np.zeros(hours + 1, np.int64)
            np.add.at(change, np.ceil(start[struck]).astype(int).clip(0, hours), 1)
            np.add.at(change, np.ceil(end[struck]).astype(int).clip(0, hours), -1)
            down[i] += np.cumsum(change[:hours])
    is_down = down > 0
    up = availability(np.tile(load, (2, 1)), hit)
    rho = correlation_matrix(hit, load)[0, 1]
    joint_down = 1 - float(up.sum()) + math.exp(-float(np.sum(load * (1 - np.prod(1 - hit, axis=0)))))
    for times, expected in ((is_down[0], 1 - float(up[0])), (is_down.all(axis=0), joint_down)):
        blocks = times.reshape(1000, -1).mean(axis=1)
        error = float(blocks.std()) / math.sqrt(1000)
        assert error < 0.05 * expected
        assert abs(float(blocks.mean()) - expected) < 5 * error
    assert np.asarray(np.corrcoef(is_down))[0, 1] == pytest.approx(rho, abs=0.03)


def test_concentration_by_hand():
    fleet = build_fleet(list("abcdefgh"), {"provider": ["x", "x", "x", "x", "y", "y", "z", ""]}, table_of)
    figures = concentration(fleet, "provider")
    assert figures.hhi == pytest.approx((16 + 4 + 1 + 1) / 64)
    assert figures.effective == pytest.approx(64 / 22)
    assert figures.nakamoto == {"1/3": 1, "1/2": 2, "2/3": 2}
    assert nakamoto(np.full(10, 0.1)) == {"1/3": 4, "1/2": 6, "2/3": 7}
    with pytest.raises(ValueError, match="no kind planet"):
        concentration(fleet, "planet")


def test_weights_move_the_quorum_exactly_at_two_thirds():
    columns = {"provider": list("xyz")}
    assert not survival(build_fleet(list("abc"), columns, table_of)).n1_survives
    heavier = build_fleet(list("abcd"), {"provider": list("wxyz")}, table_of)
    assert survival(heavier).n1_survives and not survival(heavier).n2_survives


def test_enumerated_states_carry_all_probability():
    states = enumerate_states(np.array([0.01, 0.2, 0.003]), 20_000)
    assert states is not None and states.probability.sum() == pytest.approx(1, abs=1e-14)
    assert enumerate_states(np.full(60, 0.5), 1000) is None


def test_growth_curves_end_at_the_whole_fleet_and_greedy_leads():
    fleet = large_fleet(n=80, scale=1.0)
    listed, greedy = curve_as_listed(fleet), curve_greedy(fleet)
    assert listed.nodes[-1] == greedy.nodes[-1] == 80
    assert listed.n_eff[-1] == pytest.approx(greedy.n_eff[-1]) == pytest.approx(fleet_n_eff(fleet))
    assert greedy.n_eff[19] >= listed.n_eff[19]


def test_candidates_come_in_greedy_order_per_dollar():
    fleet = build_fleet(list("abc"), {"provider": ["x", "x", "y"], "country": ["u", "v", "v"]}, table_of)
    offered = build_fleet(["p", "q", "r"], {"provider": ["x", "new", "new"], "country": ["u", "u", "w"]}, table_of)
    plain = best_additions(fleet, offered)
    gains = [fleet_n_eff(join(fleet, select(offered, [i]))) - fleet_n_eff(fleet) for i in range(3)]
    assert plain[0].candidate == int(np.argmax(gains)) == 2
    assert plain[0].gain == pytest.approx(max(gains)) and plain[0].usd is None
    assert plain[-1].n_eff == pytest.approx(fleet_n_eff(join(fleet, offered)))
    dear = best_additions(fleet, offered, np.array([1.0, 1.0, 50.0]))
    assert dear[0].candidate == 1 and dear[-1].candidate == 2
    assert dear[0].gain_per_usd == pytest.approx(gains[1])


def test_joining_fleets_matches_domains_by_name():
    a = build_fleet(["a"], {"provider": ["x"]}, table_of)
    b = build_fleet(["b", "c"], {"provider": ["y", "x"]}, table_of)
    both = join(a, b)
    assert both.domain[0, 0] == both.domain[2, 0] != both.domain[1, 0]
    spelled = join(a, build_fleet(["e"], {"provider": ["X"]}, table_of))
    assert spelled.domain[0, 0] == spelled.domain[1, 0] and spelled.names[0] == ("x",)
    with pytest.raises(ValueError, match="differ in kinds"):
        join(a, build_fleet(["d"], {"country": ["u"]}, table_of))


def test_bad_fleets_are_refused():
    with pytest.raises(ValueError, match="no nodes"):
        build_fleet([], {"provider": []}, table_of)
    with pytest.raises(ValueError, match="has 1 values for 2 nodes"):
        build_fleet(["a", "b"], {"provider": ["x"]}, table_of)
    with pytest.raises(ValueError, match="not negative"):
        build_fleet(["a", "b"], {"provider": ["x", "x"]}, table_of, weight=[1, -1])
    with pytest.raises(ValueError, match="active shocks"):
        build_fleet(["a"], {"provider": ["x"]}, lambda label, name: failure(rate=1e6))
    with pytest.raises(ValueError, match="must lie in"):
        correlation_matrix(np.array([[1.5]]), np.array([1.0]))
    with pytest.raises(ValueError, match="at least 2"):
        shapley(large_fleet(), pairs(large_fleet()), rounds=1)


BASE_SITE = SiteSpec(
    name="base",
    provider="p",
    region="r",
    city="Oslo",
    country="NO",
    lat_deg=60.0,
    lon_deg=10.0,
    grid="nordic",
    transit="t",
    tee_vendor="none",
    host_class="bare_metal",
    gpu="H100",
    gpu_count=1,
    usd_per_gpu_hour=2.0,
)


def site(name, **changes):
    return BASE_SITE.model_copy(update={"name": name, **changes})


def test_a_scenario_audits_its_sites_with_its_own_rates():
    sites = (
        site("a"),
        site("b"),
        site("c", provider="q", grid="eu", transit="u", country="SE", region="z", city="Lund"),
    )
    by_hand = DomainSpec(kind="upstream", name="api", sites=("a", "c"))
    usual = {label: failure(label) for label in ("provider", "site", "upstream", "grid")}
    rates = FailureSpec(shocks_per_day=2.0, kind_shares={"provider": 0.5, "upstream": 0.5}, duration_scale=2.0)
    fleet = fleet_of_scenario(sites, rates, lambda kind, name: usual.get(kind), (by_hand,))
    k = fleet.kinds.index("provider")
    expected = 2.0 * 365 * 0.5 / 2 / 8760 * 2 * mean_duration_h(failure())
    assert fleet.load[0, k] == pytest.approx(expected)
    assert fleet.load[0, fleet.kinds.index("grid")] == 0
    hand = fleet.kinds.index("upstream:api")
    assert fleet.domain[0, hand] == fleet.domain[2, hand] >= 0 and fleet.load[1, hand] == 0
    apart = fleet_of_scenario(
        sites, rates.model_copy(update={"process": "independent"}), lambda kind, name: usual.get(kind)
    )
    assert fleet_n_eff(apart) == pytest.approx(3)


def test_a_scenario_can_freeze_more_of_the_control_planes():
    kind = failure("region", effects={"DOWN": 0.3, "FROZEN": 0.7})
    frozen = scenario_kind(kind, FailureSpec(frozen_share=0.9), 1)
    assert frozen is not None and frozen.effects["DOWN"] == pytest.approx(0.1)
    assert scenario_kind(kind, FailureSpec(process="none"), 1) is None


def test_the_audit_has_the_promised_keys_and_agrees_with_its_parts():
    fleet = large_fleet(n=40)
    result = audit(fleet, kind_of={kind: kind for kind in KINDS}, missing={"grid": 0}, top=3)
    assert result["nodes"] == 40 and result["n_eff"] == pytest.approx(fleet_n_eff(fleet))
    for kind in KINDS:
        assert set(result["kinds"][kind]) >= {"top", "hhi", "effective", "nakamoto", "missing"}
        assert set(result["kinds"][kind]["nakamoto"]) == {"1/3", "1/2", "2/3"}
        assert len(result["kinds"][kind]["top"]) == 3
    assert set(result["quorum"]) >= {"n1_survives", "n2_survives", "hours_per_year_without", "standard_error"}
    assert len(result["marginal"]) == 40
    assert sum(entry["shapley"] for entry in result["marginal"]) == pytest.approx(result["n_eff"])
    useless = sum(entry["n_eff"] <= 0 for entry in result["marginal"])
    assert result["count_only"]["nodes"] == useless


def test_twenty_thousand_different_nodes_are_left_out_one_by_one():
    rng = np.random.default_rng(0)
    sizes = {"provider": 300, "country": 80, "grid": 2000}
    columns = {kind: [f"{i}" for i in rng.integers(0, size, 20_000)] for kind, size in sizes.items()}
    fleet = build_fleet([str(i) for i in range(20_000)], columns, table_of)
    figures = leave_one_out(fleet, pairs(fleet))
    assert len(figures) == 20_000 and np.isfinite(figures).all()
