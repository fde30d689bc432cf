"""PPO on branches among all operations: some of them are tried in a state, and the policy learns to choose among those.

Hundreds of operations are possible in a state, and a branch of each would leave time for few states. So `tries` of them
are tried (`tried_operations`), and the policy's probabilities, its advantages and the clipped update are those of a choice
among these.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv

from og_agents.learning.branch_ppo import BranchPPO
from og_agents.learning.counterfactual_branches import Round, Tried
from og_agents.learning.tried_operations import chosen_to_try, kinds_of
from og_env.vector_env import NetworkVectorEnv


class OperationPPO(BranchPPO):
    """BranchPPO on Placement with interface "operations": `tries` operations of a state are tried.

    The policy is an `OperationScorerPolicy`, and the environment a TrainingReward around a PossibleVecEnv.
    """

    def __init__(self, policy: Any, env: VecEnv, *, tries: int, **named: Any) -> None:
        self.tries = self._number = tries
        super().__init__(policy, env, **named)
        self._kinds = kinds_of(self.policy.shapes)  # type: ignore[arg-type]

    def _tried(self, batch: NetworkVectorEnv, logits: np.ndarray, masks: np.ndarray, actions: np.ndarray) -> Tried:
        """The operations that are tried in each state."""
        return Tried(*chosen_to_try(logits, masks, actions, self._kinds, self._number))

    def _operations(self, batch: NetworkVectorEnv, actions: np.ndarray) -> np.ndarray:
        """The operations [B], which actions are."""
        return actions

    def _chosen(self, played: Round) -> npt.NDArray[np.int64]:
        """The operations [S, n] that were tried in a round."""
        return np.concatenate([moment.operations for moment in played.moments])
