"""Finds the few constants of a baseline on training episodes, checked on validation episodes.

Coordinate search for the heuristics, cross-entropy search for the planners, whose constants act together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from og_agents import heuristics, planners
from og_agents.evaluation import playing, statistics
from og_agents.evaluation.statistics import Floats
from og_agents.heuristics.cross_entropy import cross_entropy
from og_agents.heuristics.tuned_constants import PLANNERS, Constants, constants_of, of_planner
from og_env.errors import nearest_valid
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec

GRID: Mapping[str, Sequence[float]] = {
    "high": (0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9),
    "low": (0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8),
    "arriving": (0.5, 0.8, 0.9, 1.0),
    "refused": (0.01, 0.05, 0.1, 0.2, 1.0),
    "ahead": (0.0, 0.5, 1.0),
    "role": (0.0, 0.02),
    "drop": (0.0, 0.1, 0.5),
    "exposure": (0.1, 0.2, 0.3, 0.4),
    "hedge": (0.02, 0.05, 0.1, 0.2, 0.3),
    "margin": (0.15, 0.26, 0.3),
    "threshold": (0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15),
}
"""values tried for each constant"""


Tried = Callable[[int, int], None]
"""called with the trials so far and the most that there can be"""
ROUNDS = 3
"""of a coordinate search, at most"""
RANKS = 11
"""actions of the proposals: nothing and ten offers"""


class Tuned(NamedTuple):
    """Result of a search."""

    constants: dict[str, float]
    """the start's where validation does not confirm the search"""
    trials: int
    validation: statistics.Paired
    """the found constants against the start on validation episodes"""


def tune(
    name: str,
    scenario: str | ScenarioSpec,
    *,
    keys: Sequence[str] | None = None,
    episodes: int = 64,
    seed: int = 0,
    tried: Tried | None = None,
) -> Tuned:
    """Search the constants of a heuristic, all or some `keys`, from its present ones.

    `tried` is called after each trial. Raises ValueError for an unknown heuristic, one without constants, or an unknown key.
    """
    start = dict(heuristics.make(name).constants)
    if not start:
        raise ValueError(f"{name} has no constants to tune")
    for key in keys or ():
        if key not in start:
            raise ValueError(f"{name} has no constant {key!r}{nearest_valid(key, start)}")
    grid = {key: GRID[key] for key in keys or start}

    def returns(constants: Constants, split: str) -> Floats:
        policy = heuristics.make(name, constants=constants)
        return playing.run(policy, scenario, "placement", episodes, seed, split=split).returns

    most = 1 + ROUNDS * sum(map(len, grid.values()))
    score = counted(lambda constants: float(returns(constants, "train").mean()), most, tried)
    found, trials = descend(score, grid, start)
    validation = statistics.paired(returns(found, "validation"), returns(start, "validation"))
    return Tuned(found if validation.difference.value > 0 else start, trials, validation)


def counted(score: Callable[[Constants], float], most: int, tried: Tried | None) -> Callable[[Constants], float]:
    """A score that tells how often it was called."""
    if tried is None:
        return score
    trials = 0

    def told(constants: Constants) -> float:
        nonlocal trials
        result = score(constants)
        trials += 1
        tried(trials, most)
        return result

    return told


def descend(
    score: Callable[[Constants], float], grid: Mapping[str, Sequence[float]], start: Constants, rounds: int = ROUNDS
) -> tuple[dict[str, float], int]:
    """Coordinate search for the highest score: each constant in turn over its grid, until a round changes nothing.

    Returns the best constants and how many were scored.
    """
    best = dict(start)
    seen = {tuple(best.items()): score(best)}
    for _ in range(rounds):
        before = dict(best)
        for key in grid:
            for value in grid[key]:
                trial = {**best, key: value}
                point = tuple(trial.items())
                if point not in seen:
                    seen[point] = score(trial)
                if seen[point] > seen[tuple(best.items())]:
                    best = trial
        if best == before:
            break
    return best, len(seen)


def tune_planner(
    name: str,
    scenario: str | ScenarioSpec,
    *,
    episodes: int = 12,
    seed: int = 0,
    population: int = 12,
    rounds: int = 6,
    begin: Mapping[str, Any] | None = None,
    tried: Tried | None = None,
) -> Tuned:
    """Search the constants of a planner by cross-entropy, from its present ones or those that `begin` has instead.

    The planner `constant` has every rank tried in turn. Validation is against the present constants. Raises ValueError
    for a planner without constants, an unknown constant in `begin`, or a population below 3.
    """
    if name not in PLANNERS:
        raise ValueError(f"{name} is no planner with constants{nearest_valid(name, PLANNERS)}")
    spec = loading.load(scenario)
    start = constants_of(spec.name, name)
    for key, value in (begin or {}).items():
        if key not in start:
            raise ValueError(f"{name} has no constant {key!r}{nearest_valid(key, start)}")
        if not isinstance(value, int | float):
            raise ValueError(f"{key} of {name} is {value!r}; it must be a number")
    if population < 3 or rounds < 1:
        raise ValueError(f"population {population} and rounds {rounds}: valid are 3 and 1 or more")

    task = "routing" if name in planners.ROUTERS else "placement"

    def returns(constants: Constants, split: str) -> Floats:
        policy = planners.make(name, spec, task, constants=constants)
        return playing.run(policy, spec, task, episodes, seed, split=split).returns

    most = 1 + RANKS if name == "constant" else population * rounds
    score = counted(lambda constants: float(returns(constants, "train").mean()), most, tried)
    if name == "constant":
        found, trials = descend(score, {"rank": range(RANKS)}, start, rounds=1)
    else:
        first = {**start, **(begin or {})}
        found, trials = cross_entropy(
            lambda points: [score(point) for point in points],
            first,
            of_planner(name),
            population=population,
            rounds=rounds,
            seed=seed,
        )
    validation = statistics.paired(returns(found, "validation"), returns(start, "validation"))
    return Tuned(found if validation.difference.value > 0 else start, trials, validation)
