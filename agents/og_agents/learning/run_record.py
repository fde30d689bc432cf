"""The record of a run in its folder: settings, scenario, versions of packages and commit."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAME = ("algorithm", "policy", "policy_kwargs", "task", "env_kwargs", "settings", "scenario", "minutes", "begun_from")
"""keys of a policy's description that are equal in all runs of one training, which differ in their seeds alone"""
PACKAGES = ("og-env", "gymnasium", "numpy", "numba", "torch", "stable-baselines3", "sb3-contrib")
"""packages whose versions are recorded"""


def commit(folder: Path = Path(__file__).parent) -> str | None:
    """The commit of the sources in a folder; None outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def versions() -> dict[str, str]:
    """Versions of Python and of the recorded packages that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe_run(meta: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """The record of a run: its description, further facts, versions and commit."""
    return meta | facts | {"versions": versions(), "commit": commit()}


def training_of(meta: Mapping[str, Any]) -> str:
    """A text that is equal for policies that differ in the training seed alone, or in how much could be validated."""
    same = {key: meta[key] for key in SAME if key in meta}
    if isinstance(same.get("settings"), dict):
        same["settings"] = {name: value for name, value in same["settings"].items() if name != "evaluation_episodes"}
    return json.dumps(same, sort_keys=True)
