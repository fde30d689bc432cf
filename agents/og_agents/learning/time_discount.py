"""Discounting by time, not by decision: where the clock stood between two decisions, nothing is discounted.

With elapsed e = 1 where the clock moved and 0 where it stood, the advantage of a decision is
delta + (gamma lambda)^e A', with delta = r + gamma^e V' - V. A step of the clock that is cut into several decisions with
the same values is then worth what it is in one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer
from sb3_contrib.common.recurrent.buffers import RecurrentRolloutBuffer
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.vec_env import VecEnv

Moved = Callable[[], np.ndarray]
"""gives whether the clock moved with the decision that is added next, bool [n]"""


class TimeRolloutBuffer(RolloutBuffer):
    """A rollout buffer that discounts by the clock of its environments."""

    def __init__(self, *arguments: Any, moved: Moved, **named: Any) -> None:
        self.moved = moved
        super().__init__(*arguments, **named)

    def reset(self) -> None:
        """Forget all decisions."""
        super().reset()
        self.elapsed = np.ones((self.buffer_size, self.n_envs), np.float32)

    def add(self, *arguments: Any, **named: Any) -> None:
        """Add a decision of every environment, with the time that it took."""
        self.elapsed[self.pos] = self.moved()
        super().add(*arguments, **named)

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: np.ndarray) -> None:
        """Write advantages and returns; `last_values` are those after the last decision, where `dones` ended episodes."""
        values = np.concatenate([self.values, last_values.clone().cpu().numpy().reshape(1, -1)])
        goes_on = 1.0 - np.concatenate([self.episode_starts[1:], dones.astype(np.float32).reshape(1, -1)])
        discount, trace = self.gamma**self.elapsed, (self.gamma * self.gae_lambda) ** self.elapsed
        advantage = np.zeros(self.n_envs, np.float32)
        for i in reversed(range(self.buffer_size)):
            delta = self.rewards[i] + discount[i] * values[i + 1] * goes_on[i] - self.values[i]
            advantage = delta + trace[i] * goes_on[i] * advantage
            self.advantages[i] = advantage
        self.returns = self.advantages + self.values


class TimeMaskableRolloutBuffer(TimeRolloutBuffer, MaskableRolloutBuffer):
    """The same with the masks of MaskablePPO."""


class TimeRecurrentRolloutBuffer(TimeRolloutBuffer, RecurrentRolloutBuffer):
    """The same with the memories of RecurrentPPO."""


def targets_of(
    values: np.ndarray, rewards: np.ndarray, cut: np.ndarray, elapsed: np.ndarray, *, gamma: float, gae_lambda: float
) -> np.ndarray:
    """Targets of the values, float32 [T], of fragments one after another, each with one decision more than were taken.

    That last decision has the value to go on from, and the one before it is `cut` [T], so that no advantage passes on.
    """
    coming = np.append(values[1:], np.float32(0))
    delta = rewards + gamma**elapsed * coming - values
    trace = (gamma * gae_lambda) ** elapsed * (1.0 - cut)
    advantages, advantage = np.zeros(len(values), np.float32), 0.0
    for i in reversed(range(len(values))):
        advantage = delta[i] + trace[i] * advantage
        advantages[i] = advantage
    return (advantages + values).astype(np.float32)


def discount_by_time(model: Any, env: VecEnv) -> None:
    """Let a fresh algorithm of SB3 discount by time; it reads the clocks of `env`, an SB3VecEnv or a wrapper of one."""

    def moved() -> np.ndarray:
        return env.moved  # type: ignore[attr-defined]

    old = model.rollout_buffer
    shape: tuple[Any, ...] = (old.buffer_size, old.observation_space, old.action_space)
    rest: dict[str, Any] = {"gae_lambda": old.gae_lambda, "gamma": old.gamma, "n_envs": old.n_envs, "moved": moved}
    if isinstance(old, RecurrentRolloutBuffer):
        model.rollout_buffer = TimeRecurrentRolloutBuffer(*shape, old.hidden_state_shape, old.device, **rest)
    elif isinstance(old, MaskableRolloutBuffer):
        model.rollout_buffer = TimeMaskableRolloutBuffer(*shape, old.device, **rest)
    else:
        model.rollout_buffer = TimeRolloutBuffer(*shape, old.device, **rest)
