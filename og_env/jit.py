"""How every kernel is compiled: cached, without the interpreter lock, with the part of fast-math that keeps infinities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.extending

njit: Any = numba.njit
intrinsic: Any = numba.extending.intrinsic
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"nsz", "nnan"},  # without reassoc, contract and arcp: compiling twice must not change a bit
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}


def _package_stamp() -> tuple[float, int]:
    """Newest modification time and total size of the sources that kernels are made of."""
    sources = [path for path in Path(__file__).parent.glob("*.py") if b"og_env.jit import" in path.read_bytes()]
    sources += [Path(__file__).with_name(name) for name in ("binding.py", "layout.py", "jit.py")]
    stats = [path.stat() for path in sources]
    return max(stat.st_mtime for stat in stats), sum(stat.st_size for stat in stats)


_STAMP = _package_stamp()


def kernel(function: Callable[..., Any]) -> Any:
    """A compiled function that only compiled functions call: part of an `entry`, without a cache of its own."""
    options = OPTIONS | {"no_cpython_wrapper": True}
    return njit(**options)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """A kernel that becomes part of every kernel that calls it: for what is small and called for every cell."""
    return njit(**OPTIONS, no_cpython_wrapper=True, forceinline=True)(function)


def entry(function: Callable[..., Any]) -> Any:
    """A compiled function that Python calls, cached on disk.

    Numba's cache knows only the file that a function stands in; an entry also depends on the kernels that it calls, so
    its cache carries the stamp of them all.
    """
    compiled = njit(**OPTIONS, cache=True)(function)
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache_file is not None:
        cache_file._source_stamp = _STAMP
    return compiled
