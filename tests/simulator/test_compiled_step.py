"""The compiled entries: what a user meets is compiled together, and for the types of every call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.simulator import compiled_step
from og_env.tape.draw import draw_row


class Cold:
    """An entry that was never compiled."""

    _cache = None

    def __init__(self) -> None:
        self.compiled: list[Any] = []

    def compile(self, kinds: Any) -> None:
        self.compiled.append(kinds)


@pytest.mark.parametrize(
    ("mode", "compiled"),
    [(compiled_step.OPERATIONS, (1, 0)), (compiled_step.PROPOSALS, (1, 1)), (compiled_step.AUTOSCALED, (1, 1))],
)
def test_what_a_mode_meets_is_compiled_in_one_go(
    mode: int, compiled: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_operations, by_offers, announced = Cold(), Cold(), []

    def announce(*entries: Any) -> list[Any]:
        announced.append(entries)
        return list(entries)

    monkeypatch.setattr(compiled_step, "by_operations", by_operations)
    monkeypatch.setattr(compiled_step, "by_offers", by_offers)
    monkeypatch.setattr(compiled_step, "announce", announce)
    compiled_step.prepare(mode, draw_row)
    assert (len(by_operations.compiled), len(by_offers.compiled)) == compiled
    assert len(announced) == 1 and announced[0][-1] is draw_row


def test_where_code_is_kept_both_entries_are_compiled_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    by_operations, by_offers = Cold(), Cold()
    monkeypatch.setattr(compiled_step, "by_operations", by_operations)
    monkeypatch.setattr(compiled_step, "by_offers", by_offers)
    monkeypatch.setattr(compiled_step, "announce", lambda *entries: list(entries))
    monkeypatch.setattr(compiled_step, "can_keep", lambda *entries: True)
    compiled_step.prepare(compiled_step.OPERATIONS, draw_row)
    assert (len(by_operations.compiled), len(by_offers.compiled)) == (1, 1)


@pytest.mark.parametrize("task", ["placement", "routing", "joint"])
def test_every_call_is_of_the_types_that_are_compiled_ahead(task: Any) -> None:
    env = NetworkEnv(task, "toy-3")
    env.reset(seed=0)
    actions = np.stack([env.action_space.sample() for _ in range(2)])
    env.step(actions[0])
    env.simulate(actions, horizon=3)
    env.simulate(actions, horizon=3, follow="greedy")
    for entry in (compiled_step.by_operations, compiled_step.by_offers):
        assert set(entry.signatures) <= {compiled_step.ARGUMENTS}
