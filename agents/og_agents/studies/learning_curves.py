"""Learning curves: validation returns of runs over their training, with baselines as lines, as a picture and a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from og_agents import heuristics
from og_agents.evaluation import playing
from og_agents.evaluation.comparison_pictures import ACCENT, ALARM, FONT_PT, GREY, SECOND, png
from og_agents.learning import checkpoint
from og_agents.load_policies import make_planner
from og_agents.pretrained import policy_folders
from og_agents.pretrained.recipes import recipe_of
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec

COLOURS = (ACCENT, SECOND, ALARM, "#7b5ea7", "#3d8b5f")
POINTS = 60


class Curve(NamedTuple):
    """One run."""

    name: str
    recipe: str
    rows: list[dict[str, float]]
    """validations, with the keys of `policy_folders.CURVE`"""


class Curves(NamedTuple):
    """Runs on one scenario."""

    spec: ScenarioSpec
    episodes: int
    """number of validation episodes, which have the seeds 0, 1, ..."""
    runs: list[Curve]
    baselines: dict[str, float]
    """mean returns on the same episodes"""


def read(folders: Sequence[Path], baselines: Sequence[str]) -> Curves:
    """Curves of run folders, and the baselines played on the episodes that the runs were validated on.

    Raises ValueError for a folder that is no run, runs of several scenarios or validations, or an unknown baseline.
    """
    metas = [checkpoint.read_meta(folder) for folder in folders]
    spec, episodes = loading.load(metas[0]["scenario"]), metas[0]["settings"]["evaluation_episodes"]
    for folder, meta in zip(folders, metas, strict=True):
        if loading.load(meta["scenario"]) != spec or meta["settings"]["evaluation_episodes"] != episodes:
            raise ValueError(f"{folder}: another scenario or other validation episodes than {folders[0]}")
        if meta["task"] != metas[0]["task"]:
            raise ValueError(f"{folder}: trained for {meta['task']}, not {metas[0]['task']}")
    runs = [
        Curve(folder.resolve().name, recipe_of(meta), policy_folders.learning_curve(folder))
        for folder, meta in zip(folders, metas, strict=True)
    ]
    task = metas[0]["task"]
    returns = {name: _mean(name, spec, task, episodes) for name in baselines}
    return Curves(spec, episodes, runs, returns)


def _mean(name: str, spec: ScenarioSpec, task: str, episodes: int) -> float:
    source = heuristics.make(name, task=task) if name in heuristics.NAMES else make_planner(name, spec, task)
    return float(playing.run(source, spec, task, episodes, 0, split="validation").returns.mean())


def picture(curves: Curves) -> bytes:
    """PNG: a line for each run, the mean of each recipe's runs, and a dashed line for each baseline.

    The horizontal axis has steps (states of rpi), or the share of the run where recipes differ.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    recipes = list(dict.fromkeys(run.recipe for run in curves.runs))
    several = len(recipes) > 1
    for at, run in enumerate(curves.runs):
        colour = COLOURS[(recipes.index(run.recipe) if several else at) % len(COLOURS)]
        full = 0.01 * run.rows[-1]["timesteps"] if several else 1000
        steps = [row["timesteps"] / full for row in run.rows]
        label = None if several else run.name
        width = 0.8 if several else 1.5
        axes.plot(steps, _values(run), "o-", color=colour, markersize=3, linewidth=width, label=label)
    for at, recipe in enumerate(recipes):
        runs = [run for run in curves.runs if run.recipe == recipe]
        if several or len(runs) > 1:
            grid, mean = average(runs)
            full = 0.01 * grid[-1] if several else 1000
            label = f"{recipe}, mean of {len(runs)}" if several else "mean of the runs"
            colour = COLOURS[at % len(COLOURS)] if several else GREY
            axes.plot(grid / full, mean, color=colour, linewidth=4, alpha=0.6, zorder=0, label=label)
    for at, (name, value) in enumerate(curves.baselines.items()):
        axes.axhline(value, color=GREY, linestyle=("--", ":", "-.")[at % 3], linewidth=1.2, label=name)
    unit = "states that were branched from" if recipes == ["rpi"] else "environment steps"
    axes.set_xlabel("share of the run, %" if several else f"{unit}, thousands")
    axes.set_ylabel("mean return")
    title = f"{curves.spec.name}: {curves.episodes} validation episodes"
    axes.set_title(title, loc="left", fontsize=FONT_PT)
    axes.legend(fontsize=FONT_PT - 2, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return png(figure)


def average(runs: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [POINTS] that all runs have reached, and the mean of their returns there, linear between validations."""
    last = min(run.rows[-1]["timesteps"] for run in runs)
    grid = np.linspace(0, last, POINTS)
    lines = [np.interp(grid, [row["timesteps"] for row in run.rows], _values(run)) for run in runs]
    return grid, np.mean(lines, axis=0)


def _values(run: Curve) -> list[float]:
    return [row["validation/return"] for row in run.rows]


def table(curves: Curves) -> str:
    """CSV: run, steps, seconds, validation return; baselines at step 0."""
    text = io.StringIO()
    writer: Any = csv.writer(text, lineterminator="\n")
    writer.writerow(("run", "timesteps", "elapsed_s", "validation_return"))
    for run in curves.runs:
        writer.writerows((run.name, *(f"{row[name]:g}" for name in policy_folders.CURVE)) for row in run.rows)
    baselines: Mapping[str, float] = curves.baselines
    writer.writerows((name, 0, 0, f"{value:.4f}") for name, value in baselines.items())
    return text.getvalue()
