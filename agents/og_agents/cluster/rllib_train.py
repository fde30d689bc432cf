"""Training by RLlib: PPO whose env runners stand on a Ray cluster, with the networks and files of `og_agents.learning.ppo`."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from og_agents.cluster.rllib_algorithm import FragmentPPO, algorithm
from og_agents.cluster.rllib_module import make_policy
from og_agents.cluster.rllib_runner import WATCHED
from og_agents.learning import checkpoint, ppo, resume_file
from og_agents.learning.resume_file import Progress
from og_agents.learning.run_folder import (
    SAVE_EVERY_S,
    Stop,
    clear,
    held,
    stopped_and_saved,
    stopped_at_once,
    stopped_by_signals,
)
from og_agents.learning.run_record import describe_run
from og_agents.learning.train_settings import TrainSettings
from og_agents.learning.training_progress import Clock, MetricsFile, next_due, validation
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec

ENGINE = "rllib"


class Run:
    """A run while it goes on: its clock, its validations, its files."""

    def __init__(
        self,
        algo: FragmentPPO,
        meta: dict[str, Any],
        spec: ScenarioSpec,
        settings: TrainSettings,
        out: Path,
        done: Progress | None,
    ) -> None:
        self.algo, self.meta, self.spec, self.settings, self.out = algo, meta, spec, settings, out
        self.clock = Clock(settings.timesteps, meta["minutes"])
        self.file = MetricsFile(out / "metrics.csv", 0 if done is None else done.rows)
        self.best, self.due = -math.inf, 0.0
        if done is not None:
            self.best, self.due = done.best, next_due(done, meta, self.clock)
        model = algo.config.rl_module_spec.model_config
        self.policy = make_policy(model, algo.config.action_space)
        self.policy.set_training_mode(False)
        self.saved_s = 0.0

    @property
    def timesteps(self) -> int:
        """Environment steps that were learned from."""
        return self.algo.update * self.settings.n_envs * self.settings.n_steps

    def validate(self) -> float:
        """Mean return on the validation episodes; the best policy so far is saved, and all of the run after this."""
        began_s, prefix = self.clock.elapsed_s, "policy."
        weights = {name.removeprefix(prefix): torch.as_tensor(value) for name, value in self.algo.weights().items()}
        self.policy.load_state_dict(weights)
        facts = validation(self.policy, self.meta, self.spec, self.settings)
        mean = facts["validation/return"]
        self.log(facts)
        if mean > self.best:
            self.best = mean
            checkpoint.save(self.policy, self.out, self.meta, timesteps=self.timesteps, validation_return=mean)
        self.due = self.clock.due_after(self.clock.share(self.timesteps), began_s, self.settings.evaluations)
        self.saved_s = -math.inf
        return mean

    def log(self, facts: dict[str, Any]) -> None:
        """A row of metrics.csv."""
        row = facts | {"time/elapsed_s": round(self.clock.elapsed_s, 2)}
        self.file.write(row, dict.fromkeys(row, ()), self.timesteps)

    def save(self, stop: Stop) -> None:
        """Save all of the run after a validation, where the last time is long ago, or where it ends; Interrupted then."""
        if stop.signal is None and self.clock.elapsed_s < self.saved_s + SAVE_EVERY_S:
            return
        self.saved_s = self.clock.elapsed_s
        progress = Progress(self.timesteps, self.saved_s, self.best, self.due, len(self.file.rows), self.meta)
        state = self.algo.get_run_state() | {resume_file.RUNNERS: self.algo.config.num_env_runners}
        resume_file.save(self.out, progress, state)
        if stop.signal is not None:
            raise stopped_and_saved(f"{self.timesteps:,} steps", self.out, stop, ENGINE)


def train(
    scenario: Any,
    task: str,
    settings: TrainSettings,
    *,
    seed: int,
    out: Path,
    minutes: float | None = None,
    runners: int = 2,
    resume: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> Path:
    """Train on the cluster that is connected, until `settings.timesteps` or the clock says so; returns `out`.

    The folder holds the policy that was best on the validation split, as `ppo.train` writes it, the last state
    (resume.safetensors), config.json and metrics.csv. The same seed and number of runners give the same weights unless
    `minutes` decides the end, whether workers die or not; with 0 runners all is done in this process. `resume` goes on
    with the run that `out` holds, with as many runners as it had, as if it had not stopped. `target_kl` is not asked:
    RLlib's learner plays all epochs. Raises Interrupted after a signal, when all is saved; ValueError for more runners
    than environments, where runners stay away, and for a run that is damaged, complete or of another engine.
    """
    if not 0 <= runners <= settings.n_envs:
        raise ValueError(f"{runners} env runners for {settings.n_envs} environments: take 0 to {settings.n_envs}")
    torch.set_num_threads(1)
    spec = loading.load(scenario)
    with held(out, make=not resume), stopped_by_signals() as stop:
        state, done = resume_file.read(out) if resume else ({}, None)
        if done is None:
            meta = ppo.make_meta(settings, task, spec, seed, minutes)
        else:
            meta = ppo.gone_on(settings, task, spec, seed, minutes, done)
            ppo.refuse_complete(out, done, Clock(settings.timesteps, minutes))
        algo = algorithm(meta, settings, seed, runners)
        try:
            run = Run(algo, meta, spec, settings, out, done)
            if done is None:
                clear(out)
            else:
                algo.set_run_state(state, out / resume_file.RESUME)
            facts = {"engine": ENGINE, "runners": runners, "resumed_at": None if done is None else done.timesteps}
            checkpoint.write_json(out / "config.json", describe_run(meta, **facts))
            _learn(run, stop, done, quiet, verbose)
        except KeyboardInterrupt:
            raise stopped_at_once(out, stop, ENGINE) from None
        finally:
            algo.stop()
            shutil.rmtree(algo.logdir, ignore_errors=True)  # empty: the files of the run are in `out`
    return out


def _learn(run: Run, stop: Stop, done: Progress | None, quiet: bool, verbose: bool) -> None:
    """Update and validate in turn until the end."""
    algo, clock, settings = run.algo, run.clock, run.settings
    clock.start(0.0 if done is None else done.elapsed_s)
    if done is None:
        algo.offset = run.validate() / run.spec.episode.steps
    while run.timesteps < settings.timesteps and not clock.is_up():
        algo.share = clock.share(run.timesteps)
        happened = algo.train()
        facts = {name: happened[name] for name in WATCHED}
        groups = {n: f"terms/{n.removeprefix('term_')}" if n.startswith("term_") else f"network/{n}" for n in facts}
        run.log({groups[n]: value for n, value in facts.items()})
        if verbose:
            print(f"  {run.timesteps:>9,} steps in {clock.elapsed_s:4.0f} s", file=sys.stderr)
        if clock.share(run.timesteps) >= run.due:
            mean = run.validate()
            if not quiet:
                words = f"validation {mean:.2f}, best {run.best:.2f}"
                print(f"  {run.timesteps:>9,} steps in {clock.elapsed_s:4.0f} s: {words}", file=sys.stderr)
        run.save(stop)
    run.validate()
    run.save(stop)
