"""The terms of the reward on paper."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.dynamics.reward import latency_term, unserved_term, weighted


@pytest.mark.parametrize(
    ("unserved", "convexity", "price"), [(0, 5, 0), (1, 5, 1), (0.5, 5, 0.5 * 3.5 / 6), (0.3, 0, 0.3)]
)
def test_the_unserved_share_is_priced_convexly(unserved: float, convexity: float, price: float) -> None:
    assert unserved_term.py_func(unserved, convexity) == pytest.approx(price)


def test_the_price_of_latency_is_a_half_at_the_objective() -> None:
    assert [latency_term.py_func(latency_s, 5) for latency_s in (0, 5, 20)] == pytest.approx([0, 0.5, 0.8])


def test_the_reward_is_minus_terms_times_weights() -> None:
    assert weighted.py_func(np.array([1.0, 0.5]), np.array([0.2, 4.0])) == pytest.approx(-2.2)
