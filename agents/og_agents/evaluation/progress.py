"""How far a command is and how long it still takes, on standard error; results stay alone on standard output.

A terminal has one line that is written again and again. Elsewhere, in a log or a terminal without width, there is a line
every few seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Self, TextIO

LINE_EVERY_S = 5.0
"""between two lines where nothing can be written again"""
WRITTEN_EVERY_S = 0.2
"""between two writings of the line of a terminal"""
LEAST_WIDTH = 20
"""columns of a terminal in which a line can be read"""


class Progress:
    """Parts of a piece of work that are done, of `total` parts; a total of None is not known.

    A part is worth as much time as any other, so the time left is a rough figure where parts differ. With `quiet`
    nothing is written. `close` removes the line of a terminal.
    """

    def __init__(
        self,
        total: float | None,
        parts: str = "",
        *,
        quiet: bool = False,
        verbose: bool = False,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.parts, self.quiet = total, parts, quiet
        self._file, self._clock = sys.stderr if file is None else file, clock
        self._width = 0 if quiet else width_of(self._file)
        self.lasting = not quiet and (verbose or self._width > 0)
        self._began_s = clock()
        self._written_s, self._shown = self._began_s, 0
        self._before = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def began_with(self, done: float) -> None:
        """Count time from now on, for work of which `done` parts were done before."""
        self._before, self._began_s = done, self._clock()

    def at(self, done: float, words: str = "", left_s: float | None = None) -> None:
        """Say that `done` parts are done, where it is time to; words: of what is done now; left_s: where it is known."""
        if self.quiet or self._clock() - self._written_s < (WRITTEN_EVERY_S if self._width else LINE_EVERY_S):
            return
        self._written_s = self._clock()
        line = self.line(done, words, left_s)
        if not self._width:
            self._write(f"{line}\n")
            return
        line = line[: self._width - 1]
        self._write("\r" + line.ljust(self._shown))
        self._shown = len(line)

    def line(self, done: float, words: str = "", left_s: float | None = None) -> str:
        """The line at `done` parts: share, parts, words, and the time left, or the time so far where no total is known."""
        spent_s = self._clock() - self._began_s
        if self.total is None:
            return f"  {done:,.0f} {self.parts}{_after(words)}, {clock_text(spent_s)} so far"
        counted = f", {int(done):,} of {self.total:,.0f} {self.parts}" if self.parts else ""
        if left_s is None and done > self._before:
            left_s = spent_s * (self.total - done) / (done - self._before)
        left = "" if left_s is None else f", about {clock_text(max(left_s, 0.0))} left"
        return f"  {done / self.total:4.0%}{counted}{_after(words)}{left}"

    def tell(self, line: str) -> None:
        """Write a line that stays, on a terminal and with `verbose`."""
        if self.lasting:
            self.close()
            self._write(f"  {line}\n")

    def close(self) -> None:
        """Remove the line of a terminal."""
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
            self._shown = 0

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a closed standard error ends no work
            self._file.write(text)
            self._file.flush()


def _after(words: str) -> str:
    return f": {words}" if words else ""


def width_of(file: Any) -> int:
    """Columns of the terminal that a file is; 0 where it is none, or says no width that can be used."""
    try:
        width = os.get_terminal_size(file.fileno()).columns if file.isatty() else 0
    except (OSError, ValueError, AttributeError):
        return 0
    return width if width >= LEAST_WIDTH else 0


def clock_text(seconds: float) -> str:
    """A duration in words: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def add_progress_options(parser: argparse.ArgumentParser) -> None:
    """Add -q and -v, which say how much a command tells on standard error."""
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    amount.add_argument("-v", "--verbose", action="store_true", help="also a line for each part that is done")


def shown(options: argparse.Namespace, total: float | None, parts: str = "") -> Progress:
    """The progress of a command with the options of `add_progress_options`."""
    return Progress(total, parts, quiet=options.quiet, verbose=options.verbose)
