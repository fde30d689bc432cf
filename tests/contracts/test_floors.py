"""Imports go downward only: a module may use what stands on a floor below its own, never a sibling."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLOORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "og_env": (
        ("kernel", "errors"),
        ("__init__", "scenario", "dynamics"),
        ("planner", "render"),
        ("observation", "trust", "__main__"),
        ("world", "fields"),
        ("tape",),
        ("simulator",),
        ("env",),
        ("vector_env",),
    ),
    "agents/og_agents": (
        ("policy",),
        ("heuristics", "sb3_adapter"),
        ("planners", "validation"),
        ("evaluation",),
        ("learning", "replay"),
        ("pretrained", "export", "cluster"),
        ("load_policies",),
        ("__init__", "advice", "studies"),
        ("commands",),
    ),
}
"""modules and folders of each package, the lowest floor first"""

FLOOR_OF = {
    folder: {name: floor for floor, names in enumerate(floors) for name in names} for folder, floors in FLOORS.items()
}
SOURCES = [(folder, path) for folder in FLOORS for path in sorted((ROOT / folder).rglob("*.py"))]
PUBLIC = (
    "og_env",
    "og_env.env",
    "og_env.errors",
    "og_env.fields",
    "og_env.simulator",
    "og_env.simulator.live_state",
    "og_env.tape",
    "og_env.vector_env",
    "og_env.world",
)
"""modules of og_env that agents and scripts may import from"""
PUBLIC_ROOMS = ("og_env.render", "og_env.scenario", "og_env.trust")
"""folders of og_env that they may import from, and from any module inside"""
LOOKS_INSIDE = {"agents/og_agents/validation/speed.py": "og_env.dynamics.reference"}
"""a package that a module may use besides: the readable step, which is timed against the compiled one"""
REQUIRED = {"gymnasium", "llvmlite", "numba", "numpy", "pydantic"}
"""what og_env may import when it is loaded, beside the standard library"""


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def unit_of(folder: str, path: Path) -> str:
    """The module or folder directly below `folder` that a file belongs to."""
    return path.relative_to(ROOT / folder).parts[0].removesuffix(".py")


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


@pytest.mark.parametrize("folder", FLOORS)
def test_every_module_has_a_floor(folder: str) -> None:
    assert {unit_of(folder, path) for path in sources(folder)} == set(FLOOR_OF[folder])


@pytest.mark.parametrize(("folder", "path"), SOURCES, ids=[str(path.relative_to(ROOT)) for _, path in SOURCES])
def test_modules_import_from_below(folder: str, path: Path) -> None:
    unit, floor_of = unit_of(folder, path), FLOOR_OF[folder]
    for name, line in imported(ast.parse(path.read_text(encoding="utf-8"))):
        package, *parts = name.split(".")
        if package != Path(folder).name:
            continue
        target = parts[0] if parts and parts[0] in floor_of else "__init__"
        if target != unit:
            assert floor_of[target] < floor_of[unit], f"{path.name}:{line}: {unit} must not import {target}"


def imports_of_modules(folder: str) -> dict[str, set[str]]:
    """For each module of a package, dotted, the modules of the package that it imports when it is loaded."""
    package = Path(folder).name
    paths = {".".join(path.relative_to(ROOT / folder).with_suffix("").parts): path for path in sources(folder)}
    modules = {f"{package}.{name}".removesuffix(".__init__"): path for name, path in paths.items()}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = [
            name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name, _ in imported(node)
        ]
        found = {name if name in modules else name.rpartition(".")[0] for name in names}
        graph[module] = (found & set(modules)) - {module}
    return graph


@pytest.mark.parametrize("folder", FLOORS)
def test_modules_do_not_import_in_a_circle(folder: str) -> None:
    graph = imports_of_modules(folder)
    while free := {name for name, needs in graph.items() if not needs & set(graph)}:
        graph = {name: needs for name, needs in graph.items() if name not in free}
    assert not graph, f"these import one another, or what does: {sorted(graph)}"


def test_og_env_knows_neither_agents_nor_frameworks() -> None:
    assert violations("og_env", {"og_agents", "scripts", "tests", "torch", "stable_baselines3", "sb3_contrib"}) == []


@pytest.mark.parametrize("folder", ["agents/og_agents", "scripts"])
def test_the_engine_is_not_reached_into(folder: str) -> None:
    inside = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in sources("og_env")
    }
    for path in sources(folder):
        for name, line in imported(ast.parse(path.read_text(encoding="utf-8"))):
            module = name if name in inside else name.rpartition(".")[0]
            if module not in inside or module in PUBLIC or module == LOOKS_INSIDE.get(str(path.relative_to(ROOT))):
                continue
            public = any(f"{module}.".startswith(f"{room}.") for room in PUBLIC_ROOMS)
            assert public, f"{path.relative_to(ROOT)}:{line} imports {name}, which is not public"


def test_agents_do_not_import_scripts() -> None:
    assert violations("agents/og_agents", {"scripts", "tests"}) == []


def test_scripts_do_not_import_one_another() -> None:
    assert violations("scripts", {"scripts", "tests"}) == []
    names = {path.stem for path in sources("scripts")}
    assert violations("scripts", names - {"__init__"}) == []


def test_top_level_imports_are_the_declared_dependencies() -> None:
    allowed = REQUIRED | {"og_env"} | set(sys.stdlib_module_names)
    for path in sources("og_env"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for name, line in imported(node) if isinstance(node, ast.Import | ast.ImportFrom) else ():
                assert name.split(".")[0] in allowed, f"{path.relative_to(ROOT)}:{line} imports {name}"


def test_a_fresh_import_loads_no_framework() -> None:
    units = {unit_of("og_env", path) for path in sources("og_env")}
    modules = ["og_env", *sorted(f"og_env.{unit}" for unit in units if not unit.startswith("__"))]
    code = f"import sys, importlib\nfor name in {modules}: importlib.import_module(name)\n"
    code += "print(sorted({'torch', 'stable_baselines3', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
