"""Flags of what is possible behind the observation: what a network reads that scores every operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from og_agents.sb3_adapter import SB3VecEnv
from og_env.vector_env import NetworkVectorEnv


class PossibleVecEnv(SB3VecEnv):
    """An SB3VecEnv of Placement with interface "operations" whose flat observations [B, O + V] end with its masks."""

    def __init__(self, env: NetworkVectorEnv) -> None:
        super().__init__(env)
        self.observation_space = widened(env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """First observations [B, O + V] of new episodes."""
        return self._with_flags(super().reset())

    def stagger(self, act: Callable[[], np.ndarray]) -> Any:
        """As SB3VecEnv does."""
        super().stagger(act)
        return self._with_flags(self.env.simulator.observation)

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """As SB3VecEnv does; behind the last observation of an episode stand the flags of its end."""
        observation, rewards, dones, infos = super().step_wait()
        return self._with_flags(observation), rewards, dones, infos

    def _end(self, i: int, final: Any, masks: Any) -> dict[str, Any]:
        record = super()._end(i, final, masks)
        record["terminal_observation"] = behind(final[i], masks[i])
        return record

    def _with_flags(self, observation: Any) -> Any:
        return behind(observation, self.env.action_masks())

    def set_state(self, state: Mapping[str, Any]) -> Any:
        """Go on where `get_state` was called: observations of that moment."""
        return self._with_flags(super().set_state(state))


def behind(observation: Any, masks: Any) -> np.ndarray:
    """Flat observations [..., O + V] with masks [..., V] behind those [..., O] of an environment."""
    return np.concatenate([observation, np.asarray(masks, np.float32)], axis=-1)


def widened(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> gym.spaces.Box:
    """The space of flat observations with a flag of each operation behind them; ValueError for other spaces."""
    if not isinstance(observation_space, gym.spaces.Box) or not isinstance(action_space, gym.spaces.Discrete):
        raise ValueError("flags of what is possible stand behind flat observations of Placement: take flatten=True")
    return gym.spaces.Box(-1, 1, (observation_space.shape[0] + int(action_space.n),), np.float32)
