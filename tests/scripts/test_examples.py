"""Every example runs in its short form, and does what its first line says."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "scripts" / "examples"
NEEDS = {
    "sb3": ("stable_baselines3", "train"),
    "maskable_ppo": ("sb3_contrib", "train"),
    "cleanrl_ppo": ("torch", "train"),
    "torchrl_env": ("torchrl", "torchrl"),
    "multi_objective": ("mo_gymnasium", "mo"),
    "optuna_search": ("optuna", "optuna"),
    "rllib_ppo": ("ray", "rllib"),
}
"""module and extra that each example needs"""
LINES = 90


def run(name: str, *arguments: str):
    """Result of an example in its short form on the smallest world."""
    module, extra = NEEDS[name]
    pytest.importorskip(module, reason=f"needs the extra {extra}")
    example = importlib.import_module(f"scripts.examples.{name}")
    return example.main(["--short", "--scenario", "toy-3", *arguments])


def test_every_example_is_short_and_tested():
    examples = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    assert set(examples) == set(NEEDS)
    for name, text in examples.items():
        assert text.count("\n") < LINES and '__name__ == "__main__"' in text, name
        assert f"python scripts/examples/{name}.py" in text, "says how it is run"


def test_stable_baselines():
    mean, deviation = run("sb3")
    assert mean < 0 and deviation == 0


def test_maskable_ppo():
    pair = run("maskable_ppo")
    assert np.isfinite(pair.difference.value)


def test_cleanrl_ppo():
    means = run("cleanrl_ppo")
    assert len(means) == 2 and all(mean < 0 for mean in means)


def test_torchrl():
    rollout = run("torchrl_env")
    taken = rollout["action_mask"].gather(-1, rollout["action"].unsqueeze(-1))
    assert rollout.batch_size == (8,) and taken.all(), "only possible actions are taken"


def test_multi_objective():
    ((name, vector),) = run("multi_objective").items()
    assert name == "the scenario's" and vector.shape == (6,) and (vector <= 0).all()


def test_optuna(tmp_path):
    study = run("optuna_search", "--out", str(tmp_path))
    assert len(study.trials) == 2 and study.best_value < 0
    assert (tmp_path / "trial-1" / "policy.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_rllib():
    means = run("rllib_ppo")
    assert len(means) == 1 and means[0] < 0


def test_an_example_runs_as_a_script_from_any_folder(tmp_path):
    pytest.importorskip("torch", reason="needs the extra train")
    command = [sys.executable, str(FOLDER / "cleanrl_ppo.py"), "--short", "--scenario", "toy-3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "update 1" in done.stdout, done.stderr
