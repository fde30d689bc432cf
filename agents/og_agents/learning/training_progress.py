"""Progress of a training run: its clock, metrics.csv, validations, and the checkpoint that is kept."""

from __future__ import annotations

import csv
import math
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, filter_excluded_keys

from og_agents.evaluation import playing
from og_agents.evaluation.progress import Progress as Shown
from og_agents.evaluation.progress import clock_text
from og_agents.learning import checkpoint, devices, resume_file
from og_agents.learning.branch_ppo import BranchPPO
from og_agents.learning.checkpoint import LearnedPolicy
from og_agents.learning.resume_file import Progress, State
from og_agents.learning.router_beside import as_played
from og_agents.learning.run_folder import SAVE_EVERY_S, Stop, stopped_and_saved
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

ENVIRONMENTS, MEMORY = "environments.", "memory."
"""beginnings of the names in a state: of the environments', and of what a network with a memory has seen"""
LOG_EVERY = 4
"""updates between two rows of metrics.csv"""
VALIDATION_THREADS = 2
"""policies that are validated side by side"""
MOST_OFTEN = 4.0
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

    def due_after(self, share: float, began_s: float, validations: int) -> float:
        """The share of the run from which a validation is due again, after one at `share` that began at `began_s`."""
        spent = (self.elapsed_s - began_s) / self.limit_s
        return share + max(1 / validations, MOST_OFTEN * spent)


def validation(network: Any, meta: Mapping[str, Any], spec: ScenarioSpec, settings: TrainSettings) -> dict[str, float]:
    """Mean return, terms and metrics of a network on the validation episodes, under their names in metrics.csv.

    One that was trained beside a router plays beside it.
    """
    learned, episodes = LearnedPolicy(network, dict(meta), "learned"), settings.evaluation_episodes
    result = playing.run(as_played(learned, meta, spec), spec, meta["task"], episodes, 0, split="validation")
    facts = {"validation/return": float(result.returns.mean())}
    facts |= {f"validation/{term}": float(result.terms[:, i].mean()) for i, term in enumerate(TERMS)}
    return facts | {f"validation/{name}": float(result.metric(name).mean()) for name in METRICS}


def best_of(
    networks: Sequence[Any], meta: Mapping[str, Any], spec: ScenarioSpec, settings: TrainSettings
) -> tuple[int, dict[str, float]]:
    """The network with the highest return on the validation episodes: its place, and its facts as of `validation`."""
    with ThreadPoolExecutor(VALIDATION_THREADS) as pool:
        facts = list(pool.map(lambda network: validation(network, meta, spec, settings), networks))
    best = max(range(len(facts)), key=lambda i: facts[i]["validation/return"])
    return best, facts[best]


class MetricsFile(KVWriter):
    """metrics.csv: one row for each time the logger writes, replaced in one move; a resumed run adds to it."""

    def __init__(self, path: Path, rows: int | None = None) -> None:
        """Go on after the first `rows` rows that the file has: what came after them was not saved, and is done again."""
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file() and rows != 0:
            self.rows.extend(row for _, row in read_records(path))
            del self.rows[rows:]

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


def next_due(done: Progress, meta: Mapping[str, Any], clock: Clock) -> float:
    """The share of a run that goes on from which the next validation is due: as it was, unless the run is longer now."""
    lengths = [(m["settings"]["timesteps"], m["settings"]["branch_states"], m["minutes"]) for m in (done.meta, meta)]
    if lengths[0] == lengths[1]:
        return done.due
    return clock.share(done.timesteps) + 1 / meta["settings"]["evaluations"]


def state_of(model: Any) -> State:
    """All that the next update of an algorithm of SB3 depends on."""
    state = resume_file.learned(model.policy, model.policy.optimizer) | resume_file.generators()
    state |= {ENVIRONMENTS + name: value for name, value in model.env.get_state().items()}
    state |= {"starts": model._last_episode_starts, "updates": model._n_updates, "ended": list(model.ep_info_buffer)}
    if isinstance(model, BranchPPO):
        state |= model.kept_state()
    memory = getattr(model, "_last_lstm_states", None)
    parts = () if memory is None else (*memory.pi, *memory.vf)
    return state | {f"{MEMORY}{i}": part.cpu().contiguous().clone() for i, part in enumerate(parts)}


def put_state(model: Any, state: State, where: Path) -> None:
    """Put the state of a run into a model of the same settings; ValueError in one line where it is of another one."""
    resume_file.put_learned(model.policy, model.policy.optimizer, state, where)
    try:
        model._last_obs = model.env.set_state(resume_file.part_of(state, ENVIRONMENTS))
        model._last_episode_starts, model._n_updates = state["starts"], state["updates"]
        model.ep_info_buffer, model.ep_success_buffer = (deque(maxlen=model._stats_window_size) for _ in range(2))
        model.ep_info_buffer.extend(state["ended"])
        memory = resume_file.part_of(state, MEMORY)
        if memory:
            parts = [memory[str(i)].to(model.device) for i in range(len(memory))]
            model._last_lstm_states = RNNStates((parts[0], parts[1]), (parts[2], parts[3]))
        if isinstance(model, BranchPPO):
            model.put_kept(state, where)
        resume_file.put_generators(state)
    except (KeyError, IndexError):
        raise ValueError(f"{where}: damaged: a part of the state is missing") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


class Watch(BaseCallback):
    """A callback that logs and validates a run, keeps its best checkpoint, and stops it when time is up.

    Between two updates it saves all of the run, at every validation and where that was long ago, and there the run ends
    when a signal has asked for it. It also shows the time that is left.
    """

    def __init__(
        self,
        folder: Path,
        meta: Mapping[str, Any],
        spec: ScenarioSpec,
        settings: TrainSettings,
        clock: Clock,
        file: MetricsFile,
        stop: Stop,
        done: Progress | None = None,
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.folder, self.meta, self.spec, self.settings, self.clock = folder, dict(meta), spec, settings, clock
        self.file, self.stop, self.quiet, self.telling = file, stop, quiet, verbose
        self.best, self._due = (-math.inf, 0.0) if done is None else (done.best, next_due(done, meta, clock))
        self._sums: dict[str, float] = {}
        self._steps = 0.0
        self._saved_s = clock.elapsed_s
        self._shown = Shown(1.0, quiet=quiet, verbose=verbose)
        self._words = ""

    def _on_training_start(self) -> None:
        self._shown.began_with(self.clock.share(self.num_timesteps))
        self._saved_s = self.clock.elapsed_s
        self._advance()

    def _on_step(self) -> bool:
        happened = self.training_env.happened  # type: ignore[attr-defined]
        moved = happened["moved"]
        if moved.any():  # means over steps of the clock
            share = float(moved.mean())
            for name in (*(f"term_{term}" for term in TERMS), *METRICS):
                self._sums[name] = self._sums.get(name, 0.0) + float(happened[name][moved].mean()) * share
            self._steps += share
        self._advance()
        if not self.clock.is_up():
            return True
        # a run by the clock ends between two updates: where it goes on later, it begins with these
        self.model._last_episode_starts = self.locals["dones"]  # type: ignore[attr-defined]
        if "lstm_states" in self.locals:
            self.model._last_lstm_states = self.locals["lstm_states"]  # type: ignore[attr-defined]
        return False

    def _on_rollout_start(self) -> None:
        due = self.clock.share(self.num_timesteps) >= self._due
        if due:
            self._validate_in_time()
        if due or self.stop.signal is not None or self.clock.elapsed_s >= self._saved_s + SAVE_EVERY_S:
            self.save()
        if self.stop.signal is not None:
            raise stopped_and_saved(f"{self.num_timesteps:,} steps", self.folder, self.stop)

    def _validate_in_time(self) -> None:
        """Validate, and find out when to do so again."""
        began_s = self.clock.elapsed_s
        mean = self.validate()
        if self.num_timesteps == 0:
            self.training_env.offset = mean / self.spec.episode.steps  # type: ignore[attr-defined]
        self._due = self.clock.due_after(self.clock.share(self.num_timesteps), began_s, self.settings.evaluations)

    def _on_rollout_end(self) -> None:
        for name, total in self._sums.items():
            group = "terms" if name.startswith("term_") else "network"
            self.logger.record(f"{group}/{name.removeprefix('term_')}", total / self._steps)
        self.logger.record("time/elapsed_s", round(self.clock.elapsed_s, 2))
        self._sums, self._steps = {}, 0.0
        updates = 1 + self.model._n_updates // self.settings.n_epochs  # type: ignore[attr-defined]
        if updates % LOG_EVERY == 0:  # counted over the whole run, also where it was stopped
            self.model.dump_logs(updates)  # type: ignore[attr-defined]
            if self.telling:
                spent_s = self.clock.elapsed_s
                self._shown.tell(f"{self.num_timesteps:,} steps, {updates:,} updates in {clock_text(spent_s)}")
        self._advance()

    def _advance(self, words: str = "") -> None:
        self._words = words or self._words
        self._shown.at(self.clock.share(self.num_timesteps), f"{self.num_timesteps:,} steps{self._words}")

    def save(self) -> None:
        """Write resume.safetensors, between two updates."""
        steps, elapsed_s = self.model.num_timesteps, self.clock.elapsed_s
        progress = Progress(steps, elapsed_s, self.best, self._due, len(self.file.rows), self.meta)
        resume_file.save(self.folder, progress, state_of(self.model))
        self._saved_s = self.clock.elapsed_s

    def validate(self) -> float:
        """Mean return on the validation episodes; the best model so far is saved."""
        branched = self.model if isinstance(self.model, BranchPPO) else None
        policies = {1.0: devices.on_processor(self.model.policy)} if branched is None else branched.candidates()
        best, facts = best_of(list(policies.values()), self.meta, self.spec, self.settings)
        share, policy = list(policies.items())[best]
        kept: dict[str, Any] = {"timesteps": self.model.num_timesteps}
        if branched is not None:
            branched.part.play(branched.policy, share)
            facts["validation/learned_share"] = share
            kept |= branched.part.described
        mean = facts["validation/return"]
        for name, value in facts.items():
            self.logger.record(name, value)
        self.logger.dump(self.model.num_timesteps)
        if mean > self.best:
            self.best = mean
            checkpoint.save(policy, self.folder, self.meta, **kept, validation_return=mean)
        self._advance(f", validation {mean:.2f}, best {self.best:.2f}")
        self._shown.close()
        if not self.quiet:
            done = self.clock.share(self.model.num_timesteps)
            print(
                f"  {done:4.0%} {self.model.num_timesteps:>9,} steps in {self.clock.elapsed_s:4.0f} s: "
                f"validation {mean:.2f}, best {self.best:.2f}",
                file=sys.stderr,
            )
        return mean

    def close(self) -> None:
        """Remove the line of progress."""
        self._shown.close()
