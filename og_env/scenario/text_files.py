"""The doors of files and of words: what kind of file is read and how it is written, and what a terminal is shown.

Reading: `open_regular` opens a file, and nothing that never ends or never answers; `read_text` reads it whole, as UTF-8 with
or without a byte order mark. Writing: `write_atomically` and `write_text` put a whole file in its place, with the mode that
the umask says.
"""

from __future__ import annotations

import codecs
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from og_env.errors import printable

OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""marks at the beginning of a file, and the encodings that they stand for"""
KINDS_OF_FILE = ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
MOST_PATH = 4096
"""longest path that is tried"""


def open_regular(path: str | Path, most_bytes: int, what: str = "a file") -> BinaryIO:
    """Open a regular file of at most so many bytes for reading; ValueError in one line for anything else.

    `what` is what messages call the file that is wanted, such as "a scenario file".
    """
    shown = printable(str(path))
    if "\0" in str(path) or len(str(path)) > MOST_PATH:
        raise ValueError(f"{shown[:80]!r}: is no path of a file")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise ValueError(f"{shown}: no such file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{shown}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    facts = os.fstat(descriptor)
    problem = None
    if not stat.S_ISREG(facts.st_mode):
        kind = next((words for is_kind, words in KINDS_OF_FILE if is_kind(facts.st_mode)), "a device")
        problem = f"is {kind}, not {what}"
    elif facts.st_size > most_bytes:
        problem = f"{facts.st_size:,} bytes are too many for {what} (at most {most_bytes:,})"
    if problem is not None:
        os.close(descriptor)
        raise ValueError(f"{shown}: {problem}")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: str | Path, most_bytes: int, what: str = "a file") -> bytes:
    """All of a regular file; ValueError in one line as of `open_regular`, and where it is longer than it says."""
    with open_regular(path, most_bytes, what) as file:
        try:
            raw = file.read(most_bytes + 1)
        except OSError as error:
            raise ValueError(f"{printable(str(path))}: cannot be read: {error.strerror or error}") from None
    if len(raw) > most_bytes:
        raise ValueError(f"{printable(str(path))}: too long for {what} (at most {most_bytes:,} bytes)")
    return raw


def read_text(path: str | Path, most_bytes: int, what: str = "a text file") -> str:
    """The text of a regular file in UTF-8, without its byte order mark; ValueError in one line where it is none."""
    raw, shown = read_bytes(path, most_bytes, what), printable(str(path))
    if problem := encoding_problem(raw):
        raise ValueError(f"{shown}: {problem}")
    if b"\0" in raw:
        raise ValueError(f"{shown}: is not a text file (it holds a zero byte)")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown}: is not UTF-8 text (byte {error.start})") from None


def encoding_problem(beginning: bytes) -> str | None:
    """The words for a file whose first bytes say that it is in another encoding than UTF-8; None for others."""
    name = next((name for mark, name in OTHER_ENCODINGS if beginning.startswith(mark)), None)
    return None if name is None else f"is {name} text: save it as UTF-8"


def write_part(part: Path, write: Callable[[Path], Any]) -> None:
    """Write a file whole to the disk, for `move_into_place`, with the mode that the umask says, whatever writes it."""
    part.unlink(missing_ok=True)
    write(part)
    os.chmod(part, 0o666 & ~_umask())
    with part.open("rb") as file:
        os.fsync(file.fileno())


def move_into_place(part: Path, path: Path) -> None:
    """Move a written file to its name, in one move that lasts."""
    os.replace(part, path)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file beside the target and move it into its place, so that no half-written file is ever seen.

    Nothing is left behind where writing fails.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        write_part(part, write)
        move_into_place(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, with its ends of lines as they are, in one move; what UTF-8 cannot hold becomes `?`."""
    raw = text.encode("utf-8", errors="replace")
    write_atomically(Path(path), lambda part: part.write_bytes(raw))


def _umask() -> int:
    """The mask of the process; asking for it means setting it for a moment, except where the system tells it."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return int(next(line for line in status if line.startswith("Umask:")).split()[1], 8)
    except (OSError, StopIteration, ValueError):
        mask = os.umask(0o022)
        os.umask(mask)
        return mask
