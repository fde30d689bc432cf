"""Two checkouts timed in turns: what is made of the times, and what is no checkout."""

from __future__ import annotations

import pytest

from og_agents.validation import speed_comparison
from og_agents.validation.speed_comparison import Compared


def test_the_ratio_is_a_median_over_pairs():
    found = speed_comparison.medians([1.0, 2.0, 4.0], [2.0, 2.0, 2.0])
    assert found == Compared(2.0, 2.0, 1.0)
    assert [speed_comparison.in_turn(number) for number in range(3)] == [(0, 1), (1, 0), (0, 1)]


def test_a_line_for_every_case():
    text = speed_comparison.table(
        {"first_step_ever": Compared(60.0, 45.0, 0.75), "single_64": Compared(4e-6, 3e-6, 0.7)}
    )
    assert "60.00 s" in text and "45.00 s" in text and "4.00 us" in text and text.endswith("0.700")


def test_a_folder_that_is_no_checkout(tmp_path):
    with pytest.raises(ValueError, match="no checkout"):
        speed_comparison.compare(tmp_path, 1)
