"""The speed of another checkout beside that of this one, measured alternately in one run.

Each checkout has processes of its own with the same Python, its folder first on PYTHONPATH and an empty cache of compiled
kernels. A repetition times both, in turn the old or the new one first; ratios are taken within repetitions, and every
figure is a median. Times are of the processor, so that other work on the machine weighs less.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from og_agents.validation import speed_worker

WORKER = Path(speed_worker.__file__)
HERE = Path(__file__).resolve().parents[3]
COLD_STARTS = 3
"""compilations of each checkout at the most: one takes a minute of CPU time"""


class Compared(NamedTuple):
    """Medians of one case."""

    old_s: float
    """CPU seconds an environment step (or a reset, or a first step)"""
    new_s: float
    ratio: float
    """median of new over old within a repetition"""


class Checkout(NamedTuple):
    """A folder with the sources, and where its compiled kernels go."""

    folder: Path
    cache: Path

    def command(self, *words: str) -> list[str]:
        """The worker's command line; -P keeps the worker's own folder out of the import path."""
        return [sys.executable, "-P", str(WORKER), *words]

    def environment(self) -> dict[str, str]:
        """Environment variables of its processes."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return kept | {"PYTHONPATH": str(self.folder), "NUMBA_CACHE_DIR": str(self.cache), "OMP_NUM_THREADS": "1"}

    def first_step_s(self) -> float:
        """CPU seconds of a new process until its first step is done."""
        done = subprocess.run(
            self.command("first"), env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ValueError(f"{self.folder}: {(done.stderr.splitlines() or ['no step was done'])[-1]}")
        return float(done.stdout.split()[-1])

    @contextlib.contextmanager
    def timer(self, shrink: int) -> Iterator[Callable[[str], float]]:
        """A process of this checkout as a function from the name of a case to its CPU seconds per step."""
        command = self.command("serve", str(shrink))
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=self.environment(), stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin is not None and process.stdout is not None
            found = process.stdout.readline().strip()
            if Path(found).parent.parent.resolve() != self.folder:
                raise ValueError(f"{self.folder}: Python finds og_env elsewhere: {found or 'nowhere'}")

            def seconds(name: str) -> float:
                print(name, file=process.stdin, flush=True)
                answer = process.stdout.readline() if process.stdout else ""
                if not answer:
                    raise ValueError(f"{self.folder}: its process stopped in the case {name}: see its message above")
                return float(answer)

            yield seconds
            process.stdin.close()


def compare(other: Path, repetitions: int, shrink: int = 1) -> dict[str, Compared]:
    """Every case of `other` (old) and of this checkout (new) by name; `shrink` divides the length of the cases.

    ValueError where `other` is no checkout or fails.
    """
    other = other.resolve()
    if not (other / "og_env" / "__init__.py").is_file():
        raise ValueError(f"{other}: no checkout: it has no og_env/__init__.py")
    result = {}
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as processes:
        sides = [Checkout(folder, Path(scratch)) for folder in (other, HERE)]
        cold: list[list[float]] = [[], []]
        for number in range(min(repetitions, COLD_STARTS) if shrink == 1 else 1):
            for at in in_turn(number):
                sides[at] = sides[at]._replace(cache=Path(scratch) / f"{at}-{number}")
                cold[at].append(sides[at].first_step_s())
        result["first_step_ever"] = medians(*cold)
        timers = [processes.enter_context(side.timer(shrink)) for side in sides]
        cases: dict[str, Sequence[Callable[[], float]]] = {"first_step_cached": [side.first_step_s for side in sides]}
        for name in speed_worker.CASES:
            cases[name] = [lambda timer=timer, name=name: timer(name) for timer in timers]
        for name, measure in cases.items():
            taken: list[list[float]] = [[], []]
            for number in range(repetitions):
                for at in in_turn(number):
                    taken[at].append(measure[at]())
            result[name] = medians(*taken)
    return result


def in_turn(number: int) -> tuple[int, int]:
    """The order of old (0) and new (1) in a repetition."""
    return (0, 1) if number % 2 == 0 else (1, 0)


def medians(old_s: Sequence[float], new_s: Sequence[float]) -> Compared:
    """Medians of paired repetitions, that of the ratio among them."""
    ratios = [new / old for old, new in zip(old_s, new_s, strict=True)]
    return Compared(statistics.median(old_s), statistics.median(new_s), statistics.median(ratios))


def table(result: dict[str, Compared]) -> str:
    """A line for every case."""
    lines = [f"{'CPU time of a step':<20}{'old':>14}{'new':>14}{'new/old':>9}"]
    for name, (old_s, new_s, ratio) in result.items():
        lines.append(f"{name:<20}{duration(old_s):>14}{duration(new_s):>14}{ratio:>9.3f}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds, or microseconds below a hundredth of a second."""
    return f"{seconds:.2f} s" if seconds >= 0.01 else f"{seconds * 1e6:,.2f} us"
