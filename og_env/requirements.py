"""What must be installed, said in one line where it is not: `check` on import, `bring` and `hint` for what an extra brings."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

NEEDED = ("gymnasium", "llvmlite", "numba", "numpy", "pydantic")
LEAST_GYMNASIUM = (1, 2, 2)
EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "matplotlib": "train",
        "PIL": "train",
        "safetensors": "train",
        "sb3_contrib": "train",
        "stable_baselines3": "train",
        "tensorboard": "train",
        "torch": "train",
        "tqdm": "train",
        "playwright": "browser",
        "simpy": "proof",
        "highspy": "opt",
        "torchrl": "torchrl",
        "tensordict": "torchrl",
        "mo_gymnasium": "mo",
        "optuna": "optuna",
        "onnx": "onnx",
        "onnxruntime": "onnx",
        "minari": "minari",
        "h5py": "minari",
        "ray": "rllib",
    }
)
"""module: the extra of this package that brings it"""


def check() -> None:
    """ImportError in one line where a package is missing or Gymnasium is too old."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"og_env needs {', '.join(missing)}: run `pip install .` in the project's folder, or activate the environment "
            "where it is installed (`. .venv/bin/activate`)"
        )
    version = importlib.metadata.version("gymnasium")
    if numbers(version) < LEAST_GYMNASIUM:
        least = ".".join(map(str, LEAST_GYMNASIUM))
        raise ImportError(f"og_env needs gymnasium {least} or newer, not {version}: run `pip install -U gymnasium`")


def numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version, so that they compare."""
    found = [int(part) for part in re.findall(r"\d+", version)]
    return (*found, 0, 0, 0)[:3]


def bring(module: str) -> Any:
    """The module, which an extra brings; ValueError in one line where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        line = hint(error)
        if line is None:
            raise
        raise ValueError(line) from None


def hint(error: ModuleNotFoundError) -> str | None:
    """The line for a module that an extra brings; None for any other."""
    module = (error.name or "").split(".")[0]
    if module not in EXTRAS:
        return None
    return f"{module} is not installed: run `pip install '.[{EXTRAS[module]}]'` in the project's folder"
