"""The clock of a run: when validations are due."""

from __future__ import annotations

import pytest

from og_agents.learning import training_progress
from og_agents.learning.training_progress import Clock


@pytest.fixture
def now(monkeypatch):
    """Seconds that the clock shows, in a list of one."""
    shown = [100.0]
    monkeypatch.setattr(training_progress.time, "monotonic", lambda: shown[0])
    return shown


def test_validations_are_spread_over_the_run_and_take_a_fifth_of_it_at_most(now):
    clock = Clock(None, minutes=1)
    now[0] += 3
    assert clock.due_after(0.25, 0.0, 5) == pytest.approx(0.25 + 1 / 5), "a short one"
    now[0] += 6
    assert clock.due_after(0.25, 0.0, 5) == pytest.approx(0.25 + 4 * 9 / 60), "9 s of training time 4 times over"


def test_a_run_by_steps_is_validated_as_often_as_is_asked_for(now):
    clock = Clock(1000, minutes=None)
    now[0] += 1e6
    assert clock.due_after(0.5, 0.0, 10) == pytest.approx(0.6)
