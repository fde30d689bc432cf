"""The operations that are tried in a state: some that the policy likes, and some of every kind."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from og_agents.learning.operation_scorer import PAIR_KINDS, ROLE_KINDS, OperationShapes

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]


def kinds_of(shapes: OperationShapes) -> npt.NDArray[np.int64]:
    """The kind of every operation [V]: 0 for doing nothing, then 1 to 9."""
    sizes = [shapes.models * shapes.sites] * PAIR_KINDS + [shapes.sites] * ROLE_KINDS
    return np.concatenate([[0], np.repeat(np.arange(1, 1 + len(sizes)), sizes)])


def chosen_to_try(
    logits: Floats, masks: Bools, actions: npt.NDArray[np.integer], kinds: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.int64], Bools]:
    """Operations [B, n] to try, of `count` n, and which of them are tried, bool [B, n]; doing nothing is the first one.

    Among them are the actions [B] that are taken. Half are drawn without replacement from the policy's logits [B, V], and
    the others in turn from every kind of operation, so that no kind is left out. Where fewer are possible, doing nothing
    fills the places that are not tried.
    """
    rows = np.arange(len(masks))
    noise = torch.rand(masks.shape).clamp(1e-6, 1 - 1e-6).numpy()
    keys = np.where(masks, logits - np.log(-np.log(noise)), -np.inf)
    keys[:, 0] = np.inf
    keys[rows, actions] = np.inf
    liked = np.argpartition(-keys, count // 2, axis=1)[:, : count // 2]
    rank = np.where(masks, _turns(noise, masks, kinds), np.inf)
    rank[:, 0] = -np.inf
    np.put_along_axis(rank, liked, -1.0, axis=1)
    rank[rows, 0] = -np.inf
    rank = np.where(masks, rank, np.inf)
    order = np.argsort(rank, axis=1, kind="stable")[:, :count]
    tried = np.take_along_axis(masks, order, axis=1)
    return np.where(tried, order, 0), tried


def _turns(noise: Floats, masks: Bools, kinds: npt.NDArray[np.int64]) -> Floats:
    """Places [B, V] in a random order among the possible operations of the same kind, with a fraction that breaks ties."""
    drawn = np.where(masks, noise, 2.0)
    result = np.zeros(masks.shape)
    for kind in np.unique(kinds):
        within = kinds == kind
        result[:, within] = drawn[:, within].argsort(axis=1).argsort(axis=1)
    return result + noise
