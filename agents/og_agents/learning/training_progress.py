"""What is seen of a training run while it goes on, and which checkpoint of it is kept."""

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
from og_agents.learning.checkpoint import LearnedPolicy, Progress, write_atomically
from og_agents.learning.train_settings import TrainSettings
from og_env.scenario.specs import ScenarioSpec
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
"""what is logged of the network beside the reward's terms"""

MOST_OFTEN = 6.0
"""against the clock, training takes at least so many times as long as its evaluations"""


class Clock:
    """How much of a run is done: by steps or, with a time limit, by the clock, whichever is further."""

    def __init__(self, timesteps: int | None, minutes: float | None, elapsed_s: float = 0.0) -> None:
        self.timesteps, self.limit_s = timesteps, math.inf if minutes is None else 60 * minutes
        self._began_s = time.monotonic() - elapsed_s

    def start(self, elapsed_s: float = 0.0) -> None:
        """Count from now on, with the seconds of an earlier part of the run."""
        self._began_s = time.monotonic() - elapsed_s

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def share(self, timesteps: int) -> float:
        """Of the run that is done, in [0, 1]."""
        by_steps = 0.0 if self.timesteps is None else timesteps / self.timesteps
        return min(max(by_steps, self.elapsed_s / self.limit_s), 1.0)

    def is_up(self) -> bool:
        return self.elapsed_s >= self.limit_s


def validation(network: Any, meta: Mapping[str, Any], spec: ScenarioSpec, settings: TrainSettings) -> dict[str, float]:
    """How a network does on the validation episodes: mean return, terms and metrics, as rows of metrics.csv have them."""
    learned, episodes = LearnedPolicy(network, dict(meta), "learned"), settings.evaluation_episodes
    result = playing.run(learned, spec, meta["task"], episodes, 0, split="validation")
    facts = {"validation/return": float(result.returns.mean())}
    facts |= {f"validation/{term}": float(result.terms[:, i].mean()) for i, term in enumerate(TERMS)}
    return facts | {f"validation/{name}": float(result.metric(name).mean()) for name in METRICS}


class MetricsFile(KVWriter):
    """metrics.csv: one row for each time the logger writes, replaced in one move; a resumed run adds to it."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, []
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                self.rows = list(csv.DictReader(file))

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.rows.append({"timesteps": step, **filter_excluded_keys(key_values, key_excluded, "csv")})
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        write_atomically(self.path, lambda part: self._write(part, columns))

    def _write(self, path: Path, columns: list[str]) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)

    def close(self) -> None:
        """Nothing is held open."""


class Watch(BaseCallback):
    """Logs terms, metrics and validation returns, keeps the best checkpoint, saves what a stopped run needs to go on,
    shows the time left, and stops when time is up."""

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
        self._steps = 0
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
        for name in (*(f"term_{term}" for term in TERMS), *METRICS):
            self._sums[name] = self._sums.get(name, 0.0) + float(happened[name].mean())
        self._steps += 1
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
        self._sums, self._steps = {}, 0
        self._advance()

    def _advance(self, words: str = "") -> None:
        self._bar.update(100 * self.clock.share(self.num_timesteps) - self._bar.n)
        if words:
            self._bar.set_postfix_str(words)

    def progress(self) -> Progress:
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
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
