"""Figures that are kept from step to step hold as long as nothing changes, and no longer."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.dynamics.reference import possible
from og_env.kernel.arrays import PLACES, ROLES, Memo
from og_env.kernel.memory import allocate, bind
from og_env.simulator.compiled_step import MOVING, OPERATIONS, by_operations
from tests.cases.paper_world import ADD_STORE, SIZES, A, by_kernel, near, served_at_a_and_c
from tests.cases.random_worlds import arrays_for_kernel, copy_of, random_episodes, random_operations

EGRESS_USD_PER_HOUR = 6 * 3600 * 1e-3 * 0.05
"""for 6 answers/s"""


def test_rent_is_worked_out_when_something_changes() -> None:
    world, memo = served_at_a_and_c(), allocate(Memo, SIZES)
    first, _ = by_kernel(world, 0, memo)
    assert memo.known[0] == PLACES | ROLES
    assert memo.rent_usd_per_hour[0] == near(first.metrics["usd_per_hour"] - EGRESS_USD_PER_HOUR)
    memo.rent_usd_per_hour[0] = 100
    second, _ = by_kernel(world, 0, memo)
    assert second.metrics["usd_per_hour"] == near(100 + EGRESS_USD_PER_HOUR)
    third, _ = by_kernel(world, ADD_STORE + A, memo)
    machine_usd, weights_usd = 0.1, 10 * 0.001
    assert third.metrics["usd_per_hour"] == near(first.metrics["usd_per_hour"] + machine_usd + weights_usd)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_is_what_would_be_worked_out_anew(seed: int) -> None:
    batch, steps = 20, 7
    episodes = random_episodes(seed, batch, steps + 1)
    rng = np.random.default_rng(seed)
    unused, no_mask, offsets = np.zeros((batch, 0), np.float32), np.zeros((batch, 0), np.int8), np.full(6, -1)
    sides = []
    for _ in range(2):
        state, arrays = copy_of(episodes.state), arrays_for_kernel(episodes)
        sides.append((state, *arrays, bind(episodes.sizes, episodes.world, episodes.tape, state, *arrays)))
    for _ in range(steps):
        operations = random_operations(rng, possible(episodes.world, sides[0][0]))
        sides[1][3].known[:] = 0
        for *_, table in sides:
            by_operations(table, 0, batch, 0, OPERATIONS, MOVING, operations, unused, unused, unused, offsets, no_mask)
        for kept, anew in zip([*sides[0][0], *sides[0][1]], [*sides[1][0], *sides[1][1]], strict=True):
            np.testing.assert_array_equal(kept, anew)
