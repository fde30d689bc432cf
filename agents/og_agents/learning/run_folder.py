"""A run folder while a run goes on: it belongs to that run alone, and a signal ends the run where it can go on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from og_agents.learning import checkpoint, resume_file

try:
    import fcntl
except ModuleNotFoundError:  # no POSIX: folders cannot be held
    fcntl: Any = None

RUN_FILES = (resume_file.RESUME, checkpoint.WEIGHTS, checkpoint.CARD, "config.json", "metrics.csv")
"""files of a run folder, beside tb/, in the order in which they are removed"""
STOPS = (signal.SIGINT, signal.SIGTERM)
"""signals that end a run: from the keyboard, and from `kill` and those that run services"""
SAVE_EVERY_S = 60.0
"""a run is saved at every validation, and where the last time is longer ago than this"""


def resume_command(folder: Path, engine: str = "sb3") -> str:
    """The command that goes on with a run; runs of RLlib need its name, the others go on anywhere."""
    return f"og-env train --resume {folder}" + (" --engine rllib" if engine == "rllib" else "")


class Interrupted(Exception):  # noqa: N818 - not an error: the user stopped the run
    """A signal ended the run, and it was saved; the message says how to go on, and `code` is the program's exit code."""

    def __init__(self, message: str, code: int = 130) -> None:
        super().__init__(message)
        self.code = code


class Stop:
    """Whether a signal has asked the run to end: it ends at the next point where all of it can be saved.

    A second signal ends it at once, as KeyboardInterrupt, and it goes on from where it was last saved.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def ask(self, number: int, frame: FrameType | None = None) -> None:
        """Remember a signal; KeyboardInterrupt for the second one."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    @property
    def code(self) -> int:
        """The exit code of the program, 128 and the signal's number."""
        return 128 + (self.signal or signal.SIGINT)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """While a run goes on, signals ask it to end; in a thread, which gets no signals, nothing is changed."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in STOPS}
    # what the process was started to ignore, as behind nohup and &, stays ignored
    taken = [number for number in STOPS if before[number] is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, stop.ask)
    try:
        yield stop
    finally:
        for number in taken:
            signal.signal(number, before[number])


def stopped_and_saved(done: str, folder: Path, stop: Stop, engine: str = "sb3") -> Interrupted:
    """The end by a signal after what is done, such as "64 steps", all of which was saved."""
    return Interrupted(f"stopped after {done} and saved; go on with: {resume_command(folder, engine)}", stop.code)


def stopped_at_once(folder: Path, stop: Stop, engine: str = "sb3") -> Interrupted:
    """The end by a second signal, which saves nothing any more."""
    words = "stopped: nothing was saved"
    if (folder / resume_file.RESUME).is_file():
        words = f"stopped at once; go on with: {resume_command(folder, engine)}"
    elif (folder / checkpoint.WEIGHTS).is_file():
        words = f"stopped at once; {folder} holds the best policy so far, with which a run can --start"
    return Interrupted(words, stop.code)


@contextlib.contextmanager
def held(folder: Path, *, make: bool = True) -> Iterator[None]:
    """Hold a folder for one run, and make it if it may be made; whoever holds it lets go when the process ends, however.

    ValueError in one line where there is none, or another run holds it.
    """
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    elif not folder.is_dir():
        raise ValueError(f"{folder}: no such run folder")
    lock = _lock_of(folder)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _lock_of(folder: Path) -> int | None:
    """The folder itself, open and locked; None where folders cannot be locked."""
    if fcntl is None:
        return None
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ValueError(f"{folder}: another run writes there: wait until it ends, or take another folder") from None
    except OSError:  # a file system without locks
        os.close(lock)
        return None
    return lock


def clear(out: Path) -> None:
    """Remove the files of an earlier run from a run folder, and only these."""
    for name in RUN_FILES:
        (out / name).unlink(missing_ok=True)
        (out / f"{name}.part").unlink(missing_ok=True)
    shutil.rmtree(out / "tb", ignore_errors=True)
