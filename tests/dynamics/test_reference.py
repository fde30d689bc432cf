"""The readable step refuses what it cannot carry out, and leaves its arguments alone; its numbers are tested by subject."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.dynamics.reference import step
from og_env.kernel.arrays import State
from tests.cases.paper_world import RETIRE, A, Paper, play_reference, served_at_a_and_c


def test_an_episode_that_has_ended_is_refused(paper_world: Paper) -> None:
    for _ in range(3):
        paper_world = paper_world._replace(state=play_reference(paper_world).state)
    with pytest.raises(ValueError, match="past the episode's end"):
        play_reference(paper_world)


def test_a_step_leaves_its_arguments_alone_and_names_a_bad_operation() -> None:
    world = served_at_a_and_c()
    before = State(*(array.copy() for array in world.state))
    step(world.world, world.tape, world.state, np.array([RETIRE + A]))
    for old, now in zip(before, world.state, strict=True):
        np.testing.assert_array_equal(old, now)
    for operation in (-1, 28):
        with pytest.raises(ValueError, match=r"outside 0 \.\. 27"):
            play_reference(world, operation)
