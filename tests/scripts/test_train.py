"""Training from the command line: run folder, reproducible weights, Ctrl-C and resume, one line for bad input."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from og_agents.commands import train
from og_agents.evaluation import playing
from og_agents.learning import checkpoint, loggers, ppo, resume_file, run_folder, train_settings, training_progress
from og_agents.learning.training_progress import Clock
from og_env import IDS
from og_env.kernel.arrays import TERMS
from og_env.scenario import loading
from tests.cases.short_training import SMALL, STEPS, short_files, short_world, small_settings

ROOT = Path(__file__).parents[2]
WORLD = short_world()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[str, str]:
    """A short scenario and small settings as files."""
    return short_files(tmp_path_factory.mktemp("files"))


def arguments(files: tuple[str, str], out: Path, *more: str) -> list[str]:
    return ["--scenario", files[0], "--config", files[1], "--timesteps", "128", "--out", str(out), "--quiet", *more]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of the last state."""
    tensors, _ = resume_file.read(folder)
    return {name: value for name, value in tensors.items() if name.startswith("policy.")}


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def run(files, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    assert train.main(arguments(files, out, "--seed", "3")) == 0
    return out


def test_a_run_folder_has_what_a_run_was(run):
    assert {path.name for path in run.iterdir()} == {*run_folder.RUN_FILES, "tb"}
    record = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert record["settings"]["n_envs"] == 4 and record["settings"]["learning_rate"] == 1e-3
    assert (record["seed"], record["task"], record["algorithm"]) == (3, "placement", "MaskablePPO")
    assert loading.load(record["scenario"]).episode.steps == STEPS
    assert {"python", "torch", "stable-baselines3", "numpy"} <= set(record["versions"])
    assert "commit" in record
    meta = checkpoint.read_meta(run)
    result = playing.run(checkpoint.load(run), WORLD, episodes=2, split="validation")
    assert meta["validation_return"] == pytest.approx(float(result.returns.mean())), "the best checkpoint is kept"


def test_metrics_and_tensorboard_show_terms_outages_and_validation(run):
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    named = {f"terms/{term}" for term in TERMS} | {"network/sites_down", "network/exposure", "validation/return"}
    assert named | {"rollout/ep_rew_mean", "train/learning_rate", "validation/sites_down"} <= set(rows[-1])
    returns = [float(row["validation/return"]) for row in rows if row["validation/return"]]
    assert len(returns) == 3 and max(returns) == checkpoint.read_meta(run)["validation_return"]
    assert int(rows[-1]["timesteps"]) == 128
    events = EventAccumulator(str(run / "tb"))
    events.Reload()
    assert named <= set(events.Tags()["scalars"])
    assert [event.value for event in events.Scalars("validation/return")] == pytest.approx(returns, rel=1e-5)


def test_the_same_seed_gives_the_same_weights(run, files, tmp_path):
    assert train.main(arguments(files, tmp_path / "again", "--seed", "3")) == 0
    assert equal(weights(run), weights(tmp_path / "again"))
    assert train.main(arguments(files, tmp_path / "other", "--seed", "4")) == 0
    assert not equal(weights(run), weights(tmp_path / "other"))


@pytest.mark.parametrize(
    ("env_id", "more", "policy"),
    [
        ("og_env/Joint-v1", (), "shared"),
        ("og_env/Joint-v1", ("--steering", "sites"), "shared"),
        ("og_env/Joint-v1", ("--steering", "domains", "--interface", "operations"), "mlp"),
        ("og_env/Routing-v1", (), "mlp"),
        ("og_env/Routing-v1", ("--interface", "sites"), "sites"),
        ("og_env/Placement-v1", ("--policy", "mlp"), "mlp"),
        ("og_env/Placement-v1", ("--policy", "lstm"), "lstm"),
        ("og_env/Placement-v1", ("--algorithm", "rpi"), "shared"),
        ("og_env/Placement-v1", ("--interface", "operations"), "mlp"),
    ],
)
def test_every_environment_and_policy_trains(env_id, more, policy, files, tmp_path):
    assert train.main(arguments(files, tmp_path, "--env", env_id, *more)) == 0
    learned = checkpoint.load(tmp_path, scenario=files[0])
    assert learned.meta["policy"] == policy and IDS[learned.meta["task"]] == env_id
    asked = dict(zip(more[::2], more[1::2], strict=True))
    for name in ("steering", "interface"):
        if f"--{name}" in asked:
            assert learned.env_kwargs[name] == asked[f"--{name}"]
    assert np.isfinite(playing.run(learned, files[0], learned.meta["task"], episodes=2).returns).all()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_resume_goes_on(number, code, files, tmp_path, capsys, monkeypatch, request):
    calls = []
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores Ctrl-C
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, inherited))

    def interrupt(self):
        calls.append(self.num_timesteps)
        if len(calls) == 2:
            signal.raise_signal(number)
        return original(self)

    original = training_progress.Watch._on_rollout_end
    monkeypatch.setattr(training_progress.Watch, "_on_rollout_end", interrupt)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert train.main(arguments(files, tmp_path)) == code
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    message = capsys.readouterr().err
    assert "stopped after 64 steps and saved" in message and f"--resume {tmp_path}" in message
    assert message.count("\n") == 1
    monkeypatch.undo()
    before, progress = resume_file.read(tmp_path)
    assert progress.timesteps == 64 and checkpoint.load(tmp_path).meta["task"] == "placement"
    rows = len((tmp_path / "metrics.csv").read_text().splitlines())
    assert train.main(["--resume", str(tmp_path), "--quiet"]) == 0
    after, progress = resume_file.read(tmp_path)
    assert progress.timesteps == 128
    assert not equal(weights(tmp_path), {name: value for name, value in before.items() if name in after})
    steps = [
        float(value)
        for name, value in resume_file.part_of(after, resume_file.OPTIMIZER).items()
        if name.endswith(".step")
    ]
    updates = 2 * SMALL["n_epochs"]
    assert set(steps) == {float(4 * updates)}, "two updates before the stop, two after it, none of them lost"
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) > rows
    assert json.loads((tmp_path / "config.json").read_text())["resumed_at"] == 64

    assert train.main(["--resume", str(tmp_path), "--quiet"]) == 2
    assert "the run is complete (128 steps" in capsys.readouterr().err
    assert train.main(["--resume", str(tmp_path), "--quiet", "--timesteps", "160"]) == 0
    assert resume_file.read(tmp_path)[1].timesteps == 160


def test_a_second_signal_stops_at_once(files, tmp_path, capsys, monkeypatch):
    calls = []

    def interrupt(self):
        calls.append(self.num_timesteps)
        if len(calls) == 12:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        return original(self)

    original = training_progress.Watch._on_step
    monkeypatch.setattr(training_progress.Watch, "_on_step", interrupt)
    assert train.main(arguments(files, tmp_path)) == 143
    assert capsys.readouterr().err == f"stopped at once; go on with: og-env train --resume {tmp_path}\n"
    assert resume_file.read(tmp_path)[1].timesteps == 0 and checkpoint.load(tmp_path)


@pytest.mark.parametrize("algorithm", ["ppo", "rpi"])
def test_two_runs_in_a_folder_are_refused(algorithm, files, tmp_path, capsys):
    assert train.main(arguments(files, tmp_path, "--algorithm", algorithm)) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    capsys.readouterr()
    with run_folder.held(tmp_path):
        assert train.main(arguments(files, tmp_path, "--algorithm", algorithm)) == 2
        first = capsys.readouterr().err
        assert train.main(["--resume", str(tmp_path), "--quiet", "--timesteps", "256"]) == 2
        for error in (first, capsys.readouterr().err):
            assert error == f"error: {tmp_path}: another run writes there: wait until it ends, or take another folder\n"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert train.main(["--resume", str(tmp_path), "--quiet", "--timesteps", "256"]) == 0


def test_a_full_disk_ends_a_run_in_one_line_and_what_was_saved_goes_on(files, tmp_path, capsys, monkeypatch):
    assert train.main(arguments(files, tmp_path / "whole")) == 0
    calls, save_file = [], checkpoint.save_file

    def full(tensors, path, *others):
        calls.append(path)
        if len(calls) > 3:
            Path(path).write_bytes(b"half")
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        save_file(tensors, path, *others)

    capsys.readouterr()
    with monkeypatch.context() as patch:
        for module in (checkpoint, resume_file):
            patch.setattr(module, "save_file", full)
        assert train.main(arguments(files, tmp_path / "full")) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "No space left on device" in error
    assert f"--resume {tmp_path / 'full'}" in error
    assert not list((tmp_path / "full").glob("*.part")) and checkpoint.load(tmp_path / "full")
    assert train.main(["--resume", str(tmp_path / "full"), "--quiet"]) == 0
    assert equal(weights(tmp_path / "full"), weights(tmp_path / "whole"))


def test_a_folder_that_is_gone_ends_a_run_in_one_line(files, tmp_path, capsys, monkeypatch):
    original = training_progress.Watch._on_rollout_end

    def remove(self):
        shutil.rmtree(self.folder)
        return original(self)

    monkeypatch.setattr(training_progress.Watch, "_on_rollout_end", remove)
    assert train.main(arguments(files, tmp_path / "gone")) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'gone'}") and "No such file or directory\n" in error
    assert error.count("\n") == 1 and not (tmp_path / "gone").exists()


def test_a_run_goes_on_without_curves_where_they_cannot_be_written(files, tmp_path, capsys, monkeypatch):
    def full(self, *given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loggers.TensorBoardOutputFormat, "write", full)
    assert train.main(arguments(files, tmp_path)) == 0
    assert capsys.readouterr().err == f"{tmp_path / 'tb'}: cannot be written: No space left on device\n"


def test_the_learning_rate_falls_with_steps_or_with_the_clock(monkeypatch):
    settings = small_settings(timesteps=1000)
    meta = ppo.make_meta(settings, "placement", WORLD, 0)
    clock = Clock(1000, minutes=1.0)
    model = ppo.build(ppo.training_env(WORLD, meta, settings), meta, settings, clock, 0)
    now = time.monotonic()
    monkeypatch.setattr(training_progress.time, "monotonic", lambda: now)
    clock.start()
    assert model.lr_schedule(1.0) == pytest.approx(1e-3)
    assert model.lr_schedule(0.5) == pytest.approx(0.525e-3)
    now += 30
    assert model.lr_schedule(1.0) == pytest.approx(0.525e-3)
    assert model.lr_schedule(0.1) == pytest.approx(0.145e-3)
    assert clock.share(0) == 0.5 and clock.share(800) == 0.8 and not clock.is_up()
    now += 30
    assert clock.is_up() and model.lr_schedule(1.0) == pytest.approx(0.05e-3)


def test_minutes_end_a_run(files, tmp_path):
    given = [part for part in arguments(files, tmp_path) if part not in ("--timesteps", "128")]
    assert train.main([*given, "--minutes", "0.02"]) == 0
    assert resume_file.read(tmp_path)[1].elapsed_s > 1.2
    assert train.main(["--resume", str(tmp_path), "--quiet"]) == 2, "its time is up"


def test_a_new_run_replaces_its_own_files_only(run, files, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "benchmark").mkdir()
    for _ in range(2):
        assert train.main(arguments(files, tmp_path)) == 0
    assert (tmp_path / "notes.txt").read_text() == "mine" and (tmp_path / "benchmark").is_dir()
    assert len(list((tmp_path / "tb").iterdir())) == 1
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        assert sum(row["timesteps"] == "0" for row in csv.DictReader(file)) == 1


def test_settings_files_change_the_shipped_settings(files):
    shipped = train_settings.load()
    assert shipped == train_settings.load(train_settings.default_file())
    assert (shipped.n_envs, shipped.n_steps, shipped.minibatch) == (64, 16, 1024)
    small = train_settings.load(Path(files[1]), {"n_envs": 6})
    assert (small.n_envs, small.n_steps, small.minibatch, small.gamma) == (6, 8, 16, shipped.gamma)
    assert train_settings.load(None, {"n_envs": 100}).minibatch == 800
    assert small.policy_kind("joint") == "shared" and small.policy_kind("routing") == "mlp"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--scenario", "global-42"], "nearest valid: global-24"),
        (["--env", "og_env/Placement-v2"], "nearest valid: og_env/Placement-v1"),
        (["--timesteps", "0"], "timesteps: input should be greater than or equal to 1, not 0"),
        (["--timesteps", "many"], "argument --timesteps"),
        (["--minutes", "-1"], "--minutes is -1"),
        (["--minutes", "nan"], "--minutes is nan"),
        (["--seed", "-1"], "--seed is -1"),
        (["--n-envs", "0"], "n_envs: input should be greater"),
        (["--policy", "cnn"], "argument --policy"),
        (["--env", "og_env/Routing-v1", "--policy", "shared"], "routing has none"),
        (["--interface", "operations", "--policy", "shared"], "interface 'operations' has none"),
        (["--interface", "sites"], "interface 'sites' is of routing, not of placement"),
        (["--env", "og_env/Joint-v1", "--interface", "sites"], "not of joint; take steering 'sites'"),
        (["--steering", "sites"], "steering 'sites' is of joint, not of placement"),
        (["--env", "og_env/Routing-v1", "--steering", "domains"], "not of routing; take interface 'sites'"),
        (["--steering", "regions"], "argument --steering"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--resume", "nowhere"], "nowhere: no such run folder"),
        (["--time", "3"], "unrecognized arguments"),
        (["--set", "failures.proces=none"], "nearest valid: process"),
        (["--set", "failures.process"], "KEY=VALUE"),
        (["--start", "nowhere"], "nowhere: no such folder"),
        (["--algorithm", "rpi", "--env", "og_env/Routing-v1"], "tries offers alone"),
        (["--algorithm", "rpi", "--engine", "rllib"], "needs --engine sb3 or ray"),
        (["--policy", "lstm", "--engine", "rllib"], "trained by PPO with the engine sb3"),
        (["--policy", "operations"], "policy 'operations' scores all operations"),
        (["--interface", "operations", "--engine", "rllib"], "--policy operations is trained by the engine sb3"),
        (["--resume", "nowhere", "--set", "demand.burst_sd=0"], "--set cannot change"),
    ],
)
def test_bad_input_is_one_line_and_code_2(given, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = train.main(given)
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gama = 0.9", "gama: unknown key (nearest valid: gamma)"),
        ("gamma = 1.5", "gamma: input should be less than or equal to 1, not 1.5"),
        ('n_envs = "8"', "n_envs: input should be a valid integer, not '8'"),
        ("gamma = ", "TOML syntax"),
    ],
)
def test_bad_settings_are_one_line(text, message, tmp_path, capsys):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    assert train.main(["--config", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_resumed_run_keeps_what_it_was(run, tmp_path, capsys):
    assert train.main(["--resume", str(run), "--seed", "4"]) == 2
    assert "--seed cannot change" in capsys.readouterr().err
    (tmp_path / resume_file.RESUME).write_bytes((run / resume_file.RESUME).read_bytes()[:500])
    assert train.main(["--resume", str(tmp_path)]) == 2
    assert "resume.safetensors: damaged" in capsys.readouterr().err


def test_wrong_input_is_found_before_torch_is_loaded():
    code = "import sys\nfrom og_agents.commands import train\ncode = train.main(['--scenario', 'nowhere'])\n"
    code += "print(code, 'torch' in sys.modules, 'stable_baselines3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False", "False"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_to_the_program_saves(number, code, files, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments(files, out, "--timesteps", "100000000")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # what runs behind nohup and & ignores it
    )
    try:
        deadline = time.monotonic() + 240  # the first start on a machine compiles the kernels
        while not (out / resume_file.RESUME).is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert "go on with: og-env train --resume" in error and "Traceback" not in error
    assert resume_file.read(out)[1].timesteps > 0
