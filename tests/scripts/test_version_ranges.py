"""Constraints of the lowest versions follow from pyproject.toml, and venvs of the Makefile ask for what their names say."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ranges = runpy.run_path(str(ROOT / "scripts" / "version_ranges.py"))


def test_every_dependency_has_a_lowest_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    lines = ranges["constraints"]("lowest")
    assert len(lines) == len(needed)
    for line, text in zip(lines, needed, strict=True):
        name, version = line.split("==")
        assert text.startswith(f"{name}>={version}")


def test_numba_and_llvmlite_have_an_upper_end() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert all("<" in text for text in project["dependencies"] if text.startswith(("numba", "llvmlite", "numpy")))


def test_pinned_versions_leave_gymnasium_open() -> None:
    lines = ranges["constraints"]("pinned")
    assert any(line.startswith("numba==") for line in lines) and not any("gymnasium" in line for line in lines)
    assert ranges["constraints"]("highest") == []


def test_another_word_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert ranges["main"](["newest"]) == 2 and "lowest, highest, pinned" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(("name", "asked"), [("newest", False), ("lowest", False), ("highest", False), ("1.2.2", True)])
def test_only_a_version_is_asked_of_gymnasium(name: str, asked: bool) -> None:
    words = ["make", "-n", "-B", f".venv-compat/3.11-{name}/.installed"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (f"gymnasium=={name}" in done.stdout) is asked and "pip install" in done.stdout
