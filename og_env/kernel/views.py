"""Arrays bound once, so that a compiled kernel takes one small argument.

Passing sixty arrays to a compiled function costs several microseconds a call, and every view of a counted array costs
atomic reference counts. Here a layout (a NamedTuple whose fields say dtype and dimensions) is allocated once, and its
addresses and sizes are written to an int64 table. A kernel reads and writes elements straight through the table:
`state.phase[b, m, s]` is one address computation, without an array object, bounds or negative indices (-1 is not the
last element). The compiler is told that different fields never overlap, and that worlds never change while a kernel
runs, so that it can keep their values in registers and use vector instructions.
"""

from __future__ import annotations

import math
import operator
from functools import cache
from itertools import accumulate
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin, lower_getattr, lower_getattr_generic
from numba.core.typing import templates
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, signature
from numba.extending import models, register_model
from numba.np import numpy_support

from og_env.kernel.compile import intrinsic

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
ZERO = ir.IntType(64)(0)
infer_getattr: Any = templates.infer_getattr
infer_global: Any = templates.infer_global
SMALL_DIMENSIONS = {"2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "8": 8, "9": 9}


class Field(NamedTuple):
    name: str
    dtype: np.dtype[Any]
    dims: str


def array(dtype: str, dims: str) -> Any:
    """An annotation: `array("f4", "B N")` is float32 [B, N]."""
    return Annotated[np.ndarray[Any, Any], dtype, dims.replace(" ", "")]


@cache
def fields(layout: type) -> tuple[Field, ...]:
    """The fields of a layout, in order. Kept: evaluating two hundred annotations takes milliseconds, several times a
    simulator."""
    hints = get_type_hints(layout, include_extras=True)
    result = []
    for name, hint in hints.items():
        _, dtype, dims = get_args(hint)
        result.append(Field(name, np.dtype(dtype), dims))
    return tuple(result)


def _complete(sizes: dict[str, int]) -> dict[str, int]:
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


class ViewType(types.Opaque):
    """Compile-time type of a layout seen through the table: an address, whose attributes are the layout's fields."""

    def __init__(self, layout: type, first: int, constant: bool) -> None:
        name = layout.__name__
        self.fields = {
            field.name: FieldType(f"{name}.{field.name}", field, first + index, constant)
            for index, field in enumerate(fields(layout))
        }
        super().__init__(f"View({name}, {first}, {constant})")


class FieldType(types.Opaque):
    """Compile-time type of one field: the table's address; elements are read and written by full integer indices."""

    def __init__(self, name: str, field: Field, position: int, constant: bool) -> None:
        self.field, self.position, self.constant = field, position, constant
        self.dtype = numpy_support.from_dtype(field.dtype)
        super().__init__(f"Field({name}, {field.dtype}, {field.dims}, {position}, {constant})")


register_model(ViewType)(models.OpaqueModel)
register_model(FieldType)(models.OpaqueModel)


@infer_getattr
class ViewAttributes(AttributeTemplate):
    key = ViewType

    def generic_resolve(self, view: ViewType, name: str) -> FieldType | None:
        return view.fields.get(name)


@infer_getattr
class FieldAttributes(AttributeTemplate):
    key = FieldType

    def generic_resolve(self, field: FieldType, name: str) -> types.UniTuple | None:
        return types.UniTuple(types.intp, len(field.field.dims)) if name == "shape" else None


def _parts(index: Any) -> tuple[Any, ...]:
    return tuple(getattr(index, "types", (index,)))


def _fits(field: Any, index: Any) -> bool:
    if isinstance(field, RowType):
        return isinstance(index, types.Integer)
    if not isinstance(field, FieldType):
        return False
    parts = _parts(index)
    if len(parts) != len(field.field.dims) or not all(isinstance(part, types.Integer) for part in parts):
        raise TypeError(f"{field} takes {len(field.field.dims)} integers, not {index}")
    return True


@infer_global(operator.getitem)
class ReadElement(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(args[0].dtype, *args) if _fits(args[0], args[1]) else None


@infer_global(operator.setitem)
class WriteElement(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        field, index, _ = args
        return signature(types.none, field, index, field.dtype) if _fits(field, index) else None


def size_of(context: Any, builder: Any, table: Any, letter: str) -> Any:
    if letter in SMALL_DIMENSIONS:
        return context.get_constant(types.intp, SMALL_DIMENSIONS[letter])
    return _word(context, builder, table, DIMENSIONS.index(letter))


def _word(context: Any, builder: Any, table: Any, index: int) -> Any:
    """An entry of the table, which never changes while a kernel runs."""
    intp = context.get_value_type(types.intp)
    address = builder.gep(builder.bitcast(table, intp.as_pointer()), [intp(index)], inbounds=True)
    word = builder.load(address)
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


def element(context: Any, builder: Any, field: FieldType, table: Any, index_type: Any, index: Any) -> Any:
    """Address of an element."""
    if isinstance(index_type, types.BaseTuple):
        parts = list(zip(cgutils.unpack_tuple(builder, index), _parts(index_type), strict=True))
    else:
        parts = [(index, index_type)]
    offset = None
    for (value, kind), letter in zip(parts, field.field.dims, strict=True):
        place = context.cast(builder, value, kind, types.intp)
        if offset is None:
            offset = place
        else:
            size = size_of(context, builder, table, letter)
            offset = builder.add(builder.mul(offset, size, flags=("nsw",)), place, flags=("nsw",))
    pointer = context.get_data_type(field.dtype).as_pointer()
    base = builder.inttoptr(_word(context, builder, table, field.position), pointer)
    return builder.gep(base, [offset], inbounds=True)


def mark(builder: Any, field: FieldType | RowType, access: Any) -> Any:
    """Tell the compiler that fields do not overlap, nor rows of the caller's with them."""
    module = builder.module
    root = module.add_metadata(["og_env"])
    kind = module.add_metadata([str(field), root, ZERO])
    access.set_metadata("tbaa", module.add_metadata([kind, kind, ZERO]))
    return access


@lower_builtin(operator.getitem, FieldType, types.Any)
def _lower_read(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return read(context, builder, sig.args[0], args[0], sig.args[1], args[1])


def read(context: Any, builder: Any, field: FieldType, table: Any, index_type: Any, index: Any) -> Any:
    """The value of an element."""
    value = mark(builder, field, builder.load(element(context, builder, field, table, index_type, index)))
    if field.constant:
        value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return context.data_model_manager[field.dtype].from_data(builder, value)


@lower_builtin(operator.setitem, FieldType, types.Any, types.Any)
def _lower_write(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    field = sig.args[0]
    address = element(context, builder, field, args[0], sig.args[1], args[1])
    value = context.data_model_manager[field.dtype].as_data(builder, args[2])
    mark(builder, field, builder.store(value, address))
    return context.get_dummy_value()


@intrinsic
def prefetch(typingctx: Any, field: Any, index: Any) -> Any:
    """Ask for the memory around an element [tuple], which will be read soon."""
    if not isinstance(field, FieldType):
        raise TypeError(f"{field} is no field")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        address = element(context, builder, field, args[0], signature.args[1], args[1])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(function, [builder.bitcast(address, byte), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.none(field, index), codegen


@lower_getattr(FieldType, "shape")
def _lower_shape(context: Any, builder: Any, field: FieldType, table: Any) -> Any:
    sizes = [size_of(context, builder, table, letter) for letter in field.field.dims]
    return context.make_tuple(builder, types.UniTuple(types.intp, len(sizes)), sizes)


@lower_getattr_generic(ViewType)
def _lower_field(context: Any, builder: Any, view: ViewType, value: Any, name: str) -> Any:
    return value


class TableType(types.Opaque):
    """Compile-time type of the table's address: what kernels hand to one another, one word without a count."""

    def __init__(self) -> None:
        super().__init__("Table")


register_model(TableType)(models.OpaqueModel)
TABLE = TableType()


@intrinsic
def opened(typingctx: Any, table: Any) -> Any:
    """The address of a table that Python passes as int64 [any]; the caller keeps the array alive."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.bitcast(array.data, context.get_value_type(TABLE))

    return TABLE(table), codegen


def viewer(layout: type, first: int, constant: bool = False) -> Any:
    """The compiled function from an opened table to a view of a layout, whose first address stands at `first`.

    constant: no kernel writes to it."""
    view = ViewType(layout, first, constant)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(view))

    def typing(typingctx: Any, table: Any) -> Any:
        return view(table), codegen

    function = intrinsic(typing)
    function.view = view
    return function


class RowType(types.Opaque):
    """Compile-time type of one row of an array that the caller owns: the address of its first element."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(f"Row({dtype})")


register_model(RowType)(models.OpaqueModel)


@intrinsic
def row_of(typingctx: Any, table: Any, b: Any) -> Any:
    """Row b of a contiguous table [B, X]: read and written like a field, by indices from 0 on, and nowhere near one."""
    row = RowType(table.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        _, width = cgutils.unpack_tuple(builder, array.shape)
        place = context.cast(builder, args[1], signature.args[1], types.intp)
        first = builder.gep(array.data, [builder.mul(place, width)], inbounds=True)
        return builder.bitcast(first, context.get_value_type(row))

    return row(table, b), codegen


def _cell(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    row, index = sig.args[:2]
    pointer = builder.bitcast(args[0], context.get_data_type(row.dtype).as_pointer())
    return builder.gep(pointer, [context.cast(builder, args[1], index, types.intp)], inbounds=True)


@lower_builtin(operator.getitem, RowType, types.Integer)
def _lower_cell_read(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    row = sig.args[0]
    value = mark(builder, row, builder.load(_cell(context, builder, sig, args)))
    return context.data_model_manager[row.dtype].from_data(builder, value)


@lower_builtin(operator.setitem, RowType, types.Integer, types.Any)
def _lower_cell_write(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    row = sig.args[0]
    value = context.data_model_manager[row.dtype].as_data(builder, args[2])
    mark(builder, row, builder.store(value, _cell(context, builder, sig, args)))
    return context.get_dummy_value()
