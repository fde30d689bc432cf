"""The waiting probability against Erlang's C."""

from __future__ import annotations

import math

import numpy as np
import pytest

from og_env.dynamics.latency import wait_probability
from og_env.kernel.compile import njit


def erlang_c(rho: float, streams: int) -> float:
    """Probability of waiting in M/M/c, by the recursion of Erlang's B."""
    blocked = 1.0
    for c in range(1, streams + 1):
        blocked = rho * streams * blocked / (c + rho * streams * blocked)
    return blocked / (1 - rho * (1 - blocked))


@njit
def approximation(rho, streams):
    return wait_probability(rho, 1 - rho, 1 + 1.17 * (math.sqrt(streams) - 1), 0.276 * (streams - 1))


def test_one_stream_is_busy_with_probability_rho() -> None:
    assert approximation(0.37, 1) == pytest.approx(0.37)


@pytest.mark.parametrize("streams", [2, 3, 4, 6, 8, 16, 32, 64, 256, 1024, 4096])
def test_wait_is_that_of_erlang_within_six_percent_or_half_a_percent_of_an_answer(streams: int) -> None:
    for rho in np.concatenate([np.arange(0.02, 0.98, 0.02), 1 - np.geomspace(0.02, 1e-3, 20)]):
        exact = erlang_c(rho, streams) / (streams * (1 - rho))
        found = approximation(rho, streams) / (streams * (1 - rho))
        assert abs(found - exact) <= max(0.06 * exact, 0.005), rho


@pytest.mark.parametrize("streams", [1, 2, 5, 16, 64, 4096])
def test_more_load_makes_waiting_likelier(streams: int) -> None:
    waits = [approximation(rho, streams) for rho in np.arange(0.01, 1.0, 0.01)]
    assert (np.diff(waits) >= 0).all() and waits[0] >= 0 and waits[-1] < 1
