"""Gains of learning, scenario by scenario: the record of training seeds over baselines, and the rows of its table.

A scenario has two benchmarks: one of many episodes and every policy that decides fast, and one of fewer episodes with the
planners that look ahead. A record takes up both, and keeps the figures of other training seeds on the same episodes. The
differences of a group of seeds stand in any order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from og_agents.evaluation.leaderboard import read_summary
from og_agents.pretrained.recipes import RECIPES, RUN
from og_env.scenario.json_file import read_json

Json = dict[str, Any]
RECORD = Path(__file__).parent / "learning_gains.json"
"""the record of the seeds that were trained so far"""
FAST, AHEAD = "fast", "ahead"
"""names of the folders of a scenario's two benchmarks"""
ROLLOUT, CLAIRVOYANT = "rollout", "clairvoyant"
SAME = ("episodes", "seed", "best_baseline")
"""keys that must be equal for groups of seeds to stand in one record"""
TOLERANCE = 0.1
"""largest difference in the best baseline's mean return at which two measurements count as the same world"""
HEADER = (
    "scenario",
    "best baseline",
    *RECIPES,
    "shipped",
    "above best baseline",
    "headroom, %",
    "closed, %",
    "above rollout",
    "times as fast",
)


def read(path: Path) -> Json:
    """A record by scenario; ValueError in one line where the file is none."""
    record = read_json(path)
    for name, entry in record.items():
        if not isinstance(entry, dict) or not {*SAME, "best_mean", "recipes", "shipped"} <= set(entry):
            raise ValueError(f"{path}: no record of scripts/learning_gains.py: {name} is not complete")
    return record


def measured(folder: Path) -> Json:
    """The record of the benchmarks that a folder holds; ValueError where there is none."""
    scenarios = sorted(path for path in folder.iterdir() if (path / FAST).is_dir()) if folder.is_dir() else []
    if not scenarios:
        raise ValueError(f"{folder}: no benchmarks in it: run scripts/learning_gains.py")
    entries = [entry(read_summary(path / FAST / "summary.json"), _ahead(path)) for path in scenarios]
    return {path.name: made for path, made in zip(scenarios, entries, strict=True)}


def _ahead(path: Path) -> Json | None:
    file = path / AHEAD / "summary.json"
    return read_summary(file) if file.is_file() else None


def entry(fast: Json, ahead: Json | None) -> Json:
    """The record of a scenario, from its two benchmarks; differences are returns per episode to the best baseline."""
    best = fast["best_baseline"]
    groups: dict[str, list[Json]] = {}
    for group in fast["seeds"]:
        recipe, seeds = _recipe_and_seeds(group["policies"])
        groups.setdefault(recipe, []).append(
            {"seeds": seeds, **{key: group[key] for key in ("mean_diffs", "ci_low", "ci_high")}}
        )
    shipped = next((name for name in fast["paired"] if name in RECIPES), None)
    if ahead is not None and ahead["learned"] != shipped:
        raise ValueError(f"{fast['scenario']}: {AHEAD} is of {ahead['learned']}, {FAST} of {shipped}: run both anew")
    return {
        **{key: fast[key] for key in SAME},
        "best_mean": fast["policies"][best]["return_mean"],
        "recipes": groups,
        "shipped": None if shipped is None else {"recipe": shipped, **fast["paired"][shipped]},
        "ahead": None if ahead is None or shipped is None else _looking_ahead(fast, ahead, shipped),
    }


def _looking_ahead(fast: Json, ahead: Json, shipped: str) -> Json:
    """Headroom, the share of it that the shipped policy closes, and that policy against the rollout planner.

    Headroom is in percent of the best baseline's return: the policy's gain on the best baseline in many episodes plus the
    gain of the clairvoyant planner, which goes on with that very policy, on the policy in few. Few are enough for
    the headroom. The interval takes both gains for independent.
    """
    gained, beyond = fast["paired"][shipped], ahead["learned_against"][CLAIRVOYANT]
    gap = {"mean_diff": -beyond["mean_diff"], "ci_low": -beyond["ci_high"], "ci_high": -beyond["ci_low"]}
    room = added(gained, gap)
    scale = 100 / abs(fast["policies"][fast["best_baseline"]]["return_mean"])
    # a network is faster in the large batches of the first benchmark, and a rollout is as fast in any batch
    speed = fast["policies"][shipped]["decisions_per_s"] / ahead["policies"][ROLLOUT]["decisions_per_s"]
    return {
        "episodes": ahead["episodes"],
        "headroom_percent": {key: scale * value for key, value in room.items()},
        "closed": gained["mean_diff"] / room["mean_diff"] if room["mean_diff"] > 0 else None,
        "rollout": ahead["learned_against"][ROLLOUT],
        "times_as_fast": speed,
    }


def added(one: Json, other: Json) -> Json:
    """The sum of two independent differences with its interval: their half widths add as root of the sum of squares."""
    mean = one["mean_diff"] + other["mean_diff"]
    below, above = (
        math.hypot(*(pair["mean_diff"] - pair[end] for pair in (one, other))) for end in ("ci_low", "ci_high")
    )
    return {"mean_diff": mean, "ci_low": mean - below, "ci_high": mean + above}


def merged(old: Json, new: Json) -> Json:
    """The old record with the new entries in it.

    An old group of seeds stays where it was measured on the same episodes against the same best baseline, shares no seed
    with a new group, and has its seeds' own differences if there is a new group.
    """
    result = dict(old)
    for name, made in new.items():
        before = old.get(name)
        groups = {recipe: list(of) for recipe, of in made["recipes"].items()}
        if before is not None and _same(before, made):
            for recipe, of in before["recipes"].items():
                new_ones = groups.get(recipe, [])
                fresh = {seed for group in new_ones for seed in group["seeds"]}
                apart = [group for group in of if not fresh & set(group["seeds"])]
                groups[recipe] = [group for group in apart if "mean_diffs" in group or not new_ones] + new_ones
        ordered = {recipe: groups[recipe] for recipe in RECIPES if groups.get(recipe)}
        result[name] = made | {"recipes": ordered}
    return dict(sorted(result.items()))


def _same(one: Json, other: Json) -> bool:
    return all(one[key] == other[key] for key in SAME) and abs(one["best_mean"] - other["best_mean"]) <= TOLERANCE


class Pooled(NamedTuple):
    """All training seeds of a recipe: median and range of their differences, and the interval of their mean."""

    seeds: int
    median: float
    least: float
    most: float
    low: float
    high: float

    def cell(self) -> str:
        """The text of a cell: median (range) [interval of the mean]."""
        spread = f"{self.least:+.2f} to {self.most:+.2f}"
        return f"{self.median:+.2f} ({spread}) [{self.low:+.2f}, {self.high:+.2f}]"


def pooled(groups: Sequence[Json]) -> Pooled:
    """Groups of seeds as one; a group alone may have median, least and most in place of its seeds' own differences.

    The interval of several groups is the mean of their intervals, weighted by number of seeds. It would be exact if the
    errors of the groups were the same. They share episodes but no seeds, so it is rather too wide than too narrow.
    """
    first = groups[0]
    if len(groups) == 1 and "mean_diffs" not in first:
        figures = [first[key] for key in ("median", "least", "most", "ci_low", "ci_high")]
        return Pooled(len(first["seeds"]), *figures)
    values = np.concatenate([group["mean_diffs"] for group in groups])
    counts = [len(group["mean_diffs"]) for group in groups]
    low, high = (float(np.average([group[end] for group in groups], weights=counts)) for end in ("ci_low", "ci_high"))
    return Pooled(len(values), float(np.median(values)), float(values.min()), float(values.max()), low, high)


def rows_of(record: Json) -> list[tuple[str, ...]]:
    """Rows of cells under HEADER, one for every scenario."""
    return [row(name, made) for name, made in record.items()]


def row(name: str, made: Json) -> tuple[str, ...]:
    """The cells of a scenario under HEADER."""
    recipes, shipped, ahead = made["recipes"], made["shipped"], made["ahead"]
    cells = [
        f"`{name}`",
        f"{made['best_baseline']} {made['best_mean']:.1f}",
        *(pooled(recipes[recipe]).cell() if recipe in recipes else "" for recipe in RECIPES),
        *(("", "") if shipped is None else (shipped["recipe"], _difference(shipped))),
    ]
    if ahead is None:
        return (*cells, "", "", "", "")
    room = ahead["headroom_percent"]
    return (
        *cells,
        f"{room['mean_diff']:.1f} [{room['ci_low']:.1f}, {room['ci_high']:.1f}]",
        "" if ahead["closed"] is None else f"{100 * ahead['closed']:.0f}",
        _difference(ahead["rollout"]),
        f"{ahead['times_as_fast']:.0f}",
    )


def filled(rows: list[tuple[str, ...]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows without columns that are empty in every row, as four are without the second benchmark."""
    kept = [index for index in range(len(HEADER)) if any(row[index] for row in rows)]
    return tuple(HEADER[index] for index in kept), [tuple(row[index] for index in kept) for row in rows]


def _difference(pair: Json) -> str:
    return f"{pair['mean_diff']:+.2f} [{pair['ci_low']:+.2f}, {pair['ci_high']:+.2f}]"


def _recipe_and_seeds(runs: Sequence[str]) -> tuple[str, list[int]]:
    """Recipe and seeds from the names of run folders; ValueError for another name."""
    recipe, seeds = "", []
    for name in runs:
        match = RUN.fullmatch(name)
        if match is None:
            raise ValueError(f"{name}: not a run SCENARIO-RECIPE-SEED of scripts/pretrain.py")
        recipe = match["recipe"]
        seeds.append(int(match["seed"]))
    return recipe, seeds
