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
    assert start[:3] == starting_planner.find(WORLD, 0, None)[:3], "the same seed, the same constants"
    assert "searching" in lines[0] and start.name in lines[-1]
    hurried = starting_planner.find(WORLD, 0, 0.0)
    assert set(hurried.returns) == set(start.returns), "without time one round is searched all the same"


def test_a_shipped_world_has_constants_of_its_own():
    world = loading.override(loading.load("global-16"), {"episode.steps": 12})
    assert set(starting_planner.find(world, 0, None).returns) == {"gain", "tuned"}


def test_episodes_of_a_comparison_fit_into_the_time_and_are_the_first_ones(monkeypatch):
    played: list[tuple[int, int]] = []

    def mean_returns(candidates, spec, episodes, split, first_seed):
        played.append((first_seed - starting_planner.FIRST_SEED, episodes))
        clock[0] += 2.0 * episodes * len(candidates)
        return np.arange(len(candidates)) + first_seed

    clock = [0.0]
    monkeypatch.setattr(starting_planner, "mean_returns", mean_returns)
    monkeypatch.setattr(starting_planner.time, "monotonic", lambda: clock[0])
    two = [of_planner("greedy_tuned").untuned] * 2
    values, episode_s = starting_planner.compared(two, WORLD, 32, None)
    assert played == [(0, 4), (4, 4), (8, 24)] and episode_s == 2.0
    assert np.allclose(np.diff(values), 1)
    played.clear()
    starting_planner.compared(two, WORLD, 32, 60.0)  # 15 episodes of two candidates
    assert played == [(0, 4), (4, 4), (8, 7)]
    played.clear()
    starting_planner.compared(two, WORLD, 32, 20.0)
    assert played == [(0, 4), (4, 4)]
    played.clear()
    assert starting_planner.compared(two, WORLD, 32, 1.0)[1] == 2.0
    assert played == [(0, 4)], "a few, whatever they take"


def test_a_validation_has_as_many_episodes_as_a_tenth_of_the_time_allows():
    start = starting_planner.Start("gain", {}, {}, episode_s=2.0)
    assert [starting_planner.evaluated(start, limit, 96) for limit in (1920.0, 1919.0, 600.0, 60.0)] == [96, 48, 24, 12]
    assert starting_planner.evaluated(start, None, 96) == 96 and starting_planner.evaluated(start, 1.0, 6) == 6
