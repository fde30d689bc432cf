"""The best static placement by local search."""

import numpy as np
import pytest

from og_agents.planners import local_search
from og_agents.planners.static_placement import fits, starting
from tests.cases.planner_worlds import short


def test_prices_of_placements_are_returns_of_the_untouched_fleet():
    spec = short("one-cloud")
    pricing = local_search.Pricing(spec, 2, 0)
    start = starting(pricing.world)
    bare = start._replace(replicas=np.zeros_like(start.replicas))
    values = pricing.returns([start, bare])
    simulator, returns = pricing.simulator, np.zeros(2)
    simulator.start(np.arange(2))
    for _ in range(24):
        simulator.advance(np.zeros(2, np.int64))
        returns += simulator.output.reward
    assert values[0] == pytest.approx(returns.mean(), rel=1e-5)
    assert values[1] < values[0]


def test_local_search_finds_a_placement_that_fits_and_earns_more():
    spec = short("one-cloud")
    pricing = local_search.Pricing(spec, 3, 0)
    found = local_search.best_static(spec, rounds=8, episodes=3)
    assert fits(pricing.world, found)
    before, after = pricing.returns([starting(pricing.world), found])
    assert after > before
