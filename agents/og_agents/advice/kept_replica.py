"""A policy that goes on as another one does, but for some operations that it may not choose."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from og_agents.policy import Policy, attach, wishes
from og_env.simulator import VERBS, Simulator, count_operations, describe_operation

Barred = tuple[int, str, str]
"""an operation that may not be chosen: position in VERBS, model, site"""


class WithBarred:
    """A policy of Placement by offers that never sees the offers of some operations."""

    def __init__(self, policy: Policy, barred: Collection[Barred]) -> None:
        asked = wishes(policy)
        if asked.env_kwargs.get("interface", "proposals") != "proposals":
            raise ValueError(
                f"--policy: {getattr(policy, 'name', 'it')} chooses among all operations, not among offers"
            )
        self.policy = policy
        self.words = frozenset(f"{VERBS[verb]} {model} at {site}" for verb, model, site in barred)
        self.overrides, self.env_kwargs = asked.overrides, asked.env_kwargs
        self.name = str(getattr(policy, "name", "policy"))
        self._simulator: Simulator | None = None
        self._barred = np.zeros(0, np.int64)

    def attach(self, env: Any) -> None:
        """Find the numbers of the barred operations in an environment."""
        attach(self.policy, env)
        self._simulator = env.simulator
        whole = env.simulator.world_of(0).resolved
        sites, models = [site.name for site in whole.sites], [model.name for model in whole.models]
        numbers = range(1, count_operations(len(sites), len(models)))
        found = [number for number in numbers if describe_operation(number, sites, models) in self.words]
        self._barred = np.array(found, np.int64)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:
        """Actions of the other policy, which is shown barred offers as if they were not there."""
        assert self._simulator is not None, "attach it to an environment first"
        hidden = np.isin(self._simulator.output.offer, self._barred)  # [B, P]
        if hidden.any():
            proposals = np.where(hidden[:, :, None], 0.0, observation["proposals"]).astype(np.float32)
            observation = {**observation, "proposals": proposals}
            if action_masks is not None:
                action_masks = np.array(action_masks)
                action_masks[:, 1 : 1 + hidden.shape[1]] &= ~hidden
        return self.policy.predict(
            observation, state, episode_start, deterministic=deterministic, action_masks=action_masks
        )
