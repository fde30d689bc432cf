"""The operator's limits in the arrays: neutral where none is set, by the order of models, roles and sites otherwise."""

from __future__ import annotations

import numpy as np

from og_env.kernel.arrays import NO_COUNT_LIMIT, NO_RENT_LIMIT
from og_env.scenario import loading
from og_env.world import compile_world
from tests.cases.compiled_worlds import compiled


def test_without_limits_nothing_is_limited() -> None:
    arrays = compiled("global-16").arrays
    assert not arrays.least_replicas.any() and not arrays.least_roles.any() and not arrays.forbidden.any()
    assert (arrays.most_replicas == NO_COUNT_LIMIT).all() and (arrays.most_roles == NO_COUNT_LIMIT).all()
    assert arrays.rent_limit_usd_per_hour[0] >= NO_RENT_LIMIT


def test_limits_stand_at_their_model_role_and_site() -> None:
    limits = {
        "least_replicas": {"mixtral-8x7b-bf16": 2},
        "most_replicas": {"mixtral-8x7b-bf16": 4, "sdxl-fp16": 1},
        "least_roles": {"gateway": 2},
        "most_roles": {"verifier": 7, "store": 0},
        "rent_usd_per_hour": 80.0,
    }
    arrays = compiled("global-16", limits=limits).arrays
    assert arrays.least_replicas[0].tolist() == [0, 0, 2, 0]
    assert arrays.most_replicas[0].tolist() == [NO_COUNT_LIMIT, NO_COUNT_LIMIT, 4, 1]
    assert arrays.least_roles[0].tolist() == [0, 0, 2]
    assert arrays.most_roles[0].tolist() == [7, 0, NO_COUNT_LIMIT]
    assert arrays.rent_limit_usd_per_hour[0] == 80
    assert compiled(limits__forbidden_sites=("b",)).arrays.forbidden[0].tolist() == [0, 1, 0]


def test_a_start_that_breaks_limits_is_no_mistake() -> None:
    limits = {"most_replicas": {"unit": 0}, "least_roles": {"store": 3}, "rent_usd_per_hour": 0.0}
    world = compiled(limits=limits).arrays
    assert (world.start_phase[0] > 0).sum() == 1 and (world.start_role[0, 1] >= 0).sum() == 1


def test_a_forbidden_site_counts_in_the_fleets_that_have_it() -> None:
    name = "aws/us-east-1"
    spec = loading.override(loading.load("random-24"), {"limits.forbidden_sites": (name,)})
    had = set()
    for seed in range(40):
        world = compile_world(loading.resolve(spec, seed))
        here = np.array([site.name == name for site in world.resolved.sites])
        assert (world.arrays.forbidden[0, : len(here)] == here).all()
        had.add(bool(here.any()))
    assert had == {True, False}
