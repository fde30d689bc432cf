"""A policy fits an environment whose spaces are those that it was trained in."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from og_agents import planners
from og_agents.evaluation import playing
from og_agents.learning import checkpoint, learned_share, ppo
from og_agents.learning.policy_compatibility import describe_space, space_of
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from tests.cases.short_training import short_world, small_settings, untrained

WORLD = short_world()


@pytest.mark.parametrize("task", ["placement", "routing", "joint"])
@pytest.mark.parametrize("flatten", [False, True])
def test_spaces_survive_json(task, flatten):
    env = NetworkEnv(task, WORLD, flatten=flatten)
    for space in (env.observation_space, env.action_space):
        assert space_of(json.loads(json.dumps(describe_space(space)))) == space


def untrained_with_card(world: ScenarioSpec) -> tuple[Any, dict[str, Any]]:
    """An untrained model for a world, and its description."""
    settings = small_settings()
    return untrained(settings, world, seed=1), ppo.make_meta(settings, "placement", world, seed=1)


def test_a_policy_plays_as_the_planner_where_fleet_and_wishes_are_others(tmp_path):
    """It keeps what it learned where one of both is the same, or where it learned with any wishes."""
    learned, other = short_world("random-24"), loading.override(short_world("global-24"), {"reward.latency": 1.0})
    model, meta = untrained_with_card(learned)
    with torch.no_grad():
        for values in learned_share.heads(model.policy):
            values += torch.linspace(-20, 20, values.numel()).reshape(values.shape)
    checkpoint.save(model, tmp_path, meta)
    as_planner = checkpoint.load(tmp_path, scenario=other)
    assert as_planner.meta["plays_as"] == "greedy_tuned"
    planner = planners.make("greedy_tuned", other, "placement")
    returns = playing.run(planner, other, episodes=4).returns
    assert np.array_equal(playing.run(as_planner, other, episodes=4).returns, returns)
    for world in (short_world("global-24"), loading.override(learned, {"reward.latency": 1.0})):
        kept = checkpoint.load(tmp_path, scenario=world)
        assert "plays_as" not in kept.meta
    kept = checkpoint.load(tmp_path, scenario=short_world("global-24"))
    of_planner = playing.run(planner, short_world("global-24"), episodes=4).returns
    assert not np.array_equal(playing.run(kept, short_world("global-24"), episodes=4).returns, of_planner)
    any_wishes = loading.override(learned, {"reward.weights": "random"})
    model, meta = untrained_with_card(any_wishes)
    checkpoint.save(model, tmp_path, meta)
    assert "plays_as" not in checkpoint.load(tmp_path, scenario=other).meta
