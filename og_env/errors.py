"""Mistakes of a user in one line: the nearest valid word, missing packages, and commands that end with code 2."""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.metadata
import importlib.util
import io
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

NEEDED = ("gymnasium", "llvmlite", "numba", "numpy", "pydantic", "tomli_w")
LEAST_GYMNASIUM = (1, 2, 2)
LONGEST_WORD = 80
"""letters of a valid word that a message shows"""
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
"""the extra of this package that brings a module, by module"""


def check_requirements() -> None:
    """ImportError in one line where a package is missing or Gymnasium is too old."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"og_env needs {', '.join(missing)}: run `pip install og_env` (in a checkout `pip install .`), or activate the "
            "environment where it is installed (`. .venv/bin/activate`)"
        )
    version = importlib.metadata.version("gymnasium")
    if numbers(version) < LEAST_GYMNASIUM:
        least = ".".join(map(str, LEAST_GYMNASIUM))
        raise ImportError(f"og_env needs gymnasium {least} or newer, not {version}: run `pip install -U gymnasium`")


def numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version, so that they compare."""
    found = [int(part) for part in re.findall(r"\d+", version)]
    return (*found, 0, 0, 0)[:3]


def import_extra(module: str) -> Any:
    """The module, which an extra brings; ValueError in one line where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        line = missing_extra(error)
        if line is None:
            raise
        raise ValueError(line) from None


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """The line that says which extra to install for a missing module; None where no extra brings the module."""
    module = (error.name or "").split(".")[0]
    if module not in EXTRAS:
        return None
    return f"{module} is not installed: run `pip install 'og_env[{EXTRAS[module]}]'`"


def nearest_valid(wrong: str, valid: Iterable[str]) -> str:
    """End of a message: ` (nearest valid: X)`, all valid words where none is close and they are few, or nothing."""
    words = [word if len(word) <= LONGEST_WORD else word[:LONGEST_WORD] + "..." for word in valid]
    folded = {word.casefold(): word for word in reversed(words)}
    close = difflib.get_close_matches(wrong.casefold(), folded, n=5, cutoff=0.4)
    if close:
        swapped = [word for word in close if _neighbours_swapped(word, wrong.casefold())]
        return f" (nearest valid: {folded[(swapped or close)[0]]})"
    return f" (valid: {', '.join(words)})" if 0 < len(words) <= 12 else ""


def _neighbours_swapped(one: str, other: str) -> bool:
    """Whether two words differ in the order of two neighbouring letters alone, the likeliest slip of the hand."""
    apart = [at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]]
    if len(one) != len(other) or len(apart) != 2 or apart[1] != apart[0] + 1:
        return False
    first, second = apart
    return one[first] == other[second] and one[second] == other[first]


def printable(text: str) -> str:
    """The text in one line that a terminal can show: a blank in place of each control character and lone surrogate."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


def shielded() -> None:
    """Let the standard streams replace what their encoding lacks, in place of an error in the middle of a table."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def report_error(message: str) -> int:
    """Print `error: MESSAGE` to the standard error and return the exit code of a mistake of the user, 2."""
    shielded()
    print(f"error: {printable(message)}", file=sys.stderr)
    return 2


class Parser(argparse.ArgumentParser):
    """A parser of options that says in one line what is wrong with one; options are not abbreviated."""

    def __init__(self, doc: str | None = None, **settings: Any) -> None:
        super().__init__(description=(doc or "").split("\n")[0], allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Print the message in one line and end the program with code 2."""
        sys.exit(report_error(message))


def guarded(run: Callable[[], int | None]) -> int:
    """Run a command and return its exit code (0 where it returns None); mistakes of the user are one line and code 2.

    A closed pipe is no error, and a stop from the keyboard ends with code 130.
    """
    shielded()
    try:
        return run() or 0
    except MemoryError:
        return report_error("out of memory")
    except ValueError as error:
        return report_error(str(error))
    except ModuleNotFoundError as error:
        line = missing_extra(error)
        if line is None:
            raise
        return report_error(line)
    except BrokenPipeError:
        return 0
    except OSError as error:
        return report_error(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))
    except KeyboardInterrupt:
        print("stopped: nothing was written", file=sys.stderr)
        return 130
