"""A short world and small settings, for tests that train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from og_agents.learning import ppo, train_settings
from og_agents.learning.train_settings import TrainSettings
from og_agents.learning.training_progress import Clock
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec

STEPS = 12
SMALL = {
    "n_envs": 4,
    "n_steps": 8,
    "batch_size": 16,
    "n_epochs": 2,
    "learning_rate": 1e-3,
    "evaluations": 2,
    "evaluation_episodes": 2,
    "prior": "tuned",
    "credit": "planner",
    "branch_horizon": 4,
    "branch_spacing": 3,
    "branch_moments": 2,
    "filtered": False,
}


def short_world(name: str = "toy-3", **changes: Any) -> ScenarioSpec:
    """Twelve steps of a scenario, with demand and outages that differ between episodes."""
    return loading.override(
        loading.load(name),
        {
            "episode.steps": STEPS,
            "demand.burst_sd": 0.3,
            "failures.process": "correlated",
            "failures.intensity": 100.0,
            **changes,
        },
    )


def small_settings(**changes: Any) -> TrainSettings:
    return train_settings.load(None, {**SMALL, "timesteps": 96, **changes})


def untrained(settings: TrainSettings, world: ScenarioSpec, seed: int) -> Any:
    """The algorithm of PPO on placement before training, whose environments have a seed."""
    meta = ppo.make_meta(settings, "placement", world, seed)
    env = ppo.training_env(world, meta, settings)
    env.seed(seed)
    return ppo.build(env, meta, settings, Clock(None, None), seed)


def short_files(folder: Path) -> tuple[str, str]:
    """Write the short world of toy-3 and SMALL as files, as a user would; returns their paths."""
    text = (loading.scenarios_folder() / "toy-3.toml").read_text(encoding="utf-8")
    for old, new in (
        ("steps = 60", f"steps = {STEPS}"),
        ("burst_sd = 0.0", "burst_sd = 0.3"),
        ('process = "none"', 'process = "correlated"\nintensity = 100.0'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "short.toml").write_text(text, encoding="utf-8")
    (folder / "small.toml").write_text(tomli_w.dumps(SMALL), encoding="utf-8")
    return str(folder / "short.toml"), str(folder / "small.toml")
