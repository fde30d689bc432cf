"""Progress of a training run: its clock, metrics.csv, validations, and the checkpoint that is kept."""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, filter_excluded_keys
from tqdm import tqdm

from og_agents.evaluation import playing
from og_agents.learning import checkpoint
from og_agents.learning.checkpoint import LearnedPolicy, Progress
from og_agents.learning.train_settings import TrainSettings
from og_env.scenario.csv_file import read_records
from og_env.scenario.specs import ScenarioSpec
from og_env.scenario.text_files import write_atomically
from og_env.simulator import TERMS

METRICS = (
    "served_share",
    "verified_share",
    "latency_mean_ms",
    "latency_p95_ms",
    "finality_s",
    "usd_per_hour",
    "cold_starts",
    "exposure",
    "n_eff",
    "active_outages",
    "sites_down",
    "operations",
)
"""metrics of the network that are logged beside the reward's terms"""

MOST_OFTEN = 6.0
"""least ratio of training time to validation time in a run against the clock"""


class Clock:
    """The clock of a run, which ends by steps or, with a time limit, by time, whichever comes first."""

    def __init__(self, timesteps: int | None, minutes: float | None, elapsed_s: float = 0.0) -> None:
        self.timesteps, self.limit_s = timesteps, math.inf if minutes is None else 60 * minutes
        self._began_s = time.monotonic() - elapsed_s

    def start(self, elapsed_s: float = 0.0) -> None:
        """Count from now on, with the seconds of an earlier part of the run."""
        self._began_s = time.monotonic() - elapsed_s

    @property
    def elapsed_s(self) -> float:
        """Seconds of the run so far, earlier parts of it included."""
        return time.monotonic() - self._began_s

    def share(self, timesteps: int) -> float:
        """The share of the run that is done, in [0, 1]."""
        by_steps = 0.0 if self.timesteps is None else timesteps / self.timesteps
        return min(max(by_steps, self.elapsed_s / self.limit_s), 1.0)

    def is_up(self) -> bool:
        """Whether the time limit is reached."""
        return self.elapsed_s >= self.limit_s


def validation(network: Any, meta: Mapping[str, Any], spec: ScenarioSpec, settings: TrainSettings) -> dict[str, float]:
    """Mean return, terms and metrics of a network on the validation episodes, under their names in metrics.csv."""
    learned, episodes = LearnedPolicy(network, dict(meta), "learned"), settings.evaluation_episodes
    result = playing.run(learned, spec, meta["task"], episodes, 0, split="validation")
    facts = {"validation/return": float(result.returns.mean())}
    facts |= {f"validation/{term}": float(result.terms[:, i].mean()) for i, term in enumerate(TERMS)}
    return facts | {f"validation/{name}": float(result.metric(name).mean()) for name in METRICS}


class MetricsFile(KVWriter):
    """metrics.csv: one row for each time the logger writes, replaced in one move; a resumed run adds to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            self.rows.extend(row for _, row in read_records(path))

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Add a row of values by name, without those that are excluded from the format "csv", at a step of the run."""
        self.rows.append({"timesteps": step, **filter_excluded_keys(key_values, key_excluded, "csv")})
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        write_atomically(self.path, lambda part: self._write(part, columns))

    def _write(self, path: Path, columns: list[str]) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)

    def close(self) -> None:
        """Do nothing, because no file is held open."""


class Watch(BaseCallback):
    """A callback that logs and validates a run, keeps its best checkpoint, and stops it when time is up.

    It also saves resume.safetensors at every validation, and shows the time that is left.
    """

    def __init__(
        self,
        folder: Path,
        meta: Mapping[str, Any],
        spec: ScenarioSpec,
        settings: TrainSettings,
        clock: Clock,
        best: float = -math.inf,
        quiet: bool = False,
    ) -> None:
        super().__init__()
        self.folder, self.meta, self.spec, self.settings, self.clock = folder, dict(meta), spec, settings, clock
        self.best, self.quiet = best, quiet
        self._sums: dict[str, float] = {}
        self._steps = 0.0
        self._due = 0.0
        self._bar: Any = None

    def _on_training_start(self) -> None:
        form = "{percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"
        self._bar = tqdm(total=100.0, disable=self.quiet or not sys.stderr.isatty(), bar_format=form, mininterval=0.5)
        done = self.clock.share(self.num_timesteps)
        self._due = 0.0 if self.num_timesteps == 0 else done + 1 / self.settings.evaluations
        self._advance()

    def _on_step(self) -> bool:
        happened = self.training_env.happened  # type: ignore[attr-defined]
        moved = happened["moved"]
        if moved.any():  # means over steps of the clock
            share = float(moved.mean())
            for name in (*(f"term_{term}" for term in TERMS), *METRICS):
                self._sums[name] = self._sums.get(name, 0.0) + float(happened[name][moved].mean()) * share
            self._steps += share
        return not self.clock.is_up()

    def _on_rollout_start(self) -> None:
        if self.clock.share(self.num_timesteps) < self._due:
            return
        began_s = self.clock.elapsed_s
        mean = self.validate()
        if self.num_timesteps == 0:
            self.training_env.offset = mean / self.spec.episode.steps  # type: ignore[attr-defined]
        spent = (self.clock.elapsed_s - began_s) / self.clock.limit_s
        self._due = self.clock.share(self.num_timesteps) + max(1 / self.settings.evaluations, MOST_OFTEN * spent)

    def _on_rollout_end(self) -> None:
        for name, total in self._sums.items():
            group = "terms" if name.startswith("term_") else "network"
            self.logger.record(f"{group}/{name.removeprefix('term_')}", total / self._steps)
        self.logger.record("time/elapsed_s", round(self.clock.elapsed_s, 2))
        self._sums, self._steps = {}, 0.0
        self._advance()

    def _advance(self, words: str = "") -> None:
        self._bar.update(100 * self.clock.share(self.num_timesteps) - self._bar.n)
        if words:
            self._bar.set_postfix_str(words)

    def progress(self) -> Progress:
        """The progress of the run so far, for resume.safetensors."""
        offset = self.training_env.offset  # type: ignore[attr-defined]
        return Progress(self.model.num_timesteps, self.clock.elapsed_s, self.best, offset, self.meta)

    def validate(self) -> float:
        """Mean return on the validation episodes; the best model so far and the state of the run are saved."""
        facts = validation(self.model.policy, self.meta, self.spec, self.settings)
        mean = facts["validation/return"]
        for name, value in facts.items():
            self.logger.record(name, value)
        self.logger.dump(self.model.num_timesteps)
        if mean > self.best:
            self.best = mean
            checkpoint.save(
                self.model, self.folder, self.meta, timesteps=self.model.num_timesteps, validation_return=mean
            )
        checkpoint.save_resume(self.model, self.folder, self.progress())
        self._advance(f", validation {mean:.2f}, best {self.best:.2f}")
        if self._bar.disable and not self.quiet:
            share = self.clock.share(self.model.num_timesteps)
            print(
                f"  {share:4.0%} {self.model.num_timesteps:>9,} steps in {self.clock.elapsed_s:4.0f} s: "
                f"validation {mean:.2f}, best {self.best:.2f}",
                file=sys.stderr,
            )
        return mean

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.close()
