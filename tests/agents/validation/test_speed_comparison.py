"""Two checkouts timed in turns: every case of made-up ones, what is made of the times, and what is no checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from og_agents.validation import speed_comparison, speed_worker
from og_agents.validation.speed_comparison import Compared

MADE_UP = """
import gymnasium as gym
import numpy as np

class One(gym.Env):
    action_space = observation_space = gym.spaces.Discrete(3)
    def __init__(self, scenario, interface, flatten=False): pass
    def reset(self, seed=None, options=None): return 0, {}
    def step(self, action): return 0, 0.0, False, action == 2, {}

class Many(gym.vector.VectorEnv):
    single_action_space = gym.spaces.Discrete(3)
    def __init__(self, num_envs, scenario, interface, flatten, threads): self.num_envs = num_envs
    def reset(self, seed=None, options=None): return 0, {}
    def step(self, actions): return 0, np.zeros(len(actions)), None, None, {}

gym.register("og_env/Placement-v1", One, vector_entry_point=Many)
"""


def test_every_case_of_two_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("old", "new"):
        (tmp_path / name / "og_env").mkdir(parents=True)
        (tmp_path / name / "og_env" / "__init__.py").write_text(MADE_UP, encoding="utf-8")
    monkeypatch.setattr(speed_comparison, "HERE", tmp_path / "new")
    found = speed_comparison.compare(tmp_path / "old", 1, shrink=10)
    assert list(found) == ["first_step_ever", "first_step_cached", *speed_worker.CASES]
    assert all(one.old_s > 0 and one.new_s > 0 and one.ratio == one.new_s / one.old_s for one in found.values())


def test_the_ratio_is_a_median_over_pairs():
    found = speed_comparison.medians([1.0, 2.0, 4.0], [2.0, 2.0, 2.0])
    assert found == Compared(2.0, 2.0, 1.0)
    assert [speed_comparison.in_turn(number) for number in range(3)] == [(0, 1), (1, 0), (0, 1)]


def test_a_line_for_every_case():
    text = speed_comparison.table(
        {"first_step_ever": Compared(60.0, 45.0, 0.75), "single_64": Compared(4e-6, 3e-6, 0.7)}
    )
    assert "60.00 s" in text and "45.00 s" in text and "4.00 us" in text and text.endswith("0.700")


def test_a_folder_that_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkout"):
        speed_comparison.compare(tmp_path, 1)
