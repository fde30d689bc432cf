"""How much of what was learned is played: a policy between the one that a training began as and the one that was fitted.

A fit to branches has errors, and a policy that takes the best of ten fitted offers finds the errors first. So its
correction of the planner is played in part, with the share that is best on validation episodes, as conservative policy
iteration does with its mixtures (Kakade and Langford 2002). The share acts on the last layers, in which logits are linear.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

SHARES = (0.0625, 0.125, 0.25, 0.5, 1.0)
"""shares that may be played"""
FIRST = 0.5
"""share that is played until a validation chooses another one"""


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
