"""Compiled code is never older than its sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import og_env
from og_env.kernel.compile import package_stamp

PACKAGE = Path(og_env.__file__).parent
ENTRY = """
from og_env.kernel.compile import entry
from og_env.far.below.factor import times

@entry
def result(x):
    return times(x)
"""
KERNEL = """
from og_env.kernel.compile import kernel

@kernel
def times(x):
    return 2 * x
"""


def run(folder: Path, code: str) -> str:
    """The output of a fresh process with the package in `folder`."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_nested_kernel_that_changes_is_compiled_anew(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "og_env", ignore=shutil.ignore_patterns("__pycache__"))
    nested = tmp_path / "og_env" / "far" / "below"
    nested.mkdir(parents=True)
    (tmp_path / "og_env" / "call.py").write_text(ENTRY)
    kernel = nested / "factor.py"
    kernel.write_text(KERNEL)
    code = "from og_env.call import result; value = result(21); print(value, sum(result.stats.cache_hits.values()))"
    assert run(tmp_path, code) == "42 0"
    assert run(tmp_path, code) == "42 1", "the second process loads what the first compiled"
    before = kernel.stat()
    kernel.write_text(KERNEL.replace("2 * x", "3 * x"))
    os.utime(kernel, ns=(before.st_atime_ns, before.st_mtime_ns))  # of the same size and date: contents decide
    assert run(tmp_path, code) == "63 0"


def test_the_stamp_is_that_of_all_sources(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.py").write_text("1")
    first = package_stamp(tmp_path)
    (tmp_path / "a" / "b" / "c.py").rename(tmp_path / "a" / "c.py")
    second = package_stamp(tmp_path)
    (tmp_path / "a" / "c.py").write_text("2")
    assert len({first, second, package_stamp(tmp_path)}) == 3
