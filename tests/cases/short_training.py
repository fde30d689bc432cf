"""A short world and small settings, for tests that train."""

from __future__ import annotations

from typing import Any

from og_agents.learning import train_settings
from og_agents.learning.train_settings import TrainSettings
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
