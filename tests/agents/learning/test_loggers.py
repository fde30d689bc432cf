"""Figures of a run go to TensorBoard with its hyper-parameters, and to trackers where these are installed."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("stable_baselines3", reason="needs the extra train")

from og_agents.commands import train
from og_agents.learning import loggers

META: dict[str, Any] = {
    "algorithm": "MaskablePPO",
    "policy": "shared",
    "task": "placement",
    "seed": 3,
    "settings": {"learning_rate": 0.001, "shaped": True, "net": [64, 64]},
    "scenario": {"name": "toy-3"},
}
ROW = {"validation/return": -2.5, "note": "words"}


def test_tensorboard_has_hyper_parameters_and_curves(tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard")
    [writer] = loggers.opened(("csv", "tensorboard"), tmp_path, META)
    writer.write({"validation/return": -2.5}, {"validation/return": ()}, 40)
    writer.close()
    seen = reading.EventAccumulator(str(tmp_path / "tb"))
    seen.Reload()
    assert [(event.step, event.value) for event in seen.Scalars("validation/return")][-1] == (40, -2.5)
    plugin = seen.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"learning_rate" in plugin and b"toy-3" in plugin and b"MaskablePPO" in plugin


def test_a_trainer_without_a_logger_writes_its_rows_as_well(tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard")
    curves = loggers.Curves(tmp_path / "tb")
    curves.write({"validation/return": -1.5}, step=7)
    curves.close()
    seen = reading.EventAccumulator(str(tmp_path / "tb"))
    seen.Reload()
    assert [(event.step, event.value) for event in seen.Scalars("validation/return")] == [(7, -1.5)]


def test_a_tracker_gets_settings_numbers_and_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, Any]] = []

    def heard(name: str) -> Any:
        return lambda *args, **kwargs: told.append((name, (*args, kwargs)))

    run = types.SimpleNamespace(log=heard("log"), finish=heard("finish"))
    wandb: Any = types.ModuleType("wandb")
    wandb.init = lambda **kwargs: told.append(("init", kwargs)) or run
    mlflow: Any = types.ModuleType("mlflow")
    for name in ("set_experiment", "start_run", "log_params", "log_metrics", "end_run"):
        setattr(mlflow, name, heard(name))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    for writer in loggers.opened(loggers.checked("wandb, mlflow"), tmp_path / "one", META):
        writer.write(ROW, {}, 5)
        writer.close()
    opened, written = ["init", "set_experiment", "start_run", "log_params"], ["log", "finish", "log_metrics", "end_run"]
    assert [name for name, _ in told] == [*opened, *written]
    config, by_name = told[0][1]["config"], dict(told)
    assert config["learning_rate"] == 0.001 and config["net"] == "[64, 64]" and config["scenario"] == "toy-3"
    assert by_name["log"] == by_name["log_metrics"] == ({"validation/return": -2.5}, {"step": 5})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("wandb", "--logger wandb needs the package wandb: pip install wandb"),
        ("tensorbord", "unknown 'tensorbord' (nearest valid: tensorboard)"),
        (",", "valid are tensorboard, csv, wandb, mlflow"),
    ],
)
def test_a_wrong_or_missing_logger_is_one_line(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "run"
    assert train.main(["--scenario", "toy-3", "--timesteps", "8", "--out", str(out), "--logger", words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not out.exists()
