"""The planner that a training begins as is the best one found, and a search replaces constants of another world."""

from __future__ import annotations

import numpy as np

from og_agents import planners
from og_agents.evaluation import playing
from og_agents.heuristics.tuned_constants import of_planner
from og_agents.learning import starting_planner
from og_env.scenario import loading
from tests.cases.short_training import short_world

WORLD = short_world()


def test_constants_side_by_side_earn_what_each_earns_alone():
    known = of_planner("greedy_tuned")
    candidates = [known.untuned, {**known.untuned, "add": 0.5, "remove": 0.5}]
    world = loading.override(short_world(), {"episode.operations_per_step": 2})
    found = starting_planner.mean_returns(candidates, world, 3, "validation", 5)
    for constants, value in zip(candidates, found, strict=True):
        alone = planners.make("greedy_tuned", world, constants=constants)
        assert np.isclose(playing.run(alone, world, episodes=3, seed=5, split="validation").returns.mean(), value)
    assert found[0] != found[1]


def test_a_world_without_constants_gets_some_and_never_the_worst(capsys):
    lines: list[str] = []
    start = starting_planner.find(WORLD, 0, None, lines.append)
    assert set(start.returns) == {"gain", "tuned for global-24", "searched"}
    assert start.returns[start.name] == max(start.returns.values())
    assert start == starting_planner.find(WORLD, 0, None), "the same seed, the same constants"
    assert "searching" in lines[0] and start.name in lines[-1]
    hurried = starting_planner.find(WORLD, 0, 0.0)
    assert set(hurried.returns) == set(start.returns), "without time one round is searched all the same"


def test_a_shipped_world_has_constants_of_its_own():
    world = loading.override(loading.load("global-16"), {"episode.steps": 12})
    assert set(starting_planner.find(world, 0, None).returns) == {"gain", "tuned"}
