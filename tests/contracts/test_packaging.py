"""The wheel brings the packages og_env and og_agents with their data, and nothing named `agents`, which is another project."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
DATA = (
    "og_env/configs/scenarios/global-24.toml",
    "og_env/configs/training/default.toml",
    "og_env/render/land.csv",
    "og_env/scenario/catalog/data/sites.csv",
    "og_agents/pretrained/learning_gains.json",
    "og_agents/replay/page/assets/page.html",
)


def wheel_files() -> set[str]:
    """Paths in the wheel: those that hatchling gathers, or without it the files that git would give it."""
    if importlib.util.find_spec("hatchling") is not None:
        from hatchling.builders.wheel import WheelBuilder  # pyright: ignore[reportMissingImports]: of the build alone

        return {Path(file.distribution_path).as_posix() for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    folders = {ROOT / name: Path(name).name for name in WHEEL["packages"]}
    folders |= {ROOT / name: target for name, target in WHEEL["force-include"].items()}
    return {
        f"{target}/{path.relative_to(folder).as_posix()}"
        for folder, target in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_top_level_packages_are_ours_alone() -> None:
    assert {file.split("/")[0] for file in wheel_files()} == {"og_env", "og_agents"}


def test_data_is_in_the_wheel_and_tests_are_not() -> None:
    files = wheel_files()
    assert not [name for name in DATA if name not in files]
    assert not [file for file in files if "tests" in file.split("/") or Path(file).name.startswith("test_")]


def test_nothing_imports_the_name_of_another_project() -> None:
    name = re.compile(r"^\s*(?:from|import)\s+agents\b", re.MULTILINE)
    paths = [path for folder in ("og_env", "agents", "scripts", "tests") for path in (ROOT / folder).rglob("*.py")]
    assert not [path for path in paths if name.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("script", ["benchmark", "train"])
def test_scripts_put_the_packages_of_the_checkout_first(script: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        f"path = Path({str(ROOT / 'scripts' / script)!r} + '.py')\n"
        "head = [line for line in path.read_text(encoding='utf-8').splitlines() if line.startswith('sys.path.insert')]\n"
        "exec('\\n'.join(head), {'sys': sys, 'Path': Path, '__file__': str(path)})\n"
        "import importlib.util\n"
        "print(*(importlib.util.find_spec(name).origin for name in ('og_env', 'og_agents')))\n"
    )
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [
        str(ROOT / "og_env" / "__init__.py"),
        str(ROOT / "agents" / "og_agents" / "__init__.py"),
    ]
