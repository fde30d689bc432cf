"""What PPO is worth, scenario by scenario: the rows of a table, from the summaries of two benchmarks of each.

One benchmark has many episodes and every policy that decides fast; the other fewer, with the planners that look ahead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.leaderboard import read_summary

Json = dict[str, Any]
FAST, AHEAD = "fast", "ahead"
"""folders of a scenario's two benchmarks"""
HEADER = (
    "scenario",
    "best baseline",
    "PPO, each training seed",
    "all seeds, 95 %",
    "headroom, %",
    "closed, %",
    "PPO above rollout",
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
    best, group = fast["best_baseline"], fast["seeds"][0]
    cells = [
        f"`{fast['scenario']}`",
        f"{best} {fast['policies'][best]['return_mean']:.1f}",
        ", ".join(f"{value:+.2f}" for value in group["mean_diffs"]),
        f"{group['mean_diff']:+.2f} [{group['ci_low']:+.2f}, {group['ci_high']:+.2f}]",
    ]
    if ahead is None:
        return (*cells, "", "", "", "")
    room, learned = ahead["headroom"], ahead["learned"]
    closed, over = room["closed"].get(learned), ahead["learned_against"]["rollout"]
    speed = ahead["policies"][learned]["decisions_per_s"] / ahead["policies"]["rollout"]["decisions_per_s"]
    return (
        *cells,
        f"{room['percent']:.1f} [{room['ci_low']:.1f}, {room['ci_high']:.1f}]",
        "" if closed is None else f"{100 * closed['share']:.0f}",
        f"{over['mean_diff']:+.2f} [{over['ci_low']:+.2f}, {over['ci_high']:+.2f}]",
        f"{speed:.0f}",
    )
