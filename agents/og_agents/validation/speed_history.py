"""Speeds of a run of the benchmark beside those that a release recorded on the same kind of machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from og_env.scenario.text_files import read_text

WORST_LOSS = 0.10
"""share of the speed that may be lost without a warning"""
LESS_IS_BETTER = ("bytes_per_env_", "mask_bytes_", "tape_bytes_", "exponent_", "ppo_env_share")
MOST_BYTES = 1_000_000
OF_OTHERS = ("cores", "cartpole")
"""figures that say nothing of this package"""


class Loss(NamedTuple):
    """A figure that is worse than the recorded one."""

    name: str
    recorded: float
    measured: float
    share: float
    """of the recorded speed that is lost"""

    def __str__(self) -> str:
        """One line."""
        return f"warning: {self.name} is {self.share:.0%} worse: {self.measured:.4g}, recorded was {self.recorded:.4g}"


def latest(folder: Path, processor: str, cores: float) -> Path | None:
    """The newest record in a folder of the same processor and number of cores; None where there is none."""
    found: list[tuple[str, Path]] = []
    for path in sorted(folder.glob("*.json")):
        record = _read(path)
        if record["processor"] == processor and record["figures"].get("cores") == cores:
            found.append((record["date"], path))
    return max(found)[1] if found else None


def losses(record: Path, figures: Mapping[str, float]) -> list[Loss]:
    """The figures that are worse than recorded by more than WORST_LOSS, the worst first."""
    recorded = _read(record)["figures"]
    found = []
    for name in sorted(recorded.keys() & figures.keys()):
        if name.startswith(OF_OTHERS) or recorded[name] <= 0 or figures[name] <= 0:
            continue
        ratio = figures[name] / recorded[name]
        share = 1 - (1 / ratio if _less_is_better(name) else ratio)
        if share > WORST_LOSS:
            found.append(Loss(name, recorded[name], figures[name], share))
    return sorted(found, key=lambda loss: -loss.share)


def _less_is_better(name: str) -> bool:
    return name.startswith(LESS_IS_BETTER) or (name.endswith("_s") and not name.endswith("_per_s"))


def _read(path: Path) -> dict[str, Any]:
    """A record; ValueError that names the file where it is none."""
    try:
        record = json.loads(read_text(path, MOST_BYTES))
        if not {"processor", "date", "figures"} <= set(record):
            raise ValueError("it lacks processor, date or figures")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: no record of speeds: {error}") from None
    return record
