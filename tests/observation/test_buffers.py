"""Observations and masks that are handed out: nobody's is ever written again, and nobody's memory is used again."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.observation.buffers import KEPT, BufferPool
from og_env.vector_env import NetworkVectorEnv

SHAPES = {"globals": (2,), "sites": (3, 2)}


def pool_of(*, single: bool) -> BufferPool:
    return BufferPool(1 if single else 4, 8, 5, SHAPES, single=single)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize(
    "hold",
    [
        lambda buffer: buffer.observation,
        lambda buffer: buffer.flat[..., 1:],
        lambda buffer: buffer.tables["sites"],
        lambda buffer: buffer.tables["sites"][0].T,
        lambda buffer: dict(buffer.tables),
        lambda buffer: buffer.possible,
        lambda buffer: memoryview(buffer.mask),
    ],
)
def test_what_is_held_is_not_used_again(single, hold) -> None:
    pool = pool_of(single=single)
    held = hold(pool.current)
    addresses = {pool.current.observation.ctypes.data}
    for _ in range(2 * KEPT):
        pool.renew().observation[:] = 1
        assert pool.current.observation.ctypes.data not in addresses
    parts = held.values() if isinstance(held, dict) else [held]
    assert not any(np.any(part) for part in parts)


@pytest.mark.parametrize("single", [True, False])
def test_what_nobody_holds_is_used_again(single) -> None:
    pool = pool_of(single=single)
    first, second = pool.current, pool.renew()
    assert second is not first
    assert pool.renew() is first and pool.renew() is second


def test_values_are_kept_where_asked() -> None:
    pool = pool_of(single=False)
    pool.current.observation[:], pool.current.mask[:] = 3, 1
    buffer = pool.renew(keep=True)
    assert (buffer.tables["sites"] == 3).all() and (buffer.possible == 1).all()


@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize("make", [NetworkEnv, lambda **options: NetworkVectorEnv(2, **options)])
def test_observations_of_an_episode_stay_what_they_were(make, flatten) -> None:
    env = make(scenario="toy-3", flatten=flatten)
    kept, copies = [], []
    for step in range(8):
        observation, info = env.reset(seed=0) if step == 0 else env.step(env.action_space.sample() * 0)[::4]
        tables = {"flat": observation} if flatten else observation
        kept.append([*tables.values(), info["action_mask"]])
        copies.append([table.copy() for table in kept[-1]])
    for tables, before in zip(kept, copies, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(tables, before, strict=True))


def test_an_action_that_is_refused_leaves_the_mask_alone() -> None:
    env = NetworkEnv(scenario="toy-3")
    env.reset(seed=0)
    before = env.action_masks()
    with pytest.raises(ValueError, match="action"):
        env.step(10_000)
    assert np.array_equal(env.action_masks(), before)
