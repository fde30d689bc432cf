"""A router's levels behind the observation: what a learned correction of that router reads beside the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from og_agents import planners
from og_agents.sb3_adapter import SB3VecEnv
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv

ROUTER = "convex"
"""the router: it solves for the levels of all sites on what was measured"""
MEMORY = "router.memory"
"""name in a state of what the router remembers"""


class SolvedVecEnv(SB3VecEnv):
    """An SB3VecEnv of Routing with interface "sites" whose flat observations [B, O + N] end with a router's levels."""

    def __init__(self, env: NetworkVectorEnv) -> None:
        super().__init__(env)
        self._router: Any = planners.make(ROUTER, env.simulator.spec, "routing")
        self._router.attach(env)
        self.observation_space = widened(env.single_observation_space, env.single_action_space)
        self._memory = np.zeros((self.num_envs, *env.single_action_space.shape))  # type: ignore[misc]
        self._staggers = False

    def reset(self) -> Any:
        """First observations [B, O + N] of new episodes."""
        return self._with_levels(super().reset(), np.ones(self.num_envs, np.bool_))

    def stagger(self, act: Callable[[], np.ndarray]) -> Any:
        """As SB3VecEnv does; the router solves for the last observation alone."""
        self._staggers = True
        try:
            observation = super().stagger(act)
        finally:
            self._staggers = False
        return self._with_levels(observation, np.ones(self.num_envs, np.bool_))

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """As SB3VecEnv does, with the router's levels behind the observations."""
        observation, rewards, dones, infos = super().step_wait()
        return self._with_levels(observation, dones), rewards, dones, infos

    def _with_levels(self, observation: Any, fresh: npt.NDArray[np.bool_]) -> Any:
        if self._staggers:
            return observation
        levels, self._memory = self._router.predict(observation, self._memory, fresh)
        return np.concatenate([observation, levels], axis=1)

    def get_state(self) -> dict[str, Any]:
        """The batch as it stands, with what the router remembers, which are its last levels."""
        return super().get_state() | {MEMORY: np.array(self._memory)}

    def set_state(self, state: Mapping[str, Any]) -> Any:
        """Go on where `get_state` was called: observations of that moment, whose levels are what the router remembers."""
        observation = super().set_state(state)
        self._memory = np.array(state[MEMORY])
        return np.concatenate([observation, self._memory.astype(np.float32)], axis=1)


def router_of(meta: Mapping[str, Any]) -> Any:
    """The router that the policy of a description corrects, with the constants of its scenario."""
    return planners.make(ROUTER, loading.load(meta["scenario"]), "routing")


def widened(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> gym.spaces.Box:
    """The space of flat observations with a level of each site behind them; ValueError for tables."""
    if not isinstance(observation_space, gym.spaces.Box):
        raise ValueError("levels stand behind flat observations: make the environment with flatten=True")
    width = observation_space.shape[0] + (action_space.shape or (0,))[0]
    return gym.spaces.Box(-1, 1, (width,), np.float32)
