"""The reward: named terms times named weights; in every term 1 is as bad as serving nothing."""

from __future__ import annotations

from typing import Any

from og_env.kernel.compile import inlined, kernel


@inlined
def unserved_term(unserved: float, convexity: float) -> float:
    """Convex price of the unserved share u: u (1 + k u) / (1 + k), k being the convexity."""
    return unserved * (1 + convexity * unserved) / (1 + convexity)


@kernel
def weighted(terms: Any, weights: Any) -> float:
    """Minus the sum of terms [6] times weights [6], two fields."""
    total = 0.0
    for i in range(weights.shape[0]):
        total -= weights[i] * terms[i]
    return total
