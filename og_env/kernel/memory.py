"""Arrays of a simulator in memory: declared once, allocated in one piece, and their addresses in one table.

A `Table` keeps the arrays that it leads to, so that a copy of what owns one is bound anew, to copies of the arrays.

Passing sixty arrays to a compiled function costs several microseconds a call. Here a layout (a NamedTuple of fields such
as `Annotated[Array, "f4", "B N"]`, which say dtype and dimensions) is allocated once. Its addresses and sizes are written to an
int64 table, which is all that
a compiled function takes. `views` says how kernels read and write through it.
"""

from __future__ import annotations

import copy
import math
from collections import namedtuple
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple, Self, get_args, get_type_hints

import numpy as np
import numpy.typing as npt

DIMENSIONS = "WBTYNMUFSDPKQOVCLXGRH"
"""W worlds, B episodes in the batch, T tape rows, Y steps a day, N sites, M models, U user regions, F fault domains (shared
ones, then one per site), S shared ones, D memberships of a site, P proposals, K proposal features, Q metrics, O
observation width, V operations, C scratch slots (one per thread), L sites and G domains rounded up to whole LANES, X = N L, R
pairs of tape rows, H domains again where someone asks for their losses, else 0"""

LANES = 8
"""loops over so many elements become single vector instructions; longer ones run in blocks of it"""
CACHE_LINE = 64
"""bytes"""
HEADER = len(DIMENSIONS)
SMALL_DIMENSIONS = {"2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "8": 8, "9": 9}


Array = npt.NDArray[Any]


class Field(NamedTuple):
    """An array of a layout: its name, dtype and a letter of DIMENSIONS for each dimension."""

    name: str
    dtype: np.dtype[Any]
    dims: str


def columns(title: str, names: Sequence[str]) -> Any:
    """A named tuple whose fields are the positions of the names: `columns("C", ("a", "b")).b == 1`."""
    return namedtuple(title, names)(*range(len(names)))


@cache
def fields(layout: type) -> tuple[Field, ...]:
    """The fields of a layout, in order.

    They are kept, because evaluating two hundred annotations takes milliseconds.
    """
    hints = get_type_hints(layout, include_extras=True)
    result = []
    for name, hint in hints.items():
        _, dtype, dims = get_args(hint)
        result.append(Field(name, np.dtype(dtype), dims.replace(" ", "")))
    return tuple(result)


def _complete(sizes: dict[str, int]) -> dict[str, int]:
    """Sizes by letter, with the dimensions that follow from others."""
    sites, domains = (-(-sizes.get(letter, 0) // LANES) * LANES for letter in "NF")
    pairs = (sizes.get("T", 0) + 1) // 2
    return sizes | SMALL_DIMENSIONS | {"L": sites, "X": sizes["N"] * sites, "G": domains, "R": pairs}


def allocate(layout: type, sizes: dict[str, int]) -> Any:
    """A layout filled with zeros; sizes maps every dimension letter to its size.

    Arrays lie side by side in one piece of memory, each on cache lines of its own, so that threads with a layout each
    do not slow one another down.
    """
    full = _complete(sizes)
    declared = fields(layout)
    shapes = [tuple(full[letter] for letter in field.dims) for field in declared]
    lengths = [math.prod(shape) * field.dtype.itemsize for shape, field in zip(shapes, declared, strict=True)]
    ends = list(accumulate(-(-length // CACHE_LINE) * CACHE_LINE for length in lengths))
    memory = np.zeros(ends[-1] + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    arrays = []
    for field, shape, length, start in zip(declared, shapes, lengths, [0, *ends[:-1]], strict=True):
        arrays.append(memory[first + start : first + start + length].view(field.dtype).reshape(shape))
    return layout(*arrays)


def bind(sizes: dict[str, int], *groups: Any) -> np.ndarray:
    """The table [HEADER + number of arrays] of sizes and addresses; the caller keeps the arrays alive and in place."""
    full = _complete(sizes)
    table = [full.get(letter, 0) for letter in DIMENSIONS]
    for group in groups:
        for field, value in zip(fields(type(group)), group, strict=True):
            shape = tuple(full[letter] for letter in field.dims)
            if value.shape != shape or value.dtype != field.dtype or not value.flags.c_contiguous:
                raise ValueError(f"{field.name} is {value.dtype} {value.shape}, not contiguous {field.dtype} {shape}")
            table.append(value.ctypes.data)
    return np.array(table, np.int64)


class Table:
    """The table of `bind`, with the arrays that its addresses lead to.

    A deep copy is bound to copies of the arrays, and a loaded pickle to the loaded ones: to the very arrays that the
    copied owner holds by name. Whoever keeps a table keeps it as one of these.
    """

    def __init__(self, sizes: dict[str, int], *groups: Any) -> None:
        self._sizes, self._groups = sizes, groups
        self.words = bind(sizes, *groups)
        """what a compiled function takes"""

    def __reduce__(self) -> tuple[Any, ...]:
        return Table, (self._sizes, *self._groups)


class CopiedWhole:
    """An object that owns tables, or something that does: `copy.copy` gives a deep copy, which shares no memory."""

    def __copy__(self) -> Self:
        return copy.deepcopy(self)
