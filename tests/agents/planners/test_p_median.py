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


def test_a_request_costs_the_chance_that_it_is_late_and_the_price_of_its_answer():
    changes = {"network.kept_alive_share": 0.75, "prices": {"rent_share": 0.5, "use_share": 1.0}}
    world = world_of(loading.override(TOY, changes))
    mean_s = 1.5 * world.rtt_user_ms[0, 0, 1] / 1000 + 0.5
    deviation_s = np.hypot(np.sqrt(0.75) * world.rtt_user_ms[0, 0, 1] / 1000, 1.0 * 0.5)
    late = 1 / (1 + np.exp((2.0 - mean_s) * 1.8137994 / deviation_s))
    assert p_median.serving_cost(world)[0, 0, 1] == pytest.approx(0.25 * late, rel=1e-5)
    programme = p_median.formulate(world, robust=False)
    answers = 0.25 * (2.0 * 0.1 + 3600 * 1e-5 * 0.1) / 4  # an hour of one request a second, over the budget
    assert programme.cost[1] == pytest.approx(0.25 * 1.0 / 4)
    assert programme.cost[3 + 1] == pytest.approx(((0.25 * late - 1.0) / 8 + answers) / 4, rel=1e-5)


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
    with pytest.raises(ValueError, match=r"pip install 'og_env\[opt\]'"):
        p_median.p_median(TOY)


def test_what_is_left_without_a_dependency_and_what_is_lost_are_the_demand():
    world = world_of(TOY)
    programme = p_median.formulate(world, robust=True)
    lost = programme.cost.size - 1 - len(world.domain_size[0]) + np.flatnonzero(world.domain_size[0] > 0)
    rows = np.split(np.arange(len(programme.columns)), programme.start[1:])
    values = [
        programme.value[row][programme.columns[row] == z] for z in lost for row in rows if z in programme.columns[row]
    ]
    assert {round(float(value[0]), 6) for value in values if value[0] > 0} == {1.0}
