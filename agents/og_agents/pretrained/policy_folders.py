"""Trained policies that come with the package, in folders RECIPE/SCENARIO: weights as safetensors, the rest as JSON.

policy.json describes the policy, its training, the versions and the command, and holds its learning curve.
`scripts/pretrain.py` makes the folders anew.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from og_agents.learning import checkpoint
from og_agents.learning.policy_compatibility import differences
from og_agents.learning.run_record import training_of
from og_agents.pretrained.recipes import RECIPES, recipe_of
from og_env.errors import nearest_valid
from og_env.scenario import loading
from og_env.scenario.csv_file import read_records
from og_env.scenario.json_file import read_json
from og_env.scenario.specs import ScenarioSpec

FOLDER = Path(__file__).parent
CURVE = ("timesteps", "time/elapsed_s", "validation/return")
"""columns of metrics.csv that a learning curve has"""
RECORDED = ("versions", "commit")
"""keys of a run's config.json that policy.json takes over"""


def names(recipe: str) -> tuple[str, ...]:
    """Names of the scenarios with a trained policy of a recipe."""
    return tuple(sorted(path.parent.name for path in (FOLDER / recipe).glob(f"*/{checkpoint.CARD}")))


def folders_for(spec: ScenarioSpec, task: str = "placement") -> dict[str, Path]:
    """Folders, by recipe, of the policies that were trained on this world and task; the best on validation is first."""
    folders = {recipe: FOLDER / recipe / spec.name for recipe in RECIPES if spec.name in names(recipe)}
    metas = {recipe: checkpoint.read_meta(folder) for recipe, folder in folders.items()}
    fitting = [
        recipe
        for recipe, meta in metas.items()
        if meta["task"] == task and not differences(loading.load(meta["scenario"]), spec)
    ]
    return {recipe: folders[recipe] for recipe in sorted(fitting, key=lambda name: -metas[name]["validation_return"])}


def folder_of(recipe: str, scenario: str) -> Path:
    """The folder of a scenario's policy; ValueError in one line where there is none."""
    if scenario not in names(recipe):
        hint = nearest_valid(scenario, names(recipe))
        raise ValueError(f"{recipe}: no trained policy comes with the scenario {scenario!r}{hint}")
    return FOLDER / recipe / scenario


def learning_curve(run: Path) -> list[dict[str, float]]:
    """The validations of a run, from its metrics.csv: steps, seconds and mean return of each."""
    rows = [row for _, row in read_records(run / "metrics.csv") if row.get("validation/return")]
    return [{name: float(row.get(name) or math.nan) for name in CURVE} for row in rows]


def best_of(runs: Sequence[Path]) -> Path:
    """The run whose kept checkpoint was best on the validation episodes; ValueError for runs of several scenarios."""
    if len({checkpoint.read_meta(run)["scenario"]["name"] for run in runs}) != 1:
        raise ValueError("runs of several scenarios: name those of one")
    return by_validation(runs)[0]


def by_validation(runs: Iterable[Path]) -> list[Path]:
    """The runs, sorted by the validation return of their kept checkpoints, the best first."""
    return sorted(runs, key=lambda run: -checkpoint.read_meta(run)["validation_return"])


def surpassing(run: Path, to: Path | None = None) -> Path | None:
    """The folder that a run would be packed into, where its policy is at least as good on validation; None otherwise.

    Only a policy of the same training counts, which may differ in the seed.
    """
    meta = checkpoint.read_meta(run)
    folder = (to or FOLDER) / recipe_of(meta) / meta["scenario"]["name"]
    if not (folder / checkpoint.CARD).is_file():
        return None
    packed = checkpoint.read_meta(folder)
    same = training_of(packed) == training_of(meta)
    return folder if same and packed["validation_return"] >= meta["validation_return"] else None


def pack(run: Path, command: str, to: Path | None = None) -> Path:
    """Copy a run's policy, its record and its learning curve to the folder of its recipe and scenario; returns that folder."""
    meta = checkpoint.read_meta(run)
    record: dict[str, Any] = read_json(run / "config.json")
    folder = (to or FOLDER) / recipe_of(meta) / meta["scenario"]["name"]
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / checkpoint.WEIGHTS, folder / checkpoint.WEIGHTS)
    curve = [{name: None if math.isnan(value) else value for name, value in row.items()} for row in learning_curve(run)]
    facts = {name: record[name] for name in RECORDED} | {"command": command, "learning_curve": curve}
    checkpoint.write_json(folder / checkpoint.CARD, meta | facts)
    return folder
