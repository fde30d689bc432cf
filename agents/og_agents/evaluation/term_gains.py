"""Gains by term of the reward: what a learned policy saves, and where, against the best baseline on the same episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents.evaluation import scores
from og_agents.evaluation.episode_results import Episodes
from og_env.scenario.specs import RewardWeights
from og_env.simulator import TERMS

Json = dict[str, Any]
HEADER = ("policy", "return", *TERMS)


def differences(run: Episodes, best: Episodes, weights: RewardWeights) -> npt.NDArray[np.float64]:
    """Return [E, 6] that a policy gains by each term on each episode, in the order of TERMS; above 0 is better.

    They add up to the difference in return wherever the episodes have the scenario's own weights.
    Raises ValueError where the episodes differ.
    """
    if not np.array_equal(run.seeds, best.seeds):
        raise ValueError(f"{run.policy} and {best.policy} did not play the same episodes")
    weighted = np.array([getattr(weights, term) for term in TERMS], np.float64) * run.steps
    return (best.terms - run.terms) * weighted


def gains(runs: Sequence[Episodes], best: Episodes, weights: RewardWeights, *, seed: int = 0) -> Json:
    """Gain by term of the training seeds of one recipe: the median of the seeds, with an interval over seeds and episodes."""
    by_seed = np.stack([differences(run, best, weights) for run in runs])
    found = {"return": np.stack([run.returns - best.returns for run in runs])}
    found |= {term: by_seed[:, :, index] for index, term in enumerate(TERMS)}
    return {name: pair(values, seed) for name, values in found.items()}


def pair(values: npt.NDArray[np.float64], seed: int = 0) -> Json:
    """The median over seeds of the mean of differences [S, E], with its interval."""
    found = scores.over_seeds(values, seed=seed)
    return {"mean_diff": found.value, "ci_low": found.low, "ci_high": found.high}


def by_policy(
    runs: Sequence[Episodes],
    best: Episodes,
    learned: Sequence[str],
    trainings: Sequence[Sequence[str]],
    weights: RewardWeights,
    *,
    seed: int = 0,
) -> Json:
    """Gains by term of every learned policy, and of the groups of training seeds under their names joined by " + "."""
    by_name = {run.policy: run for run in runs}
    groups = [[name] for name in learned] + [list(names) for names in trainings]
    return {" + ".join(names): gains([by_name[name] for name in names], best, weights, seed=seed) for names in groups}


def improved(found: Mapping[str, Json]) -> list[str]:
    """The terms whose whole interval is above 0."""
    return [term for term in TERMS if found[term]["ci_low"] > 0]


def rows(by_name: Mapping[str, Mapping[str, Json]]) -> list[tuple[str, ...]]:
    """Cells under HEADER, a row for each policy; a gain whose interval leaves out 0 is bold."""
    return [(name, *(cell(found[key]) for key in ("return", *TERMS))) for name, found in by_name.items()]


def cell(found: Json) -> str:
    """A difference with its interval."""
    text = f"{found['mean_diff']:+.2f} [{found['ci_low']:+.2f}, {found['ci_high']:+.2f}]"
    return f"**{text}**" if found["ci_low"] > 0 or found["ci_high"] < 0 else text
