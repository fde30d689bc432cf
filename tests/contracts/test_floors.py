"""Imports go downward only: a module may use what stands on a floor below its own, never a sibling."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLOORS: tuple[tuple[str, ...], ...] = (
    ("network", "jit", "requirements", "sheets"),
    ("specs", "traces", "land", "binding", "named", "command_line"),
    ("layout", "rng", "parsing", "catalog", "reward", "trust", "fields"),
    ("fleets", "node_table", "status", "preferences"),
    ("checks", "site_table"),
    ("config",),
    ("world", "show"),
    ("lanes",),
    ("actions", "demand", "failures", "incidents", "placement", "routing", "latency", "contingency", "render"),
    ("tape", "survey", "glossary"),
    ("dynamics", "oracle"),
    ("nominal_flow",),
    ("nominal",),
    ("proposals", "digest"),
    ("observation",),
    ("advance",),
    ("lookahead",),
    ("simulator",),
    ("spaces", "options", "truth", "live"),
    ("env",),
    ("vector_env",),
    ("__init__",),
    ("__main__",),
)
"""modules and folders of og_env, the lowest floor first"""

FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
REQUIRED = {"gymnasium", "llvmlite", "numba", "numpy", "pydantic"}
"""what og_env may import when it is loaded, beside the standard library"""


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def unit_of(path: Path) -> str:
    """The module or folder of og_env that a file belongs to."""
    return path.relative_to(ROOT / "og_env").parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Dotted names that are imported anywhere, with their lines; of `from a import b` both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def violations(folder: str, forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(folder)
        for name, line in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.split(".")[0] in forbidden
    ]


def test_every_module_has_a_floor() -> None:
    assert {unit_of(path) for path in sources("og_env")} == set(FLOOR_OF)


@pytest.mark.parametrize("path", sources("og_env"), ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_import_from_below(path: Path) -> None:
    unit = unit_of(path)
    for name, line in imported(ast.parse(path.read_text(encoding="utf-8"))):
        package, *parts = name.split(".")
        if package != "og_env":
            continue
        target = parts[0] if parts[0] in FLOOR_OF else "__init__"
        if target != unit:
            assert FLOOR_OF[target] < FLOOR_OF[unit], f"{path.name}:{line}: {unit} must not import {target}"


def test_og_env_knows_neither_agents_nor_frameworks() -> None:
    assert violations("og_env", {"og_agents", "scripts", "tests", "torch", "stable_baselines3", "sb3_contrib"}) == []


def test_agents_do_not_import_scripts() -> None:
    assert violations("agents/og_agents", {"scripts", "tests"}) == []


def test_scripts_do_not_import_one_another() -> None:
    assert violations("scripts", {"scripts", "tests"}) == []
    names = {path.stem for path in sources("scripts")}
    assert violations("scripts", names - {"__init__"}) == []


def unit_in(folder: str, path: Path) -> str:
    """The module or folder directly below `folder` that a file belongs to."""
    return path.relative_to(ROOT / folder).parts[0].removesuffix(".py")


def test_agents_do_not_import_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in sources("agents/og_agents"):
        needs = graph.setdefault(unit_in("agents/og_agents", path), set())
        for name, _ in imported(ast.parse(path.read_text(encoding="utf-8"))):
            package, *parts = name.split(".")
            if package == "og_agents" and parts and parts[0] != unit_in("agents/og_agents", path):
                needs.add(parts[0])
    while free := {name for name, needs in graph.items() if not needs & set(graph)}:
        graph = {name: needs for name, needs in graph.items() if name not in free}
    assert not graph, f"these import one another, or what does: {sorted(graph)}"


def test_top_level_imports_are_the_declared_dependencies() -> None:
    allowed = REQUIRED | {"og_env"} | set(sys.stdlib_module_names)
    for path in sources("og_env"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for name, line in imported(node) if isinstance(node, ast.Import | ast.ImportFrom) else ():
                assert name.split(".")[0] in allowed, f"{path.relative_to(ROOT)}:{line} imports {name}"


def test_a_fresh_import_loads_no_framework() -> None:
    units = {unit_of(path) for path in sources("og_env")}
    modules = ["og_env", *sorted(f"og_env.{unit}" for unit in units if not unit.startswith("__"))]
    code = f"import sys, importlib\nfor name in {modules}: importlib.import_module(name)\n"
    code += "print(sorted({'torch', 'stable_baselines3', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
