"""One environment of a batch, as a kernel reads and writes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError

from og_env.kernel.arrays import Memo, Output, Scratch, State, Tape, World, environment
from og_env.kernel.compile import njit
from og_env.kernel.memory import allocate, bind
from og_env.kernel.views import opened, row_of
from tests.cases.paper_world import SIZES

BATCH = SIZES | {"B": 2, "W": 2, "C": 2}


def arrays() -> tuple[Any, ...]:
    return tuple(allocate(layout, BATCH) for layout in (World, Tape, State, Output, Scratch, Memo))


@njit
def swap_phases(table, b, c):
    """Exchange two phases, count the step, and write to scratch; returns what was read."""
    env = environment(opened(table), b, c)
    first, last = env.state.phase[0, 0], env.state.phase[0, 2]
    env.state.phase[0, 0], env.state.phase[0, 2] = last, first
    env.state.step = env.state.step + 1
    env.scratch.seen[1] = 7
    return env.state.phase.shape, env.world.step_ms, env.world.capacity_rps[0, 1], first


def test_a_view_is_one_environment_its_world_and_its_scratch() -> None:
    world, tape, state, output, scratch, memo = arrays()
    state.world[:] = [1, 0]
    state.phase[1, 0] = [3, 4, 5]
    world.step_ms[:], world.capacity_rps[0, 0] = [300_000, 60_000], [1, 2.5, 3]
    table = bind(BATCH, world, tape, state, output, scratch, memo)
    assert swap_phases(table, 1, 0) == ((1, 3), 300_000, 2.5, 3)
    assert state.phase.tolist() == [[[0, 0, 0]], [[5, 4, 3]]]
    assert state.step.tolist() == [0, 1]
    assert scratch.seen[:, :3].tolist() == [[0, 7, 0], [0, 0, 0]]


@njit
def fill_row(table, b):
    row = row_of(table, b)
    for i in range(table.shape[1]):
        row[i] = row[i] + 1


def test_a_row_is_written_in_place() -> None:
    table = np.zeros((3, 4), np.int8)
    fill_row(table, 2)
    assert table.tolist() == [[0] * 4, [0] * 4, [1] * 4]


@njit
def with_too_few_indices(table):
    return environment(opened(table), 0, 0).state.phase[0]


@njit
def with_a_real_index(table):
    return environment(opened(table), 0, 0).state.phase[0, 0.5]


@pytest.mark.parametrize("wrong", [with_too_few_indices, with_a_real_index])
def test_a_wrong_index_does_not_compile(wrong: Any) -> None:
    with pytest.raises((TypingError, TypeError), match="takes 2 integers"):
        wrong(bind(BATCH, *arrays()))
