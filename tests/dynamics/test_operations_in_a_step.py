"""Several operations in one step of the paper world: the clock stands between them, and churn counts them all."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.dynamics import reference
from og_env.kernel.arrays import FETCHING, STAGING, State
from og_env.simulator.compiled_step import BY_SCENARIO, MOVING, STANDING
from tests.cases.paper_world import (
    ADD_STORE,
    LAUNCH,
    STAGE,
    A,
    B,
    C,
    Outcome,
    Paper,
    by_kernel,
    near,
    paper,
    served_at_a_and_c,
)

OPERATIONS = [LAUNCH + B, STAGE + B, ADD_STORE + C]
"""the second one is impossible: the weights are on their way already"""


def test_operations_of_one_step_place_what_they_place_in_three() -> None:
    """Time passes once, and every operation that was carried out is a unit of churn."""
    world = served_at_a_and_c(operations_per_step=3)
    placed = []
    for operation in OPERATIONS:
        done, _ = by_kernel(world, operation)
        placed.append(done)
        world = world._replace(state=done.state)
    assert [int(done.state.step[0]) for done in placed] == [0, 0, 1]
    assert [int(done.state.decisions[0]) for done in placed] == [1, 2, 0]
    assert [int(done.state.changes[0]) for done in placed] == [1, 1, 0]
    assert [float(done.output.reward[0]) for done in placed[:2]] == [0, 0]
    assert [int(done.output.operation[0]) for done in placed] == [OPERATIONS[0], 0, OPERATIONS[2]]
    assert not placed[0].output.terms.any() and not placed[0].output.truncated.any()
    assert placed[0].state.phase[0, 0, B] == FETCHING
    last = placed[-1]
    assert last.terms["churn"] == last.metrics["operations"] == 2 and last.metrics["impossible_operations"] == 1
    assert (placed[1].metrics["operations"], placed[1].metrics["impossible_operations"]) == (1, 1)

    alone = served_at_a_and_c()
    both = alone.state._replace(
        phase=placed[1].state.phase, fetch_left_mb=placed[1].state.fetch_left_mb, gpus_used=placed[1].state.gpus_used
    )
    once, _ = by_kernel(alone._replace(state=both), OPERATIONS[2])
    for name in State._fields:
        assert np.array_equal(getattr(once.state, name), getattr(last.state, name)), name
    assert last.output.reward[0] == near(once.output.reward[0] - 0.01)


def test_doing_nothing_ends_a_step_early() -> None:
    world = served_at_a_and_c(operations_per_step=3)
    done, _ = by_kernel(world, LAUNCH + B)
    done, _ = by_kernel(world._replace(state=done.state), 0)
    assert done.state.step[0] == 1 and done.state.decisions[0] == 0
    assert done.terms["churn"] == 1 and done.output.operation[0] == 0


@pytest.mark.parametrize(("clock", "steps"), [(STANDING, 0), (MOVING, 1), (BY_SCENARIO, 0)])
def test_the_clock_can_be_told(clock: int, steps: int) -> None:
    done, _ = by_kernel(paper(operations_per_step=2), STAGE + A, clock=clock)
    assert done.state.step[0] == steps
    idle, _ = by_kernel(paper(operations_per_step=2), 0, clock=STANDING)
    assert idle.state.step[0] == idle.state.decisions[0] == 0, "nothing is no decision where the clock stands"


def test_the_mask_is_that_of_the_new_state() -> None:
    world = paper(operations_per_step=2)
    done, mask = by_kernel(world, STAGE + A)
    assert done.state.phase[0, 0, A] == STAGING and not mask[STAGE + A] and mask[STAGE + B]
    assert np.array_equal(mask, reference.possible(world.world, done.state)[0])


def test_the_reference_places_the_same() -> None:
    world = served_at_a_and_c(operations_per_step=3)
    by_reference: Paper = world
    for operation in OPERATIONS[:2]:
        state, done = reference.stand(by_reference.world, by_reference.state, np.array([operation]))
        kernel, _ = by_kernel(world, operation)
        for name in State._fields:
            assert np.array_equal(getattr(state, name), getattr(kernel.state, name)), name
        assert done[0] == kernel.output.operation[0]
        by_reference, world = by_reference._replace(state=state), world._replace(state=kernel.state)
    expected = Outcome(
        *reference.step(by_reference.world, by_reference.tape, by_reference.state, np.array([OPERATIONS[2]]))
    )
    moved, _ = by_kernel(world, OPERATIONS[2])
    assert moved.output.reward[0] == near(expected.output.reward[0])
    for name in ("operations", "impossible_operations"):
        assert moved.metrics[name] == expected.metrics[name]
    for name in State._fields:
        assert getattr(moved.state, name) == near(getattr(expected.state, name)), name
