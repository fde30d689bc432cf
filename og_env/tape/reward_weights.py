"""The reward's weights of an episode, where a scenario draws them: what users care for, and by how much."""

from __future__ import annotations

import numpy as np

from og_env.kernel.arrays import TERMS
from og_env.scenario.specs import RewardWeights

RESILIENCE = ("unserved", "unverified", "exposure")
"""terms that a preference for resilience multiplies together"""
STREAM = 5
"""tells these numbers from others that are drawn with the same seed"""


def factors(seed: int, widest: float) -> tuple[float, float, float]:
    """Of latency, cost and resilience in the episode of a tape seed. Their logarithms are uniform within
    +-log(`widest`), less their mean: only ratios are preferences, so the product is 1."""
    drawn = np.random.default_rng([seed, STREAM]).uniform(-1, 1, 3)
    latency, cost, resilience = widest ** (drawn - drawn.mean())
    return float(latency), float(cost), float(resilience)


def weights(
    reward: RewardWeights, latency: float = 1.0, cost: float = 1.0, resilience: float = 1.0
) -> dict[str, float]:
    """A scenario's weights by term, each times the factor of what it stands for."""
    given = {"latency": latency, "cost": cost} | dict.fromkeys(RESILIENCE, resilience)
    return {term: getattr(reward, term) * given.get(term, 1.0) for term in TERMS}


def drawn_weights(reward: RewardWeights, seed: int) -> np.ndarray:
    """float32 [6] in the order of TERMS, for the episode of a tape seed."""
    drawn = weights(reward, *factors(seed, reward.weights_range))
    return np.array([drawn[term] for term in TERMS], np.float32)
