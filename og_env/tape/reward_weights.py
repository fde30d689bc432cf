"""The weights of the reward in an episode whose scenario draws them: preferences that differ between users."""

from __future__ import annotations

import numpy as np

from og_env.kernel.arrays import TERMS
from og_env.scenario.specs import RewardWeights

RESILIENCE = ("unserved", "unverified", "exposure")
"""terms that a preference for resilience multiplies together"""
STREAM = 5
"""number of the random stream, so that other numbers drawn with the same seed are independent of these"""


def factors(seed: int, widest: float) -> tuple[float, float, float]:
    """Factors on the weights of latency, cost and resilience in the episode of a tape seed.

    Their logarithms are uniform within +-log(`widest`), less their mean: only ratios are preferences, so the product
    is 1.
    """
    drawn = np.random.default_rng([seed, STREAM]).uniform(-1, 1, 3)
    latency, cost, resilience = widest ** (drawn - drawn.mean())
    return float(latency), float(cost), float(resilience)


def weights(
    reward: RewardWeights, latency: float = 1.0, cost: float = 1.0, resilience: float = 1.0
) -> dict[str, float]:
    """A scenario's weights by term, each times the factor of the preference that it belongs to."""
    given = {"latency": latency, "cost": cost} | dict.fromkeys(RESILIENCE, resilience)
    return {term: getattr(reward, term) * given.get(term, 1.0) for term in TERMS}


def drawn_weights(reward: RewardWeights, seed: int) -> np.ndarray:
    """The weights float32 [6], in the order of TERMS, for the episode of a tape seed."""
    drawn = weights(reward, *factors(seed, reward.weights_range))
    return np.array([drawn[term] for term in TERMS], np.float32)
