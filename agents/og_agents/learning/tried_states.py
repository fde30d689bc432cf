"""States whose actions were tried in branches, and the buffer from which PPO learns of all actions of a state at once."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer, MaskableRolloutBufferSamples


class TriedStates(NamedTuple):
    """S states, the actions that were tried in each, and their returns. Doing nothing, 0, is the first of them."""

    observations: npt.NDArray[np.float32]
    """[S, W] flat observations"""
    actions: npt.NDArray[np.int64]
    """[S, n] offers or operations"""
    tried: npt.NDArray[np.bool_]
    """[S, n] false where doing nothing only fills a place"""
    returns: npt.NDArray[np.float32]
    """[S, n] sum of rewards over the horizon"""


class TriedBuffer(MaskableRolloutBuffer):
    """A buffer whose states have n actions each, with log probabilities and advantages [S, n]."""

    def put(self, states: TriedStates, logs: npt.NDArray[np.float32], advantages: npt.NDArray[np.float32]) -> None:
        """Take the place of everything in the buffer by states, with log probabilities and advantages [S, n]."""
        self.held = states, self.to_torch(logs), self.to_torch(advantages)
        self.values = self.returns = np.zeros(len(logs), np.float32)
        self.full = True

    def get(self, batch_size: int | None = None) -> Generator[MaskableRolloutBufferSamples, None, None]:
        """Minibatches of all states in a random order, each with all its actions."""
        states, logs, advantages = self.held
        order = np.random.permutation(len(logs))  # noqa: NPY002 - as Stable-Baselines3 does
        for rows in np.split(order, range(batch_size or len(order), len(order), batch_size or len(order))):
            seen, actions = (self.to_torch(values[rows]) for values in states[:2])
            none = torch.zeros(len(rows), device=self.device)  # no masks: what is tried is possible
            yield MaskableRolloutBufferSamples(seen, actions, none, logs[rows], advantages[rows], none, none)
