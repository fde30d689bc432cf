"""Trained policies that come with the package: one folder per scenario, weights as safetensors, the rest as JSON.

policy.json says what the policy is and was trained on, with which versions and command, and holds its learning curve;
`scripts/pretrain.py` makes the folders anew.
"""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents import checkpoint
from agents.worlds import differences
from og_env import config
from og_env.parsing import nearest_valid, read_json
from og_env.specs import ScenarioSpec

FOLDER = Path(__file__).parent
CURVE = ("timesteps", "time/elapsed_s", "validation/return")
RECORDED = ("versions", "commit")


def names() -> tuple[str, ...]:
    """Scenarios with a trained policy."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{checkpoint.CARD}")))


def folder_for(spec: ScenarioSpec, task: str = "placement") -> Path | None:
    """The folder of the policy that was trained on this world; None where there is none, or for another task."""
    if spec.name not in names():
        return None
    folder = FOLDER / spec.name
    meta = checkpoint.read_meta(folder)
    if meta["task"] != task or differences(config.load(meta["scenario"]), spec):
        return None
    return folder


def folder_of(name: str) -> Path:
    """The folder of a scenario's policy; ValueError in one line where there is none."""
    if name not in names():
        raise ValueError(f"no trained policy comes with the scenario {name!r}{nearest_valid(name, names())}")
    return FOLDER / name


def learning_curve(run: Path) -> list[dict[str, float]]:
    """Validations of a run, from its metrics.csv: steps, seconds, mean return."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("validation/return")]
    return [{name: float(row.get(name) or math.nan) for name in CURVE} for row in rows]


def best_of(runs: Sequence[Path]) -> Path:
    """The run whose kept checkpoint was best on the validation episodes; ValueError for runs of several scenarios."""
    metas = [checkpoint.read_meta(run) for run in runs]
    if len({meta["scenario"]["name"] for meta in metas}) != 1:
        raise ValueError("runs of several scenarios: name those of one")
    return max(zip(runs, metas, strict=True), key=lambda pair: pair[1]["validation_return"])[0]


def pack(run: Path, command: str, to: Path | None = None) -> Path:
    """Copy a run's policy to its scenario's folder, with its record and learning curve; returns the folder."""
    meta = checkpoint.read_meta(run)
    record: dict[str, Any] = read_json(run / "config.json")
    folder = (to or FOLDER) / meta["scenario"]["name"]
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / checkpoint.WEIGHTS, folder / checkpoint.WEIGHTS)
    facts = {name: record[name] for name in RECORDED} | {"command": command, "learning_curve": learning_curve(run)}
    checkpoint.write_json(folder / checkpoint.CARD, meta | facts)
    return folder
