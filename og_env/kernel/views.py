"""One environment as kernels see it: `env.state.phase[model, site]`, without an array object and without a copy.

A kernel takes an environment: the table's address (`views`) with the indices of the environment, its world and its
scratch memory, all in registers. A view of it carries the leading index, so that `env.state.phase[model, site]` is
element [b, model, site] of the field: one address computation, without bounds, negative indices or reference counts. A
field with no other dimension is read and written as an attribute: `env.state.step`. The compiler is told that different
fields never overlap, and that worlds never change while a kernel runs, so that it can keep their values in registers and
use vector instructions.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing import templates
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, signature
from numba.extending import models, register_model
from numba.np import numpy_support

from og_env.kernel.compile import intrinsic
from og_env.kernel.memory import DIMENSIONS, SMALL_DIMENSIONS, Field, fields

LEADING = {"W": "k", "B": "b", "C": "c"}
"""the index of an environment that a first dimension takes"""
INDICES = ("b", "k", "c")
ZERO = ir.IntType(64)(0)
infer_getattr: Any = templates.infer_getattr
infer_global: Any = templates.infer_global


class TableType(types.Opaque):
    """Compile-time type of the table's address, one word without a reference count."""

    def __init__(self) -> None:
        super().__init__("Table")


class FieldType(types.Type):
    """Compile-time type of a field of one environment: the table's address and the leading index."""

    def __init__(self, name: str, field: Field, position: int, constant: bool) -> None:
        self.stored = numpy_support.from_dtype(field.dtype)
        self.dtype = types.int64 if self.stored == types.int32 else self.stored
        """the type of a value once it is read: int32 becomes int64, so that no kernel is compiled once for either"""
        self.dims, self.rank = field.dims, len(field.dims) - 1
        self.position, self.constant = position, constant
        super().__init__(f"Field({name}, {field.dtype}, {field.dims}, {position}, {constant})")


class ViewType(types.Type):
    """Compile-time type of a layout seen from one environment: the table's address and the leading index.

    `first` is the position of its first address in the table; no kernel writes to a `constant` one.
    """

    def __init__(self, layout: type, first: int, constant: bool) -> None:
        name = layout.__name__
        self.fields = {
            field.name: FieldType(f"{name}.{field.name}", field, first + place, constant)
            for place, field in enumerate(fields(layout))
        }
        self.index = LEADING[fields(layout)[0].dims[0]]
        super().__init__(f"View({name}, {first}, {constant})")


class EnvironmentType(types.Type):
    """Compile-time type of one environment: the table's address and an index of each of INDICES."""

    def __init__(self, views: dict[str, ViewType]) -> None:
        self.views = views
        super().__init__(f"Environment({', '.join(str(view) for view in views.values())})")


class RowType(types.Opaque):
    """Compile-time type of one row of an array that the caller owns: the address of its first element."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(f"Row({dtype})")


TABLE = TableType()


def _registers(*names: str) -> Any:
    class Registers(models.StructModel):
        def __init__(self, manager: Any, kind: Any) -> None:
            super().__init__(manager, kind, [("table", TABLE), *((name, types.intp) for name in names)])

    return Registers


register_model(TableType)(models.OpaqueModel)
register_model(RowType)(models.OpaqueModel)
register_model(EnvironmentType)(_registers(*INDICES))
register_model(ViewType)(_registers("first"))
register_model(FieldType)(_registers("first"))


@infer_getattr
class _EnvironmentAttributes(AttributeTemplate):
    key = EnvironmentType

    def generic_resolve(self, env: EnvironmentType, name: str) -> Any:
        return types.intp if name in INDICES else env.views.get(name)


@infer_getattr
class _ViewAttributes(AttributeTemplate):
    key = ViewType

    def generic_resolve(self, view: ViewType, name: str) -> Any:
        field = view.fields.get(name)
        return field.dtype if field is not None and field.rank == 0 else field


@infer_getattr
class _FieldAttributes(AttributeTemplate):
    key = FieldType

    def generic_resolve(self, field: FieldType, name: str) -> Any:
        return types.UniTuple(types.intp, field.rank) if name == "shape" else None


@lower_getattr_generic(EnvironmentType)
def _lower_view(context: Any, builder: Any, env: EnvironmentType, value: Any, name: str) -> Any:
    registers = cgutils.create_struct_proxy(env)(context, builder, value)
    if name in INDICES:
        return getattr(registers, name)
    view = env.views[name]
    return _placed(context, builder, view, registers.table, getattr(registers, view.index))


@lower_getattr_generic(ViewType)
def _lower_field(context: Any, builder: Any, view: ViewType, value: Any, name: str) -> Any:
    registers, field = cgutils.create_struct_proxy(view)(context, builder, value), view.fields[name]
    placed = _placed(context, builder, field, registers.table, registers.first)
    return placed if field.rank else _read(context, builder, field, element(context, builder, field, placed))


@lower_setattr_generic(ViewType)
def _lower_scalar_write(context: Any, builder: Any, sig: Any, args: Any, name: str) -> None:
    view, field = sig.args[0], sig.args[0].fields[name]
    registers = cgutils.create_struct_proxy(view)(context, builder, args[0])
    address = element(context, builder, field, _placed(context, builder, field, registers.table, registers.first))
    _write(context, builder, field, address, context.cast(builder, args[1], sig.args[1], field.dtype))


@lower_getattr_generic(FieldType)
def _lower_shape(context: Any, builder: Any, field: FieldType, value: Any, name: str) -> Any:
    table = cgutils.create_struct_proxy(field)(context, builder, value).table
    sizes = [_size(context, builder, table, letter) for letter in field.dims[1:]]
    return context.make_tuple(builder, types.UniTuple(types.intp, field.rank), sizes)


def _placed(context: Any, builder: Any, kind: Any, table: Any, first: Any) -> Any:
    registers = cgutils.create_struct_proxy(kind)(context, builder)
    registers.table, registers.first = table, first
    return registers._getvalue()


def _size(context: Any, builder: Any, table: Any, letter: str) -> Any:
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


def element(context: Any, builder: Any, field: FieldType, value: Any, index_type: Any = None, index: Any = None) -> Any:
    """Address of an element of a field by its index, an integer or a tuple of them; without one, of a single value."""
    registers = cgutils.create_struct_proxy(field)(context, builder, value)
    if field.rank == 0:
        parts = []
    elif isinstance(index_type, types.BaseTuple):
        parts = list(zip(cgutils.unpack_tuple(builder, index), _types_of(index_type), strict=True))
    else:
        parts = [(index, index_type)]
    offset = registers.first
    for (part, kind), letter in zip(parts, field.dims[1:], strict=True):
        size = _size(context, builder, registers.table, letter)
        place = context.cast(builder, part, kind, types.intp)
        offset = builder.add(builder.mul(offset, size, flags=("nsw",)), place, flags=("nsw",))
    pointer = context.get_data_type(field.stored).as_pointer()
    base = builder.inttoptr(_word(context, builder, registers.table, field.position), pointer)
    return builder.gep(base, [offset], inbounds=True)


def mark(builder: Any, field: FieldType | RowType, access: Any) -> Any:
    """Tell the compiler that fields do not overlap, nor rows of the caller's with them; returns the access."""
    module = builder.module
    root = module.add_metadata(["og_env"])
    kind = module.add_metadata([str(field), root, ZERO])
    access.set_metadata("tbaa", module.add_metadata([kind, kind, ZERO]))
    return access


def _read(context: Any, builder: Any, field: FieldType, address: Any) -> Any:
    value = mark(builder, field, builder.load(address))
    if field.constant:
        value.set_metadata("invariant.load", builder.module.add_metadata([]))
    value = context.data_model_manager[field.stored].from_data(builder, value)
    return context.cast(builder, value, field.stored, field.dtype)


def _write(context: Any, builder: Any, field: FieldType, address: Any, value: Any) -> None:
    value = context.cast(builder, value, field.dtype, field.stored)
    mark(builder, field, builder.store(context.data_model_manager[field.stored].as_data(builder, value), address))


def _types_of(index: Any) -> tuple[Any, ...]:
    return tuple(getattr(index, "types", (index,)))


def _fits(field: Any, index: Any) -> bool:
    """Whether an index may follow: TypeError where it is the wrong one for a field."""
    if isinstance(field, RowType):
        return isinstance(index, types.Integer)
    if not isinstance(field, FieldType):
        return False
    parts = _types_of(index)
    if len(parts) != field.rank or not all(isinstance(part, types.Integer) for part in parts):
        raise TypeError(f"{field} takes {field.rank} integers, not {index}")
    return True


@infer_global(operator.getitem)
class _ReadElement(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(args[0].dtype, *args) if _fits(args[0], args[1]) else None


@infer_global(operator.setitem)
class _WriteElement(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        field, index, _ = args
        return signature(types.none, field, index, field.dtype) if _fits(field, index) else None


@lower_builtin(operator.getitem, FieldType, types.Any)
def _lower_read(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    field = sig.args[0]
    return _read(context, builder, field, element(context, builder, field, args[0], sig.args[1], args[1]))


@lower_builtin(operator.setitem, FieldType, types.Any, types.Any)
def _lower_write(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    field = sig.args[0]
    _write(context, builder, field, element(context, builder, field, args[0], sig.args[1], args[1]), args[2])
    return context.get_dummy_value()


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


def _cell(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    row, index = sig.args[:2]
    pointer = builder.bitcast(args[0], context.get_data_type(row.dtype).as_pointer())
    return builder.gep(pointer, [context.cast(builder, args[1], index, types.intp)], inbounds=True)


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


@intrinsic
def prefetch(typingctx: Any, field: Any, index: Any) -> Any:
    """Ask for the memory around an element of a field, which will be read soon."""
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


@intrinsic
def opened(typingctx: Any, table: Any) -> Any:
    """The address of a table that Python passes as int64 [any]; the caller keeps the array alive."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.bitcast(array.data, context.get_value_type(TABLE))

    return TABLE(table), codegen


def binder(views: dict[str, ViewType], world: FieldType) -> Any:
    """The compiled function (opened table, b, c) -> environment; `world` is the field with the index of its world."""
    kind = EnvironmentType(views)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        registers = cgutils.create_struct_proxy(kind)(context, builder)
        b, c = (context.cast(builder, args[place], sig.args[place], types.intp) for place in (1, 2))
        registers.table, registers.b, registers.c = args[0], b, c
        index = _read(
            context, builder, world, element(context, builder, world, _placed(context, builder, world, args[0], b))
        )
        registers.k = context.cast(builder, index, world.dtype, types.intp)
        return registers._getvalue()

    def typing(typingctx: Any, table: Any, b: Any, c: Any) -> Any:
        return kind(table, b, c), codegen

    return intrinsic(typing)
