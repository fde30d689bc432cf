"""How every kernel is compiled: cached, without the interpreter lock, with the part of fast-math that keeps infinities."""

from __future__ import annotations

import gc
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.extending
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock

njit: Any = numba.njit
intrinsic: Any = numba.extending.intrinsic
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"nsz", "nnan"},  # without reassoc, contract and arcp: compiling twice must not change a bit
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}


def package_stamp(folder: Path) -> str:
    """Hash of all Python sources in a folder and the folders in it: names and contents, whatever their dates."""
    sources = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        sources.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return sources.hexdigest()


_STAMP = package_stamp(Path(__file__).parents[1])


class KernelLibrary(JITCodeLibrary):
    """The code of a kernel, as it is typed: only the entry that it is linked into is optimised and made machine code.

    Numba does both for every function together with all that it calls, which for nested functions takes five times as
    long and is thrown away here.
    """

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, name: str, env: Any) -> None:
        """Nothing: without machine code there is no place for a Python environment."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


class KernelCompiler(Compiler):
    """Numba's compiler with a KernelLibrary."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *others: Any) -> None:
        super().__init__(typingctx, targetctx, KernelLibrary(targetctx.codegen(), "kernel"), *others)


KERNEL_OPTIONS = OPTIONS | {"no_cpython_wrapper": True, "pipeline_class": KernelCompiler}


def kernel(function: Callable[..., Any]) -> Any:
    """A compiled function that only compiled functions call: part of an `entry`, without a cache of its own."""
    return njit(**KERNEL_OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """A kernel that becomes part of every kernel that calls it: for what is small and called for every cell."""
    return njit(**KERNEL_OPTIONS, forceinline=True)(function)


def entry(function: Callable[..., Any]) -> Any:
    """A compiled function that Python calls, cached on disk.

    Numba's cache knows only the file that a function stands in. An entry also depends on the kernels that it calls and
    on the constants that they read, so its cache carries the stamp of the whole package.
    """
    compiled = njit(**OPTIONS, cache=True)(function)
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache_file is not None:
        cache_file._source_stamp = _STAMP
    return compiled


_told: set[Any] = set()


def _load_backend(compiled: Any) -> None:
    """What numba loads before its first kernel, with the collector off: it would look through 200 modules, of which
    nothing is ever freed, again and again."""
    with global_compiler_lock:
        collects = gc.isenabled()
        gc.disable()
        try:
            compiled.targetctx.refresh()
        finally:
            if collects:
                gc.enable()


def announce(*entries: Any) -> list[Any]:
    """Entries that are neither loaded nor cached; tell on standard error, once, that they will be compiled now."""
    if _told.issuperset(entries):
        return []
    if not _told:
        _load_backend(entries[0])
    cold = [entry for entry in entries if entry not in _told and not entry.signatures and not _is_cached(entry)]
    _told.update(entries)
    if cold:
        print(
            "og_env: compiling its kernels, once on this machine, takes about 15 to 60 s", file=sys.stderr, flush=True
        )
    return cold


def _is_cached(compiled: Any) -> bool:
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    return cache_file is not None and bool(cache_file._load_index())
