"""A rule of one's own by `module:Class`, from the working folder or from what is installed."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from og_agents.policy import Policy
from og_env.errors import nearest_valid

WORD = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*)")


def is_own(word: str) -> bool:
    """Whether a word names a rule of one's own."""
    return WORD.fullmatch(word) is not None


def make(word: str, option: str = "--policies") -> Policy:
    """The policy that `module:Class` or `module:function` makes when it is called without arguments.

    The working folder is searched first, as `python -m` does. ValueError in one line where there is no such module or
    name, where it cannot be called so, and where what it makes has no `predict`.
    """
    found = WORD.fullmatch(word)
    if found is None:
        raise ValueError(f"{option}: {word!r} is not module:Class")
    module = _module(found["module"], option)
    factory = getattr(module, found["name"], None)
    if factory is None:
        hint = nearest_valid(found["name"], _offered(module))
        raise ValueError(f"{option}: {found['module']} has no class {found['name']!r}{hint}")
    if not callable(factory):
        raise ValueError(f"{option}: {word} is neither a class nor a function")
    try:
        policy: Any = factory()
    except Exception as error:
        raise ValueError(f"{option}: {word}() fails: {type(error).__name__}: {_first_line(error)}") from error
    if not callable(getattr(policy, "predict", None)):
        raise ValueError(f"{option}: {word} makes a {type(policy).__name__}, which has no predict")
    return policy


def _module(name: str, option: str) -> ModuleType:
    """The module of a name, with the working folder importable."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            hint = nearest_valid(name, sorted(path.stem for path in Path().glob("*.py")))
            raise ValueError(
                f"{option}: there is no module {name!r} in {here} or among what is installed{hint}"
            ) from None
        raise ValueError(
            f"{option}: {name} cannot be imported: {type(error).__name__}: {_first_line(error)}"
        ) from error


def _offered(module: ModuleType) -> list[str]:
    """Names of a module's own classes and functions."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [name for name in own if inspect.isclass(getattr(module, name)) or inspect.isfunction(getattr(module, name))]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
