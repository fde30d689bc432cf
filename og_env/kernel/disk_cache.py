"""Compiled entries on disk: a cache that may be missing, full or damaged, and that many processes may ask for at once.

Numba's cache fails where no folder can be written, where a file is cut, and where the disk is full. Here all of these
count as a miss, and the program goes on with what it compiles itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

try:
    import fcntl
except ModuleNotFoundError:  # no POSIX: every process compiles for itself
    fcntl: Any = None

DIGEST = hashlib.sha256().digest_size
"""bytes at the end of a file of data"""
LOCK = "og_env_kernels.lock"
WAIT_S = 300.0
"""longest wait for another process that compiles; then one compiles for oneself"""
LOOK_S = 0.1
"""between two looks at a lock"""


def tell(line: str) -> None:
    """Say a line on standard error, which may be closed."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"og_env: {line}", file=sys.stderr, flush=True)


class WholeFiles(IndexDataCacheFile):
    """The index and the data files of one entry: each is whole, or counts as missing and is written anew.

    Data comes before the index that names it, under a name that follows from its key, so that processes that write at
    once never give one another's code another name.
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep data; OSError where the disk takes no more."""
        signature, machine, _ = key
        digest = hashlib.sha256(repr((signature, machine)).encode()).hexdigest()
        name = self._data_name_pattern.format(number=int(digest[:8], 16))
        self._save_data(name, data)
        self._save_index(self._load_index() | {key: name})

    def load(self, key: Any) -> Any:
        """The data of a key; None where it is missing or damaged."""
        try:
            return super().load(key)
        except Exception:  # a pickle that is cut may raise anything
            return None

    def holds_all(self) -> bool:
        """Whether there is data, and all of it is whole."""
        names = self._load_index().values()
        try:
            return len(names) > 0 and all(self._bytes_of(name) for name in names)
        except (OSError, ValueError):
            return False

    def _load_index(self) -> dict[Any, str]:
        try:
            return dict(super()._load_index())
        except Exception:
            return {}

    def _dump(self, obj: Any) -> bytes:
        data = super()._dump(obj)
        return data + hashlib.sha256(data).digest()

    def _load_data(self, name: str) -> Any:
        return pickle.loads(self._bytes_of(name))

    def _bytes_of(self, name: str) -> bytes:
        data = Path(self._data_path(name)).read_bytes()
        if hashlib.sha256(data[:-DIGEST]).digest() != data[-DIGEST:]:
            raise ValueError(f"{name} is damaged")
        return data[:-DIGEST]


_failed: list[str] = []
"""lines about compiled code that could not be kept; the first one was told"""


class EntryCache(FunctionCache):
    """The cache of an entry: its files carry a stamp, and trouble with them never ends the program."""

    def __init__(self, function: Callable[..., Any], stamp: str) -> None:
        """Find a folder; OSError or RuntimeError where none can be written."""
        super().__init__(function)
        self._cache_file = WholeFiles(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled code for a signature; None where there is none that works."""
        target_context.refresh()
        try:
            return self._load_overload(sig, target_context)
        except Exception:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code, or say why it cannot be kept, once in a process."""
        try:
            self._save_overload(sig, data)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            line = f"compiled kernels cannot be kept in {self._cache_path} ({reason}): the next process compiles anew"
            if not _failed:
                tell(line)
            _failed.append(line)

    def holds_all(self) -> bool:
        """Whether something is kept, and all of it is whole."""
        return self._cache_file.holds_all()


_held = threading.local()


@contextlib.contextmanager
def alone(cache: Any) -> Iterator[None]:
    """Compile while no other process that shares the cache's folder does; it waits, and then finds what was compiled.

    Who has waited WAIT_S, or has no folder, or no locks on it, compiles all the same. A lock ends with its process.
    """
    depth = getattr(_held, "depth", 0)
    lock = _open_lock(cache) if depth == 0 else None
    _held.depth = depth + 1
    try:
        if lock is not None:
            _wait_for(lock)
        yield
    finally:
        _held.depth = depth
        if lock is not None:
            os.close(lock)


def _open_lock(cache: Any) -> int | None:
    if fcntl is None or not isinstance(cache, EntryCache):
        return None
    try:
        return os.open(os.path.join(cache.cache_path, LOCK), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None


def _wait_for(lock: int) -> None:
    """Take the lock; return without it where that cannot be, and after WAIT_S."""
    last = time.monotonic() + WAIT_S
    told = False
    while time.monotonic() < last:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                told = True
                tell("waiting for another process that compiles the kernels")
            time.sleep(LOOK_S)
        except OSError:
            return
        else:
            return
