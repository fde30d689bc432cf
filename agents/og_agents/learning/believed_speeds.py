"""Routing by beliefs: a policy says how slow each site will be, and the router `convex` solves for levels on that.

Behind the observation stands what was measured of the sites, now and before (`speed_filter`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from og_agents.learning.speed_filter import COLUMNS, MEMORY, columns_of, remember
from og_agents.planners.convex_descent import solve
from og_agents.planners.convex_router import flow_of
from og_agents.sb3_adapter import SB3VecEnv
from og_env.simulator import Simulator
from og_env.vector_env import NetworkVectorEnv

Floats = npt.NDArray[np.floating]

ROUTER = "convex"
"""the router that solves for the levels of all sites"""
RANGE = 4.0
"""octaves of slowness of an action of 1"""
REMEMBERED = "router.memory"
"""name in a state of what the router remembers"""


class BelievedRouter:
    """The router of a policy: its memory [B, MEMORY + 1, N] has what was measured and, last, the levels in force.

    `constants` are `rate` and `refused` of the router `convex`.
    """

    def __init__(self, constants: Mapping[str, float]) -> None:
        self.rate, self.refused = constants["rate"], constants["refused"]
        self._simulator: Simulator | None = None

    def attach(self, env: Any) -> None:
        """Measure this environment, single or vector."""
        self._simulator = env.simulator

    @property
    def simulator(self) -> Simulator:
        """The simulator that is measured; ValueError before `attach`."""
        if self._simulator is None:
            raise ValueError(f"{ROUTER} measures the environment that it plays in: attach(env) first")
        return self._simulator

    def measured(self, memory: Any, fresh: Any) -> tuple[Floats, npt.NDArray[np.float32]]:
        """The memory and the columns [B, N x COLUMNS] after the last step; None and `fresh` [B] begin with an empty one."""
        batch, sites = self.simulator.state.status.shape
        if memory is None:
            memory = np.zeros((batch, MEMORY + 1, sites))
        elif fresh is not None:
            memory = np.where(np.reshape(np.asarray(fresh, np.bool_), (-1, 1, 1)), 0.0, memory)
        memory = np.concatenate([remember(memory[:, :MEMORY], self.simulator), memory[:, MEMORY:]], axis=1)
        return memory, self.columns(memory)

    def columns(self, memory: Floats) -> npt.NDArray[np.float32]:
        """The columns [B, N x COLUMNS] of a memory, and of what was measured last."""
        return columns_of(memory[:, :MEMORY], self.simulator).reshape(len(memory), -1)

    def levels(self, actions: npt.NDArray[np.floating], memory: Floats) -> Floats:
        """Levels [B, N] of the sites for beliefs [B, N] in units of RANGE."""
        slowness = np.exp2(RANGE * np.clip(actions, -1, 1).astype(np.float64))
        return solve(flow_of(self.simulator, slowness, self.refused), memory[:, -1], self.rate)

    def in_force(self, memory: Floats, levels: Floats) -> Floats:
        """The memory once these levels [B, N] are in force."""
        return np.concatenate([memory[:, :MEMORY], levels[:, None]], axis=1)


class BelievedVecEnv(SB3VecEnv):
    """An SB3VecEnv of Routing with interface "sites" whose actions [B, N] are beliefs in units of RANGE.

    Its observations [B, O + N x COLUMNS] have columns of what was measured behind them.
    """

    def __init__(self, env: NetworkVectorEnv, router: BelievedRouter, threads: int = 2) -> None:
        super().__init__(env)
        self._router = router
        router.attach(env)
        self.observation_space = widened(env.single_observation_space, env.single_action_space)
        self._memory: Any = None
        self._staggers = False
        self._pool = ThreadPoolExecutor(threads)

    def reset(self) -> Any:
        """First observations of new episodes."""
        return self._with_columns(super().reset(), None)

    def stagger(self, act: Callable[[], np.ndarray]) -> Any:
        """As SB3VecEnv does, with the levels that `act` gives; the memory begins with the last observation."""
        self._staggers = True
        try:
            observation = super().stagger(act)
        finally:
            self._staggers = False
        self._memory = None
        return self._with_columns(observation, None)

    def step_async(self, actions: np.ndarray) -> None:
        """Let the router solve for levels by beliefs [B, N], for the next `step_wait`."""
        if not self._staggers:
            levels = self._router.levels(actions, self._memory)
            self._memory = self._router.in_force(self._memory, levels)
            actions = levels.astype(np.float32)
        super().step_async(actions)

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """As SB3VecEnv does, with the columns behind the observations."""
        observation, rewards, dones, infos = super().step_wait()
        return self._with_columns(observation, dones), rewards, dones, infos

    def levels_of(self, actions: np.ndarray) -> np.ndarray:
        """Levels [B, n, N] of the router for n beliefs of every environment [B, n, N], from the levels in force."""
        tried = self._pool.map(lambda i: self._router.levels(actions[:, i], self._memory), range(actions.shape[1]))
        return np.stack(list(tried), axis=1).astype(np.float32)

    def _with_columns(self, observation: Any, fresh: Any) -> Any:
        if self._staggers:
            return observation
        self._memory, columns = self._router.measured(self._memory if fresh is not None else None, fresh)
        return np.concatenate([observation, columns], axis=1)

    def get_state(self) -> dict[str, Any]:
        """The batch as it stands, with what the router remembers and what was measured last."""
        return super().get_state() | {REMEMBERED: np.array(self._memory)}

    def set_state(self, state: Mapping[str, Any]) -> Any:
        """Go on where `get_state` was called: observations of that moment."""
        observation = super().set_state(state)
        self._memory = np.array(state[REMEMBERED])
        return np.concatenate([observation, self._router.columns(self._memory)], axis=1)

    def close(self) -> None:
        """Close the environments and the threads."""
        super().close()
        self._pool.shutdown()


def router_of(meta: Mapping[str, Any]) -> BelievedRouter:
    """The router of the policy of a description."""
    return BelievedRouter(meta["policy_kwargs"]["beliefs"])


def widened(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> gym.spaces.Box:
    """The space of flat observations with the columns of each site behind them; ValueError for tables."""
    if not isinstance(observation_space, gym.spaces.Box):
        raise ValueError("what was measured stands behind flat observations: make the environment with flatten=True")
    width = observation_space.shape[0] + COLUMNS * (action_space.shape or (0,))[0]
    return gym.spaces.Box(-1, 1, (width,), np.float32)
