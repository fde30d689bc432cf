"""The tuned greedy planner as a network's prior: what planners/offers.greedy_tuned thinks of each offer, in torch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from agents.planners.base import CALM, FULL_MARGIN
from agents.planners.offers import GAIN_SCALE
from og_env.fields import TABLES, column

AT = {field.name: index for index, field in enumerate(TABLES["proposals"])}
QUEUE, MARGIN = column("globals", "store_queue"), column("globals", "verifiers_margin")


def unsquashed(values: torch.Tensor) -> torch.Tensor:
    """Reward per step of an observed gain g / (|g| + 0.05)."""
    values = values.clamp(-0.999, 0.999)
    return GAIN_SCALE * values / (1 - values.abs())


class PlannerPrior(nn.Module):
    """Values of offers by the constants of `greedy_tuned`, squashed as the observed gains are; nothing is learned."""

    def __init__(self, constants: Mapping[str, float]) -> None:
        super().__init__()
        self.constants = dict(constants)

    def forward(self, tables: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Values [B, P] in (-1, 1) from the globals at the head of `tables` [B, plain] and the offers [B, P, columns]."""
        held = self.constants
        adds, launches, retires = (rows[..., AT[name]] > 0 for name in ("is_add", "is_launch", "is_retire"))
        value = unsquashed(rows[..., AT["gain_service"]])
        value = value + held["rent"] * unsquashed(rows[..., AT["gain_cost"]])
        value = value + held["risk"] * unsquashed(rows[..., AT["gain_resilience"]])
        value = value - torch.where(adds, held["add"], held["remove"])
        fetches = (launches | (rows[..., AT["is_stage"]] > 0)) & (rows[..., AT["on_disk"]] < 0.5)
        value = value - held["congestion"] * fetches * tables[:, QUEUE : QUEUE + 1]
        value = value - held["alarm"] * adds * (rows[..., AT["alarm"]] - CALM).clamp(min=0)
        ahead = rows[..., AT["model_utilisation"]] * (1 + rows[..., AT["model_forecast"]].clamp(min=0))
        tight = held["reserve"] * rows[..., AT["model_share"]] * (ahead - held["target"]).clamp(min=0)
        value = value + tight * launches - tight * retires
        votes = held["quorum"] * (FULL_MARGIN - tables[:, MARGIN : MARGIN + 1]).clamp(min=0)
        verifiers = rows[..., AT["is_verifier"]] > 0
        value = value + votes * verifiers * torch.where(adds, 1.0, -1.0)
        return value / (value.abs() + GAIN_SCALE)
