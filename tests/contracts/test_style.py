"""Limits of the handbook for all Python files: length, names and annotations of kernels, docstrings, entries of a folder."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("og_env", "agents/og_agents", "scripts", "tests")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
KERNELS = sorted((ROOT / "og_env").rglob("*.py"))

MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 60
MOST_ENTRIES = {"og_env": 14, "agents/og_agents": 15, "tests": 14}
COMPILING = {
    node.name
    for node in ast.parse((ROOT / "og_env/kernel/compile.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and [argument.arg for argument in node.args.args] == ["function"]
}
"""decorators of compiled functions"""
FOUND_BY_TOOLS = re.compile(r"__.*|conftest\.py|py\.typed|\..*")
"""entries of a folder that no reader looks for"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def violations(source: str) -> list[str]:
    """Everything in a Python file that is over a limit, with its line."""
    nodes = list(ast.walk(ast.parse(source)))
    functions = [node for node in nodes if isinstance(node, Function)]
    lines = len(source.splitlines())
    found = [f"{lines} lines"] if lines > MOST_LINES else []
    for function in functions:
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > MOST_LINES_OF_A_FUNCTION:
            found.append(f"line {function.lineno}: {function.name} has {length} lines")
    for node in nodes:
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))) if re.match(r"What\b", text.strip()):
                found.append(f"line {node.lineno}: a docstring begins with What")
    return found


def loose_kernels(source: str) -> list[str]:
    """Compiled functions with a parameter of one letter or without annotation, or a result without one."""
    return [
        message
        for node in ast.walk(ast.parse(source))
        if isinstance(node, Function) and any(_name(decorator) in COMPILING for decorator in node.decorator_list)
        for message in _loose_parts(node)
    ]


def _name(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def _loose_parts(function: Function) -> Iterator[str]:
    arguments = function.args
    for parameter in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if len(parameter.arg) == 1:
            yield f"line {function.lineno}: {function.name} has the parameter {parameter.arg}"
        if parameter.annotation is None:
            yield f"line {function.lineno}: {parameter.arg} of {function.name} has no annotation"
    if function.returns is None:
        yield f"line {function.lineno}: the result of {function.name} has no annotation"


def entries(folder: Path) -> set[str]:
    """Files and folders that a reader of a folder's listing sees."""
    return {path.name for path in folder.iterdir() if not FOUND_BY_TOOLS.fullmatch(path.name)}


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_files_keep_to_the_limits(path: Path) -> None:
    assert violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", KERNELS, ids=[str(path.relative_to(ROOT)) for path in KERNELS])
def test_kernels_name_their_arguments(path: Path) -> None:
    assert loose_kernels(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("folder", MOST_ENTRIES)
def test_a_listing_is_short(folder: str) -> None:
    assert len(entries(ROOT / folder)) <= MOST_ENTRIES[folder]


LONG_FUNCTION = "def work() -> None:\n" + "    pass\n" * MOST_LINES_OF_A_FUNCTION


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("pass\n" * (MOST_LINES + 1), "401 lines"),
        (LONG_FUNCTION, "line 1: work has 61 lines"),
        (f"class A:\n    {LONG_FUNCTION.replace(chr(10), chr(10) + '    ')}", "line 2: work has 61 lines"),
        ('"""What a step changes."""', "line 1: a docstring begins with What"),
        ('def work():\n    """\n    What it does."""', "line 2: a docstring begins with What"),
        ('LIMIT = 3\n"""What is let through."""', "line 2: a docstring begins with What"),
    ],
)
def test_a_violation_is_found(source: str, message: str) -> None:
    assert violations(source) == [message]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("@kernel\ndef work(env: E, m: int) -> None: ...", "line 2: work has the parameter m"),
        ("@compile.entry\ndef work(env: E, model) -> None: ...", "line 2: model of work has no annotation"),
        ("@inlined()\ndef work(env: E):\n    return 1", "line 2: the result of work has no annotation"),
    ],
)
def test_a_loose_kernel_is_found(source: str, message: str) -> None:
    assert loose_kernels(source) == [message]


def test_what_keeps_to_the_limits_is_not_reported() -> None:
    assert violations("pass\n" * MOST_LINES) == []
    assert violations(LONG_FUNCTION.removesuffix("    pass\n")) == []
    assert loose_kernels("@kernel\ndef work(env: E, model: int) -> None: ...\ndef other(x): ...") == []
    assert violations('"""Whatever comes."""\nWHAT = "What is this?"') == []


def test_all_decorators_of_compiled_functions_are_known() -> None:
    assert {"kernel", "inlined", "entry"} <= COMPILING


def test_entries_are_those_that_a_reader_sees(tmp_path: Path) -> None:
    for name in ("__init__.py", "conftest.py", "step.py", ".hidden"):
        (tmp_path / name).touch()
    for name in ("__pycache__", "dynamics"):
        (tmp_path / name).mkdir()
    assert entries(tmp_path) == {"dynamics", "step.py"}
