"""One way to run a fleet against another on the same days: what changes a day, and what that is worth."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from og_agents.advice.answer import HOURS_PER_DAY, Difference, difference
from og_agents.advice.paired_days import Days


class Change(NamedTuple):
    """Changes by the second way, as means a day; above 0 is more."""

    wait_ms: Difference
    """time to the first token of all users"""
    unserved: Difference
    """requests a day"""
    unverified: Difference
    """requests a day"""
    usd: Difference
    """dollars a day that the fleet spends"""
    exposure: Difference
    """share of demand that the worst single dependency takes along"""
    worth_usd: Difference
    """dollars a day that the whole change is worth by the scenario's weights, its spending included; 0 without a price"""

    @property
    def nothing(self) -> bool:
        """Whether the days are the same to the last figure."""
        return all(one.low == one.high == 0 for one in self)

    def json(self) -> dict[str, Any]:
        """As plain tables."""
        return {name: value.json() for name, value in self._asdict().items()}


def change(new: Days, old: Days, seed: int = 0) -> Change:
    """Changes by `new` against `old`, which has the same episodes."""
    steps = old.recording.rewards.shape[1]
    days = steps * old.step_h / HOURS_PER_DAY
    exposure = new.recording.metric("exposure") - old.recording.metric("exposure")
    worth = np.nan_to_num((new.reward() - old.reward()) * old.usd_per_reward * HOURS_PER_DAY)
    return Change(
        wait_ms=difference(new.mean_wait_ms() - old.mean_wait_ms(), seed),
        unserved=difference((new.unserved() - old.unserved()) / days, seed),
        unverified=difference((new.unverified() - old.unverified()) / days, seed),
        usd=difference(new.usd_per_day() - old.usd_per_day(), seed),
        exposure=difference(exposure.mean(axis=1), seed),
        worth_usd=difference(worth, seed),
    )
