"""The request-level simulation: on paper, and against the closed forms of M/M/1."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from og_agents.validation.queue_simulation import simulate, summary


def test_requests_wait_their_turn() -> None:
    waits = simulate(np.array([1.0, 1.0, 1.0, 10.0]), np.array([5.0, 1.0, 1.0, 1.0]), 1)
    assert waits.tolist() == [0, 4, 4, 0]


def test_two_streams_answer_two_at_once() -> None:
    waits = simulate(np.array([0.0, 1.0, 1.0, 0.5]), np.array([5.0, 3.0, 1.0, 1.0]), 2)
    assert waits.tolist() == [0, 0, 2, 2.5]


def test_one_stream_with_exponential_answers_waits_as_the_books_say() -> None:
    rng = np.random.default_rng(0)
    gap, service = rng.exponential(2.0, 200_000), rng.exponential(1.0, 200_000)
    found = summary(simulate(gap, service, 1), service)
    assert abs(found.mean_s - 1.0) < 2 * found.mean_error_s and found.mean_error_s < 0.06
    assert abs(found.p95_s - np.log(20) * 2) < 2 * found.p95_error_s and found.requests == 190_000


def test_without_simpy_the_reason_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simpy", None)
    with pytest.raises(ValueError, match="simpy is not installed"):
        simulate(np.ones(2), np.ones(2), 1)
