"""The reward of training: the environment's reward in a convenient scale, shaped or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper

from og_agents.learning.planner_return import Continuation
from og_agents.policy import parts_of, with_usual_levels
from og_agents.sb3_adapter import SB3VecEnv

AHEAD = "ahead."
"""beginning of the names of what the planner's paths have in a state"""


class TrainingReward(VecEnvWrapper):
    """A VecEnv wrapper that pays (reward - `offset`) x `scale`; `infos` keep the plain returns.

    `reset` staggers the episodes, unless `together`. An offset changes no difference between actions, since episodes are
    truncated and never terminated. It spares the value network a large constant, so take the mean reward of a step. A
    decision that lets the clock stand pays no offset.

    With `ahead`, the tuned planner's rewards of H steps on the tape, the reward is r + Phi_{H-1}(s') - Phi_H(s) instead,
    where Phi is that planner's return. This is the gain of the action over leaving all to the planner from s on. Both follow
    the same tape, so most of a return's noise cancels. After scaling it is `bent` at `bend`, since an outage's loss is
    rare and a hundred times a step's reward. The horizon moves on with every step, so the sum over an episode is not that
    of the plain rewards: the shaped reward is a surrogate, for training alone.
    """

    venv: SB3VecEnv

    def __init__(
        self,
        venv: SB3VecEnv,
        scale: float = 1.0,
        ahead: Continuation | None = None,
        bend: float = 1.0,
        together: bool = False,
    ) -> None:
        super().__init__(venv)
        self.scale, self.ahead, self.bend = scale, ahead, bend
        self.together = together
        self.offset = 0.0
        self._phi = np.zeros(self.num_envs)

    def reset(self) -> Any:
        """First observations [B, O] of new episodes."""
        observation = self.venv.reset()
        if not self.together:
            observation = self.venv.stagger(self._usual)
        if self.ahead is not None:
            self._phi = self.ahead.begin().sum(axis=1)
        return observation

    def _usual(self) -> np.ndarray:
        """Actions [B] of the tuned planner; doing nothing where there is none, with the router left alone."""
        space = self.action_space
        if isinstance(space, gym.spaces.Box):
            return np.zeros((self.num_envs, *space.shape), space.dtype)
        nothing = np.zeros(self.num_envs, np.int64)
        return with_usual_levels(nothing if self.ahead is None else self.ahead.planned(), parts_of(space))

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations [B, O], rewards of training [B], dones [B] and infos after a step."""
        observation, rewards, dones, infos = self.venv.step_wait()
        if self.ahead is None:
            offset = np.where(self.venv.moved, np.float32(self.offset), np.float32(0))
            return observation, ((rewards - offset) * self.scale).astype(np.float32), dones, infos
        coming = self.ahead.advance(dones)
        # where an episode ended, `coming` is of the next one, and of the ended one nothing is to come; while the clock
        # stands, the horizon ends where it did
        ahead = np.where(self.venv.moved, coming[:, :-1].sum(axis=1), coming.sum(axis=1))
        shaped = rewards + np.where(dones, 0.0, ahead) - self._phi
        self._phi = coming.sum(axis=1)
        return observation, bent(shaped * self.scale, self.bend).astype(np.float32), dones, infos

    def get_state(self) -> dict[str, Any]:
        """All that the next step depends on: arrays, numbers and texts by name."""
        state = self.venv.get_state() | {"offset": float(self.offset), "phi": self._phi.copy()}
        ahead = {} if self.ahead is None else self.ahead.get_state()
        return state | {AHEAD + name: array for name, array in ahead.items()}

    def set_state(self, state: Mapping[str, Any]) -> Any:
        """Go on where `get_state` was called, and return the observations [B, O] of then; ValueError for another state."""
        observation = self.venv.set_state(state)
        self.offset, self._phi = state["offset"], state["phi"].copy()
        if self.ahead is not None:
            self.ahead.set_state({n.removeprefix(AHEAD): array for n, array in state.items() if n.startswith(AHEAD)})
        return observation

    def close(self) -> None:
        """Close the environments and the planner's copies."""
        super().close()
        if self.ahead is not None:
            self.ahead.close()


def bent(rewards: np.ndarray, bend: float) -> np.ndarray:
    """The symmetric logarithm of rewards r: `bend` x log(1 + |r| / `bend`) with the sign of r.

    Large losses stay larger than small ones, which a bound would hide.
    """
    return np.sign(rewards) * bend * np.log1p(np.abs(rewards) / bend)
