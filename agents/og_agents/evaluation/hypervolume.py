"""The volume that points dominate, in three objectives that are all to be small."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def non_dominated(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which of points [n, d] no other is as good as in every objective and better in one; of equal ones the first."""
    points = np.asarray(points, np.float64)
    no_worse = (points[:, None] <= points[None]).all(axis=-1)
    better = (points[:, None] < points[None]).any(axis=-1)
    equal_before = np.triu(no_worse & no_worse.T, 1)
    beaten = (no_worse & better) | equal_before
    return np.logical_not(beaten.any(axis=0), dtype=np.bool_)


def hypervolume(points: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    """Volume [...] that points [..., n, 3] dominate up to a reference point [3], exactly.

    A point that is not below the reference in every objective adds nothing. Slices along the third objective: above the
    k-th lowest point, the first k dominate an area of the other two.
    """
    reference = np.asarray(reference, np.float64)
    points = np.minimum(np.asarray(points, np.float64), reference)
    order = np.argsort(points[..., 2], axis=-1)
    points = np.take_along_axis(points, order[..., None], axis=-2)
    level = points[..., 2]
    thickness = np.diff(level, append=np.full((*level.shape[:-1], 1), reference[2]))
    volume = np.zeros(level.shape[:-1])
    for k in range(level.shape[-1]):
        volume += thickness[..., k] * _area(points[..., : k + 1, :2], reference[:2])
    return volume


def _area(points: Floats, reference: Floats) -> Floats:
    """Area [...] that points [..., k, 2] dominate up to a reference point [2]."""
    order = np.argsort(points[..., 0], axis=-1)
    across, up = (np.take_along_axis(points[..., at], order, axis=-1) for at in range(2))
    width = np.diff(across, append=np.full((*across.shape[:-1], 1), reference[0]))
    return (width * (reference[1] - np.minimum.accumulate(up, axis=-1))).sum(axis=-1)
