"""A policy fits an environment whose spaces are those that it was trained in."""

from __future__ import annotations

import json

import pytest

from og_agents.learning.policy_compatibility import describe_space, space_of
from og_env.env import NetworkEnv
from tests.cases.short_training import short_world

WORLD = short_world()


@pytest.mark.parametrize("task", ["placement", "routing", "joint"])
@pytest.mark.parametrize("flatten", [False, True])
def test_spaces_survive_json(task, flatten):
    env = NetworkEnv(task, WORLD, flatten=flatten)
    for space in (env.observation_space, env.action_space):
        assert space_of(json.loads(json.dumps(describe_space(space)))) == space
