"""Cross-entropy search for constants of a planner that act together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from og_agents.heuristics.tuned_constants import Constants, PlannerConstants

Score = Callable[[list[Constants]], Sequence[float]]
"""scores of several constants, higher is better, so that they may be played side by side"""


def cross_entropy(
    score: Score,
    start: Constants,
    space: PlannerConstants,
    *,
    population: int = 12,
    rounds: int = 6,
    seed: int = 0,
    go_on: Callable[[], bool] = lambda: True,
) -> tuple[dict[str, float], int]:
    """Cross-entropy search for the highest score (Rubinstein 1999).

    Populations come from a normal distribution that moves to the mean and the spread of its best third; the
    distribution's mean takes part in every round. `space` has the first spread and the bounds. `go_on` is asked before
    every round but the first.
    Returns the best constants and how many were scored.
    """
    rng, names = np.random.default_rng(seed), list(start)
    low, high, spread, mean = (
        np.array([values[name] for name in names]) for values in (space.low, space.high, space.spread, start)
    )
    best, best_score, scored = mean, -np.inf, 0
    for number in range(rounds):
        if number > 0 and not go_on():
            break
        drawn = rng.normal(mean, spread, (population - 1, len(names)))
        points = np.clip(np.vstack([mean, drawn]), low, high)
        scores = np.array(score([dict(zip(names, point.tolist(), strict=True)) for point in points]))
        scored += population
        order = np.argsort(-scores, kind="stable")[: max(population // 3, 1)]
        mean, spread = points[order].mean(axis=0), points[order].std(axis=0) + 0.1 * spread
        if scores[order[0]] > best_score:
            best, best_score = points[order[0]], scores[order[0]]
    return {name: float(f"{value:.3g}") for name, value in zip(names, best, strict=True)}, scored
