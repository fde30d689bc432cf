"""Optuna: a search over PPO's settings, scored on validation episodes; needs the extras `train` and `optuna`.

python scripts/examples/optuna_search.py --scenario global-16 --trials 30 --timesteps 50000 --out runs/search

With --storage sqlite:///search.db, or a server, several processes and machines work on one search.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from og_agents.learning import checkpoint, ppo, train_settings


def settings_of(trial: optuna.Trial, fixed: dict[str, Any]) -> train_settings.TrainSettings:
    """Settings that the trial asks for; the others are the shipped ones."""
    chosen = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        "gamma": 1 - trial.suggest_float("one_minus_gamma", 0.003, 0.1, log=True),
        "gae_lambda": trial.suggest_float("gae_lambda", 0.8, 0.98),
        "ent_coef": trial.suggest_float("ent_coef", 1e-4, 1e-2, log=True),
        "n_epochs": trial.suggest_int("n_epochs", 2, 8),
        "beta": trial.suggest_float("beta", 10.0, 80.0, log=True),
        "prior": trial.suggest_categorical("prior", ["gain", "tuned"]),
    }
    return train_settings.load(None, {**chosen, **fixed})


def main(arguments: Sequence[str] | None = None) -> optuna.Study:
    """Search, and return the study; every trial's run folder is kept under --out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--scenario", default="global-16")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--timesteps", type=int, default=50_000, help="of each trial")
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    parser.add_argument("--storage", help="URL of a database that trials are kept in")
    parser.add_argument("--short", action="store_true", help="two trials of a few hundred steps, to see that it runs")
    options = parser.parse_args(arguments)
    fixed: dict[str, Any] = {"timesteps": options.timesteps}
    if options.short:
        fixed = {"timesteps": 256, "n_envs": 4, "n_steps": 32, "batch_size": 64, "evaluation_episodes": 2}
        fixed["evaluations"] = 1

    def score(trial: optuna.Trial) -> float:
        out = options.out / f"trial-{trial.number}"
        settings = settings_of(trial, fixed)
        ppo.train(options.scenario, "placement", settings, seed=trial.number, out=out, quiet=True)
        return checkpoint.read_meta(out)["validation_return"]

    sampler = optuna.samplers.TPESampler(seed=0)
    study = optuna.create_study(
        direction="maximize", sampler=sampler, storage=options.storage, study_name="ppo", load_if_exists=True
    )
    study.optimize(score, n_trials=2 if options.short else options.trials)
    best = ", ".join(f"{name} {value}" for name, value in study.best_params.items())
    print(f"best validation return {study.best_value:.2f}: {best}")
    return study


if __name__ == "__main__":
    main()
