"""The p-median programme: near placements, and robust ones."""

import numpy as np
import pytest

from og_agents.planners import p_median
from og_agents.planners.static_placement import fits, starting
from og_env.kernel.arrays import GATEWAY, STORE, VERIFIER
from og_env.scenario import loading
from tests.cases.planner_worlds import TOY, world_of


def test_p_median_serves_near_and_the_robust_one_off_any_single_dependency():
    pytest.importorskip("highspy")
    spec = loading.load("provider-blackout")
    world = world_of(spec)
    plain, robust = p_median.p_median(spec), p_median.p_median(spec, robust=True)
    assert fits(world, plain) and fits(world, robust)
    demand = p_median.demand_slices(world)[0].sum(axis=0)
    room = world.capacity_rps[0] * world.utilisation_limit[0]
    inside = p_median.members(world)[world.domain_size[0] > 0]

    def worst_loss(target):
        left = (target.replicas * room) @ (1 - inside.T)
        return (np.maximum(demand[:, None] - left, 0).sum(axis=0) / demand.sum()).max()

    assert ((plain.replicas * room).sum(axis=1) >= 0.97 * demand).all()
    assert worst_loss(robust) < 0.5 * worst_loss(plain)


def test_roles_are_spread_until_one_loss_is_survived():
    world = world_of(loading.load("store-loss"))
    roles = p_median.hedge_roles(world, starting(world).roles)
    inside = p_median.members(world) > 0
    shared = inside[(world.domain_size[0] > 1) & (inside.sum(axis=1) < inside.shape[1])]
    for role in (STORE, GATEWAY):
        assert (shared @ roles[role]).max() < roles[role].sum()
    held = roles[VERIFIER].sum()
    assert (shared @ roles[VERIFIER]).max() <= held - (2 * held // 3 + 1)


def test_without_highspy_the_programme_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "highspy", None)
    with pytest.raises(ValueError, match=r"pip install '\.\[opt\]'"):
        p_median.p_median(TOY)
