"""Worlds compiled for tests."""

from __future__ import annotations

from typing import Any

from og_env.scenario import loading
from og_env.world import CompiledWorld, compile_world


def compiled(scenario: str = "toy-3", **changes: Any) -> CompiledWorld:
    spec = loading.override(loading.load(scenario), {key.replace("__", "."): value for key, value in changes.items()})
    return compile_world(loading.resolve(spec))
