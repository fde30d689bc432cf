"""Overrides that take hidden speeds and answers lost on the way out of a scenario, for numbers on paper."""

from __future__ import annotations

from typing import Any

AS_STATED: dict[str, Any] = {
    "condition.drift_sd": 0.0,
    "condition.grey_per_day": 0.0,
    "condition.blind_per_day": 0.0,
    "failures.lose_answers": False,
}
