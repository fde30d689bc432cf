"""Baselines that choose among a step's offers, as the heuristics do, with constants found on training episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents.heuristics import NEVER, Constants, Floats, Sight, is_role, pressure
from og_agents.planners.offer_value import observed, tuned_value
from og_agents.planners.tuned_greedy import with_usual_knobs

Rule = Callable[[Sight, Constants], Floats]


def constant(sight: Sight, constants: Constants) -> Floats:
    """The offer of one rank in every step, whatever it is; rank 0 does nothing."""
    scores = np.full(sight.offers("valid").shape, NEVER)
    rank = int(constants["rank"])
    if rank > 0:
        scores[..., min(rank, np.size(scores, -1)) - 1] = 1.0
    return scores


def spot_hedge(sight: Sight, constants: Constants) -> Floats:
    """Replicas spread over dependencies, with spare ones, and away from dependencies that look about to break.

    After SpotHedge (Mao et al. 2025, "SkyServe: serving AI models across regions and clouds with spot instances"):
    placement avoids domains with recent trouble, and `spare` replicas beyond the load's need stand ready.
    """
    per_model, count = pressure(sight, constants)
    busy, replicas = sight.of_model(per_model), sight.of_model(count)
    need = busy * replicas / constants["high"]
    calm = 1 - sight.offers("domain_share") - constants["avoid"] * np.maximum(sight.offers("alarm"), 0)
    launch = (sight.offers("is_launch") > 0) & ((replicas < need + constants["spare"]) | (busy >= constants["high"]))
    excess = replicas - 1 - constants["spare"] - constants["slack"]
    retire = (sight.offers("is_retire") > 0) & (replicas > 1) & (excess > need)
    calm = calm + (sight.offers("tee") >= sight.of_model(sight.models("tee")))
    scores = np.where(launch, 20 + 5 * np.minimum(busy, 4) + calm, NEVER)
    scores = np.where(retire, 5 - calm, scores)
    role = is_role(sight) & (sight.offers("gain") > np.where(sight.offers("is_add") > 0, 0.0, constants["drop"]))
    return np.where(role, 1000 + sight.offers("gain"), scores)


def greedy_tuned(sight: Sight, constants: Constants) -> Floats:
    """The largest value to the tuned planner; see offer_value.tuned_value."""
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

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[npt.NDArray[Any], Any]:
        """Actions [B, ...] for a batch of Dict observations, or one action for one observation."""
        if not isinstance(observation, Mapping) or "proposals" not in observation:
            raise ValueError(
                f'{self.name} reads the offers of a Dict observation: interface="proposals", without flatten'
            )
        single = observation["globals"].ndim == 1
        batch = {table: values[None] if single else values for table, values in observation.items()}
        sight = Sight(batch)
        scores = np.where(sight.offers("valid") > 0, RULES[self.name][0](sight, self.constants), NEVER)
        actions = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1) + 1, 0)
        actions = with_usual_knobs(actions, self.task)
        return (actions[0] if single else actions), state
