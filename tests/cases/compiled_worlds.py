"""Worlds compiled for tests."""

from __future__ import annotations

from typing import Any

from og_env.kernel.arrays import WARM
from og_env.scenario import loading
from og_env.world import CompiledWorld, compile_world

BY_CATALOGUE = {"failures.shocks_per_day": None, "failures.kind_shares": {}, "failures.frozen_share": None}
"""shocks come at the catalogue's rates"""


def compiled(scenario: str = "toy-3", **changes: Any) -> CompiledWorld:
    spec = loading.override(loading.load(scenario), {key.replace("__", "."): value for key, value in changes.items()})
    return compile_world(loading.resolve(spec))


def toy(sites: dict[str, dict[str, Any]], changes: dict[str, Any]) -> CompiledWorld:
    """toy-3 with other values at its sites, and at dotted keys."""
    tables = loading.load("toy-3").model_dump()
    tables["sites"] = tuple(site | sites.get(site["name"], {}) for site in tables["sites"])
    return compile_world(loading.resolve(loading.override(loading.load(tables), changes)))


def started(world: CompiledWorld, model: int = 0) -> set[str]:
    phase = world.arrays.start_phase[0, model]
    return {site.name for site, at in zip(world.resolved.sites, phase, strict=True) if at == WARM}


def running(world: CompiledWorld, role: int) -> set[str]:
    role_ms = world.arrays.start_role[0, role]
    assert set(role_ms.tolist()) <= {-1, 0}
    return {site.name for site, at in zip(world.resolved.sites, role_ms, strict=True) if at == 0}
