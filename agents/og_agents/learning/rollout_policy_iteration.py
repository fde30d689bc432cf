"""Rollout policy iteration: a policy learns from counterfactual branches which offer brings most.

The policy plays training episodes. At some moments each action is tried in a copy of the episode, and then all goes on as
it was played (`counterfactual_branches`). The network is fitted to the returns of the actions, by least squares on the
differences between the actions of a state (Bertsekas 2013, "Rollout algorithms"; Lagoudakis and Parr 2003 for
classification). It begins as the best planner that was found, and later rounds are played by the improved policy:
optimistic policy iteration. Returns differ most by rare and large losses, so the difference of a return from the median
one is `bent` beyond `branch_bend`. The policy that is kept has an average of the weights along the way, and the share of
its correction (`learned_share`) that is best on validation. It reads observations alone.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from og_agents.evaluation.progress import Progress as Shown
from og_agents.evaluation.progress import clock_text
from og_agents.learning import checkpoint, devices, loggers, resume_file
from og_agents.learning.branch_slices import SHARPNESS, Rounds, Slices
from og_agents.learning.counterfactual_branches import Branches
from og_agents.learning.learned_share import Part
from og_agents.learning.networks import masked_logits, policy_class
from og_agents.learning.ppo import begun, gone_on, make_meta, refuse_complete, validated_as
from og_agents.learning.resume_file import Progress, State
from og_agents.learning.router_beside import KEY
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
from og_agents.learning.shaped_reward import bent
from og_agents.learning.train_settings import Device, TrainSettings
from og_agents.learning.training_progress import ENVIRONMENTS, Clock, MetricsFile, best_of, next_due
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import choices_of
from og_env.vector_env import NetworkVectorEnv

SCALE = 3.5
"""fitted logit per unit of an action's return over the horizon"""
STATES_PER_UPDATE = 16
"""branched states for each minibatch"""
AVERAGE = 0.98
"""share of the averaged weights that is left after an update"""

SHOWN = 20
"""updates whose mean loss metrics.csv shows"""
STORED = ("stored.observations", "stored.masks", "stored.targets")
"""names of the branches in a state"""


class Learner:
    """A masked policy network, its average, and all branches so far."""

    def __init__(self, policy: Any, settings: TrainSettings, seed: int, device: str = devices.CPU) -> None:
        self.policy, self.settings, self.device = policy.to(device), settings, device
        scale_logits(policy, 1 / SHARPNESS)
        self.part = Part(policy)
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
        self.observations: list[torch.Tensor] = []
        self.masks: list[torch.Tensor] = []
        self.targets: list[torch.Tensor] = []
        self.losses: list[float] = []

    @property
    def states(self) -> int:
        """Number of states branched so far."""
        return sum(len(rows) for rows in self.observations)

    def add(self, tried: Branches) -> None:
        """Keep branches as centred targets of the fit."""
        masks, returns = torch.as_tensor(tried.masks), torch.as_tensor(tried.returns)
        middle = torch.where(masks, returns, torch.nan).nanmedian(dim=1, keepdim=True).values
        differences = torch.as_tensor(bent((returns - middle).numpy(), self.settings.branch_bend))
        self.observations.append(torch.as_tensor(tried.observations, device=self.device))
        self.masks.append(masks.to(self.device))
        self.targets.append(_centred(differences * SCALE, masks).to(self.device))

    def update(self, left: float) -> None:
        """Take a few steps of gradient descent; the share `left` of the run scales the learning rate."""
        fresh, last = len(self.observations[-1]), self.settings.final_learning_rate_share
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * (last + (1 - last) * left)
        stored = [torch.cat(rows) for rows in (self.observations, self.masks, self.targets)]
        self.observations, self.masks, self.targets = ([rows] for rows in stored)
        for _ in range(max(1, fresh // STATES_PER_UPDATE)):
            index = torch.randint(len(stored[0]), (self.settings.batch_size,), generator=self.generator).to(self.device)
            observations, masks, targets = (rows[index] for rows in stored)
            error = _centred(masked_logits(self.policy, observations, masks), masks) - targets
            loss = (error / SCALE).square().sum(1).mean()
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.settings.max_grad_norm)
            self.optimizer.step()
            self.losses.append(loss.item())
            self.part.add(self.policy, AVERAGE)
        self.part.play(self.policy)

    def get_state(self) -> State:
        """All that the next update depends on, beside the environments."""
        stored = [torch.cat(rows) for rows in (self.observations, self.masks, self.targets)]
        return {
            **resume_file.learned(self.policy, self.optimizer),
            **resume_file.generators(),
            **self.part.get_state(),
            **dict(zip(STORED, stored, strict=True)),
            "generator": self.generator.get_state(),
            "losses": self.losses[-SHOWN:],
        }

    def set_state(self, state: State, where: Path) -> None:
        """Go on where `get_state` was called; ValueError in one line for the state of another run."""
        resume_file.put_learned(self.policy, self.optimizer, state, where)
        try:
            self.observations, self.masks, self.targets = ([state[name].to(self.device)] for name in STORED)
            self.generator.set_state(state["generator"])
            self.losses = state["losses"]
            self.part.set_state(self.policy, state, self.states > 0, where)
            resume_file.put_generators(state)
        except KeyError:
            raise ValueError(f"{where}: damaged: a part of the state is missing") from None

    def policy_so_far(self, share: float | None = None) -> Any:
        """The averaged policy with a share of what was learned, the one that is played now for None."""
        policy = self.part.kept(share)
        scale_logits(policy, SHARPNESS)
        policy.set_training_mode(False)
        return policy


def scale_logits(policy: Any, factor: float) -> None:
    """Multiply a masked policy's logits."""
    if hasattr(policy.mlp_extractor, "scale_logits"):
        policy.mlp_extractor.scale_logits(factor)
        return
    with torch.no_grad():
        for values in policy.action_net.parameters():
            values *= factor


def _centred(values: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Values [B, A] minus their mean over possible actions; 0 for impossible ones."""
    values = values.masked_fill(~masks, 0.0)
    return (values - values.sum(1, keepdim=True) / masks.sum(1, keepdim=True)) * masks


def described(
    settings: TrainSettings, spec: ScenarioSpec, seed: int, minutes: float | None, task: str = "placement"
) -> dict[str, Any]:
    """The description that a checkpoint needs to rebuild the policy that the settings ask for, without a search."""
    meta = make_meta(of_placer(settings), "placement", spec, seed, minutes)
    return meta | described_as(task, settings)


def described_as(task: str, settings: TrainSettings) -> dict[str, Any]:
    """The part of a description of a placer that says how it learned, and in Joint beside which router."""
    if task not in ("placement", "joint"):
        raise ValueError(f"rollout policy iteration places, and {task} does not: take placement or joint")
    beside = {KEY: settings.router} if task == "joint" else {}
    return {"algorithm": "rpi", "task": task, **beside}


def of_placer(settings: TrainSettings) -> TrainSettings:
    """The settings without exploration, since every action is tried, and without steering, which a router does."""
    return settings.model_copy(update={"exploration": 0.0, "steering": "knobs"})


def untrained(env: NetworkVectorEnv, meta: Mapping[str, Any], begin: Path | None = None) -> Any:
    """The masked policy of a description before training, with the weights of the policy folder `begin` if there is one."""
    kind = policy_class(meta["policy"], masked=True)
    space = gym.spaces.Discrete(choices_of(env.single_action_space)[0])  # in Joint the router has the others
    policy = kind(env.single_observation_space, space, lambda _: 0.0, **meta["policy_kwargs"])
    if begin is not None:
        checkpoint.put_weights(policy, checkpoint.read_tensors(begin / checkpoint.WEIGHTS)[0], begin)
    return policy


class Run:
    """A run while it goes on: its clock, its validations, its files."""

    def __init__(
        self, out: Path, meta: dict[str, Any], spec: ScenarioSpec, settings: TrainSettings, spent_s: float, shown: Shown
    ) -> None:
        self.spent_s, self.shown = spent_s, shown
        self.out, self.meta, self.spec, self.settings = out, meta, spec, settings
        self.clock = Clock(settings.branch_states, meta["minutes"])
        self.best, self.due, self.saved_s = -math.inf, 0.0, 0.0
        self.file = MetricsFile(out / "metrics.csv", 0)
        self.curves: loggers.Curves | None = None

    def start(self, done: Progress | None) -> None:
        """Start the clock and the curves, where `done` says how far the run was."""
        self.curves = loggers.Curves(self.out / "tb", loggers.hyper_parameters(self.meta))
        if done is None:
            self.clock.start(self.spent_s)
            return
        self.clock.start(done.elapsed_s)
        self.shown.began_with(self.clock.share(done.timesteps))
        self.file = MetricsFile(self.out / "metrics.csv", done.rows)
        self.best, self.due, self.saved_s = done.best, next_due(done, self.meta, self.clock), done.elapsed_s

    def advance(self, learner: Learner, verbose: bool) -> None:
        """Show how far the run is; `verbose`: by a line that stays."""
        words = f"{learner.states:,} states, best validation {self.best:.2f}"
        self.shown.at(min(self.clock.share(learner.states), 1.0), words)
        if verbose:
            self.shown.tell(f"{words}, {clock_text(self.clock.elapsed_s)}")

    def validate(self, learner: Learner, share: float) -> None:
        """Validate some shares of what was learned so far, play the best of them, and save it where it is the best."""
        began_s = self.clock.elapsed_s
        returns = [float(row["validation/return"]) for row in self.file.rows]
        shares = learner.part.shares(lost=len(returns) > 1 and returns[-1] < returns[0])
        best, row = best_of([learner.policy_so_far(each) for each in shares], self.meta, self.spec, self.settings)
        learner.part.play(learner.policy, shares[best])
        mean = row["validation/return"]
        row |= {
            "validation/learned_share": learner.part.share,
            "time/elapsed_s": round(self.clock.elapsed_s, 2),
            "train/loss": float(np.mean(learner.losses[-SHOWN:])) if learner.losses else math.nan,
        }
        self.file.write(row, dict.fromkeys(row, ()), learner.states)
        if self.curves is not None:
            self.curves.write(row, step=learner.states)
        if mean > self.best:
            self.best = mean
            facts = {"branch_states": learner.states, **learner.part.described}
            checkpoint.save(learner.policy_so_far(), self.out, self.meta, **facts, validation_return=mean)
        self.shown.close()
        if not self.shown.quiet:
            counted = f"  {share:4.0%} {learner.states:>7,} states"
            played = f"with {learner.part.share:g} of what was learned" if learner.states else "at the start"
            print(f"{counted}: validation {mean:.2f} {played}, best {self.best:.2f}", file=sys.stderr)
        self.due = self.clock.due_after(share, began_s, self.settings.evaluations)
        self.saved_s = -math.inf

    def close(self) -> None:
        """Write what is left of the curves, and remove the line of progress."""
        self.shown.close()
        if self.curves is not None:
            self.curves.close()

    def save(self, learner: Learner, rounds: Rounds, stop: Stop) -> None:
        """Save all of the run after a validation, where the last time is long ago, or where it ends; Interrupted then."""
        if stop.signal is None and self.clock.elapsed_s < self.saved_s + SAVE_EVERY_S:
            return
        self.saved_s = self.clock.elapsed_s
        progress = Progress(learner.states, self.saved_s, self.best, self.due, len(self.file.rows), self.meta)
        state = learner.get_state() | {ENVIRONMENTS + name: value for name, value in rounds.get_state().items()}
        resume_file.save(self.out, progress, state)
        if stop.signal is not None:
            raise stopped_and_saved(f"{learner.states:,} states", self.out, stop)


def train(
    scenario: Any,
    settings: TrainSettings,
    *,
    seed: int,
    out: Path,
    minutes: float | None = None,
    resume: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    begin: Path | None = None,
    spread: Callable[[dict[str, Any]], Rounds] = Slices,
    device: Device = "auto",
    task: str = "placement",
) -> Path:
    """Learn until `branch_states` states were branched or the time is up, and return the run folder `out`.

    The folder holds the files of ppo.train, whose options and errors these are. `begin` is a policy's folder. `spread`
    makes the environments of a description, on threads of this process or elsewhere, and `device` is where the network
    learns. In the task joint the router of the settings steers. The same seed gives the same weights, wherever the
    environments are, unless `minutes` decides the end.
    """
    where, spec = devices.chosen(device), loading.load(scenario)
    torch.set_num_threads(1)
    with held(out, make=not resume), stopped_by_signals() as stop:
        state, done = resume_file.read(out) if resume else ({}, None)
        spent_s, plain = 0.0, of_placer(settings)
        if done is None:
            meta, spent_s, _ = begun(plain, "placement", spec, seed, minutes, begin, quiet)
        else:
            meta = gone_on(plain, "placement", spec, seed, minutes, done)
        settings = validated_as(settings, meta)
        meta |= described_as(task, settings)
        meta["begun_from"] = checkpoint.algorithm_of(begin) if done is None else done.meta.get("begun_from")
        run = Run(out, meta, spec, settings, spent_s, Shown(1.0, quiet=quiet, verbose=verbose))
        if done is not None:
            refuse_complete(out, done, run.clock)
        torch.manual_seed(seed)
        rounds = spread(meta)
        learner = Learner(untrained(rounds.env, meta, begin), settings, seed, where)
        if done is None:
            clear(out)
        else:
            learner.set_state(state, out / resume_file.RESUME)
            rounds.set_state(resume_file.part_of(state, ENVIRONMENTS), out / resume_file.RESUME)
        record = describe_run(meta, device=where, resumed_at=None if done is None else done.timesteps)
        checkpoint.write_json(out / "config.json", record)
        try:
            _learn(run, learner, rounds, done, stop, verbose)
        except KeyboardInterrupt:
            raise stopped_at_once(out, stop) from None
        finally:
            run.close()
            rounds.close()
    return out


def _learn(run: Run, learner: Learner, rounds: Rounds, done: Progress | None, stop: Stop, verbose: bool) -> None:
    """Branch, learn and validate in turn until the end."""
    # the first round compiles the kernels, once on a machine, which is no training time
    first = rounds.play(learner.part.player) if done is None else None
    run.start(done)
    while True:
        share = run.clock.share(learner.states)
        if share >= run.due or share >= 1:
            run.validate(learner, share)
        if first is None:  # else the environments stand at branches that were not learned from yet
            run.save(learner, rounds, stop)
        if share >= 1:
            return
        learner.add(rounds.play(learner.part.player) if first is None else first)
        first = None
        learner.update(1 - share)
        run.advance(learner, verbose)
