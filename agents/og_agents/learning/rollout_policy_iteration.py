"""Rollout policy iteration: learns from branches which offer brings most, and sees observations alone.

The policy plays training episodes; in every few steps each action is tried in a copy of the episode, with the policy
so far afterwards, and the network is fitted to what the actions brought, by least squares on the differences between the
actions of a state (Bertsekas 2013, "Rollout algorithms"; Lagoudakis and Parr 2003 for classification). It begins as the
tuned greedy planner, and what it improves by, the next branches go on with: optimistic policy iteration. A
rollout's noise is mostly rare and large, so what a return differs from the median one by is `bent` beyond `branch_bend`.
What is kept is an average of the weights along the way.
"""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from og_agents.learning import checkpoint
from og_agents.learning.counterfactual_branches import Branches, branches
from og_agents.learning.networks import masked_logits, policy_class
from og_agents.learning.ppo import clear, make_meta
from og_agents.learning.run_record import describe_run
from og_agents.learning.shaped_reward import bent
from og_agents.learning.train_settings import TrainSettings
from og_agents.learning.training_progress import Clock, MetricsFile, validation
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.vector_env import NetworkVectorEnv

SCALE = 25.0
"""fitted numbers per unit of reward that an action brings over the horizon"""
SHARPNESS = 200.0
"""logits of the policy per fitted number: small numbers are fitted faster, large ones are played nearly greedily. With
the prior's logits of 800 per unit of a step's gain a fitted number means what the prior does: a gain acts for some of
the horizon's steps"""
RANDOM = 0.05
"""share of actions played at random, so that unlikely states are seen too"""
UPDATES = 16
"""minibatches after every batch of branches: four leave most of what the branches say unlearned (configs/training/RESULTS.md)"""
AVERAGE = 0.98
"""what is left of the averaged weights after an update"""


class Learner:
    """A masked policy network, its average, and all branches so far."""

    def __init__(self, policy: Any, settings: TrainSettings, seed: int) -> None:
        self.policy, self.settings = policy, settings
        scale_logits(policy, 1 / SHARPNESS)
        self.average = copy.deepcopy(policy)
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
        self.observations: list[torch.Tensor] = []
        self.masks: list[torch.Tensor] = []
        self.targets: list[torch.Tensor] = []
        self.losses: list[float] = []

    @property
    def states(self) -> int:
        return sum(len(rows) for rows in self.observations)

    def act(self, observations: npt.NDArray[np.float32], masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.integer]:
        """Sampled actions [B], some of them at random."""
        with torch.no_grad():
            logits = masked_logits(self.policy, torch.as_tensor(observations), torch.as_tensor(masks)).double().numpy()
        logits *= SHARPNESS
        wild = self.rng.random(len(logits)) < RANDOM
        logits = np.where(masks & wild[:, None], 0.0, logits)
        return (logits + self.rng.gumbel(size=logits.shape)).argmax(axis=1)

    def follow(self, observations: npt.NDArray[np.float32], masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.integer]:
        """The likeliest actions [B] of the averaged policy."""
        with torch.inference_mode():
            logits = masked_logits(self.average, torch.as_tensor(observations), torch.as_tensor(masks))
        return logits.argmax(dim=1).numpy()

    def add(self, tried: Branches) -> None:
        """Keep branches as centred targets."""
        masks, returns = torch.as_tensor(tried.masks), torch.as_tensor(tried.returns)
        middle = torch.where(masks, returns, torch.nan).nanmedian(dim=1, keepdim=True).values
        differences = torch.as_tensor(bent((returns - middle).numpy(), self.settings.branch_bend))
        self.observations.append(torch.as_tensor(tried.observations))
        self.masks.append(masks)
        self.targets.append(_centred(differences * SCALE, masks))

    def update(self, left: float) -> None:
        """A few steps of gradient descent; `left` of the run scales the learning rate."""
        last = self.settings.final_learning_rate_share
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * (last + (1 - last) * left)
        stored = [torch.cat(rows) for rows in (self.observations, self.masks, self.targets)]
        self.observations, self.masks, self.targets = ([rows] for rows in stored)
        for _ in range(UPDATES):
            index = torch.randint(len(stored[0]), (self.settings.batch_size,), generator=self.generator)
            observations, masks, targets = (rows[index] for rows in stored)
            error = _centred(masked_logits(self.policy, observations, masks), masks) - targets
            loss = (error / SCALE).square().sum(1).mean()
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.settings.max_grad_norm)
            self.optimizer.step()
            self.losses.append(loss.item())
            self._average()

    def _average(self) -> None:
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.policy.parameters(), strict=True):
                mean.lerp_(value, 1 - AVERAGE)

    def policy_so_far(self) -> Any:
        """The averaged policy, as it is played."""
        policy = copy.deepcopy(self.average)
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
    """Values [B, A] minus their mean over possible actions; 0 for the others."""
    values = values.masked_fill(~masks, 0.0)
    return (values - values.sum(1, keepdim=True) / masks.sum(1, keepdim=True)) * masks


def described(settings: TrainSettings, spec: ScenarioSpec, seed: int, minutes: float | None) -> dict[str, Any]:
    """What a checkpoint must know to rebuild its policy, which never explores by itself: every action is tried anyway."""
    settings = settings.model_copy(update={"exploration": 0.0})
    return make_meta(settings, "placement", spec, seed, minutes) | {"algorithm": "rpi"}


def untrained(env: NetworkVectorEnv, settings: TrainSettings, spec: ScenarioSpec) -> Any:
    """The masked policy of the settings, as it begins."""
    meta = described(settings, spec, 0, None)
    kind = policy_class(meta["policy"], masked=True)
    return kind(env.single_observation_space, env.single_action_space, lambda _: 0.0, **meta["policy_kwargs"])


def train(
    scenario: Any,
    settings: TrainSettings,
    *,
    seed: int,
    out: Path,
    minutes: float | None = None,
    quiet: bool = False,
    begin: Path | None = None,
) -> Path:
    """Learn until `branch_states` states were branched or the clock says so, and return the run folder `out`.

    It holds what ppo.train writes, without resume.safetensors and tb/. `begin` is the folder of a policy to start from.
    The same seed gives the same weights unless `minutes` decides the end.
    """
    spec = loading.load(scenario)
    meta = described(settings, spec, seed, minutes)
    meta["begun_from"] = checkpoint.algorithm_of(begin)
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    env = NetworkVectorEnv(settings.n_envs, meta["task"], spec, split="train", **meta["env_kwargs"])
    policy = untrained(env, settings, spec)
    if begin is not None:
        checkpoint.put_weights(policy, checkpoint.read_tensors(begin / checkpoint.WEIGHTS)[0], begin)
    learner = Learner(policy, settings, seed)
    clear(out)
    checkpoint.write_json(out / "config.json", describe_run(meta))
    metrics, best = MetricsFile(out / "metrics.csv"), -math.inf
    clock, due = Clock(settings.branch_states, minutes), 0.0
    states = branches(
        env,
        learner.act,
        seed,
        spacing=settings.branch_spacing,
        horizon=settings.branch_horizon,
        truth=settings.branch_truth,
        follow=learner.follow,
    )
    try:
        first = next(states)  # compiles the kernels, once on a machine: no training time
        clock.start()
        for tried in itertools.chain([first], states):
            share = clock.share(learner.states)
            if share >= due or share >= 1:
                policy = learner.policy_so_far()
                row = validation(policy, meta, spec, settings)
                mean, row["time/elapsed_s"] = row["validation/return"], round(clock.elapsed_s, 2)
                row["train/loss"] = float(np.mean(learner.losses[-20:])) if learner.losses else math.nan
                metrics.write(row, dict.fromkeys(row, ()), learner.states)
                if mean > best:
                    best = mean
                    checkpoint.save(policy, out, meta, branch_states=learner.states, validation_return=mean)
                if not quiet:
                    print(
                        f"  {share:4.0%} {learner.states:>7,} states: validation {mean:.2f}, best {best:.2f}",
                        flush=True,
                    )
                due = share + 1 / settings.evaluations
            if share >= 1:
                break
            learner.add(tried)
            learner.update(1 - share)
    finally:
        states.close()
        env.close()
    return out
