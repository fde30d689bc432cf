"""Arrays bound once, so that a compiled kernel takes one small argument.

Passing sixty arrays to a compiled function costs several microseconds a call, and every view of a counted array costs
atomic reference counts. Here a layout (a NamedTuple whose fields say dtype and dimensions) is allocated once, its
addresses and sizes are written to an int64 table, and the kernel rebuilds from the table the arrays that it uses:
uncounted, and typed at compile time.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model
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


class ViewType(types.Opaque):
    """Compile-time type of a layout seen through the table: an address, whose attributes are the layout's arrays."""

    def __init__(self, layout: type, first: int) -> None:
        self.position = {field.name: first + index for index, field in enumerate(fields(layout))}
        self.declared = {field.name: field for field in fields(layout)}
        super().__init__(f"View({layout.__name__}, {first})")


register_model(ViewType)(models.OpaqueModel)


@infer_getattr
class ViewAttributes(AttributeTemplate):
    key = ViewType

    def generic_resolve(self, view: ViewType, name: str) -> types.Array | None:
        field = view.declared.get(name)
        return None if field is None else _array_type(field)


def _array_type(field: Field) -> types.Array:
    return types.Array(numpy_support.from_dtype(field.dtype), len(field.dims), "C")


@lower_getattr_generic(ViewType)
def _lower_field(context: Any, builder: Any, view: ViewType, value: Any, name: str) -> Any:
    """The array of a field: its address and sizes are read from the table, which never changes while a kernel runs."""
    field = view.declared[name]
    intp = context.get_value_type(types.intp)
    table = builder.bitcast(value, intp.as_pointer())
    constant = builder.module.add_metadata([])

    def load(index: int) -> Any:
        word = builder.load(builder.gep(table, [intp(index)], inbounds=True))
        word.set_metadata("invariant.load", constant)
        return word

    result = context.make_array(_array_type(field))(context, builder)
    shape = [
        intp(SMALL_DIMENSIONS[letter]) if letter in SMALL_DIMENSIONS else load(DIMENSIONS.index(letter))
        for letter in field.dims
    ]
    strides = [intp(field.dtype.itemsize)]
    for size in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], size))
    populate_array(
        result,
        data=builder.inttoptr(load(view.position[name]), result.data.type),
        shape=cgutils.pack_array(builder, shape, ty=intp),
        strides=cgutils.pack_array(builder, strides, ty=intp),
        itemsize=intp(field.dtype.itemsize),
        meminfo=None,
    )
    return result._getvalue()


def viewer(layout: type, first: int) -> Any:
    """The compiled function from the table to a view of a layout, whose first address stands at `first`."""
    view = ViewType(layout, first)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        table = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.bitcast(table.data, context.get_value_type(view))

    def typing(typingctx: Any, table: Any) -> Any:
        return view(table), codegen

    return intrinsic(typing)
