"""What a run was: settings, scenario, versions and commit, for the folder of its results."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAME = ("algorithm", "policy", "policy_kwargs", "task", "env_kwargs", "settings", "scenario", "minutes", "begun_from")
"""what the runs of one training have in common, of the description of a policy"""
PACKAGES = ("og-env", "gymnasium", "numpy", "numba", "torch", "stable-baselines3", "sb3-contrib")


def commit() -> str | None:
    """The commit of the sources; None outside a checkout."""
    folder = Path(__file__).parent
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe_run(meta: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """The record of a run."""
    return meta | facts | {"versions": versions(), "commit": commit()}


def training_of(meta: Mapping[str, Any]) -> str:
    """What a policy has in common with those that differ from it in the training seed alone, as one text."""
    return json.dumps({key: meta[key] for key in SAME if key in meta}, sort_keys=True)
