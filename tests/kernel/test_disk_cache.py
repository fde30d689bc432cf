"""The cache of compiled entries may fail in every way; the program does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import og_env
from og_env.kernel import disk_cache

PACKAGE = Path(og_env.__file__).parent
ENTRY = """
from og_env.kernel.compile import entry

@entry
def result(x):
    return 2 * x
"""
TWO = ENTRY + ENTRY.split("entry\n", 1)[1].replace("result", "other")
CALL = """
from og_env.call import result
from og_env.kernel.compile import announce
announce(result)
print(result(21), sum(result.stats.cache_hits.values()))
"""
FULL = """
import builtins, errno
whole = builtins.open
def full(path, mode="r", *others, **more):
    if "w" in mode and ".tmp." in str(path):
        raise OSError(errno.ENOSPC, "No space left on device", path)
    return whole(path, mode, *others, **more)
builtins.open = full
"""
SLOW = """
import time
from og_env.call import result
compiler = result._compiler
compile_one = compiler.compile
def slowly(*arguments):
    time.sleep(60)
    return compile_one(*arguments)
compiler.compile = slowly
"""
AS_USER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
"""before a command: root, too, is bound by the modes of files"""
LIMITED = pytest.mark.skipif(bool(AS_USER) and shutil.which("setpriv") is None, reason="root may write everywhere")
COMPILING = "og_env: compiling once for this installation"
WAITING = "og_env: waiting for another process that compiles the kernels"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A copy of the package with a small entry."""
    shutil.copytree(PACKAGE, tmp_path / "og_env", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "og_env" / "call.py").write_text(ENTRY)
    yield tmp_path
    subprocess.run(["chmod", "-R", "u+w", str(tmp_path)], check=True)


def start(folder: Path, code: str = CALL, **variables: str) -> subprocess.Popen[str]:
    """A fresh process with the package in `folder`."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [*(AS_USER if shutil.which("setpriv") else ()), sys.executable, "-c", code]
    return subprocess.Popen(
        command, cwd="/", env=environment | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def without_estimate(errors: str) -> list[str]:
    """The lines on standard error, without how long the compiling is expected to take."""
    return re.sub(r" \(about \d+ s\)$", "", errors, flags=re.MULTILINE).splitlines()


def finish(process: subprocess.Popen[str]) -> tuple[str, list[str]]:
    """Output and the lines on standard error."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out.strip(), without_estimate(errors)


def run(folder: Path, code: str = CALL, **variables: str) -> tuple[str, list[str]]:
    return finish(start(folder, code, **variables))


def cache_files(folder: Path) -> dict[str, Path]:
    """Index and data of the small entry."""
    files = {path.suffix: path for path in (folder / "og_env" / "__pycache__").glob("call.result*")}
    assert set(files) == {".nbi", ".nbc"}
    return files


def test_the_second_process_loads(folder: Path) -> None:
    assert run(folder) == ("42 0", [COMPILING])
    assert run(folder) == ("42 1", [])


def harmed(content: bytes, harm: str) -> bytes:
    half = content[: len(content) // 2]
    return {"empty": b"", "half": half, "zeros": half + bytes(len(content) - len(half)), "noise": content[::-1]}[harm]


@pytest.mark.parametrize(("suffix", "harm"), [(".nbi", "empty"), (".nbc", "half")])
def test_a_damaged_file_is_a_miss_and_is_written_anew(folder: Path, suffix: str, harm: str) -> None:
    run(folder)
    path = cache_files(folder)[suffix]
    path.write_bytes(harmed(path.read_bytes(), harm))
    assert run(folder) == ("42 0", [COMPILING])
    assert run(folder) == ("42 1", [])


@pytest.mark.parametrize("harm", ["empty", "half", "zeros", "noise", "gone"])
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_files_are_whole_or_missing(tmp_path: Path, suffix: str, harm: str) -> None:
    files, key = disk_cache.WholeFiles(str(tmp_path), "entry", "stamp"), ("int64", "machine", "code")
    files.save(key, {"code": b"12" * 500})
    path = next(tmp_path.glob(f"*{suffix}"))
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(harmed(path.read_bytes(), harm))
    assert files.load(key) is None and not files.holds_all()
    files.save(key, {"code": b"3"})
    assert files.load(key) == {"code": b"3"} and files.holds_all()


def test_processes_that_write_at_once_keep_their_code_apart(tmp_path: Path) -> None:
    files = disk_cache.WholeFiles(str(tmp_path), "entry", "stamp")
    others = disk_cache.WholeFiles(str(tmp_path), "entry", "stamp")
    files._load_index = others._load_index = dict  # neither has seen the other's index yet
    keys = [("int64", "machine", "code"), ("float64", "machine", "code")]
    for each, key in zip((files, others), keys, strict=True):
        each.save(key, key)
    late = disk_cache.WholeFiles(str(tmp_path), "entry", "stamp")
    assert late.load(keys[1]) == keys[1] and late.load(keys[0]) in (None, keys[0])
    assert len(list(tmp_path.glob("*.nbc"))) == 2


def test_a_full_disk_costs_a_line(folder: Path) -> None:
    (folder / "og_env" / "call.py").write_text(TWO)
    out, errors = run(folder, FULL + CALL + "from og_env.call import other; other(1)")
    assert out == "42 0" and errors[0] == COMPILING and len(errors) == 2
    assert errors[1].startswith("og_env: compiled kernels cannot be kept in ")
    assert errors[1].endswith(" (No space left on device): the next process compiles anew")
    assert not list(folder.rglob("*.tmp.*"))
    assert run(folder) == ("42 0", [COMPILING])


@LIMITED
def test_without_home_in_a_read_only_package_every_process_compiles(folder: Path) -> None:
    subprocess.run(["chmod", "-R", "a-w", str(folder)], check=True)
    out, errors = run(folder, HOME="/proc/nowhere")
    assert out == "42 0" and len(errors) == 1
    assert errors[0].startswith("og_env: compiling in every process (about ") and "NUMBA_CACHE_DIR" in errors[0]


@LIMITED
def test_files_that_cannot_be_read_are_a_miss(folder: Path) -> None:
    run(folder)
    for path in cache_files(folder).values():
        path.chmod(0)
    assert run(folder) == ("42 0", [COMPILING])
    assert run(folder) == ("42 1", [])


def test_one_of_four_processes_compiles(folder: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    cache = folder / "og_env" / "__pycache__"
    cache.mkdir()
    with (cache / disk_cache.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        processes = [start(folder) for _ in range(4)]
        for process in processes:
            assert process.stderr is not None
            assert without_estimate("".join(process.stderr.readline() for _ in range(2))) == [COMPILING, WAITING]
    assert sorted(finish(process)[0] for process in processes) == ["42 0", "42 1", "42 1", "42 1"]


def test_who_holds_the_lock_for_ever_is_not_waited_for(folder: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    run(folder)
    cache = folder / "og_env" / "__pycache__"
    cache_files(folder)[".nbc"].unlink()
    with (cache / disk_cache.LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        began = time.monotonic()
        patience = "from og_env.kernel import disk_cache; disk_cache.WAIT_S = 0.5\n"
        assert run(folder, patience + CALL) == ("42 0", [COMPILING, WAITING])
        assert time.monotonic() - began < 60


def test_a_lock_ends_with_its_process(folder: Path) -> None:
    pytest.importorskip("fcntl")
    process = start(folder, SLOW + CALL)
    lock = folder / "og_env" / "__pycache__" / disk_cache.LOCK
    deadline = time.monotonic() + 60
    while not lock.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert run(folder)[0] == "42 0"
