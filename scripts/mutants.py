"""Change one operator or number of the code at a time and see whether the tests that concern it notice.

python scripts/mutants.py --count 200 --seed 0
python scripts/mutants.py --only 'planners/offer_value.py' --count 20 --kernels 0

Mutants are drawn by the seed from all operators and numbers. Each is written into a copy of the tree, where pytest runs
the test file that mirrors the module, those that import it, and then those of modules that import it. The copy pins the
stamp of compiled kernels, so that only a change in compiled code, or at the top of a module, makes them compile anew.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from og_agents.learning import run_record
from og_env.errors import Parser, guarded
from og_env.scenario.text_files import write_text

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"og_env": "og_env", "og_agents": "agents/og_agents"}
MOST_TEST_FILES = 12
"""the nearest ones; more would take minutes a mutant"""
WHOLE = "tests/contracts/test_golden.py"
"""concerns all that an episode is made of, whatever imports it"""
FROM_BASELINE = 4.0
"""a mutant may take this many times as long as the tests without it, and SPARE_S more"""
SPARE_S = 30.0
COMPILING_S = 600.0
"""what compiling all kernels may take on top"""
STAMP = re.compile(r"^_STAMP = .*$", re.MULTILINE)
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "runs", "build", "dist", "__pycache__", ".*_cache", ".hypothesis")
PAIRS = (
    (ast.Add, ast.Sub),
    (ast.Mult, ast.Div),
    (ast.BitAnd, ast.BitOr),
    (ast.LShift, ast.RShift),
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Eq, ast.NotEq),
    (ast.In, ast.NotIn),
    (ast.Is, ast.IsNot),
    (ast.And, ast.Or),
)
SWAPPED: dict[type[ast.AST], Any] = dict.fromkeys((ast.FloorDiv, ast.Mod, ast.Pow), ast.Mult)
SWAPPED |= dict(PAIRS) | {other: one for one, other in PAIRS}


class Mutant(NamedTuple):
    """One change of one file."""

    path: str
    """below the root"""
    line: int
    old: str
    """the expression"""
    new: str
    """the expression in its place"""
    begin: int
    """byte of the file where the expression begins"""
    end: int
    """byte of the file after it"""
    compiled: bool
    """whether kernels may have to be compiled anew"""

    @property
    def name(self) -> str:
        """How `--only` finds it."""
        return f"{self.path}:{self.line}: {self.old} -> {self.new}"

    def applied(self, source: str) -> str:
        """The file with the change."""
        raw = source.encode()
        return (raw[: self.begin] + self.new.encode() + raw[self.end :]).decode()


class Found(NamedTuple):
    """How a mutant ended."""

    mutant: Mutant
    outcome: str
    """killed, timed out, survived, or untested where no test concerns it"""
    tests: list[str]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__)
    parser.add_argument("--count", type=int, default=200, metavar="N", help="mutants to make (default: 200)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="what the sample is drawn by (default: 0)")
    parser.add_argument("--only", metavar="REGEX", help="of mutants whose PATH:LINE: OLD -> NEW it matches")
    parser.add_argument("--kernels", type=float, metavar="SHARE", help="of mutants in compiled code (default: 0.25)")
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no mutant after that")
    parser.add_argument("--list", action="store_true", help="print the sample and run nothing")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="the tree (default: this checkout)")
    parser.add_argument("--out", type=Path, default=Path("runs/mutants"), metavar="DIR", help="for its two files")
    options = parser.parse_args(arguments)
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    share = 0.25 if options.kernels is None else options.kernels
    if options.count < 1 or not 0 <= share <= 1:
        raise ValueError(
            f"--count {options.count} --kernels {share}: it takes 1 or more mutants, and a share of 0 to 1"
        )
    sample = drawn(all_mutants(options.root, options.only or ""), options.count, options.seed, share)
    if not sample:
        raise ValueError(
            f"--only {options.only!r} matches no mutant; names are like {all_mutants(options.root, '')[0].name!r}"
        )
    if options.list:
        print("\n".join(mutant.name for mutant in sample))
        return
    end = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    results: list[Found] = []
    try:
        for found in run(options.root, sample):
            results.append(found)
            words = f"{len(results)}/{len(sample)} {found.outcome:<9} {found.seconds:5.0f} s  {found.mutant.name}"
            print(words, flush=True)
            if time.monotonic() > end:
                break
    finally:  # also what Ctrl-C leaves
        write(options.out, options.root, results, options.seed)
    print(summary(results))


# ---- the mutants


def all_mutants(root: Path, only: str) -> list[Mutant]:
    """Every mutant of both packages, in the order of files and places."""
    paths = [path for folder in PACKAGES.values() for path in sorted((root / folder).rglob("*.py"))]
    wanted = re.compile(only)
    return [
        mutant
        for path in paths
        for mutant in mutants_of(path.read_text(encoding="utf-8"), path.relative_to(root).as_posix())
        if wanted.search(mutant.name)
    ]


def drawn(mutants: Sequence[Mutant], count: int, seed: int, kernels: float) -> list[Mutant]:
    """A sample with a share of compiled code, which comes last; what one kind lacks is taken from the other."""
    rng = random.Random(seed)
    kinds = [[mutant for mutant in mutants if mutant.compiled is compiled] for compiled in (False, True)]
    if kernels == 0:
        kinds[1] = []
    slow = min(len(kinds[1]), max(round(kernels * count), count - len(kinds[0])))
    return rng.sample(kinds[0], min(len(kinds[0]), count - slow)) + rng.sample(kinds[1], slow)


def mutants_of(source: str, path: str) -> Iterator[Mutant]:
    """Mutants of a file, one for each operator and number outside of annotations, patterns, formats and decorators."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, in_function, in_kernel in _nodes(ast.parse(source), False, False):
        changed = _changed(node)
        if changed is None:
            continue
        begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        new = ast.unparse(changed)
        if isinstance(node, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp) and not isinstance(
            changed, ast.Constant
        ):
            new = f"({new})"
        compiled = path.startswith("og_env/") and (in_kernel or not in_function)
        yield Mutant(path, node.lineno, ast.unparse(node), new, begin, end, compiled)


def _nodes(tree: ast.AST, in_function: bool, in_kernel: bool) -> Iterator[tuple[Any, bool, bool]]:
    """Nodes that may be changed, with whether they are in a function and in a compiled one."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "pattern", "type_params"):
            continue
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST) or isinstance(node, ast.JoinedStr):
                continue
            if isinstance(node, ast.expr | ast.AugAssign):
                yield node, in_function, in_kernel
            is_function = isinstance(node, ast.FunctionDef)
            yield from _nodes(node, in_function or is_function, in_kernel or (is_function and _is_kernel(node)))


def _is_kernel(function: ast.FunctionDef) -> bool:
    names = {ast.unparse(decorator).split("(")[0].split(".")[-1] for decorator in function.decorator_list}
    return bool(names & {"kernel", "inlined", "array_kernel", "array_inlined", "entry", "intrinsic", "overload"})


def _changed(node: Any) -> Any:
    """The node with one operator or number changed; None where there is none to change."""
    match node:
        case ast.BinOp(left=left, right=right) if any(_is_text_or_type(side) for side in (left, right)):
            return None
        case ast.BinOp(left, op, right) if type(op) in SWAPPED:
            return ast.BinOp(left, SWAPPED[type(op)](), right)
        case ast.AugAssign(target, op, value) if type(op) in SWAPPED and not _is_text_or_type(value):
            return ast.AugAssign(target, SWAPPED[type(op)](), value)
        case ast.Compare(left, [op], comparators):
            return ast.Compare(left, [SWAPPED[type(op)]()], comparators)
        case ast.BoolOp(op, values):
            return ast.BoolOp(SWAPPED[type(op)](), values)
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            return operand
        case ast.Constant(bool(value)):
            return ast.Constant(not value)
        case ast.Constant(int(value)):
            return ast.Constant(value + 1)
        case ast.Constant(float(value)):
            return ast.Constant(2 * value if value else 1.0)
    return None


def _is_text_or_type(node: ast.expr) -> bool:
    """Sides of an operator that would only make an error of Python."""
    is_type = isinstance(node, ast.Name) and (node.id in ("int", "float", "str", "bool", "dict") or node.id.istitle())
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str | None)
    return is_type or is_text or isinstance(node, ast.JoinedStr | ast.List | ast.Dict | ast.Tuple)


# ---- the tests that concern a module


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def does_import(path: Path, module: str) -> bool:
    """Whether a file imports a module or something of it; the name itself is looked for first, which is quick."""
    return module.rsplit(".", 1)[-1] in _text(path) and module in imports(path)


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Full names of all that a file imports, with the modules that they may stand in."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(_text(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def module_of(path: str) -> str:
    """The name that a file is imported by."""
    parts = path.removeprefix("agents/").removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tests_of(root: Path, path: str) -> list[str]:
    """Test files of a module, the nearest first: its mirror, those that import it, those of its importers, hashes."""
    tests = sorted((root / "tests").rglob("test_*.py"))
    sources = [file for folder in PACKAGES.values() for file in sorted((root / folder).rglob("*.py"))]
    module = module_of(path)
    importers = [module_of(file.relative_to(root).as_posix()) for file in sources if does_import(file, module)]
    near = [test for test in tests if _mirrors(root, test, module)]
    near += [test for test in tests if does_import(test, module)]
    for importer in sorted(importers, key=lambda name: name.split(".")[:2] != module.split(".")[:2]):
        near += [test for test in tests if _mirrors(root, test, importer)]
    near += [test for test in tests if any(does_import(test, importer) for importer in importers)]
    names = list(dict.fromkeys(test.relative_to(root).as_posix() for test in near))[:MOST_TEST_FILES]
    whole = [WHOLE] if path.startswith("og_env/") and (root / WHOLE).is_file() else []
    return list(dict.fromkeys([*names, *whole]))


def _mirrors(root: Path, test: Path, module: str) -> bool:
    package, *rest = module.split(".")
    folders = (["agents"] if package == "og_agents" else []) + rest
    if not rest:
        return False
    here = test.relative_to(root / "tests").parts
    return here in ((*folders[:-1], f"test_{rest[-1]}.py"), (*folders, f"test_{rest[-1]}.py"))


# ---- running


def run(root: Path, sample: Sequence[Mutant]) -> Iterator[Found]:
    """The fate of each mutant, in a copy of the tree that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="og_env_mutants_") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(root, copy, ignore=LEFT_OUT)
        _pin_stamp(copy, "unchanged")
        baselines: dict[str, float | None] = {}
        for number, mutant in enumerate(sample):
            tests = [test for test in tests_of(root, mutant.path) if _baseline(copy, test, baselines) is not None]
            yield _one(copy, mutant, tests, sum(baselines[test] or 0.0 for test in tests), number)


def _one(copy: Path, mutant: Mutant, tests: list[str], usual_s: float, number: int) -> Found:
    if not tests:
        return Found(mutant, "untested", tests, 0.0)
    file = copy / mutant.path
    source = file.read_text(encoding="utf-8")
    begin = time.monotonic()
    try:
        write_text(file, mutant.applied(source))
        if mutant.compiled:
            _pin_stamp(copy, f"mutant {number}")
        limit = FROM_BASELINE * usual_s + SPARE_S + (COMPILING_S if mutant.compiled else 0)
        code = _pytest(copy, tests, limit)
    finally:
        write_text(file, source)
        _pin_stamp(copy, "unchanged")
    outcome = "timed out" if code is None else "survived" if code == 0 else "killed"
    return Found(mutant, outcome, tests, time.monotonic() - begin)


def _baseline(copy: Path, test: str, known: dict[str, float | None]) -> float | None:
    """Seconds that a test file takes without a mutant; None where it fails or nothing in it is quick."""
    if test not in known:
        begin = time.monotonic()
        code = _pytest(copy, [test], COMPILING_S)
        known[test] = time.monotonic() - begin if code == 0 else None
        if code not in (0, 5):
            print(f"left out, fails without a mutant: {test}", file=sys.stderr, flush=True)
    return known[test]


def _pytest(copy: Path, tests: Sequence[str], limit_s: float) -> int | None:
    """The exit code of pytest; None where it ran out of time."""
    path = os.pathsep.join([str(copy), str(copy / "agents")])
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests]
    environ = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environ, capture_output=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return None
    return done.returncode


def _pin_stamp(copy: Path, text: str) -> None:
    """Kernels of the copy are cached under this stamp, whatever its files say."""
    file = copy / "og_env/kernel/compile.py"
    if file.is_file():
        write_text(file, STAMP.sub(f"_STAMP = {text!r}", file.read_text(encoding="utf-8"), count=1))


# ---- the report


def diff_of(root: Path, mutant: Mutant) -> str:
    """The change as a unified diff without context."""
    source = (root / mutant.path).read_text(encoding="utf-8")
    lines = difflib.unified_diff(
        source.splitlines(), mutant.applied(source).splitlines(), mutant.path, mutant.path, n=0, lineterm=""
    )
    return "\n".join(lines)


def summary(results: Sequence[Found]) -> str:
    """One line with counts of each outcome."""
    counts = {
        kind: sum(found.outcome == kind for found in results)
        for kind in ("killed", "timed out", "survived", "untested")
    }
    dead = counts["killed"] + counts["timed out"]
    share = f" ({dead / len(results):.0%})" if results else ""
    return f"{dead} of {len(results)} die{share}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items())


def write(out: Path, root: Path, results: Sequence[Found], seed: int) -> None:
    """Keep mutants.json with all, and mutants.md with the diffs of those that no test noticed."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [
        {"name": found.mutant.name, "outcome": found.outcome, "seconds": round(found.seconds, 1), "tests": found.tests}
        | {"compiled": found.mutant.compiled, "diff": diff_of(root, found.mutant)}
        for found in results
    ]
    facts = {"commit": run_record.commit(root), "seed": seed, "summary": summary(results)}
    write_text(out / "mutants.json", json.dumps(facts | {"mutants": rows}, indent=2) + "\n")
    lines = ["# Mutants", "", f"Commit {facts['commit']}, seed {seed}. {facts['summary']}.", ""]
    for row in rows:
        if row["outcome"] in ("survived", "untested"):
            lines += [f"## {row['outcome']}: `{row['name']}`", "", "```diff", str(row["diff"]), "```", ""]
            lines += ["Tests: " + (", ".join(row["tests"]) or "none") + ".", ""]
    write_text(out / "mutants.md", "\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
