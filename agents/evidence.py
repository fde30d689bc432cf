"""What learning is worth, scenario by scenario: the rows of a table, from the summaries of two benchmarks of each.

One benchmark has many episodes and every policy that decides fast; the other fewer, with the planners that look ahead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.leaderboard import read_summary
from agents.recipes import RECIPES, RUN

Json = dict[str, Any]
FAST, AHEAD = "fast", "ahead"
"""folders of a scenario's two benchmarks"""
HEADER = (
    "scenario",
    "best baseline",
    *RECIPES,
    "headroom, %",
    "best on validation",
    "closed, %",
    "above rollout",
    "times as fast",
)


def rows_of(folder: Path) -> list[tuple[str, ...]]:
    """A row for every scenario that the folder holds benchmarks of; ValueError where there is none."""
    scenarios = sorted(path for path in folder.iterdir() if (path / FAST).is_dir()) if folder.is_dir() else []
    if not scenarios:
        raise ValueError(f"{folder}: no benchmarks in it: run scripts/evidence.py")
    return [row(read_summary(path / FAST / "summary.json"), _ahead(path)) for path in scenarios]


def filled(rows: list[tuple[str, ...]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows without the columns that no row has: without the second benchmark there is nothing in four."""
    kept = [index for index in range(len(HEADER)) if any(row[index] for row in rows)]
    return tuple(HEADER[index] for index in kept), [tuple(row[index] for index in kept) for row in rows]


def _ahead(path: Path) -> Json | None:
    file = path / AHEAD / "summary.json"
    return read_summary(file) if file.is_file() else None


def row(fast: Json, ahead: Json | None) -> tuple[str, ...]:
    """Cells under HEADER; differences are returns per episode to the best baseline of the same benchmark."""
    best = fast["best_baseline"]
    groups = {_recipe(group["policies"][0]): group for group in fast["seeds"]}
    cells = [
        f"`{fast['scenario']}`",
        f"{best} {fast['policies'][best]['return_mean']:.1f}",
        *(_seeds(groups[recipe]) if recipe in groups else "" for recipe in RECIPES),
    ]
    if ahead is None:
        return (*cells, "", "", "", "", "")
    room, learned = ahead["headroom"], ahead["learned"]
    closed, over = room["closed"].get(learned), ahead["learned_against"]["rollout"]
    # a network is faster in the large batches of the first benchmark; a rollout is as fast in any
    speed = fast["policies"][learned]["decisions_per_s"] / ahead["policies"]["rollout"]["decisions_per_s"]
    return (
        *cells,
        f"{room['percent']:.1f} [{room['ci_low']:.1f}, {room['ci_high']:.1f}]",
        _recipe(learned),
        ""
        if closed is None
        else f"{100 * closed['share']:.0f} [{100 * closed['ci_low']:.0f}, {100 * closed['ci_high']:.0f}]",
        f"{over['mean_diff']:+.2f} [{over['ci_low']:+.2f}, {over['ci_high']:+.2f}]",
        f"{speed:.0f}",
    )


def _seeds(group: Json) -> str:
    """Median and range of the seeds, and the interval of their mean."""
    means = group["mean_diffs"]
    spread = f"{min(means):+.2f} to {max(means):+.2f}"
    return f"{group['median_diff']:+.2f} ({spread}) [{group['ci_low']:+.2f}, {group['ci_high']:+.2f}]"


def _recipe(run: str) -> str:
    """The recipe of a run folder's name; ValueError for another name."""
    match = RUN.fullmatch(run)
    if match is None:
        raise ValueError(f"{run}: not a run SCENARIO-RECIPE-SEED of scripts/pretrain.py")
    return match["recipe"]
