"""Advantages by time: a step that is cut into several decisions is worth what it is in one."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from og_agents.learning import ppo
from og_agents.learning.time_discount import TimeRolloutBuffer, targets_of
from og_agents.learning.training_progress import Clock
from og_agents.sb3_adapter import make_sb3
from og_env.scenario import loading
from tests.cases.short_training import short_world, small_settings

GAMMA, LAMBDA = 0.9, 0.8
SPACE, CHOICES = gym.spaces.Box(-1, 1, (1,), np.float32), gym.spaces.Discrete(2)
Decision = tuple[float, float, bool]
"""reward, value before it, and whether the clock moved"""


def advantages(decisions: list[Decision], last: float, *, by_time: bool = True) -> np.ndarray:
    clock = iter([moved for _, _, moved in decisions])
    sizes = (len(decisions), SPACE, CHOICES, "cpu", LAMBDA, GAMMA, 1)
    buffer = TimeRolloutBuffer(*sizes, moved=lambda: np.array([next(clock)])) if by_time else RolloutBuffer(*sizes)
    buffer.reset()
    for i, (reward, value, _) in enumerate(decisions):
        start = np.array([float(i == 0)])
        buffer.add(np.zeros((1, 1)), np.zeros((1, 1)), np.array([reward]), start, torch.tensor([value]), torch.zeros(1))
    buffer.compute_returns_and_advantage(torch.tensor([last]), np.array([False]))
    assert buffer.returns == pytest.approx(buffer.advantages + buffer.values)
    return buffer.advantages[:, 0]


def test_a_step_of_three_decisions_is_worth_a_step_of_one() -> None:
    one = advantages([(-1.0, 4.0, True), (-2.0, 3.0, True), (-0.5, 5.0, True)], 2.0)
    stands = [(0.0, 3.0, False), (0.0, 3.0, False)]
    three = advantages([(-1.0, 4.0, True), *stands, (-2.0, 3.0, True), (-0.5, 5.0, True)], 2.0)
    assert three[[0, 1, 4]] == pytest.approx(one, abs=1e-6)
    assert three[1:4] == pytest.approx(one[1], abs=1e-6)
    assert advantages([(-1.0, 4.0, True), *stands, (-2.0, 3.0, True)], 2.0, by_time=False)[1] != pytest.approx(one[1])


def test_where_the_clock_always_moves_it_is_the_usual_buffer() -> None:
    decisions = [(-1.0, 4.0, True), (-2.0, 3.0, True), (-0.5, 5.0, True)]
    assert np.array_equal(advantages(decisions, 2.0), advantages(decisions, 2.0, by_time=False))


def test_targets_of_fragments_are_those_of_the_buffer() -> None:
    first = [(-1.0, 4.0, True), (0.0, 3.0, False), (0.0, 3.5, False), (-2.0, 3.0, True)]
    second = [(0.0, 2.0, False), (-0.5, 5.0, True)]
    ends = {4: 2.5, 7: 1.5}  # the decision that comes last of each fragment has the value to go on from
    rows = [*first, (0.0, ends[4], True), *second, (0.0, ends[7], True)]
    rewards, values, moved = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    cut = np.zeros(len(rows), np.float32)
    cut[[3, 4, 6, 7]] = 1
    targets = targets_of(values, rewards, cut, moved, gamma=GAMMA, gae_lambda=LAMBDA) - values
    assert targets[:4] == pytest.approx(advantages(first, ends[4]), abs=1e-5)
    assert targets[5:7] == pytest.approx(advantages(second, ends[7]), abs=1e-5)


@pytest.mark.parametrize("policy", ["shared", "lstm"])
def test_training_on_several_operations_discounts_by_time(policy: str) -> None:
    spec = loading.override(short_world(), {"episode.operations_per_step": 3})
    settings = small_settings(policy=policy, n_envs=2, n_steps=16, credit="planner")
    env = make_sb3("placement", 2, scenario=spec, flatten=True)
    meta = ppo.make_meta(settings, "placement", spec, 0)
    model = ppo.build(env, meta, settings, Clock(32, None), 0)
    model.learn(32)
    assert isinstance(model.rollout_buffer, TimeRolloutBuffer)
    assert 0 < model.rollout_buffer.elapsed.mean() < 1
    env.close()
