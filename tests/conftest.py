"""The paper world (tests/cases/paper_world.py), and a step of it by the readable reference and by the compiled kernel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from og_env.dynamics import reference
from og_env.simulator.compiled_step import LOOK
from tests.cases.paper_world import Paper, Play, by_kernel, paper, play_kernel, play_reference


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A long test is a slow one too, so that `-m 'not slow'` leaves both out."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker("slow")


@pytest.fixture
def paper_world() -> Paper:
    return paper()


@pytest.fixture(params=["reference", "kernel"])
def is_compiled(request: pytest.FixtureRequest) -> bool:
    return request.param == "kernel"


@pytest.fixture
def play(is_compiled: bool) -> Play:
    return play_kernel if is_compiled else play_reference


@pytest.fixture
def possible(is_compiled: bool) -> Callable[[Paper], np.ndarray]:
    """Which operations can be carried out in a paper world, bool [V]."""
    if is_compiled:
        return lambda world: by_kernel(world, LOOK)[1]
    return lambda world: reference.possible(world.world, world.state)[0]
