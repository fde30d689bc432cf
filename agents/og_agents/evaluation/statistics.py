"""Figures of merit with their uncertainty: interquartile mean, bootstrap intervals, paired differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""function from samples [R, E] to one value per row [R]"""

RESAMPLES = 2000
CONFIDENCE = 0.95
CHUNK = 2_000_000
"""values drawn at once, to bound the memory"""


class Interval(NamedTuple):
    """An estimate and its percentile-bootstrap interval."""

    value: float
    low: float
    high: float


class Paired(NamedTuple):
    """One policy against another on the same episodes; differences are policy minus baseline."""

    difference: Interval
    wins: float
    """share of the episodes in which the policy's return is higher; a draw counts half"""
    episodes: int

    @property
    def verdict(self) -> str:
        """Win or loss where the whole interval is above or below 0, else tie."""
        if self.difference.low > 0:
            return "win"
        return "loss" if self.difference.high < 0 else "tie"


def mean(samples: Floats) -> Floats:
    """Mean over the last axis."""
    return samples.mean(axis=-1)


def iqm(samples: npt.ArrayLike) -> Floats:
    """Interquartile mean over the last axis: the mean without the lowest and the highest quarter.

    Quarters are counted in whole values, floor(E / 4) on either side (Agarwal et al. 2021, "Deep RL at the edge of
    the statistical precipice"), so fewer than four values are a plain mean.
    """
    ordered = np.sort(np.asarray(samples, np.float64), axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def bootstrap(
    values: npt.ArrayLike,
    statistic: Statistic = mean,
    *,
    strata: npt.ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic of values [E].

    Episodes are drawn with replacement, within each stratum where `strata` [E] labels them (a scenario, a trained
    model), so that every resample has as many of each as the data. With one value the interval is that value.
    Raises ValueError for no values, values that are not finite, or labels of another length.
    """
    values = _checked(values)
    order, sizes = _groups(values, strata)
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // len(values))
    estimates = [
        statistic(values[_draw(rng, order, sizes, min(rows, resamples - start))]) for start in range(0, resamples, rows)
    ]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(np.concatenate(estimates), [tail, 100 - tail])
    return Interval(float(statistic(values[None])[0]), float(low), float(high))


def paired(
    policy: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    strata: npt.ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """Mean difference of returns [E] on the same episodes, which are resampled as pairs.

    Raises ValueError where the two have different lengths.
    """
    ours, theirs = _checked(policy), _checked(baseline)
    if ours.shape != theirs.shape:
        raise ValueError(f"paired returns need the same episodes: {len(ours)} against {len(theirs)}")
    difference = ours - theirs
    wins = float(np.mean((difference > 0) + 0.5 * (difference == 0)))
    return Paired(bootstrap(difference, strata=strata, resamples=resamples, seed=seed), wins, len(difference))


def relative_change_percent(
    changed: npt.ArrayLike, base: npt.ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """100 x (mean of changed - mean of base) / |mean of base| over paired returns [E], resampled as pairs.

    Raises ValueError for different lengths, or a base whose mean is 0.
    """
    new, old = _checked(changed), _checked(base)
    if new.shape != old.shape:
        raise ValueError(f"paired returns need the same episodes: {len(new)} against {len(old)}")
    if old.mean() == 0:
        raise ValueError("a change relative to a mean of 0 is not defined")
    pairs = np.arange(len(old), dtype=np.float64)

    def change(rows: Floats) -> Floats:
        at = rows.astype(np.intp)
        before = old[at].mean(axis=-1)
        return 100 * (new[at].mean(axis=-1) - before) / np.abs(before)

    return bootstrap(pairs, change, resamples=resamples, seed=seed)


def share_closed(
    policy: npt.ArrayLike, base: npt.ArrayLike, reference: npt.ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """Share of the gap between base and reference that a policy closes; None where the reference is not above the base.

    All three have returns [E] of the same episodes and are resampled as triples; a resample without a gap counts as the
    overall share. Raises ValueError for different lengths.
    """
    ours, low, high = _checked(policy), _checked(base), _checked(reference)
    if not ours.shape == low.shape == high.shape:
        raise ValueError(f"paired returns need the same episodes: {len(ours)}, {len(low)} and {len(high)}")
    gap = float((high - low).mean())
    if gap <= 0:
        return None
    overall = float((ours - low).mean()) / gap

    def share(rows: Floats) -> Floats:
        at = rows.astype(np.intp)
        gained, room = (ours - low)[at].mean(axis=-1), (high - low)[at].mean(axis=-1)
        return np.divide(gained, room, out=np.full_like(gained, overall), where=room > 0.01 * gap)

    return bootstrap(np.arange(len(low), dtype=np.float64), share, resamples=resamples, seed=seed)


def _checked(values: npt.ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"expected one value per episode, not an array of shape {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ValueError(f"episode {int(np.flatnonzero(~np.isfinite(array))[0])} has a value that is not finite")
    return array


def _groups(values: Floats, strata: npt.ArrayLike | None) -> tuple[list[npt.NDArray[np.intp]], list[int]]:
    if strata is None:
        return [np.arange(len(values))], [len(values)]
    labels = np.asarray(strata)
    if labels.shape != values.shape:
        raise ValueError(f"{len(values)} values need {len(values)} strata labels, not {labels.size}")
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return members, [len(group) for group in members]


def _draw(
    rng: np.random.Generator, groups: list[npt.NDArray[np.intp]], sizes: list[int], rows: int
) -> npt.NDArray[np.intp]:
    """Indices [rows, E] of resampled episodes, stratum by stratum."""
    picks = [group[rng.integers(size, size=(rows, size))] for group, size in zip(groups, sizes, strict=True)]
    return np.concatenate(picks, axis=1)
