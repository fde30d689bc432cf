"""PPO on branches among all operations: some of them are tried in a state, and the policy learns to choose among those.

Hundreds of operations are possible in a state, and a branch of each would leave time for few states. So `tries` of them
are tried (`tried_operations`), and the policy's probabilities, its advantages and the clipped update are those of a choice
among these. Branches of the last `rounds` rounds are learned from: what an operation brings does not depend on who chose
it, so their probabilities and advantages are taken anew from the policy before each update.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer, MaskableRolloutBufferSamples
from stable_baselines3.common.vec_env import VecEnv

from og_agents.learning.branch_ppo import BranchPPO
from og_agents.learning.counterfactual_branches import Round, Tried
from og_agents.learning.shaped_reward import bent
from og_agents.learning.tried_operations import chosen_to_try, kinds_of
from og_env.vector_env import NetworkVectorEnv

PART = 512
"""states that the network reads at once"""
KEPT = "kept."
"""beginning of the names of kept branches in a state"""


class TriedStates(NamedTuple):
    """S states, the operations that were tried in each, and their returns."""

    observations: npt.NDArray[np.float32]
    """[S, O + V] flat observations, with flags of what is possible behind them"""
    operations: npt.NDArray[np.int64]
    """[S, n]"""
    tried: npt.NDArray[np.bool_]
    """[S, n] false where doing nothing only fills a place"""
    returns: npt.NDArray[np.float32]
    """[S, n] sum of rewards over the horizon"""


class TriedBuffer(MaskableRolloutBuffer):
    """A buffer whose states have n operations each, with log probabilities and advantages [S, n]."""

    def __init__(self, *arguments: Any, tries: int, **named: Any) -> None:
        self.tries = tries
        super().__init__(*arguments, **named)

    def put(self, states: TriedStates, logs: npt.NDArray[np.float32], advantages: npt.NDArray[np.float32]) -> None:
        """Take the place of everything in the buffer by states, with log probabilities and advantages [S, n]."""
        self.held = states, torch.as_tensor(logs), torch.as_tensor(advantages)
        self.values = self.returns = np.zeros(len(logs), np.float32)
        self.full = True

    def get(self, batch_size: int | None = None) -> Generator[MaskableRolloutBufferSamples, None, None]:
        """Minibatches of all states in a random order, each with all its operations."""
        states, logs, advantages = self.held
        order = np.random.permutation(len(logs))  # noqa: NPY002 - as Stable-Baselines3 does
        for rows in np.split(order, range(batch_size or len(order), len(order), batch_size or len(order))):
            seen, operations = (torch.as_tensor(values[rows]) for values in states[:2])
            none = torch.zeros(len(rows))  # no masks: what is tried is possible
            yield MaskableRolloutBufferSamples(seen, operations, none, logs[rows], advantages[rows], none, none)


class OperationPPO(BranchPPO):
    """BranchPPO on Placement with interface "operations": `tries` operations of a state are tried.

    The policy is an `OperationScorerPolicy`, and the environment a TrainingReward around a PossibleVecEnv.
    """

    rollout_buffer: TriedBuffer  # type: ignore[assignment]

    def __init__(self, policy: Any, env: VecEnv, *, tries: int, rounds: int, **named: Any) -> None:
        named |= {"n_steps": 2, "rollout_buffer_class": TriedBuffer, "rollout_buffer_kwargs": {"tries": tries}}
        super().__init__(policy, env, **named)
        self.tries = self._number = tries
        self.kept: deque[TriedStates] = deque(maxlen=rounds)
        self._kinds = kinds_of(self.policy.shapes)  # type: ignore[arg-type]

    def _tried(self, batch: NetworkVectorEnv, logits: np.ndarray, masks: np.ndarray, actions: np.ndarray) -> Tried:
        """The operations that are tried in each state."""
        return Tried(*chosen_to_try(logits, masks, actions, self._kinds, self._number))

    def _operations(self, batch: NetworkVectorEnv, actions: np.ndarray) -> np.ndarray:
        """The operations [B], which actions are."""
        return actions

    def _take(self, buffer: Any, played: Round) -> None:
        """Keep the branches of a round, and put those of the last rounds into the buffer."""
        assert self._trials is not None
        branches = played.branches(self._trials)
        operations = np.concatenate([moment.operations for moment in played.moments])
        self.kept.append(TriedStates(branches.observations, operations, branches.masks, branches.returns))
        states = TriedStates(*(np.concatenate(parts) for parts in zip(*self.kept, strict=True)))
        buffer.put(states, *self._weighed(states))

    def _weighed(self, states: TriedStates) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Log probabilities among what was tried, and advantages weighted by probability, each [S, n]."""
        parts = np.array_split(np.arange(len(states.returns)), max(1, len(states.returns) // PART))
        with torch.no_grad():
            seen = [[torch.as_tensor(values[rows]) for values in states[:2]] for rows in parts]
            logs = torch.cat([self.policy.logs_among(*each) for each in seen])  # type: ignore[operator]
        likely, worth = logs.exp().numpy(), self._worth(states)
        worth = np.where(states.tried, likely * (worth - (likely * worth).sum(axis=1, keepdims=True)), 0.0)
        return logs.numpy(), worth.astype(np.float32)

    def _worth(self, states: TriedStates) -> npt.NDArray[np.floating]:
        """Bent returns [S, n] relative to the median one of a state; 0 for what was not tried."""
        middle = np.nanmedian(np.where(states.tried, states.returns, np.nan), axis=1, keepdims=True)
        return np.where(states.tried, bent(states.returns - middle, self.bend), 0.0)

    def kept_state(self) -> dict[str, np.ndarray]:
        """The kept branches by name, for a run that goes on."""
        return {
            f"{KEPT}{i}.{name}": values
            for i, states in enumerate(self.kept)
            for name, values in states._asdict().items()
        }

    def put_kept(self, state: Mapping[str, Any]) -> None:
        """Take the branches that `kept_state` gave."""
        self.kept.clear()
        while f"{KEPT}{len(self.kept)}.returns" in state:
            names = (f"{KEPT}{len(self.kept)}.{name}" for name in TriedStates._fields)
            self.kept.append(TriedStates(*(state[name] for name in names)))
