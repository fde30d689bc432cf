"""Baselines that choose among a step's offers, as the heuristics do, with constants found on training episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.heuristics import NEVER, Constants, Floats, Sight, is_role, pressure
from agents.planners.base import CALM, FULL_MARGIN
from og_env.layout import KNOBS

GAIN_SCALE = 0.05
"""of the observed gains g / (|g| + 0.05)"""
MIDDLE_LEVEL = 2
"""of a routing knob: the scenario's own setting"""
Rule = Callable[[Sight, Constants], Floats]


def gains(sight: Sight, name: str) -> Floats:
    """Reward per step of each offer [B, P], from the observed, squashed column."""
    squashed = np.clip(sight.offers(name), -0.999, 0.999)
    return GAIN_SCALE * squashed / (1 - np.abs(squashed))


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
    """The largest nominal gain, with its parts weighed anew and five prices that the nominal gain leaves out.

    risk and rent weigh the parts; add and remove are what a change must gain (churn); congestion is the price of a
    fetch while the stores' queue is full, so that a mass move does not slow itself; alarm that of a place whose
    dependencies signal trouble; reserve what an expected utilisation above `target` is worth to a launch, and costs a
    retirement; quorum what votes missing from a full margin are worth to a verifier, and cost its removal.
    """
    adds = sight.offers("is_add") > 0
    value = gains(sight, "gain_service") + constants["rent"] * gains(sight, "gain_cost")
    value = value + constants["risk"] * gains(sight, "gain_resilience")
    value = value - np.where(adds, constants["add"], constants["remove"])
    model = (sight.offers("is_launch") + sight.offers("is_stage")) > 0
    fetches = model & (sight.offers("on_disk") < 0.5)
    value = value - constants["congestion"] * fetches * sight.overall("store_queue")
    value = value - constants["alarm"] * adds * np.maximum(sight.offers("alarm") - CALM, 0)
    tight = (
        sight.offers("model_utilisation") * (1 + np.maximum(sight.offers("model_forecast"), 0)) - constants["target"]
    )
    tight = constants["reserve"] * sight.offers("model_share") * np.maximum(tight, 0)
    value = value + np.where(sight.offers("is_launch") > 0, tight, np.where(sight.offers("is_retire") > 0, -tight, 0))
    votes = constants["quorum"] * np.maximum(FULL_MARGIN - sight.overall("verifiers_margin"), 0)
    return value + votes * np.where(sight.offers("is_verifier") > 0, np.where(adds, 1.0, -1.0), 0.0)


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
        if self.task == "joint":
            levels = np.full((len(actions), len(KNOBS)), MIDDLE_LEVEL, np.int64)
            actions = np.concatenate([actions[:, None], levels], axis=1)
        return (actions[0] if single else actions), state
