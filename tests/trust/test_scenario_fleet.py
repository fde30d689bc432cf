"""The fleet of a scenario has its sites and its failure rates."""

from __future__ import annotations

import pytest

from og_env.scenario.specs import DomainSpec, FailureSpec, SiteSpec
from og_env.trust import fleet_n_eff, fleet_of_scenario, mean_duration_h, scenario_kind
from tests.cases.small_fleets import failure

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
