"""The table [condition] of a scenario: it is on unless said otherwise, and mistakes are one line."""

from __future__ import annotations

from typing import Any

import pytest

from og_env.scenario import loading
from og_env.scenario.specs import ConditionSpec


def test_sites_drift_and_fail_unless_a_scenario_says_otherwise():
    assert loading.load("global-16").condition == ConditionSpec()
    assert loading.load("toy-3").condition.drift_sd == 0
    usual = ConditionSpec()
    assert usual.drift_sd > 0 and usual.grey_per_day > 0 and usual.blind_per_day > 0
    off = {"drift_sd": 0.0, "grey_per_day": 0.0, "blind_per_day": 0.0, "severe_h": [1, 2]}
    assert loading.override(loading.load("toy-3"), {"condition": off}).condition.severe_h == (1.0, 2.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drift_sd": -0.1}, "condition.drift_sd: must be >= 0"),
        ({"drift_memory_h": 0.0}, "condition.drift_memory_h: must be > 0"),
        ({"grey_speed": 1.5}, "condition.grey_speed: must be <= 1"),
        ({"grey_per_days": 1.0}, "condition.grey_per_days: unknown key .nearest valid: grey_per_day."),
        ({"severe_h": [3.0, 1.0]}, r"condition: severe_h is \(3, 1\): the shortest length comes first"),
        ({"severe_speed": 0.9}, "condition: severe_speed is 0.9; it must be at most grey_speed, 0.75"),
        ({"blind_h": 100.0}, "condition.blind_h: must be <= 48"),
    ],
)
def test_a_mistake_is_one_line(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message) as error:
        loading.override(loading.load("toy-3"), {"condition": changes})
    assert "\n" not in str(error.value)
