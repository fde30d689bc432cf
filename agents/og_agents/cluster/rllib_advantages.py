"""Advantages for RLlib that are discounted by the clock, where a step of it may have several decisions."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2  # pyright: ignore[reportMissingImports]
from ray.rllib.core import DEFAULT_MODULE_ID  # pyright: ignore[reportMissingImports]
from ray.rllib.core.columns import Columns  # pyright: ignore[reportMissingImports]
from ray.rllib.evaluation.postprocessing import Postprocessing  # pyright: ignore[reportMissingImports]

from og_agents.learning.time_discount import targets_of

ELAPSED = "elapsed"
"""column of the steps of the clock that a decision took, 0 or 1"""
LEAST_DEVIATION = 1e-4
"""of the advantages, which are divided by theirs; the number of RLlib's own piece"""


class TimeAdvantages(ConnectorV2):
    """The last piece of a learner's pipeline, in the place of RLlib's: it adds advantages and targets of the values.

    Fragments come with one decision more than were taken, as RLlib's own piece expects them; the policy has no memory.
    """

    def __init__(
        self, input_observation_space: Any = None, input_action_space: Any = None, *, gamma: float, gae_lambda: float
    ) -> None:
        super().__init__(input_observation_space, input_action_space)
        self.gamma, self.gae_lambda = gamma, gae_lambda

    def __call__(self, *, rl_module: Any, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The batch with both columns."""
        columns = batch[DEFAULT_MODULE_ID]
        values = rl_module[DEFAULT_MODULE_ID].compute_values(columns).detach().cpu().numpy()
        rewards, cut, elapsed = (
            torch.as_tensor(columns[name]).cpu().float().numpy()
            for name in (Columns.REWARDS, Columns.TRUNCATEDS, ELAPSED)
        )
        targets = targets_of(values, rewards, cut, elapsed, gamma=self.gamma, gae_lambda=self.gae_lambda)
        advantages = targets - values
        advantages = (advantages - advantages.mean()) / max(LEAST_DEVIATION, advantages.std())
        columns[Postprocessing.ADVANTAGES] = torch.from_numpy(advantages)
        columns[Postprocessing.VALUE_TARGETS] = torch.from_numpy(targets)
        return batch
