"""Flags of what is possible behind the observations of training: always those of the same moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_agents.learning.possible_behind import PossibleVecEnv, widened
from og_agents.learning.shaped_reward import TrainingReward
from og_env.env import NetworkEnv
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import STEPS, short_world

WORLD = short_world()


def test_flags_are_those_of_the_moment_from_reset_to_the_end_of_an_episode():
    inner = NetworkVectorEnv(4, "placement", WORLD, interface="operations", flatten=True)
    env = TrainingReward(PossibleVecEnv(inner))
    env.seed(1)
    choices = inner.single_action_space.n  # type: ignore[attr-defined]
    seen: Any = env.reset()
    before: dict[str, Any] = {}
    draw, ends, changes = np.random.default_rng(0), 0, 0
    actions = np.zeros(4, np.int64)
    for _ in range(2 * STEPS):
        masks = inner.action_masks()
        assert env.observation_space.contains(seen[0]) and np.array_equal(seen[:, -choices:] > 0, masks)
        actions = np.array([draw.choice(np.flatnonzero(mask)) for mask in masks])
        before = env.get_state()
        seen, _, dones, infos = env.step(actions)
        changes += int((seen[:, -choices:] > 0).sum() != masks.sum())
        for i in np.flatnonzero(dones):
            ends += 1
            assert infos[i]["terminal_observation"].shape == env.observation_space.shape
            assert infos[i]["terminal_observation"][-choices] == 1, "doing nothing is always possible"
    assert ends >= 4 and changes > 5
    env.set_state(before)
    again: Any = env.step(actions)[0]
    assert np.array_equal(again, seen)


def test_only_flat_observations_of_placement_have_flags_behind_them():
    table = NetworkEnv("placement", WORLD, interface="operations")
    with pytest.raises(ValueError, match="flatten=True"):
        widened(table.observation_space, table.action_space)
    joint = NetworkEnv("joint", WORLD, interface="operations", flatten=True)
    with pytest.raises(ValueError, match="of Placement"):
        widened(joint.observation_space, joint.action_space)
