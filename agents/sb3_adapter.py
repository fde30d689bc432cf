"""The vector environment as Stable-Baselines3's VecEnv: names change, numbers do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from og_env import IDS
from og_env.parsing import nearest_valid
from og_env.vector_env import NetworkVectorEnv

TASKS = {env_id: task for task, env_id in IDS.items()}


class SB3VecEnv(VecEnv):
    """A NetworkVectorEnv for SB3 and sb3-contrib; infos hold something only where an episode ends.

    There: `terminal_observation`, `TimeLimit.truncated` and `episode` with return r and length l. `reward_scale`
    multiplies the rewards that the learner sees, not the episode returns."""

    def __init__(self, env: NetworkVectorEnv, reward_scale: float = 1.0) -> None:
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.env = env
        self.reward_scale = reward_scale
        self._seed: int | None = None
        self._actions: np.ndarray | None = None
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, np.int64)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Environment i gets seed + i at the next reset."""
        self._seed = seed
        return [None if seed is None else seed + i for i in range(self.num_envs)]

    def reset(self) -> Any:
        observation, _ = self.env.reset(seed=self._seed)
        self._seed = None
        self._returns[:] = 0
        self._lengths[:] = 0
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observation, rewards, _, truncated, infos = self.env.step(self._actions)
        self._returns += rewards
        self._lengths += 1
        records: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(truncated):
            final = infos["final_obs"]
            records[i] = {
                "terminal_observation": {name: table[i] for name, table in final.items()}
                if isinstance(final, dict)
                else final[i],
                "TimeLimit.truncated": True,
                "episode": {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": 0.0},
            }
            self._returns[i] = 0
            self._lengths[i] = 0
        return observation, (rewards * self.reward_scale).astype(np.float32), truncated, records

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """`action_masks` for MaskablePPO; nothing else."""
        if method_name != "action_masks":
            raise AttributeError(f"the batch has no method {method_name!r} for a single environment")
        masks = self.env.action_masks()
        return [masks[i] for i in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        if attr_name == "action_masks" and not self.env.simulator.mask.shape[1]:
            raise AttributeError("routing has no mask")
        value = getattr(self.env, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.env, attr_name, value)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        return [None] * self.num_envs

    def close(self) -> None:
        self.env.close()


def make_sb3(env_id: str, n_envs: int, *, reward_scale: float = 1.0, **kwargs: Any) -> SB3VecEnv:
    """`make_sb3("og_env/Placement-v0", 64, scenario="global-24", flatten=True)`; ValueError for an unknown id."""
    if env_id not in TASKS:
        raise ValueError(f"unknown environment {env_id!r}{nearest_valid(env_id, TASKS)}")
    return SB3VecEnv(NetworkVectorEnv(n_envs, TASKS[env_id], **kwargs), reward_scale)
