"""How every kernel is compiled: cached, without the interpreter lock, with the part of fast-math that keeps infinities."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numba.extending
from numba.core import typed_passes, types, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager

from og_env.kernel.disk_cache import EntryCache, alone, tell

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
    """The code of a kernel as it is typed. Only the entry that it is linked into is optimised and made machine code.

    Numba does both for every function together with all that it calls. For nested functions that takes five times as
    long, and the result is thrown away.
    """

    @property
    def codegen(self) -> Any:
        """Numba asks its code generator for places of Python environments; this library answers itself."""
        return self

    def set_env(self, name: str, env: Any) -> None:
        """Do nothing: without machine code there is no place for a Python environment."""

    def finalize(self) -> None:
        """Link the kernels that this one calls, and leave the result as it is."""
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


class KernelCompiler(Compiler):
    """Numba's compiler with a KernelLibrary and eleven of its passes.

    The others serve what kernels do not use: generators, closures, lists, array expressions and objects of Python.
    """

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *others: Any) -> None:
        super().__init__(typingctx, targetctx, KernelLibrary(targetctx.codegen(), "kernel"), *others)

    def define_pipelines(self) -> list[PassManager]:
        """The one pipeline of kernels."""
        passes = PassManager("kernel")
        for step in (
            untyped_passes.TranslateByteCode,
            untyped_passes.FixupArgs,
            untyped_passes.IRProcessing,
            untyped_passes.DeadBranchPrune,
            untyped_passes.GenericRewrites,
            untyped_passes.ReconstructSSA,
            typed_passes.NopythonTypeInference,
            typed_passes.PreLowerStripPhis,
            typed_passes.IRLegalization,
            typed_passes.NativeLowering,
            typed_passes.NoPythonBackend,
        ):
            passes.add_pass(step, step.__name__)
        passes.finalize()
        return [passes]


KERNEL_OPTIONS = OPTIONS | {"no_cpython_wrapper": True, "pipeline_class": KernelCompiler}


def _without_literals(compiled: Any) -> Any:
    """The function, compiled for the type of a constant argument rather than for each constant."""
    template = compiled.get_call_template

    def get_call_template(args: Any, kws: Any) -> Any:
        return template(tuple(map(types.unliteral, args)), {name: types.unliteral(kind) for name, kind in kws.items()})

    compiled.get_call_template = get_call_template
    return compiled


def kernel(function: Callable[..., Any]) -> Any:
    """A compiled function that only compiled functions call: part of an `entry`, without a cache of its own.

    It reads and writes through views, and counts no references; `array_kernel` is for what makes arrays or cuts them.
    """
    return _without_literals(njit(**KERNEL_OPTIONS, _nrt=False)(function))


def inlined(function: Callable[..., Any]) -> Any:
    """A kernel that becomes part of every kernel that calls it: for what is small and called for every cell."""
    return _without_literals(njit(**KERNEL_OPTIONS, _nrt=False, forceinline=True)(function))


def array_kernel(function: Callable[..., Any]) -> Any:
    """A kernel that takes, makes or cuts NumPy arrays, with Numba's reference counts."""
    return _without_literals(njit(**KERNEL_OPTIONS)(function))


def array_inlined(function: Callable[..., Any]) -> Any:
    """An `array_kernel` that becomes part of every kernel that calls it."""
    return _without_literals(njit(**KERNEL_OPTIONS, forceinline=True)(function))


@contextlib.contextmanager
def _collector_off() -> Iterator[None]:
    """No garbage collection for a while.

    It takes a sixth of the time of compiling, and looks through 200 modules of which nothing is ever freed.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def entry(function: Callable[..., Any]) -> Any:
    """A compiled function that Python calls, cached on disk where a folder can be written, else compiled in every process.

    Numba's cache knows only the file that a function stands in. An entry also depends on the kernels that it calls and
    on the constants that they read, so its cache carries the stamp of the whole package.
    """
    compiled = njit(**OPTIONS)(function)
    with contextlib.suppress(OSError, RuntimeError):
        compiled._cache = EntryCache(function, _STAMP)
    compile_one = compiled.compile

    def compile_for(signature: Any) -> Any:
        kept = _is_cached(compiled)
        begin = time.perf_counter()
        with _collector_off(), contextlib.nullcontext() if kept else alone(compiled._cache):
            result = compile_one(signature)
        if not kept:
            _tell_watchers(function.__name__, begin)
        return result

    compiled.compile = compile_for
    return compiled


_watchers: list[Callable[[str, float], None]] = []


@contextlib.contextmanager
def watched(told: Callable[[str, float], None]) -> Iterator[None]:
    """Have `told` called with the name of each entry that is compiled meanwhile, and the seconds that it took."""
    _watchers.append(told)
    try:
        yield
    finally:
        _watchers.remove(told)


def _tell_watchers(name: str, begin: float) -> None:
    for told in _watchers:
        told(name, time.perf_counter() - begin)


LOOPS = 1_000_000
COMPILING_LOOPS = 1_300
"""all kernels take as long as this many times LOOPS additions in Python, measured with one kernel after the other"""


def about_s(share: float = 1.0) -> float:
    """Roughly how long a share of all kernels takes to compile on this machine, as busy as it is now, in seconds."""
    begin = time.perf_counter()
    sum(range(LOOPS))
    return max(5.0, 5 * round(share * COMPILING_LOOPS * (time.perf_counter() - begin) / 5))


def can_keep(*entries: Any) -> bool:
    """Whether there is a folder to keep all of these in once they are compiled."""
    return all(isinstance(entry._cache, EntryCache) for entry in entries)


def is_ready(entry: Any) -> bool:
    """Whether an entry is loaded or kept on disk."""
    return bool(entry.signatures) or _is_cached(entry)


class Also(NamedTuple):
    """Compiled code of another package, which is made ready together with that of this one."""

    meaning: str
    is_ready: Callable[[], bool]
    """whether it is loaded or kept on disk"""
    compile: Callable[[], None]


ALSO: list[Also] = []
"""of packages that build on this one; a user waits once for all of it"""
_told: set[Any] = set()


def announce(*entries: Any) -> list[Any]:
    """Entries, and what ALSO holds, that are neither loaded nor kept; tell once that they will be compiled now.

    The line on standard error says as well where they cannot be kept.
    """
    if _told.issuperset((*entries, *ALSO)):
        return []
    if not _told:
        with global_compiler_lock, _collector_off():
            entries[0].targetctx.refresh()  # what Numba needs before its first kernel
    cold = [entry for entry in entries if entry not in _told and not is_ready(entry)]
    also = [each for each in ALSO if each not in _told and not each.is_ready()]
    _told.update(entries, ALSO)
    if cold or also:
        about = f"about {about_s((len(cold) + len(also)) / (len(entries) + len(ALSO))):.0f} s"
        if can_keep(*cold):
            tell(f"compiling once for this installation ({about})")
        else:
            tell(
                f"compiling in every process ({about}): no folder to keep the kernels in can be written; "
                "set NUMBA_CACHE_DIR to one"
            )
    return cold + also


def compile_all(cold: Sequence[Any], arguments: Any) -> None:
    """Compile entries for the same arguments, one process of this machine at a time where they are kept; and other code."""
    entries = [each for each in cold if not isinstance(each, Also)]
    if entries:
        with alone(entries[0]._cache):
            for each in entries:
                each.compile(arguments)
    for each in cold:
        if isinstance(each, Also):
            begin = time.perf_counter()
            each.compile()
            _tell_watchers(each.meaning, begin)


def _is_cached(compiled: Any) -> bool:
    cache = compiled._cache
    return isinstance(cache, EntryCache) and cache.holds_all()
