"""How much of what was learned is played: a policy between the one that a training began as and the one that was fitted.

A fit to branches has errors, and a policy that takes the best of ten fitted offers finds the errors first. So its
correction of the planner is played in part, with the share that is best on validation episodes, as conservative policy
iteration does with its mixtures (Kakade and Langford 2002). The share acts on the last layers, in which logits are linear.
What is validated and kept has a running average of the weights, since the last ones go up and down with each update.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from og_agents.learning import devices
from og_agents.learning.checkpoint import plain_tensors, put_weights
from og_agents.learning.resume_file import State, part_of

SHARES = (0.0625, 0.125, 0.25, 0.5, 1.0)
"""shares that may be played"""
FIRST = 0.5
"""share that is played until a validation chooses another one"""
AVERAGED, BEGUN, SHARE = "average.", "begun.", "share"
"""names in a state: the beginnings of those of the averaged weights and of the first heads, and the share"""


def heads(policy: Any) -> list[torch.nn.Parameter]:
    """The parameters of a masked policy in which its logits are linear."""
    scorer = policy.mlp_extractor
    if hasattr(scorer, "heads"):
        return list(scorer.heads())
    return list(policy.action_net.parameters())


def copied(policy: Any) -> list[torch.Tensor]:
    """The values of the heads now."""
    return [values.detach().clone() for values in heads(policy)]


def played(policy: Any, first: Sequence[torch.Tensor], share: float) -> Any:
    """A copy of a policy with a share of what its heads have learned since they were `first`."""
    result = copy.deepcopy(policy)
    with torch.no_grad():
        for values, begun in zip(heads(result), first, strict=True):
            values.copy_(torch.lerp(begun, values, share))
    return result


def around(share: float) -> tuple[float, ...]:
    """A share of SHARES with its neighbours, the smallest first."""
    at = SHARES.index(share)
    return SHARES[max(at - 1, 0) : at + 2]


class Part:
    """The part of what a policy has learned that is played, validated and kept, the last two with averaged weights.

    It is a share that validation chooses or, without `parts`, all of it. What is played or kept is on the processor.
    """

    def __init__(self, policy: Any, parts: bool = True) -> None:
        self.parts, self.share = parts, FIRST if parts else 1.0
        self.begun = copied(policy) if parts else []
        self.average = copy.deepcopy(policy)
        self.player = devices.on_processor(policy)
        self.learned = False

    def add(self, policy: Any, left: float) -> None:
        """Take weights into the average, of which a share `left` is left."""
        self.learned = True
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), policy.parameters(), strict=True):
                mean.lerp_(value, 1 - left)

    def play(self, policy: Any, share: float | None = None) -> None:
        """Play a share of what a policy has learned from now on, the present one for None."""
        self.share = self.share if share is None else share
        self.player = self._share_of(policy, self.share)

    def shares(self, lost: bool = False) -> tuple[float, ...]:
        """Shares to validate: the present one and, where something was learned, its neighbours.

        Where the last validation was `lost`, below the start of the run, the smallest share is among them: some worlds
        bear little of a fit, and neighbours of a share that is far too large are too large as well.
        """
        if not (self.learned and self.parts):
            return (self.share,)
        return tuple(sorted({*around(self.share), *SHARES[: int(lost)]}))

    @property
    def described(self) -> dict[str, float]:
        """The share that is played, for a policy's card; empty where nothing was learned."""
        return {"learned_share": self.share} if self.learned else {}

    def kept(self, share: float | None = None) -> Any:
        """The averaged policy with a share of what was learned, the present one for None."""
        return self._share_of(self.average, self.share if share is None else share)

    def _share_of(self, policy: Any, share: float) -> Any:
        return devices.on_processor(played(policy, self.begun, share) if self.parts else copy.deepcopy(policy))

    def get_state(self) -> State:
        """Average, beginning and share, by name."""
        begun = {f"{BEGUN}{i}": values for i, values in enumerate(self.begun)}
        return {**plain_tensors(self.average.state_dict(), AVERAGED), **begun, SHARE: self.share}

    def set_state(self, policy: Any, state: State, learned: bool, where: Path) -> None:
        """Go on where `get_state` was called, with the weights of `policy`; KeyError or ValueError in one line for another."""
        put_weights(self.average, part_of(state, AVERAGED), where)
        self.begun = [state[f"{BEGUN}{i}"].to(values.device) for i, values in enumerate(self.begun)]
        self.learned = learned
        self.play(policy, state[SHARE])
