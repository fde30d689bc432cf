"""Arrays bound once, so that a compiled kernel takes one small argument.

Passing sixty arrays to a compiled function costs several microseconds a call, and every view of a counted array costs
atomic reference counts. Here a layout (a NamedTuple whose fields say dtype and dimensions) is allocated once, its
addresses and sizes are written to an int64 table, and the kernel rebuilds the arrays from the table: uncounted, typed
at compile time, and only those that it uses.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import numpy_support
from numba.np.arrayobj import populate_array

DIMENSIONS = "WBTYNMUFSDPKQOVC"
"""W worlds, B episodes in the batch, T tape rows, Y steps a day, N sites, M models, U user regions, F fault domains (shared
ones, then one per site), S shared ones, D memberships of a site, P proposals, K proposal features, Q metrics, O
observation width, V operations, C scratch slots (one per thread)"""

HEADER = len(DIMENSIONS)
SMALL_DIMENSIONS = {"2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "8": 8, "9": 9}


class Field(NamedTuple):
    name: str
    dtype: np.dtype[Any]
    dims: str


def array(dtype: str, dims: str) -> Any:
    """An annotation: `array("f4", "B N")` is float32 [B, N]."""
    return Annotated[np.ndarray[Any, Any], dtype, dims.replace(" ", "")]


def fields(layout: type) -> list[Field]:
    """The fields of a layout, in order."""
    hints = get_type_hints(layout, include_extras=True)
    result = []
    for name, hint in hints.items():
        _, dtype, dims = get_args(hint)
        result.append(Field(name, np.dtype(dtype), dims))
    return result


def allocate(layout: type, sizes: dict[str, int]) -> Any:
    """A layout filled with zeros; sizes maps every dimension letter to its size."""
    full = sizes | SMALL_DIMENSIONS
    return layout(*(np.zeros([full[letter] for letter in field.dims], field.dtype) for field in fields(layout)))


def bind(sizes: dict[str, int], *groups: Any) -> np.ndarray:
    """The table [HEADER + number of arrays] of sizes and addresses; the caller keeps the arrays alive and in place."""
    full = sizes | SMALL_DIMENSIONS
    table = [sizes.get(letter, 0) for letter in DIMENSIONS]
    for group in groups:
        for field, value in zip(fields(type(group)), group, strict=True):
            shape = tuple(full[letter] for letter in field.dims)
            if value.shape != shape or value.dtype != field.dtype or not value.flags.c_contiguous:
                raise ValueError(f"{field.name} is {value.dtype} {value.shape}, not contiguous {field.dtype} {shape}")
            table.append(value.ctypes.data)
    return np.array(table, np.int64)


def viewer(layout: type, first: int) -> Any:
    """The compiled function that rebuilds a layout from the table, its first address standing at `first`."""
    declared = fields(layout)
    arrays = [types.Array(numpy_support.from_dtype(field.dtype), len(field.dims), "C") for field in declared]
    result = types.NamedTuple(arrays, layout)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        table = context.make_array(signature.args[0])(context, builder, args[0])
        intp = context.get_value_type(types.intp)

        def load(index: int) -> Any:
            return builder.load(cgutils.gep_inbounds(builder, table.data, index))

        values = []
        for position, (field, kind) in enumerate(zip(declared, arrays, strict=True)):
            value = context.make_array(kind)(context, builder)
            shape = [
                intp(SMALL_DIMENSIONS[letter]) if letter in SMALL_DIMENSIONS else load(DIMENSIONS.index(letter))
                for letter in field.dims
            ]
            strides = [intp(field.dtype.itemsize)]
            for size in reversed(shape[1:]):
                strides.insert(0, builder.mul(strides[0], size))
            populate_array(
                value,
                data=builder.inttoptr(load(first + position), value.data.type),
                shape=cgutils.pack_array(builder, shape, ty=intp),
                strides=cgutils.pack_array(builder, strides, ty=intp),
                itemsize=intp(field.dtype.itemsize),
                meminfo=None,
            )
            values.append(value._getvalue())
        return context.make_tuple(builder, result, values)

    def typing(typingctx: Any, table: Any) -> Any:
        return result(table), codegen

    return intrinsic(typing)
