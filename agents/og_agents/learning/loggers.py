"""Where the figures of a training run go beside metrics.csv: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import HParam, KVWriter, TensorBoardOutputFormat

from og_env.errors import nearest_valid

PACKAGES: Mapping[str, str | None] = {"tensorboard": "tensorboard", "csv": None, "wandb": "wandb", "mlflow": "mlflow"}
"""package of each logger; csv is metrics.csv, which every run has"""
USUAL = ("tensorboard",)
SHOWN = ("validation/return", "time/elapsed_s")
"""figures that TensorBoard shows beside the hyper-parameters of a run"""
PROJECT = "og_env"
"""of Weights & Biases, and experiment of MLflow"""


def checked(words: str) -> tuple[str, ...]:
    """Names of loggers, written with commas between them; ValueError in one line for an unknown or a missing one."""
    names = tuple(dict.fromkeys(filter(None, (word.strip() for word in words.split(",")))))
    for name in names:
        if name not in PACKAGES:
            raise ValueError(f"--logger: unknown {name!r}{nearest_valid(name, PACKAGES)}")
        package = PACKAGES[name]
        if package is not None and sys.modules.get(package) is None and importlib.util.find_spec(package) is None:
            raise ValueError(f"--logger {name} needs the package {package}: pip install {package}")
    if not names:
        raise ValueError(f"--logger names nothing; valid are {', '.join(PACKAGES)}")
    return names


def opened(names: Sequence[str], out: Path, meta: Mapping[str, Any]) -> list[KVWriter]:
    """Writers of the loggers of a run folder, all but metrics.csv; `meta` is the description of the run."""
    make: dict[str, Callable[[], KVWriter]] = {
        "tensorboard": lambda: Curves(out / "tb", hyper_parameters(meta)),
        "wandb": lambda: Wandb(out, hyper_parameters(meta)),
        "mlflow": lambda: Mlflow(out, hyper_parameters(meta)),
    }
    return [make[name]() for name in names if name in make]


def hyper_parameters(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run as plain numbers, flags and texts, with its algorithm, network, task, scenario and seed."""
    named = {key: meta[key] for key in ("algorithm", "policy", "task", "seed") if key in meta}
    named["scenario"] = meta.get("scenario", {}).get("name", "")
    both = {**meta.get("settings", {}), **named}
    return {key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in both.items()}


def numbers(key_values: Mapping[str, Any]) -> dict[str, float]:
    """The values that are numbers, as a curve needs them."""
    return {key: float(value) for key, value in key_values.items() if not isinstance(value, str | HParam)}


class Curves(KVWriter):
    """tb/ for TensorBoard, which a run can do without: where it cannot be written, the run says so once and goes on.

    With `hyper` it begins with the hyper-parameters of the run. `write` takes a row by name with the step of the run, and
    `key_excluded` may be left out, so that a trainer without SB3's logger can write its rows as well.
    """

    def __init__(self, folder: Path, hyper: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self._writer: TensorBoardOutputFormat | None = None
        self._hook, threading.excepthook = threading.excepthook, self._ended
        self._try(self._open)
        if hyper and self._writer is not None:
            table = HParam(dict(hyper), dict.fromkeys(SHOWN, 0.0))
            self._try(partial(self._writer.write, {"hparams": table}, {"hparams": ()}))

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]] | None = None, step: int = 0
    ) -> None:
        """Add values by name at a step of the run."""
        if self._writer is not None:
            excluded = dict.fromkeys(key_values, ()) if key_excluded is None else key_excluded
            self._try(partial(self._writer.write, key_values, excluded, step))

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._try(self._writer.close)
        threading.excepthook = self._hook

    def _open(self) -> None:
        self._writer = TensorBoardOutputFormat(str(self.folder))

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _ended(self, given: threading.ExceptHookArgs) -> None:
        """Give up where the thread that writes has ended, without the traceback that a thread leaves."""
        if isinstance(given.exc_value, OSError):
            self._give_up(given.exc_value)
        else:
            self._hook(given)

    def _give_up(self, error: BaseException) -> None:
        if self._writer is not None:
            print(f"{self.folder}: cannot be written: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        self._writer = None


class Wandb(KVWriter):
    """A run of Weights & Biases, in the mode that its own settings say, such as WANDB_MODE=offline."""

    def __init__(self, out: Path, hyper: Mapping[str, Any]) -> None:
        wandb: Any = importlib.import_module("wandb")
        self._run = wandb.init(project=PROJECT, name=out.name, dir=str(out), config=dict(hyper))

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Add the numbers at a step of the run."""
        self._run.log(numbers(key_values), step=step)

    def close(self) -> None:
        """End the run."""
        self._run.finish()


class Mlflow(KVWriter):
    """A run of MLflow, at the place that its own settings say, such as MLFLOW_TRACKING_URI."""

    def __init__(self, out: Path, hyper: Mapping[str, Any]) -> None:
        self._mlflow: Any = importlib.import_module("mlflow")
        self._mlflow.set_experiment(PROJECT)
        self._mlflow.start_run(run_name=out.name)
        self._mlflow.log_params(dict(hyper))

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Add the numbers at a step of the run."""
        self._mlflow.log_metrics(numbers(key_values), step=step)

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()
