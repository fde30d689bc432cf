"""Scenarios in which planners are tried: short episodes, and the arrays of their worlds."""

from __future__ import annotations

from typing import Any

from og_env.kernel.arrays import World
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.world import compile_world

TOY = loading.load("toy-3")
SHORT = {"episode.steps": 24}


def short(name: str, **changes: Any) -> ScenarioSpec:
    return loading.override(loading.load(name), SHORT | changes)


def world_of(spec: ScenarioSpec) -> World:
    return compile_world(loading.resolve(spec)).arrays
