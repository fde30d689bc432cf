"""Tuned constants of the heuristics and planners, read strictly from configs/planners/*.toml.

A mistake in a file is a ValueError of one line `FILE: KEY: what is wrong (nearest valid: X)`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from og_env.scenario import loading
from og_env.scenario.key_errors import raise_at_key
from og_env.scenario.toml_file import read_toml
from og_env.simulator import KNOBS

Constants = Mapping[str, float]

SCALING = ("high", "low", "arriving", "ahead", "role", "drop")
PLACING = ("high", "low", "arriving", "refused")
HEURISTICS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("nearest", "cheapest", "warm_first", "least_loaded", "spread"), PLACING),
        "offer_autoscaler": SCALING,
        "n1_reserve": (*SCALING, "exposure", "hedge", "margin"),
        "greedy": ("threshold",),
        "greedy_blind": ("threshold",),
    }
)
"""names of the constants in each table of heuristics.toml"""
PLANNERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "constant": ("rank",),
        "spot_hedge": ("high", "spare", "slack", "avoid", "arriving", "ahead", "drop"),
        "greedy_tuned": (
            *("rent", "risk", "add", "remove", "congestion", "alarm"),
            *("reserve", "target", "backlog", "arriving", "quorum"),
        ),
        "mip": ("level", "target", "crowd", "risk", "exposed", "move", "agree", "against"),
        "site_prices": ("target", "rate", "refusal", "decay"),
        "ewma_latency": ("rate", "scale_s", "distance"),
        "tuned_knobs": KNOBS,
        "convex": ("rate", "faith", "refused"),
    }
)
"""names of the constants of each planner, whose file is PLANNER.toml"""
FALLBACK = "global-24"
"""the scenario whose constants others use that have none of their own"""


class PlannerConstants(NamedTuple):
    """The constants of one planner, and the space in which they are searched for."""

    untuned: Constants
    """where the search begins"""
    spread: Constants
    """standard deviation of the search's first population; empty where every value is tried"""
    low: Constants
    """least value that the search tries"""
    high: Constants
    """largest value that the search tries"""
    tuned: Mapping[str, Constants]
    """what the search found, by scenario"""


def folder() -> Path:
    """The folder of the shipped constants: in the source tree, or inside the installed package."""
    return loading.scenarios_folder().parent / "planners"


@functools.cache
def of_heuristics(path: Path | None = None) -> Mapping[str, Constants]:
    """The constants in each table of heuristics.toml, or of another file in its form."""
    path = path or folder() / "heuristics.toml"
    tables = _table(read_toml(path), HEURISTICS, str(path), ())
    return {name: _numbers(tables[name], names, str(path), (name,)) for name, names in HEURISTICS.items()}


@functools.cache
def of_planner(planner: str, path: Path | None = None) -> PlannerConstants:
    """The constants of a planner from its own file, or from another one in its form."""
    path = path or folder() / f"{planner}.toml"
    where, names = str(path), PLANNERS[planner]
    for stray in (file for file in path.parent.glob("*.toml") if file.stem not in ("heuristics", *PLANNERS)):
        raise_at_key(str(stray), "", "unknown planner", stray.stem, ("heuristics", *PLANNERS))
    searched = planner != "constant"
    tables = _table(read_toml(path), ("untuned", *(("search",) if searched else ()), "tuned"), where, ())
    bounds = _table(tables["search"], ("spread", "low", "high"), where, ("search",)) if searched else {}
    for scenario in tables["tuned"] if isinstance(tables["tuned"], dict) else ():
        if scenario not in loading.names():
            raise_at_key(where, ("tuned", scenario), "unknown scenario", scenario, loading.names())
    tuned = _table(tables["tuned"], tables["tuned"], where, ("tuned",))
    return PlannerConstants(
        untuned=_numbers(tables["untuned"], names, where, ("untuned",)),
        **{
            part: _numbers(bounds[part], names, where, ("search", part)) if searched else {}
            for part in ("spread", "low", "high")
        },
        tuned={scenario: _numbers(found, names, where, ("tuned", scenario)) for scenario, found in tuned.items()},
    )


def constants_of(scenario: str, planner: str) -> dict[str, float]:
    """The constants of a planner in a scenario."""
    tuned = of_planner(planner).tuned
    return dict(tuned[scenario if scenario in tuned else FALLBACK])


def _table(value: Any, keys: Iterable[str], where: str, path: tuple[str, ...]) -> dict[str, Any]:
    """The value, if it is a table with exactly these keys."""
    if not isinstance(value, dict):
        raise_at_key(where, path, f"must be a table, not {value!r}")
    for key in value:
        if key not in keys:
            raise_at_key(where, (*path, key), "unknown key", key, keys)
    for key in keys:
        if key not in value:
            raise_at_key(where, (*path, key), "is missing")
    return value


def _numbers(value: Any, names: tuple[str, ...], where: str, path: tuple[str, ...]) -> Constants:
    """The value, if it is a table with a finite number for exactly each of these names, in their order."""
    table = _table(value, names, where, path)
    for name in names:
        number = table[name]
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise_at_key(where, (*path, name), f"must be a finite number, not {number!r}")
    return MappingProxyType({name: float(table[name]) for name in names})
