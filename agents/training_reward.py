"""What the learner is paid with: the environment's reward in a convenient scale, in training only."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper

from agents.policy import Policy
from agents.sb3_adapter import SB3VecEnv
from og_env.vector_env import NetworkVectorEnv


class TrainingReward(VecEnvWrapper):
    """(Reward - `offset`) x `scale`; with a control variate, minus what a fixed policy earns at that step of the same
    tape besides.

    An offset changes no difference between actions, since episodes are cut off and never over; it spares the value
    network a large constant, so take the mean reward of a step. The fixed policy plays in `shadow`, a batch of the same
    size, scenario and split that is seeded alike. Its rewards do not depend on the learner's actions, and subtracting
    them takes out the demand and the outages that both meet. `infos` keep the plain returns.
    """

    venv: SB3VecEnv

    def __init__(
        self, venv: SB3VecEnv, scale: float = 1.0, shadow: NetworkVectorEnv | None = None, policy: Policy | None = None
    ) -> None:
        if (shadow is None) != (policy is None):
            raise ValueError("a control variate takes both an environment and a policy")
        super().__init__(venv)
        self.scale, self.shadow, self.policy = scale, shadow, policy
        self.offset = 0.0
        self._seen: Any = None
        self._masks: Any = None

    def reset(self) -> Any:
        if self.shadow is not None:
            if any(seed is None for seed in self.venv._seeds):
                self.venv.seed()
            self._seen, info = self.shadow.reset(seed=list(self.venv._seeds))
            self._masks = info.get("action_mask")
        return self.venv.reset()

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observation, rewards, dones, infos = self.venv.step_wait()
        if self.shadow is not None and self.policy is not None:
            rewards = rewards - self._shadow_rewards()
        return observation, ((rewards - self.offset) * self.scale).astype(np.float32), dones, infos

    def _shadow_rewards(self) -> np.ndarray:
        assert self.shadow is not None and self.policy is not None
        masks = None if self._masks is None else self._masks.astype(np.bool_)
        actions, _ = self.policy.predict(self._seen, deterministic=True, action_masks=masks)
        self._seen, rewards, _, _, info = self.shadow.step(actions)
        self._masks = info.get("action_mask")
        return rewards

    def close(self) -> None:
        super().close()
        if self.shadow is not None:
            self.shadow.close()
