"""Scores that add up over scenarios: the share of the way from the best baseline to the clairvoyant planner.

A score is (return - best baseline) / (clairvoyant - best baseline), both differences paired over the episodes that the
clairvoyant played. It is 0 for the best baseline, 1 for the clairvoyant, and it can be below 0 or above 1. Performance
profile, probability of improvement and the stratified bootstrap are those of rliable (Agarwal et al. 2021, "Deep RL at
the edge of the statistical precipice"), where a run is a training seed and a task is a scenario. Beyond rliable, each
resample draws the episodes of a scenario anew as well, the same ones for all seeds and for the clairvoyant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.evaluation import statistics
from og_agents.evaluation.episode_results import Episodes
from og_agents.evaluation.statistics import Interval

Floats = npt.NDArray[np.float64]
Json = dict[str, Any]
LEAST_ROOM = 0.01
"""share of the room of all episodes below which a resample has none, and counts as all episodes together"""
TAUS = tuple(np.linspace(-1, 1, 41).round(2).tolist())
"""scores at which a performance profile is taken"""


class Gains(NamedTuple):
    """The training seeds of one recipe in one scenario, on the E episodes that the clairvoyant played."""

    gained: Floats
    """[S, E] return minus that of the best baseline, by training seed and episode"""
    room: Floats
    """[E] return of the clairvoyant minus that of the best baseline"""


def gains_of(runs: Sequence[Episodes], best: Episodes, reference: Episodes) -> Gains:
    """Gains on the episodes of the reference, which are the first ones of all others.

    Raises ValueError where they are not.
    """
    count = len(reference.seeds)
    for run in (*runs, best):
        if not np.array_equal(run.seeds[:count], reference.seeds):
            raise ValueError(f"{run.policy} did not play the episodes of {reference.policy}")
    base = best.returns[:count]
    return Gains(np.stack([run.returns[:count] - base for run in runs]), reference.returns - base)


def scores_of(gains: Gains) -> Floats | None:
    """The score [S] of each seed; None where the clairvoyant is not above the best baseline."""
    room = float(gains.room.mean())
    return None if room <= 0 else gains.gained.mean(axis=1) / room


def median_of_means(differences: Floats) -> Floats:
    """The median over seeds of their means over episodes, of differences [..., S, E]."""
    return np.median(differences.mean(axis=-1), axis=-1)


def over_seeds(
    differences: npt.ArrayLike,
    statistic: Callable[[Floats], Floats] = median_of_means,
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> Interval:
    """A statistic of differences [S, E] by seed and episode, both of which are resampled for its interval."""
    values = np.asarray(differences, np.float64)
    drawn = np.stack([statistic(part) for part in _resampled(values, resamples, np.random.default_rng(seed))])
    return Interval(float(statistic(values)), *_ends(drawn))


def score(by_scenario: Sequence[Gains], *, resamples: int = statistics.RESAMPLES, seed: int = 0) -> Interval | None:
    """The mean over scenarios of the median score of the seeds, with its interval.

    None where there is no scenario, or one without room between best baseline and clairvoyant.
    """
    values = _values(by_scenario)
    if values is None:
        return None
    drawn = _drawn(by_scenario, resamples, seed)
    means = np.stack([np.median(part, axis=1) for part in drawn]).mean(axis=0)
    return Interval(float(np.mean([np.median(part) for part in values])), *_ends(means))


def profile_of(scores: Sequence[npt.ArrayLike], taus: Sequence[float] = TAUS) -> Floats:
    """Share of runs whose score is above each tau [T], for scores [S] by scenario; every scenario counts the same."""
    return np.mean([(np.asarray(part)[:, None] > np.asarray(taus)).mean(axis=0) for part in scores], axis=0)


def profile(
    by_scenario: Sequence[Gains], taus: Sequence[float] = TAUS, *, resamples: int = statistics.RESAMPLES, seed: int = 0
) -> list[Interval] | None:
    """The performance profile: at each tau the share of runs above it, with its interval; None where `score` is None."""
    values = _values(by_scenario)
    if values is None:
        return None
    drawn = _drawn(by_scenario, resamples, seed)
    shares = np.stack([profile_of([part[r] for part in drawn], taus) for r in range(resamples)])
    return [Interval(float(value), *_ends(shares[:, i])) for i, value in enumerate(profile_of(values, taus))]


def improvement_of(ours: Sequence[npt.ArrayLike], theirs: Sequence[npt.ArrayLike]) -> float:
    """Probability that a run of ours has a higher score than one of theirs, for scores [S] and [K] by scenario.

    It is the Mann-Whitney statistic over the number of pairs, where a draw counts half, averaged over scenarios.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"scores of the same scenarios are needed: {len(ours)} against {len(theirs)}")
    differences = (np.subtract.outer(x, y) for x, y in zip(ours, theirs, strict=True))
    return float(np.mean([((pairs > 0) + 0.5 * (pairs == 0)).mean() for pairs in differences]))


def improvement(
    ours: Sequence[Gains],
    theirs: Sequence[Gains] | None = None,
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Probability of improvement on another recipe, or on the best baseline, with its interval.

    The episodes of a scenario are the same for both. None where `score` is None.
    """
    if _values(ours) is None:
        return None
    other = [part._replace(gained=np.zeros_like(part.room)[None]) for part in ours] if theirs is None else theirs
    if _values(other) is None:
        return None
    one, two = _drawn(ours, resamples, seed), _drawn(other, resamples, seed)
    drawn = [improvement_of([part[r] for part in one], [part[r] for part in two]) for r in range(resamples)]
    value = improvement_of(_values(ours) or [], _values(other) or [])
    return Interval(value, *_ends(np.asarray(drawn)))


def _values(by_scenario: Sequence[Gains]) -> list[Floats] | None:
    found = [scores_of(gains) for gains in by_scenario]
    return None if not found or any(part is None for part in found) else [part for part in found if part is not None]


def _drawn(by_scenario: Sequence[Gains], resamples: int, seed: int) -> list[Floats]:
    """Scores [R, S] of resampled seeds on resampled episodes, scenario by scenario."""
    drawn = []
    for place, gains in enumerate(by_scenario):
        # a stream of episodes for each scenario, so that two recipes are resampled as pairs whatever their seeds
        episodes, seeds = (np.random.default_rng([seed, place, part]) for part in range(2))
        (count, length), overall = gains.gained.shape, gains.gained.mean(axis=1) / gains.room.mean()
        rows = np.empty((resamples, count))
        for r in range(resamples):
            picked, chosen = episodes.integers(length, size=length), seeds.integers(count, size=count)
            room = gains.room[picked].mean()
            enough = room > LEAST_ROOM * gains.room.mean()
            rows[r] = gains.gained[chosen][:, picked].mean(axis=1) / room if enough else overall[chosen]
        drawn.append(rows)
    return drawn


def _resampled(values: Floats, resamples: int, rng: np.random.Generator) -> list[Floats]:
    seeds, episodes = values.shape
    return [values[rng.integers(seeds, size=seeds)][:, rng.integers(episodes, size=episodes)] for _ in range(resamples)]


def _ends(drawn: Floats) -> tuple[float, float]:
    tail = 100 * (1 - statistics.CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def entry(found: Interval | None) -> Json | None:
    """An interval as JSON: value, ci_low and ci_high."""
    return None if found is None else {"value": found.value, "ci_low": found.low, "ci_high": found.high}


def summary_of(
    runs: Sequence[Episodes],
    best: Episodes,
    reference: Episodes,
    groups: Sequence[Sequence[str]] = (),
    *,
    seed: int = 0,
) -> Json:
    """Scores of all policies but the best baseline and the reference, and of groups of training seeds."""
    by_name = {run.policy: run for run in runs if run.policy not in (best.policy, reference.policy)}
    grouped = [(names, gains_of([by_name[name] for name in names], best, reference)) for names in groups]
    return {
        "reference": reference.policy,
        "episodes": len(reference.seeds),
        "reference_mean": float(reference.returns.mean()),
        "best_mean": float(best.returns[: len(reference.seeds)].mean()),
        "policies": {
            name: entry(score([gains_of([run], best, reference)], seed=seed)) for name, run in by_name.items()
        },
        "seeds": [{"policies": list(names), **(entry(score([gains], seed=seed)) or {})} for names, gains in grouped],
    }


def text(found: Json) -> str:
    """The scores in one line, the highest first."""
    shown = {name: part for name, part in found["policies"].items() if part is not None}
    head = f"score on {found['episodes']} episodes, where the best baseline has 0 and {found['reference']} 1"
    if not shown:
        return f"{head}: none, as {found['reference']} is not above the best baseline"
    names = sorted(shown, key=lambda name: -shown[name]["value"])
    words = (
        f"{name} {shown[name]['value']:.2f} [{shown[name]['ci_low']:.2f}, {shown[name]['ci_high']:.2f}]"
        for name in names
    )
    return f"{head}: {', '.join(words)}"
