"""Fault domains as arrays: on paper for toy-3, and against the correlations of the trust model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from og_env.kernel.arrays import DOWN, FROZEN
from og_env.scenario import catalog, loading
from og_env.trust import availability, correlation_matrix, dense
from og_env.trust.scenario_fleet import fleet_of_scenario
from og_env.world import Domain, down_loads, sizes_of
from tests.cases.compiled_worlds import BY_CATALOGUE, compiled

ABSENT_KINDS = {"failures.kind_shares": {"provider": 0.2, "facilitator": 0.3, "upstream": 0.2, "image": 0.3}}


@pytest.mark.parametrize(
    ("scenario", "changes"),
    [("global-24", {}), ("global-24", BY_CATALOGUE), ("global-24", ABSENT_KINDS), ("opengradient", {})],
    ids=["scenario", "catalogue", "shares of absent kinds", "a registry"],
)
def test_correlations_are_those_of_the_trust_model(scenario: str, changes: dict[str, Any]) -> None:
    world = compiled(scenario, **changes)
    sites, failures = world.resolved.sites, world.resolved.spec.failures
    fleet = fleet_of_scenario(sites, failures, catalog.failure_kind, world.resolved.domains, effects=("DOWN",))
    hit, load = dense(fleet)
    assert np.allclose(world.arrays.correlation[0], correlation_matrix(hit, load), atol=1e-5)
    stationary = availability(load, hit)
    site_hit, site_load = down_loads(world.sources, len(sites), world.sizes["S"])
    assert np.allclose(availability(site_load, site_hit), stationary, rtol=1e-9)
    # older shocks are left out, and one counts in every 5-minute row that it touches
    assert (world.arrays.site_hazard[0] < 1.06 * (1 - stationary)).all()


def test_what_hits_one_site_alone_is_its_own_risk() -> None:
    world = compiled("global-24")
    shared, n = world.sizes["S"], world.sizes["N"]
    rate, hours = np.zeros(n), np.zeros(n)
    for source in world.sources:
        if len(source.members) == 1:
            rate[source.members[0]] += source.rate_per_h * source.hit[0]
            hours[source.members[0]] += source.rate_per_h * source.hit[0] * min(source.mean_h, 24)
    assert np.allclose(world.arrays.domain_rate[0, shared:], rate, rtol=1e-5)
    assert np.allclose(
        world.arrays.domain_mean_h[0, shared:], np.divide(hours, rate, out=np.zeros(n), where=rate > 0), rtol=1e-5
    )


def test_a_mean_duration_ends_with_the_episode() -> None:
    world = compiled("global-24", **BY_CATALOGUE)
    tee = [f for f, domain in enumerate(world.domains) if domain.name == "sev-snp"]
    assert tee and np.allclose(world.arrays.domain_mean_h[0, tee], 24)
    grids = [f for f, domain in enumerate(world.domains) if domain.kind == "grid"]
    expected = 0.85 * 1.2 * math.exp(0.5) + 0.15 * 10 * math.exp(0.245)
    assert np.allclose(world.arrays.domain_mean_h[0, grids], expected, rtol=1e-5)


def test_hidden_kinds_act_unseen() -> None:
    world = compiled("global-24", failures__hidden=("grid", "site"))
    for f, domain in enumerate(world.domains):
        assert world.arrays.domain_visible[0, f] == (domain.kind not in ("grid", "site"))
    assert any(source.kind == "grid" for source in world.sources)


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
