"""Rounds of rollout policy iteration spread over a Ray cluster, with the branches of `branch_slices.Slices`, bit for bit.

A task is a slice's round. It depends on nothing but the weights, the state of the slice's environments and its turn. So
a task whose worker dies is run again elsewhere, and how many workers there are changes nothing. Between rounds the states
are here, where the run saves them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from og_agents.cluster import ray_cluster
from og_agents.learning.branch_slices import Slice, Turn, packed, turns, unpacked, worlds
from og_agents.learning.counterfactual_branches import Branches, joined
from og_agents.learning.resume_file import State
from og_agents.learning.rollout_policy_iteration import untrained

SIZES = 2
"""slices that a worker keeps in memory: all have the same size but for the last one of a run"""


class RaySlices:
    """The slices of a run as tasks on the cluster that is connected; at most as many workers take part as there are slices."""

    def __init__(self, meta: dict[str, Any]) -> None:
        self.meta, self.rounds = meta, 0
        self.env = worlds(meta, 1)
        self._ray = ray_cluster.module()
        self._task: Any = self._ray.remote(num_cpus=1, max_retries=ray_cluster.RETRIES)(play_turn)
        self._text = json.dumps(meta)
        self._states: list[State | None] = [None] * len(turns(meta, 0))

    def play(self, policy: Any) -> Branches:
        """The branches of the next round, of all slices in their order; ValueError where no cluster is left."""
        weights = self._ray.put({name: value.numpy() for name, value in policy.state_dict().items()})
        due = zip(self._states, turns(self.meta, self.rounds), strict=True)
        with ray_cluster.failures_told(self._ray):
            done = self._ray.get([self._task.remote(self._text, weights, state, turn) for state, turn in due])
        self._states = [state for _, state in done]
        self.rounds += 1
        return joined([tried for tried, _ in done])

    def get_state(self) -> State:
        """The state of all environments, after a round."""
        return packed(self.rounds, [state for state in self._states if state is not None])

    def set_state(self, state: State, where: Path) -> None:
        """Go on where `get_state` was called; ValueError in one line for the state of another run."""
        self.rounds, states = unpacked(state, self.meta, where)
        self._states = list(states)

    def close(self) -> None:
        """Let go of the environment here."""
        self.env.close()


def play_turn(
    text: str, weights: Mapping[str, np.ndarray], state: State | None, turn: Turn
) -> tuple[Branches, dict[str, Any]]:
    """In a worker, the round of a slice of the run that `text` describes as JSON; its branches, and its state afterwards."""
    part, policy = _staged(text, turn.rows)
    policy.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    part.set_state(state)
    return part.play(policy, turn), part.get_state()


@functools.lru_cache(maxsize=SIZES)
def _staged(text: str, rows: int) -> tuple[Slice, Any]:
    """Environments and a policy of a run, kept for the next task of the same size."""
    torch.set_num_threads(1)
    meta = json.loads(text)
    part = Slice(meta, rows)
    with torch.random.fork_rng():  # first weights are drawn, and nobody else's draws shall depend on that
        return part, untrained(part.env, meta)
