"""A run that was stopped or killed goes on bit for bit: at the end it is the run that was left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from og_agents.learning import checkpoint, ppo, resume_file, rollout_policy_iteration, training_progress
from og_agents.learning.resume_file import Progress
from og_agents.learning.run_folder import Interrupted
from og_env.vector_env import NetworkVectorEnv
from tests.cases import killed_training
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()
KILLS = int(os.environ.get("OG_KILLS", "10"))
"""kills of a kind of run in the slow test"""


class Killed(BaseException):
    """The end of a process, in a test."""


def killed_at(tick: int, patch: pytest.MonkeyPatch) -> None:
    """Raise Killed in place of the given step of environments, move of a file or step of an optimizer, of all of them."""
    count = 0

    def counted(original, *given, **named):
        nonlocal count
        count += 1
        if count == tick:
            raise Killed
        return original(*given, **named)

    patch.setattr(NetworkVectorEnv, "step", lambda *given: counted(step, *given))
    patch.setattr(checkpoint.os, "replace", partial(counted, os.replace))
    patch.setattr(torch.optim.Adam, "step", lambda *given, **named: counted(adam, *given, **named))


step, adam = NetworkVectorEnv.step, torch.optim.Adam.step


@pytest.mark.parametrize("kind", killed_training.KINDS)
def test_a_run_that_is_stopped_anywhere_ends_as_if_it_was_not(kind, tmp_path, monkeypatch):
    for module in (training_progress, rollout_policy_iteration):
        monkeypatch.setattr(module, "SAVE_EVERY_S", 0.0)
    killed_training.train(kind, tmp_path / "alone")
    expected, draw = killed_training.digest(tmp_path / "alone"), random.Random(kind)
    stops, out = 0, tmp_path / "stopped"
    while not killed_training.is_complete(out):
        with monkeypatch.context() as patch:
            if stops < 4:
                killed_at(draw.randrange(20, 80), patch)
            try:
                killed_training.train(kind, out)
            except Killed:
                stops += 1
    assert stops >= 2 and killed_training.digest(out) == expected
    same = [json.loads((tmp_path / name / checkpoint.CARD).read_text()) for name in ("alone", "stopped")]
    assert same[0] == same[1]
    assert [path.read_text().count("\n") for path in tmp_path.glob("*/metrics.csv")] in ([5, 5], [6, 6])


@pytest.mark.parametrize("kind", ["ppo", "rpi", "beside"])
def test_a_run_may_be_stopped_as_soon_as_it_goes_on(kind, tmp_path, monkeypatch):
    killed_training.train(kind, tmp_path / "alone")
    module, out = ppo if kind == "ppo" else rollout_policy_iteration, tmp_path / "stopped"
    original, stops = module.describe_run, []

    def stopped(*given, **named):
        if len(stops) < 3:
            stops.append(signal.raise_signal(signal.SIGTERM))
        return original(*given, **named)

    monkeypatch.setattr(module, "describe_run", stopped)
    for _ in range(3):
        with pytest.raises(Interrupted, match="and saved"):
            killed_training.train(kind, out)
    killed_training.train(kind, out)
    assert killed_training.digest(out) == killed_training.digest(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_a_run_that_is_killed_at_random_moments_ends_as_if_it_was_not():
    command = [sys.executable, "-m", "tests.cases.killed_training", "--kills", str(KILLS)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f" {KILLS} kills") == len(killed_training.KINDS)


def test_a_run_by_the_clock_goes_on_where_its_episodes_were(tmp_path, monkeypatch):
    settings = small_settings(timesteps=10**6)
    calls = []
    monkeypatch.setattr(
        training_progress.Clock, "is_up", lambda self: calls.append(0) or len(calls) % 21 == 0
    )  # in the middle of a rollout
    train = partial(ppo.train, WORLD, "placement", seed=0, out=tmp_path, minutes=60.0, quiet=True)
    train(settings)
    state, progress = resume_file.read(tmp_path)
    assert progress.timesteps == 21 * settings.n_envs
    observation = state["environments.episodes.observation"]
    seen = []
    original = ppo.MaskablePPO.collect_rollouts

    def remember(self, *given, **named):
        seen.append((self._last_obs.copy(), self._last_episode_starts.copy()))
        return original(self, *given, **named)

    monkeypatch.setattr(ppo.MaskablePPO, "collect_rollouts", remember)
    train(settings, resume=True)
    assert np.array_equal(seen[0][0], observation) and np.array_equal(seen[0][1], state["starts"])


def test_a_longer_run_validates_evenly_over_what_is_left(tmp_path):
    settings = small_settings(timesteps=64)
    train = partial(ppo.train, WORLD, "placement", seed=0, out=tmp_path, quiet=True)
    train(settings)
    train(settings.model_copy(update={"timesteps": 128, "evaluations": 4}), resume=True)
    text = (tmp_path / "metrics.csv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(text[0].split(","), line.split(","), strict=True)) for line in text[1:]]
    assert [row["timesteps"] for row in rows if row["validation/return"]] == ["0", "32", "64", "96", "128"]


@pytest.mark.parametrize("kind", ["ppo", "rpi"])
def test_a_run_that_goes_on_keeps_its_best_policy(kind, tmp_path, monkeypatch):
    module = {"ppo": training_progress, "rpi": rollout_policy_iteration}[kind]
    values = iter(range(0, -20, -1))
    monkeypatch.setattr(training_progress, "validation", lambda *given: {"validation/return": float(next(values))})
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.0)
    with monkeypatch.context() as patch:
        killed_at({"ppo": 45, "rpi": 60}[kind], patch)
        with pytest.raises(Killed):
            killed_training.train(kind, tmp_path)
    assert resume_file.read(tmp_path)[1].best == 0.0
    killed_training.train(kind, tmp_path)
    assert next(values) <= -4, "it validated after it went on"
    assert resume_file.read(tmp_path)[1].best == checkpoint.read_meta(tmp_path)["validation_return"] == 0.0


def test_a_run_that_goes_on_has_as_many_episodes_in_a_validation_as_before():
    settings = small_settings(timesteps=32)
    meta = ppo.make_meta(settings.model_copy(update={"evaluation_episodes": 1}), "placement", WORLD, 0)
    assert settings.evaluation_episodes > 1
    found = ppo.gone_on(settings, "placement", WORLD, 0, None, Progress(64, 1.5, -3.0, 0.4, 7, meta))
    assert found["settings"]["evaluation_episodes"] == 1
    assert ppo.validated_as(settings, found).evaluation_episodes == 1


def test_a_state_comes_back(tmp_path):
    progress = Progress(64, 1.5, -3.0, 0.4, 7, {"task": "placement"})
    state = {
        "weights": torch.arange(6.0).reshape(2, 3),
        "none": np.zeros((0, 3), np.int32),
        "seeds": np.array([2**64 - 1], np.uint64),
        "flags": np.array([[True, False]]),
        "turned": np.arange(6).reshape(2, 3).T,
        "rng": np.random.default_rng(0).bit_generator.state,
    }
    resume_file.save(tmp_path, progress, state)
    found, done = resume_file.read(tmp_path)
    assert done == progress and found.keys() == state.keys() and found["rng"] == state["rng"]
    assert torch.equal(found["weights"], state["weights"])
    for name in ("none", "seeds", "flags", "turned"):
        assert found[name].dtype == state[name].dtype and np.array_equal(found[name], state[name])
        assert found[name].shape == state[name].shape


def test_states_that_were_altered_or_are_of_another_version_are_refused(tmp_path):
    resume_file.save(tmp_path, Progress(0, 0.0, 0.0, 0.0, 0, {}), {"a": np.arange(8)})
    tensors, header = checkpoint.read_tensors(tmp_path / resume_file.RESUME)
    tensors["a"][0] += 1
    save_file(tensors, tmp_path / resume_file.RESUME, header)
    with pytest.raises(ValueError, match=r"resume\.safetensors: damaged: its checksum is another one"):
        resume_file.read(tmp_path)
    save_file(tensors, tmp_path / resume_file.RESUME, {"progress": "{}"})
    with pytest.raises(ValueError, match="format 1, and this version reads 4: begin anew from its policy with --start"):
        resume_file.read(tmp_path)


def test_the_state_of_another_run_is_one_line(tmp_path):
    ppo.train(WORLD, "placement", small_settings(timesteps=32), seed=0, out=tmp_path, quiet=True)
    more = partial(ppo.train, seed=0, out=tmp_path, quiet=True, resume=True)
    for changes, message in (
        ({"n_envs": 3}, "state is of environments 4, and here it is 3"),
        ({"hidden": 16}, "weights of another network"),
        ({"policy": "mlp"}, "weights of another network"),
        ({"branch_horizon": 5}, "state of the planner's paths: 0.rewards is missing or of another size"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            more(WORLD, "placement", small_settings(timesteps=64, **changes))
        assert "\n" not in str(error.value) and str(tmp_path / resume_file.RESUME) in str(error.value)


def test_another_thread_gets_no_signals_and_trains(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    settings = small_settings(timesteps=32)
    with ThreadPoolExecutor(1) as pool:
        out = pool.submit(partial(ppo.train, WORLD, "placement", settings, seed=0, out=tmp_path, quiet=True)).result()
    assert checkpoint.load(out)
