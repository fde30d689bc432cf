"""The tuned greedy planner as the prior of a network: its value of each offer, in torch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from og_agents.planners.offer_value import GAIN_SCALE, observed, tuned_value
from og_env.fields import TABLES, column

AT = {field.name: index for index, field in enumerate(TABLES["proposals"])}
"""column of each field of the proposals"""
QUEUE, MARGIN = column("globals", "store_queue"), column("globals", "verifiers_margin")


class PlannerPrior(nn.Module):
    """The planner's values of offers, squashed as the observed gains are; the module has no parameters."""

    def __init__(self, constants: Mapping[str, float]) -> None:
        super().__init__()
        self.constants = dict(constants)

    def forward(self, tables: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Values [B, P] in (-1, 1) from the globals at the head of `tables` [B, plain] and the offers [B, P, columns]."""
        queue, margin = tables[:, QUEUE : QUEUE + 1], tables[:, MARGIN : MARGIN + 1]
        value = tuned_value(observed(lambda name: rows[..., AT[name]], queue, margin), self.constants)
        return value / (value.abs() + GAIN_SCALE)
