"""Planners that choose among a step's offers by a rule, with constants that were found on training episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents.heuristics import NEVER, ROLE_SCORE, Floats, Sight, is_role, pressure
from og_agents.heuristics.tuned_constants import Constants
from og_agents.planners.offer_value import observed, tuned_value
from og_agents.policy import Asked, as_batch, as_predict, parts_in, with_usual_levels

Rule = Callable[[Sight, Constants], Floats]
"""scores [B, P] of offers; the highest above 0 is taken"""

LAUNCH_SCORE, BUSY_SCORE, BUSIEST = 20.0, 5.0, 4.0
"""base score of a launch, the score of a unit of its model's utilisation, and the utilisation from which none is added"""
RETIRE_SCORE = 5.0
"""base score of a retirement, which comes after every launch"""


def constant(sight: Sight, constants: Constants) -> Floats:
    """The offer of one rank is taken in every step, whatever it is; rank 0 does nothing."""
    scores = np.full(sight.offers("valid").shape, NEVER)
    rank = int(constants["rank"])
    if rank > 0:
        scores[..., min(rank, np.size(scores, -1)) - 1] = 1.0
    return scores


def spot_hedge(sight: Sight, constants: Constants) -> Floats:
    """Replicas spread over dependencies, with spare ones, and away from dependencies that look about to break.

    After SpotHedge (Mao et al. 2025, "SkyServe: serving AI models across regions and clouds with spot instances"):
    placement avoids domains with recent trouble, and `spare` replicas beyond those that the load needs stand ready. Where
    capacity is scarce, spot comes first, but not in regions where it cannot be had now.
    """
    per_model, count = pressure(sight, constants)
    busy, replicas = sight.of_model(per_model), sight.of_model(count)
    need = busy * replicas / constants["high"]
    calm = 1 - sight.offers("domain_share") - constants["avoid"] * np.maximum(sight.offers("alarm"), 0)
    calm = calm + sight.supply("spot") * (1 - constants["avoid"] * sight.supply("region"))
    launch = (sight.offers("is_launch") > 0) & ((replicas < need + constants["spare"]) | (busy >= constants["high"]))
    excess = replicas - 1 - constants["spare"] - constants["slack"]
    retire = (sight.offers("is_retire") > 0) & (replicas > 1) & (excess > need)
    calm = calm + (sight.offers("tee") >= sight.of_model(sight.models("tee")))
    scores = np.where(launch, LAUNCH_SCORE + BUSY_SCORE * np.minimum(busy, BUSIEST) + calm, NEVER)
    scores = np.where(retire, RETIRE_SCORE - calm, scores)
    role = is_role(sight) & (sight.offers("gain") > np.where(sight.offers("is_add") > 0, 0.0, constants["drop"]))
    return np.where(role, ROLE_SCORE + sight.offers("gain"), scores)


def greedy_tuned(sight: Sight, constants: Constants) -> Floats:
    """The value of each offer to the tuned greedy planner [B, P], as `offer_value.tuned_value` defines it."""
    seen = observed(sight.offers, sight.overall("store_queue"), sight.overall("verifiers_margin"))
    return tuned_value(seen, constants)


RULES: Mapping[str, tuple[Rule, str]] = {
    "constant": (constant, "the offer of the best constant rank"),
    "spot_hedge": (spot_hedge, "spread over dependencies with spare replicas"),
    "greedy_tuned": (greedy_tuned, "largest gain with tuned risk, reserve, churn and store congestion"),
}


@dataclass(frozen=True)
class OfferPolicy:
    """A policy made of a rule over offers and its constants; the best score above 0 is taken."""

    name: str
    task: str
    constants: Constants
    overrides: Mapping[str, Any] = field(default_factory=dict)
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @as_predict
    def predict(self, asked: Asked) -> tuple[npt.NDArray[Any], Any]:
        """Actions [B, ...] for a batch of Dict observations, or one action for one observation."""
        observation = asked.observation
        if not isinstance(observation, Mapping) or "proposals" not in observation:
            raise ValueError(
                f'{self.name} reads the offers of a Dict observation: interface="proposals", without flatten'
            )
        batch, single = as_batch(observation)
        sight = Sight(batch)
        scores = np.where(sight.offers("valid") > 0, RULES[self.name][0](sight, self.constants), NEVER)
        actions = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1) + 1, 0)
        parts = parts_in(asked.action_masks, 1 + scores.shape[1]) if self.task == "joint" else 0
        actions = with_usual_levels(actions, parts)
        return (actions[0] if single else actions), asked.state
