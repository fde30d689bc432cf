"""Training by PPO: MaskablePPO on placement and joint control, PPO on routing."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from tqdm import tqdm

from agents import checkpoint, evaluate
from agents.networks import SharedScorerPolicy
from agents.run_record import describe_run
from agents.sb3_adapter import SB3VecEnv
from og_env import config
from og_env.fields import TABLES
from og_env.layout import METRICS, TERMS
from og_env.specs import Count, NonNegative, Positive, ScenarioSpec, Share, Spec
from og_env.vector_env import NetworkVectorEnv

WATCHED = ("served_share", "verified_share", "latency_p95_ms", "usd_per_hour", "exposure", "n_eff", "sites_down")
"""metrics that TensorBoard shows besides the terms"""


class TrainSettings(Spec):
    """PPO's settings; the defaults are what DESIGN calls the winning recipe, without shaping."""

    policy: Literal["shared", "mlp"] = "shared"
    """shared scorer with the planner's gain as prior, or a plain MLP"""
    interface: Literal["proposals", "operations"] = "proposals"
    proposals: Count = 10
    n_envs: Count = 128
    n_steps: Count = 32
    batch_size: Count = 1024
    n_epochs: Count = 4
    learning_rate: Positive = 1e-3
    final_learning_rate: Share = 0.05
    """share of the learning rate that is left at the end"""
    gamma: Share = 0.95
    gae_lambda: Share = 0.9
    clip_range: Positive = 0.2
    ent_coef: NonNegative = 0.0
    hidden: Count = 32
    reward_scale: Positive = 10.0
    """in training only"""
    evaluation_episodes: Count = 64
    """on the validation split, for choosing the checkpoint"""
    evaluations: Count = 8
    """during the run, evenly spaced; one more before it"""


def make_meta(settings: TrainSettings, task: str, spec: ScenarioSpec) -> dict[str, Any]:
    """What a checkpoint must know to rebuild its policy."""
    interface = "operations" if task == "routing" else settings.interface
    if settings.policy == "shared" and interface == "operations":
        if task != "routing":
            raise ValueError("policy 'shared' scores proposals; with interface 'operations' use policy 'mlp'")
    shared = settings.policy == "shared" and task != "routing"
    return {
        "task": task,
        "scenario": spec.model_dump(mode="json", exclude_unset=True),
        "env_kwargs": {"interface": interface, "flatten": True, "proposals": settings.proposals},
        "algorithm": "PPO" if task == "routing" else "MaskablePPO",
        "policy": "shared" if shared else "mlp",
        "policy_kwargs": {"hidden": settings.hidden},
        "settings": settings.model_dump(mode="json"),
    }


def build(env: NetworkVectorEnv | SB3VecEnv, meta: dict[str, Any], seed: int, tensorboard: Path | None = None) -> Any:
    """The SB3 algorithm for an environment."""
    torch.set_num_threads(1)
    env = SB3VecEnv(env) if isinstance(env, NetworkVectorEnv) else env
    settings = TrainSettings.model_validate(meta.get("settings", {}))
    first, last = settings.learning_rate, settings.learning_rate * settings.final_learning_rate
    arguments: dict[str, Any] = {
        "n_steps": settings.n_steps,
        "batch_size": min(settings.batch_size, settings.n_steps * settings.n_envs),
        "n_epochs": settings.n_epochs,
        "learning_rate": lambda left: last + (first - last) * left,
        "gamma": settings.gamma,
        "gae_lambda": settings.gae_lambda,
        "clip_range": settings.clip_range,
        "ent_coef": settings.ent_coef,
        "seed": seed,
        "device": "cpu",
        "tensorboard_log": None if tensorboard is None else str(tensorboard),
    }
    if meta["policy"] == "shared":
        shapes = env.env.simulator.slices.shapes
        rows, columns = shapes["proposals"]
        sizes = (len(TABLES["globals"]), math.prod(shapes["models"]), rows, columns)
        kwargs = {"shapes": sizes, "knobs": meta["task"] == "joint", "hidden": meta["policy_kwargs"]["hidden"]}
        return MaskablePPO(SharedScorerPolicy, env, policy_kwargs=kwargs, **arguments)
    kwargs = {"net_arch": [64, 64]}
    if meta["algorithm"] == "PPO":
        return PPO("MlpPolicy", env, policy_kwargs=kwargs, **arguments)
    return MaskablePPO("MlpPolicy", env, policy_kwargs=kwargs, **arguments)


class Watch(BaseCallback):
    """Logs terms and metrics, evaluates on the validation split, keeps the best checkpoint, shows the time left."""

    def __init__(
        self, run: Path, meta: dict[str, Any], settings: TrainSettings, total: int, stop_at: float, quiet: bool
    ) -> None:
        super().__init__()
        self.run_folder, self.meta, self.settings = run, meta, settings
        self.total, self.stop_at, self.began = total, stop_at, time.monotonic()
        self.sums, self.count = np.zeros(len(TERMS) + len(METRICS)), 0
        self.best, self.next_evaluation = -math.inf, 0.0
        self.history: list[dict[str, float]] = []
        self.bar = tqdm(total=total, unit="step", disable=quiet, mininterval=2.0, dynamic_ncols=True)
        self.evaluation_s = 0.0

    def _on_step(self) -> bool:
        output = self.training_env.env.simulator.output  # type: ignore[attr-defined]
        self.sums += np.concatenate([output.terms.mean(axis=0), output.metrics.mean(axis=0)])
        self.count += 1
        return time.monotonic() < self.stop_at

    def progress(self) -> float:
        """Share of the run that is done, by steps or by the clock, whichever is further."""
        clock = (time.monotonic() - self.began) / max(self.stop_at - self.began, 1e-9)
        return min(max(self.num_timesteps / max(self.total, 1), clock if math.isfinite(self.stop_at) else 0.0), 1.0)

    def _on_rollout_start(self) -> None:
        self.model._current_progress_remaining = 1.0 - self.progress()
        if self.progress() >= self.next_evaluation:
            self.evaluate()
            self.next_evaluation += 1 / self.settings.evaluations

    def _on_rollout_end(self) -> None:
        means = self.sums / max(self.count, 1)
        for name, value in zip([f"terms/{term}" for term in TERMS], means, strict=False):
            self.logger.record(name, float(value))
        for name in WATCHED:
            self.logger.record(f"network/{name}", float(means[len(TERMS) + METRICS.index(name)]))
        self.sums[:] = 0
        self.count = 0
        self.bar.update(self.num_timesteps - self.bar.n)

    def evaluate(self) -> None:
        """Mean return on the validation split; the best model so far is kept in the run folder."""
        began = time.monotonic()
        policy = checkpoint.LearnedPolicy(self.model.policy, self.meta, "ppo")
        spec, task = config.load(self.meta["scenario"]), self.meta["task"]
        episodes = evaluate.run(policy, spec, task, self.settings.evaluation_episodes, 0, split="validation")
        mean = float(episodes.returns.mean())
        self.logger.record("validation/return", mean)
        for index, term in enumerate(TERMS):
            self.logger.record(f"validation/{term}", float(episodes.terms[:, index].mean()))
        self.logger.dump(self.num_timesteps)
        self.history.append({"timesteps": self.num_timesteps, "validation_return": mean})
        if mean > self.best:
            self.best = mean
            checkpoint.save(self.model, self.run_folder, self.meta | {"validation_return": mean}, resumable=False)
        self.bar.set_postfix_str(f"validation {mean:.2f}, best {self.best:.2f}")
        self.evaluation_s += time.monotonic() - began

    def _on_training_end(self) -> None:
        self.bar.close()


def train(
    scenario: Any,
    task: str,
    timesteps: int,
    *,
    seed: int,
    out: Path,
    settings: TrainSettings,
    minutes: float | None = None,
    resume: Path | None = None,
    quiet: bool = False,
) -> Path:
    """Train, keep the checkpoint that is best on the validation split in `out`, and the last state to resume from in
    `out`/last. Ctrl-C saves. Returns `out`."""
    spec = config.load(scenario)
    meta = make_meta(settings, task, spec)
    env = NetworkVectorEnv(settings.n_envs, task, spec, split="train", **meta["env_kwargs"])
    vec_env = SB3VecEnv(env, settings.reward_scale)
    model = build(vec_env, meta, seed)
    out.mkdir(parents=True, exist_ok=True)
    done = 0
    if resume is not None:
        checkpoint.load_weights(model, resume / "last")
        done = checkpoint.load_optimizer(model, resume / "last")
        model.num_timesteps = done
    checkpoint.write_json(out / "config.json", describe_run(meta, seed=seed, timesteps=timesteps, resumed_at=done))
    outputs = ["tensorboard", "csv"]
    model.set_logger(configure(str(out / "tb"), outputs))
    stop_at = math.inf if minutes is None else time.monotonic() + 60 * minutes
    watch = Watch(out, meta, settings, done + timesteps, stop_at, quiet)
    if resume is not None:
        watch.best = float(checkpoint.read_meta(resume).get("validation_return", -math.inf))
    try:
        model.learn(timesteps, callback=watch, reset_num_timesteps=resume is None, log_interval=4)
        watch.evaluate()
    except KeyboardInterrupt:
        watch.bar.close()
        checkpoint.save(model, out / "last", meta)
        print(f"stopped at {model.num_timesteps} steps and saved; go on with --resume {out}")
        raise
    finally:
        env.close()
    checkpoint.save(model, out / "last", meta)
    checkpoint.write_json(out / "history.json", watch.history)
    return out
