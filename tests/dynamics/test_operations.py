"""Placement operations on paper: when one is possible, and what it changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from og_env.kernel.arrays import ABSENT, DOWN, FETCHING, FROZEN, LOADING, ON_DISK, STAGING, STORE, VERIFIER, WARM, State
from tests.cases.paper_world import (
    ADD_STORE,
    ADD_VERIFIER,
    LAUNCH,
    REMOVE_STORE,
    REMOVE_VERIFIER,
    RETIRE,
    STAGE,
    A,
    B,
    Paper,
    Play,
    paper,
    put,
    strikes,
)


def left_of(state: State, site: int) -> int:
    """MB to fetch or ms to load; one of them is 0."""
    fetch_mb, load_ms = int(state.fetch_left_mb[0, 0, site]), int(state.load_left_ms[0, 0, site])
    assert min(fetch_mb, load_ms) == 0
    return fetch_mb + load_ms


def placed(phase: int, left: int = 0) -> Callable[[Paper], None]:
    return lambda world: put(world, A, phase, left)


def seen(site: int, bits: int) -> Callable[[Paper], None]:
    def change(world: Paper) -> None:
        world.state.status[0, site] = bits

    return change


@pytest.mark.parametrize(
    ("operation", "prepare", "phase", "left", "gpus"),
    [
        (LAUNCH + A, placed(ABSENT), FETCHING, 10_000, 1),
        (LAUNCH + A, placed(STAGING, 7), FETCHING, 7, 1),
        (LAUNCH + A, placed(ON_DISK), LOADING, 30_000, 1),
        (LAUNCH + A, placed(WARM), None, 0, 1),
        (LAUNCH + A, seen(A, FROZEN), None, 0, 0),
        (LAUNCH + A, seen(B, DOWN), None, 0, 0),
        (STAGE + A, placed(ABSENT), STAGING, 10_000, 0),
        (STAGE + A, placed(ON_DISK), None, 0, 0),
        (RETIRE + A, placed(FETCHING, 5), ABSENT, 0, 0),
        (RETIRE + A, placed(WARM), ON_DISK, 0, 0),
        (RETIRE + A, placed(STAGING, 5), None, 5, 0),
    ],
)
def test_operations_on_replicas(
    play: Play,
    possible: Callable[[Paper], np.ndarray],
    operation: int,
    prepare: Callable[[Paper], None],
    phase: int | None,
    left: int,
    gpus: int,
) -> None:
    """phase None: impossible, nothing changes."""
    world = paper(link_mb_per_s=0, load_ms=30_000)  # a fetch gets 1 MB/s
    prepare(world)
    before = world.state.phase[0, 0, A]
    can = phase is not None
    assert possible(world)[operation] == can
    strikes(world, (0, 1, A), DOWN)  # keeps what the operation did from moving on
    done = play(world, operation)
    assert done.state.phase[0, 0, A] == (phase if can else max(before - (before == WARM), 0))
    assert done.state.gpus_used[0, A] == gpus
    assert done.output.operation[0] == (operation if can else 0)
    if can or before != WARM:
        assert left_of(done.state, A) == left
    assert (done.metrics["operations"], done.metrics["impossible_operations"]) == (can, not can)
    assert done.terms["churn"] == can


@pytest.mark.parametrize(
    ("operation", "role", "site", "after_ms"),
    [
        (ADD_VERIFIER + A, VERIFIER, A, None),
        (REMOVE_VERIFIER + A, VERIFIER, A, -1),
        (ADD_STORE + A, STORE, A, 300_000),
        (REMOVE_STORE + B, STORE, B, -1),
        (REMOVE_STORE + A, STORE, A, None),
    ],
)
def test_operations_on_roles(
    play: Play, paper_world: Paper, operation: int, role: int, site: int, after_ms: int | None
) -> None:
    """after_ms None: impossible."""
    before = paper_world.state.role_ms[0, role, site]
    done = play(paper_world, operation)
    assert done.state.role_ms[0, role, site] == (before if after_ms is None else after_ms)
    assert done.metrics["impossible_operations"] == (after_ms is None)


def test_a_model_must_fit(possible: Callable[[Paper], np.ndarray]) -> None:
    world = paper(gpu_count=1, replica_gpus=1)
    assert possible(world)[LAUNCH + A]
    world.state.gpus_used[0, A] = 1
    assert not possible(world)[LAUNCH + A]
    world = paper(replica_gpus=0)
    assert not possible(world)[[LAUNCH, STAGE]].any()
