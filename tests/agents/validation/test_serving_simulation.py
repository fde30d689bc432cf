"""The request-level simulation of several replicas: on paper, and against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_agents.validation.serving_simulation import Requests, Service, mean_of, p95_of, settled, simulate

ONE = Service(
    demand_rps=np.array([2.0]),
    user_ms=np.array([30.0]),
    chance=np.array([[1.0]]),
    network_ms=np.array([[20.0]]),
    payment_ms=np.array([7.0]),
    limit_rps=np.array([1e9]),
    service_s=np.array([0.4]),
    prefill_s=np.array([0.1]),
    streams=1,
    round_trips=(1.0, 3.0, 0.75),
    service_cv=0.0,
    tries=1,
)
"""one replica at utilisation 0.8, 50 ms from its users"""


def run(requests: int = 40_000, **changes: Any) -> Requests:
    return simulate(ONE._replace(**changes), requests, np.random.default_rng(0))


def pair(network_ms: list[float], limits: list[float]) -> dict[str, Any]:
    """Two replicas that first tries choose equally often."""
    two = np.ones(2)
    return {
        "chance": np.array([[0.5, 0.5]]),
        "network_ms": np.array([network_ms]),
        "payment_ms": 7 * two,
        "limit_rps": np.array(limits),
        "service_s": 0.4 * two,
        "prefill_s": 0.1 * two,
    }


def test_a_first_token_takes_its_round_trips_the_payment_the_wait_and_the_prefill() -> None:
    found = run(streams=1000)
    assert found.wait_s.max() == 0 and found.served.all()
    values, counts = np.unique(found.first_token_s.round(9), return_counts=True)
    assert values == pytest.approx([0.157, 0.257]) and counts[0] / len(found.served) == pytest.approx(0.75, abs=0.01)
    assert found.answer_s - found.first_token_s == pytest.approx(0.3)


def test_equal_answers_wait_as_the_books_say() -> None:
    found = settled(run(400_000))
    wait = mean_of(found.wait_s)
    assert abs(wait.value - 0.4 * 0.8 / (2 * 0.2)) < 2 * wait.error < 0.1  # M/D/1


def test_lengths_have_the_mean_and_the_variation_asked_for() -> None:
    found = run(400_000, streams=10_000, service_cv=0.8, round_trips=(0.0, 0.0, 1.0), payment_ms=np.zeros(1))
    assert found.first_token_s.mean() == pytest.approx(0.1, rel=0.01)
    assert found.first_token_s.std() == pytest.approx(0.08, rel=0.02)
    assert found.answer_s == pytest.approx(4 * found.first_token_s)


def test_a_limit_refuses_what_is_over_it_in_the_long_run() -> None:
    found = settled(run(limit_rps=np.array([1.6])))
    assert mean_of(~found.served).value == pytest.approx(0.2, abs=0.01)
    assert (found.refused_first == ~found.served).all() and np.isnan(found.first_token_s[~found.served]).all()


def test_who_is_refused_tries_the_other_and_loses_the_round_trip() -> None:
    found = settled(run(**pair([20.0, 500.0], [1e9, 1e-9]), streams=1000, tries=2, round_trips=(1.0, 1.0, 1.0)))
    assert found.served.all() and found.refused_first.mean() == pytest.approx(0.5, abs=0.01)
    assert found.first_token_s[found.refused_first] == pytest.approx(0.157 + 0.5)
    assert found.first_token_s[~found.refused_first] == pytest.approx(0.157)


def test_the_last_try_is_the_last() -> None:
    one = settled(run(**pair([20.0, 20.0], [1e9, 1e-9]), streams=1000, tries=1))
    none = settled(run(**pair([20.0, 20.0], [1e-9, 1e-9]), streams=1000, tries=3))
    assert one.served.mean() == pytest.approx(0.5, abs=0.01) and one.tries.max() == 1
    assert not none.served.any() and (none.tries == 3).all()


def test_one_replica_has_nobody_to_pass_on_to() -> None:
    found = settled(run(limit_rps=np.array([1.6]), tries=3))
    assert (~found.served).mean() == pytest.approx(0.2, abs=0.01) and found.refused_first.mean() < 0.22


def test_errors_come_from_parts_of_a_run() -> None:
    values = np.random.default_rng(0).exponential(size=100_000)
    mean, p95 = mean_of(values), p95_of(values)
    assert abs(mean.value - 1) < 2 * mean.error < 0.03 and abs(p95.value - np.log(20)) < 2 * p95.error < 0.15
