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
from og_agents.learning import checkpoint, ppo
from og_agents.learning.run_folder import Interrupted, clear, held
from og_agents.learning.run_record import describe_run
from og_agents.learning.train_settings import TrainSettings
from og_agents.learning.training_progress import Clock, MetricsFile, validation
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec


class Run:
    """A run while it goes on: its validation, its files."""

    def __init__(
        self, algo: FragmentPPO, meta: dict[str, Any], spec: ScenarioSpec, settings: TrainSettings, out: Path
    ) -> None:
        self.algo, self.meta, self.spec, self.settings, self.out = algo, meta, spec, settings, out
        self.file, self.best = MetricsFile(out / "metrics.csv"), -math.inf
        model = algo.config.rl_module_spec.model_config
        self.policy = make_policy(model, algo.config.action_space)
        self.policy.set_training_mode(False)

    @property
    def timesteps(self) -> int:
        """Environment steps that were learned from."""
        return self.algo.update * self.settings.n_envs * self.settings.n_steps

    def validate(self, elapsed_s: float) -> float:
        """Mean return on the validation episodes; the best policy so far is saved."""
        prefix = "policy."
        weights = {name.removeprefix(prefix): torch.as_tensor(value) for name, value in self.algo.weights().items()}
        self.policy.load_state_dict(weights)
        facts = validation(self.policy, self.meta, self.spec, self.settings)
        mean = facts["validation/return"]
        self.log(facts | {"time/elapsed_s": round(elapsed_s, 2)})
        if mean > self.best:
            self.best = mean
            checkpoint.save(self.policy, self.out, self.meta, timesteps=self.timesteps, validation_return=mean)
        return mean

    def log(self, facts: dict[str, Any]) -> None:
        """A row of metrics.csv."""
        self.file.write(facts, dict.fromkeys(facts, ()), self.timesteps)


def train(
    scenario: Any,
    task: str,
    settings: TrainSettings,
    *,
    seed: int,
    out: Path,
    minutes: float | None = None,
    runners: int = 2,
    quiet: bool = False,
    verbose: bool = False,
) -> Path:
    """Train on the cluster that is connected, until `settings.timesteps` or the clock says so; returns `out`.

    The folder holds the policy that was best on the validation split, as `ppo.train` writes it, config.json and
    metrics.csv. The same seed and number of runners give the same weights unless `minutes` decides the end, whether
    workers die or not; with 0 runners all is done in this process. `target_kl` is not asked: RLlib's learner plays all
    epochs. Raises Interrupted after Ctrl-C; ValueError for more runners than environments, or where runners stay
    away.
    """
    if not 0 <= runners <= settings.n_envs:
        raise ValueError(f"{runners} env runners for {settings.n_envs} environments: take 0 to {settings.n_envs}")
    torch.set_num_threads(1)
    spec = loading.load(scenario)
    meta = ppo.make_meta(settings, task, spec, seed, minutes)
    clock = Clock(settings.timesteps, minutes)
    algo = algorithm(meta, settings, seed, runners)
    try:
        with held(out):
            clear(out)
            checkpoint.write_json(out / "config.json", describe_run(meta, engine="rllib", runners=runners))
            _learn(algo, Run(algo, meta, spec, settings, out), clock, quiet, verbose)
    finally:
        algo.stop()
        shutil.rmtree(algo.logdir, ignore_errors=True)  # empty: the files of the run are in `out`
    return out


def _learn(algo: FragmentPPO, run: Run, clock: Clock, quiet: bool, verbose: bool) -> None:
    """Update and validate in turn until the end."""
    settings = run.settings
    clock.start()
    try:
        mean, due = run.validate(0.0), 1 / settings.evaluations
        algo.offset = mean / run.spec.episode.steps
        while run.timesteps < settings.timesteps and not clock.is_up():
            algo.share = clock.share(run.timesteps)
            happened = algo.train()
            facts = {name: happened[name] for name in WATCHED}
            groups = {n: f"terms/{n.removeprefix('term_')}" if n.startswith("term_") else f"network/{n}" for n in facts}
            run.log({groups[n]: value for n, value in facts.items()} | {"time/elapsed_s": round(clock.elapsed_s, 2)})
            if verbose:
                print(f"  {run.timesteps:>9,} steps in {clock.elapsed_s:4.0f} s", file=sys.stderr)
            if clock.share(run.timesteps) < due:
                continue
            began_s = clock.elapsed_s
            mean = run.validate(began_s)
            due = clock.due_after(clock.share(run.timesteps), began_s, settings.evaluations)
            if not quiet:
                words = f"validation {mean:.2f}, best {run.best:.2f}"
                print(f"  {run.timesteps:>9,} steps in {clock.elapsed_s:4.0f} s: {words}", file=sys.stderr)
        run.validate(clock.elapsed_s)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped after {run.timesteps:,} steps; {run.out} holds the best policy so far") from None
