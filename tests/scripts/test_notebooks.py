"""The notebooks are valid, without outputs, and their cells run in order in an empty folder, in a short form."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / ".github/docs/notebooks").glob("*.ipynb"))
SHORT = {"EPISODES": "2", "MINUTES": "0.02"}
"""settings of a notebook's first cell, and how they are when it is tested"""


def cells_of(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook."""
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code_of(path: Path) -> list[str]:
    """Its cells of code, as they are."""
    return ["".join(cell["source"]) for cell in cells_of(path) if cell["cell_type"] == "code"]


def shortened(code: str) -> str:
    """The same code with short settings."""
    for name, value in SHORT.items():
        code = re.sub(rf"^{name} = .*$", f"{name} = {value}", code, flags=re.MULTILINE)
    return code


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["planner", "researcher"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_and_has_no_outputs(path: Path) -> None:
    book = json.loads(path.read_text(encoding="utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    identities = [cell["id"] for cell in book["cells"]]
    assert len(set(identities)) == len(identities) and book["cells"][0]["cell_type"] == "markdown"
    for cell in book["cells"]:
        kind = {"cell_type", "id", "metadata", "source"}
        assert set(cell) == kind | ({"execution_count", "outputs"} if cell["cell_type"] == "code" else set())
        assert not cell.get("outputs") and cell.get("execution_count") is None
    for code in code_of(path):
        ast.parse(code)
    assert shortened(code_of(path)[0]) != code_of(path)[0]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_cells_run_in_order(path: Path, tmp_path: Path) -> None:
    """In a process of its own, as a notebook has; no Jupyter is needed."""
    program = tmp_path / "cells.json"
    program.write_text(json.dumps([shortened(code) for code in code_of(path)]), encoding="utf-8")
    run = "import json; space = {'__name__': '__main__'}\nfor code in json.load(open('cells.json')): exec(code, space)"
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'agents'}", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout
