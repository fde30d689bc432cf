"""Compares policies on the same episodes: intervals, paired differences, training seeds and headroom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents.evaluation import statistics
from og_agents.evaluation.episode_results import Episodes
from og_env.simulator import METRICS, TERMS

Json = dict[str, Any]


def compare(
    runs: Sequence[Episodes],
    learned: Sequence[str] = (),
    *,
    seed: int = 0,
    references: Sequence[str] = (),
    trainings: Sequence[Sequence[str]] = (),
    strata: npt.ArrayLike | None = None,
) -> Json:
    """Summary of several policies on the same episodes.

    The best baseline is the one with the highest mean return on these very episodes, which favours the baselines;
    `references` (planners that look ahead) are none. Every other policy is compared with it in pairs. The verdict is on
    the first of `learned`, which `learned_against` also compares with each reference that played; `verdicts` has that on
    each of them. Without a baseline or a learned policy the respective entries are None. `trainings` groups learned
    policies that differ in the training seed alone: `seeds` has the differences of each group. `strata` [E] labels groups
    of episodes that every resample has as many of, e.g. incidents. Raises ValueError where episodes differ.
    """
    for run in runs[1:]:
        if not np.array_equal(run.seeds, runs[0].seeds):
            raise ValueError(f"{run.policy} and {runs[0].policy} did not play the same episodes")
    by_name = {run.policy: run for run in runs}
    if len(by_name) < len(runs):
        raise ValueError("two policies have the same name")
    baselines = [run for run in runs if run.policy not in (*learned, *references)]
    best = max(baselines, key=lambda run: run.returns.mean()).policy if baselines else None
    pairs = {}
    if best is not None:
        for run in runs:
            if run.policy != best:
                pairs[run.policy] = statistics.paired(run.returns, by_name[best].returns, strata=strata, seed=seed)
    first = learned[0] if learned else None
    return {
        "policies": {run.policy: _figures(run, seed, strata) for run in runs},
        "best_baseline": best,
        "learned": first,
        "paired": {name: _pair(pair) for name, pair in pairs.items()},
        "learned_against": {
            name: _pair(statistics.paired(by_name[first].returns, by_name[name].returns, strata=strata, seed=seed))
            for name in references
            if first is not None and name in by_name
        },
        "seeds": [
            over_seeds([by_name[name] for name in names], [by_name[best]] * len(names), seed=seed)
            for names in trainings
        ]
        if best is not None
        else [],
        "verdict": pairs[first].verdict if first is not None and best is not None else None,
        "verdicts": {name: pairs[name].verdict for name in learned} if best is not None else {},
    }


def over_seeds(runs: Sequence[Episodes], others: Sequence[Episodes], *, seed: int = 0) -> Json:
    """Differences in return of several training seeds, each to one other policy: a baseline or that of the same seed.

    Gives the mean of each seed, and the mean of all with an interval over episodes and seeds, both resampled (Agarwal
    et al. 2021). Raises ValueError where the episodes differ.
    """
    for run, other in zip(runs, others, strict=True):
        if not np.array_equal(run.seeds, other.seeds):
            raise ValueError(f"{run.policy} and {other.policy} did not play the same episodes")
    differences = np.stack([run.returns - other.returns for run, other in zip(runs, others, strict=True)])
    rng = np.random.default_rng(seed)
    count, episodes = differences.shape
    drawn = [
        differences[rng.integers(count, size=count)][:, rng.integers(episodes, size=episodes)].mean()
        for _ in range(statistics.RESAMPLES)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    means = differences.mean(axis=1)
    return {
        "policies": [run.policy for run in runs],
        "mean_diffs": means.tolist(),
        "median_diff": float(np.median(means)),
        "mean_diff": float(means.mean()),
        "ci_low": float(low),
        "ci_high": float(high),
    }


def _pair(pair: statistics.Paired) -> Json:
    return {
        "mean_diff": pair.difference.value,
        "ci_low": pair.difference.low,
        "ci_high": pair.difference.high,
        "wins": pair.wins,
    }


def headroom(reference: Episodes, best: Episodes, runs: Sequence[Episodes] = (), *, seed: int = 0) -> Json:
    """Gap between a reference and the best baseline over the same episodes, in percent of the baseline's |return|.

    `closed` has the share of the gap that each of `runs` closes, (its mean - best's) / (reference's - best's), or None
    where there is no gap. Intervals are of paired bootstraps. Raises ValueError where the episodes differ or the best
    return is 0.
    """
    for run in (reference, *runs):
        if not np.array_equal(run.seeds, best.seeds):
            raise ValueError(f"{run.policy} and {best.policy} did not play the same episodes")
    gap = statistics.relative_change_percent(reference.returns, best.returns, seed=seed)
    others = [run for run in runs if run.policy not in (reference.policy, best.policy)]
    closed = {run.policy: statistics.share_closed(run.returns, best.returns, reference.returns) for run in others}
    return {
        "percent": gap.value,
        "ci_low": gap.low,
        "ci_high": gap.high,
        "closed": {
            name: None if share is None else {"share": share.value, "ci_low": share.low, "ci_high": share.high}
            for name, share in closed.items()
        },
    }


def _figures(run: Episodes, seed: int, strata: npt.ArrayLike | None) -> Json:
    mean = statistics.bootstrap(run.returns, strata=strata, seed=seed)
    middle = statistics.bootstrap(run.returns, statistics.iqm, strata=strata, seed=seed)
    return {
        "return_mean": mean.value,
        "return_iqm": middle.value,
        "ci_low": mean.low,
        "ci_high": mean.high,
        "iqm_ci_low": middle.low,
        "iqm_ci_high": middle.high,
        "operations_per_day": run.operations_per_day,
        "decisions_per_s": run.decisions_per_s,
        "terms": dict(zip(TERMS, run.terms.mean(axis=0).tolist(), strict=True)),
        "metrics": dict(zip(METRICS, run.metrics.mean(axis=0).tolist(), strict=True)),
    }
