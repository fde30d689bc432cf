"""Many fuzzed cases in forked processes: each has a time limit and a memory limit, and every failure names its seed."""

from __future__ import annotations

import faulthandler
import os
import resource
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import NamedTuple

LIMIT_S = 10.0
MOST_BYTES = 2_000_000_000
LONGEST_LINE = 6000
FIRST_S = 120.0
"""limit of the first case of a process, which may have to compile"""

Case = Callable[[int], None]
"""a case by its seed; it raises AssertionError where something is wrong, and ValueError where bad input was refused"""

HUNGRY = b"took more than 2 GB of memory"


class Failure(NamedTuple):
    """A case that failed."""

    seed: int
    problem: str


def failures(case: Case, seeds: Iterable[int], *, limit_s: float = LIMIT_S) -> list[Failure]:
    """The cases that fail; a case that hangs or crashes the process fails, and the others go on in another process."""
    left, found = list(seeds), list[Failure]()
    while left:
        done, failed = _in_a_process(case, left, limit_s)
        found += failed
        left = left[done:]
    return found


def one_line(message: str) -> None:
    """A complaint is one line that a terminal can show, of a length that can be read."""
    assert message and message.isprintable(), f"not one line: {message!r}"
    assert len(message) <= LONGEST_LINE, f"{len(message)} characters: {message[:200]}"


def run_command(main: Callable[[list[str]], int], arguments: list[str]) -> str:
    """Standard output of a command that ends with 0, or with 2 and one line that begins with `error:`."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
    assert code in (0, 2), f"exit code {code}"
    if code == 2:
        lines = [line for line in err.getvalue().splitlines() if line]
        assert lines, "code 2 without a word"
        assert lines[-1].startswith("error: "), lines[-1]
        one_line(lines[-1])
        assert not any(line.startswith("Traceback") for line in lines), lines[-1]
    return out.getvalue()


def problem_of(case: Case, seed: int) -> str | None:
    """The mistake that a case makes; None where it passes, or is refused in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            case(seed)
    except ValueError as error:
        if isinstance(error, UnicodeError):
            return _trace(error)
        try:
            one_line(str(error))
        except AssertionError as complaint:
            return str(complaint)
    except AssertionError as error:
        return f"{error}"[:500] or _trace(error)
    except BaseException as error:
        return _trace(error)
    return None


def _trace(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename.split('/')[-1]}:{last.lineno})"[:500].replace("\n", " ")


def _in_a_process(case: Case, seeds: list[int], limit_s: float) -> tuple[int, list[Failure]]:
    """Number of cases that are done with, and those among them that failed."""
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fork beside threads; the child starts none of them again
        child = os.fork()
    if child == 0:
        os.close(read_end)
        _work(case, seeds, write_end)
    os.close(write_end)
    found, done, buffer = list[Failure](), 0, b""
    begin, allowed_s = time.monotonic(), FIRST_S
    while done < len(seeds):
        ready, _, _ = select.select([read_end], [], [], max(allowed_s - (time.monotonic() - begin), 0.0))
        block = os.read(read_end, 65_536) if ready else b""
        if not block:
            problem = "crashed the process" if ready else f"took more than {allowed_s:g} s"
            found.append(Failure(seeds[done], problem))
            done += 1
            break
        *lines, buffer = (buffer + block).split(b"\n")
        for line in lines:
            if line:
                found.append(Failure(seeds[done], line.decode(errors="replace")))
            done += 1
            begin, allowed_s = time.monotonic(), limit_s
        if HUNGRY in lines:
            break  # the process ends, and the cases that are left get another one
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read_end)
    return done, found


def _work(case: Case, seeds: list[int], write_end: int) -> None:
    """Run the cases and write a line for each, empty where it passed; never returns."""
    code = 1
    faulthandler.disable()  # a crash is told in a line, and not by a trace on the terminal
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + 2 * MOST_BYTES, resource.RLIM_INFINITY))
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            for seed in seeds:
                problem = problem_of(case, seed) or ""
                if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > MOST_BYTES and not problem:
                    os.write(write_end, HUNGRY + b"\n")
                    break
                os.write(write_end, problem.replace("\n", " ").encode(errors="replace") + b"\n")
            else:
                time.sleep(60)  # until the parent, which has counted the lines, ends this process
        code = 0
    finally:
        os._exit(code)
