"""Fuzzed states of live fleets, decided on by a heuristic."""

from __future__ import annotations

import copy
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from og_agents import heuristics
from og_agents.advice import decide
from og_env.scenario import loading
from og_env.simulator.live_state import LiveState
from tests.cases.fuzzing.fleets import finite
from tests.cases.fuzzing.text import damaged
from tests.cases.fuzzing.values import HUGE, WRONG

SCENARIOS = ("toy-3", "global-16")
EDGES = (0.0, 1e-9, 1e-3, 0.5, 1.0, 60.0, 1e3, 1e6, 1e9)


@functools.cache
def example(scenario: str) -> dict[str, Any]:
    """A state to change."""
    return decide.example(scenario, steps=4)


@functools.cache
def adviser(scenario: str, task: str) -> decide.Adviser:
    """A heuristic beside the fleet of a scenario."""
    return decide.Adviser(heuristics.make("greedy", task=task), loading.load(scenario), task)


def changed(rng: np.random.Generator, value: Any, chance: float, bad: float) -> Any:
    """A value with some of its numbers and words replaced, and some of its entries left out or doubled."""
    if isinstance(value, dict):
        kept = {key: changed(rng, part, chance, bad) for key, part in value.items() if rng.random() > bad / 20}
        return kept | ({"odd": 1} if rng.random() < bad / 20 else {})
    if isinstance(value, list):
        parts = [changed(rng, part, chance, bad) for part in value if rng.random() > chance / 10]
        return parts + parts[: int(rng.random() < bad / 10)]
    if rng.random() >= chance:
        return value
    if rng.random() < bad:
        pool = WRONG if rng.random() < 0.4 else HUGE
        return pool[rng.integers(len(pool))]
    return EDGES[rng.integers(len(EDGES))] if isinstance(value, float) else value


def state(rng: np.random.Generator, scenario: str, bad: float) -> dict[str, Any]:
    """A fuzzed state."""
    result = changed(rng, copy.deepcopy(example(scenario)), float(rng.choice([0.01, 0.1])), bad)
    if rng.random() < 0.5 and isinstance(result, dict):
        knobs = ("latency_temperature_ms", "cold_penalty", "load_penalty", "risk_aversion", "spread")
        pool = HUGE if rng.random() < bad else EDGES
        result["knobs"] = {name: pool[rng.integers(len(pool))] for name in knobs if rng.random() < 0.5}
    return result


def case(seed: int) -> None:
    """Decide on a fuzzed state, read from a file."""
    rng = np.random.default_rng(seed)
    bad = float(rng.choice([0.0, 0.05, 0.4]))
    scenario, task = SCENARIOS[rng.integers(2)], ("placement", "routing", "joint")[rng.integers(3)]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        path = folder / "state.json"
        path.write_bytes(damaged(rng, json.dumps(state(rng, scenario, bad)).encode(), bad / 4))
        decision = adviser(scenario, task).decide(LiveState.read(path), str(path))
        assert finite(json.loads(json.dumps(decision._asdict()))), "the decision is not finite"
        assert "nan" not in decision.text()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def warm() -> None:
    """Make the advisers, which compiles what the cases call."""
    for scenario in SCENARIOS:
        for task in ("placement", "routing", "joint"):
            adviser(scenario, task).decide(LiveState.parse(example(scenario)))
