"""The operations that are tried: doing nothing, what is taken, what the policy likes, and all kinds in turn."""

from __future__ import annotations

import numpy as np
import torch

from og_agents.learning.operation_scorer import OperationShapes
from og_agents.learning.tried_operations import chosen_to_try, kinds_of

SHAPES = OperationShapes(2, 8)
KINDS = kinds_of(SHAPES)


def drawn(count: int, rows: int = 400, sure: int = 30):
    """Tried operations of states where half of all are possible and one of them is likely."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    masks = draw.random((rows, SHAPES.operations)) < 0.5
    masks[:, [0, sure]] = True
    logits = np.where(np.arange(SHAPES.operations) == sure, 8.0, 0.0) * np.ones((rows, 1))
    actions = np.array([draw.choice(np.flatnonzero(mask)) for mask in masks])
    return masks, actions, *chosen_to_try(logits, masks, actions, KINDS, count)


def test_kinds_are_those_of_the_numbers_of_operations():
    assert SHAPES.operations == len(KINDS) == 1 + 3 * 16 + 6 * 8
    assert np.array_equal(np.bincount(KINDS), [1, 16, 16, 16, 8, 8, 8, 8, 8, 8])


def test_nothing_the_taken_and_the_likely_are_tried_once_and_the_impossible_never():
    masks, actions, operations, tried = drawn(16)
    rows = np.arange(len(masks))
    assert operations.shape == (400, 16) and tried.all() and (operations[:, 0] == 0).all()
    assert (operations == actions[:, None]).any(axis=1).all()
    assert (operations == 30).any(axis=1).mean() > 0.95
    assert masks[rows[:, None], operations].all()
    assert all(len(set(row)) == 16 for row in operations.tolist())


def test_every_kind_is_tried_though_the_policy_likes_none_of_it():
    masks, _, operations, _ = drawn(24)
    for kind in range(1, 10):
        has = (masks & (kind == KINDS)).any(axis=1)
        assert has.any() and (KINDS[operations] == kind).any(axis=1)[has].all()


def test_places_without_an_operation_are_not_tried():
    masks, _, operations, tried = drawn(80)
    assert np.array_equal(tried.sum(axis=1), np.minimum(masks.sum(axis=1), 80))
    assert (operations[~tried] == 0).all() and (~tried).any()
