"""The wheel brings the packages og_env and og_agents with their data, and nothing named `agents`, which is another project."""

from __future__ import annotations

import importlib
import importlib.util
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
DATA = (
    "og_env/configs/scenarios/global-24.toml",
    "og_env/configs/benchmarks/dimensions.json",
    "og_env/configs/examples/fleet.csv",
    "og_env/configs/planners/greedy_tuned.toml",
    "og_env/configs/training/default.toml",
    "og_env/py.typed",
    "og_env/render/land.csv",
    "og_env/scenario/catalog/data/sites.csv",
    "og_agents/py.typed",
    "og_agents/replay/page/assets/page.html",
)


def wheel_files() -> set[str]:
    """Paths in the wheel: those that hatchling gathers, or without it the files that git would give it."""
    if importlib.util.find_spec("hatchling") is not None:
        from hatchling.builders.wheel import WheelBuilder  # pyright: ignore[reportMissingImports]: of the build alone

        return {Path(file.distribution_path).as_posix() for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    folders = {ROOT / name: Path(name).name for name in WHEEL["packages"]}
    folders |= {ROOT / name: target for name, target in WHEEL["force-include"].items() if (ROOT / name).is_dir()}
    return {target for name, target in WHEEL["force-include"].items() if (ROOT / name).is_file()} | {
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


def test_scripts_leave_the_path_alone() -> None:
    """They run on what is installed, as `og-env` does."""
    assert not [
        path.name for path in (ROOT / "scripts").rglob("*.py") if "sys.path" in path.read_text(encoding="utf-8")
    ]


def test_og_env_is_a_command_and_has_a_home() -> None:
    [(name, target)] = PROJECT["project"]["scripts"].items()
    module, function = target.split(":")
    assert name == "og-env" and callable(getattr(importlib.import_module(module), function))
    assert {"Homepage", "Documentation", "Issues"} <= set(PROJECT["project"]["urls"])
