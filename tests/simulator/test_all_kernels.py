"""All compiled code is made ready in one go, it is said how far it is, and nothing is compiled afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import og_env
from og_env.kernel import compile as kernels
from og_env.simulator import all_kernels, compiled_step

ROOT = Path(__file__).parents[2]
ROUTED = {"options": {"outages": [{"domain": "provider:P", "start_h": 0.1, "duration_h": 0.2}], "background": False}}


def signatures() -> list[int]:
    return [len(entry.signatures) for _, entry in all_kernels.PARTS.values()]


def test_nothing_is_left_to_compile_for_any_id() -> None:
    """A second specialisation would be a second wait."""
    all_kernels.warm_up()
    assert all_kernels.cold_parts() == [] and all_kernels.warm_up() == 0.0
    for env_id in og_env.IDS.values():
        for scenario in ("toy-3", "random-24", "grey-failures"):
            other: dict[str, Any] = {"interface": "sites" if "Routing" in env_id else "operations"}
            for interface in ({}, other):
                env: Any = gym.make_vec(env_id, num_envs=2, scenario=scenario, **interface)
                env.reset(seed=0)
                env.step(env.action_space.sample())
                env.close()
        single: Any = gym.make(env_id, scenario="toy-3")
        single.reset(seed=0, **ROUTED)
        single.unwrapped.simulate([single.action_space.sample() * 0], horizon=2)
    assert max(signatures()) == 1, dict(zip(all_kernels.PARTS, signatures(), strict=True))


def test_each_part_is_told_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    part = kernels.Also("a router", lambda: bool(compiled), lambda: compiled.append("a router"))
    monkeypatch.setattr(all_kernels, "ALSO", [part])
    monkeypatch.setattr(kernels, "ALSO", all_kernels.ALSO)
    said: list[str] = []
    monkeypatch.setattr(kernels, "tell", said.append)
    told: list[all_kernels.Compiled] = []
    assert all_kernels.cold_parts() == ["a router"]
    seconds = all_kernels.warm_up(told.append)
    assert compiled == ["a router"] and seconds > 0
    assert [(each.part, each.number, each.parts) for each in told] == [("a router", 1, 1)]
    assert len(said) == 1 and said[0].startswith("compiling once for this installation (about ")
    assert all_kernels.warm_up(told.append) == 0.0 and len(told) == 1


def test_the_first_command_makes_the_rest_ready_and_says_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    all_also = [kernels.Also("a router", lambda: bool(compiled), lambda: compiled.append("a router"))]
    monkeypatch.setattr(kernels, "ALSO", all_also)
    said: list[str] = []
    monkeypatch.setattr(kernels, "tell", said.append)
    for _ in range(2):
        compiled_step.prepare(compiled_step.OPERATIONS)
    assert compiled == ["a router"] and len(said) == 1


def test_code_of_another_package_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_kernels, "ALSO", [])
    for _ in range(2):
        all_kernels.compile_also("a router", lambda: True, lambda: None)
    assert [each.meaning for each in all_kernels.ALSO] == ["a router"]


def test_a_warm_cache_is_silent() -> None:
    all_kernels.warm_up()
    code = "import gymnasium as gym, og_env; gym.make('og_env/Placement-v1', scenario='toy-3').reset(seed=0)"
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
