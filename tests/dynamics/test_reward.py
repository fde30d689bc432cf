"""The terms of the reward on paper."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.dynamics.reward import unserved_term, weighted


@pytest.mark.parametrize(
    ("unserved", "convexity", "price"), [(0, 5, 0), (1, 5, 1), (0.5, 5, 0.5 * 3.5 / 6), (0.3, 0, 0.3)]
)
def test_the_unserved_share_is_priced_convexly(unserved: float, convexity: float, price: float) -> None:
    assert unserved_term.py_func(unserved, convexity) == pytest.approx(price)


def test_the_reward_is_minus_terms_times_weights() -> None:
    assert weighted.py_func(np.array([1.0, 0.5]), np.array([0.2, 4.0])) == pytest.approx(-2.2)
