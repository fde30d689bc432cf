"""The operator's limits on paper: two replicas and six machines stand; a replica more is $2, a machine more 10 cents.

Each stored copy of the weights is a cent an hour. So the fleet's rent is 2 x $2.01 + 6 x $0.10 + $0.01 = $4.63.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from og_env.dynamics.reference import possible as possible_by_reference
from og_env.kernel.arrays import DOWN, FETCHING, NO_COUNT_LIMIT, NO_RENT_LIMIT, ON_DISK, STAGING
from tests.cases.paper_world import (
    ADD_STORE,
    LAUNCH,
    REMOVE_STORE,
    REMOVE_VERIFIER,
    RETIRE,
    STAGE,
    A,
    B,
    C,
    Paper,
    Play,
    put,
    served_at_a_and_c,
)
from tests.cases.random_worlds import random_episodes

ADD_GATEWAY, REMOVE_GATEWAY = 22, 25
ANY = NO_COUNT_LIMIT
RENT = "rent_limit_usd_per_hour"

CASES: list[tuple[dict[str, Any], int, bool]] = [
    ({"most_replicas": 2}, LAUNCH + B, False),
    ({"most_replicas": 3}, LAUNCH + B, True),
    ({"most_replicas": 2}, STAGE + B, True),
    ({"most_replicas": 1}, RETIRE + A, True),
    ({"least_replicas": 2}, RETIRE + A, False),
    ({"least_replicas": 3}, RETIRE + A, False),
    ({"least_replicas": 1}, RETIRE + A, True),
    ({"least_replicas": 3}, LAUNCH + B, True),
    ({"least_roles": [3, 0, 0]}, REMOVE_VERIFIER + A, False),
    ({"least_roles": [2, 0, 0]}, REMOVE_VERIFIER + A, True),
    ({"least_roles": [3, 0, 2]}, REMOVE_STORE + B, True),
    ({"least_roles": [0, 0, 2]}, REMOVE_GATEWAY + C, False),
    ({"most_roles": [ANY, 1, ANY]}, ADD_STORE + A, False),
    ({"most_roles": [ANY, 2, ANY]}, ADD_STORE + A, True),
    ({"most_roles": [1, 1, 2]}, ADD_GATEWAY + B, False),
    ({"forbidden": [0, 1, 0]}, LAUNCH + B, False),
    ({"forbidden": [0, 1, 0]}, STAGE + B, False),
    ({"forbidden": [0, 1, 0]}, ADD_GATEWAY + B, False),
    ({"forbidden": [0, 1, 0]}, REMOVE_STORE + B, True),
    ({"forbidden": [1, 0, 0]}, RETIRE + A, True),
    ({"forbidden": [1, 0, 0]}, LAUNCH + B, True),
    ({RENT: 6.63}, LAUNCH + B, False),
    ({RENT: 6.64}, LAUNCH + B, True),
    ({RENT: 4.63}, STAGE + B, False),
    ({RENT: 4.64}, STAGE + B, True),
    ({RENT: 4.72}, ADD_GATEWAY + B, False),
    ({RENT: 4.73}, ADD_GATEWAY + B, True),
    ({RENT: 4.73}, ADD_STORE + A, False),
    ({RENT: 4.74}, ADD_STORE + A, True),
    ({RENT: 1.0}, RETIRE + A, True),
    ({RENT: 1.0}, LAUNCH + B, False),
    ({RENT: 1.0, "usd_per_vm_hour": [0.1, 0, 0.1]}, ADD_GATEWAY + B, True),
]


def agrees(world: Paper, operation: int, can: bool, play: Play, possible: Callable[[Paper], np.ndarray]) -> None:
    """Mask and step say whether an operation can be carried out."""
    assert possible(world)[operation] == can
    done = play(world, operation)
    assert done.output.operation[0] == (operation if can else 0)
    assert done.metrics["impossible_operations"] == (not can)


@pytest.mark.parametrize(("limits", "operation", "can"), CASES)
def test_a_limit_binds(
    limits: dict[str, Any], operation: int, can: bool, play: Play, possible: Callable[[Paper], np.ndarray]
) -> None:
    agrees(served_at_a_and_c(**limits), operation, can, play, possible)


@pytest.mark.parametrize(("phase", "held"), [(FETCHING, 3), (STAGING, 2), (ON_DISK, 2)])
def test_replicas_that_hold_gpus_count(
    phase: int, held: int, play: Play, possible: Callable[[Paper], np.ndarray]
) -> None:
    floor = served_at_a_and_c(least_replicas=2)
    put(floor, B, phase, 10_000)
    agrees(floor, RETIRE + A, held > 2, play, possible)
    if held == 2:
        for most in (2, 3):
            cap = served_at_a_and_c(most_replicas=most)
            put(cap, B, phase, 10_000)
            agrees(cap, LAUNCH + B, most > held, play, possible)


@pytest.mark.parametrize("phase", [STAGING, ON_DISK])
@pytest.mark.parametrize(("limit", "can"), [(6.63, False), (6.64, True)])
def test_weights_under_way_count_as_stored(
    phase: int, limit: float, can: bool, play: Play, possible: Callable[[Paper], np.ndarray]
) -> None:
    """The weights at B are a cent that is promised, so that a launch adds the GPU alone."""
    world = served_at_a_and_c(rent_limit_usd_per_hour=limit)
    put(world, B, phase, 10_000)
    agrees(world, LAUNCH + B, can, play, possible)


def test_the_rent_of_sites_that_are_down_counts(play: Play, possible: Callable[[Paper], np.ndarray]) -> None:
    for limit, can in ((6.63, False), (6.64, True)):
        world = served_at_a_and_c(rent_limit_usd_per_hour=limit)
        world.state.status[0, C] = DOWN
        agrees(world, LAUNCH + B, can, play, possible)


def test_limits_bind_in_random_worlds() -> None:
    """The comparison of kernel and reference means little unless limits of every kind bind there."""
    neutral = {
        "least_replicas": 0,
        "most_replicas": NO_COUNT_LIMIT,
        "least_roles": 0,
        "most_roles": NO_COUNT_LIMIT,
        "forbidden": 0,
        "rent_limit_usd_per_hour": NO_RENT_LIMIT,
    }
    barred = dict.fromkeys(neutral, 0)
    for seed in range(20):
        episodes = random_episodes(seed, 20)
        bound = possible_by_reference(episodes.world, episodes.state).sum()
        for name, value in neutral.items():
            free = episodes.world._replace(**{name: np.full_like(getattr(episodes.world, name), value)})
            barred[name] += int(possible_by_reference(free, episodes.state).sum() - bound)
    assert min(barred.values()) >= 10, barred
