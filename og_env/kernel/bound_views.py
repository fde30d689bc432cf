"""One environment as kernels see it: a table's address with the indices of the environment, its world and its scratch.

`env.state.phase[model, site]` is element [b, model, site] of the field: a view carries the leading index, in a register.
A field with no other dimension is read and written as an attribute: `env.state.step`.
"""

from __future__ import annotations

import operator
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, signature
from numba.extending import models, register_model

from og_env.kernel.compile import intrinsic
from og_env.kernel.views import TABLE, FieldType, ViewType, element, infer_getattr, infer_global, mark, read, size_of

LEADING = {"W": "k", "B": "b", "C": "c"}
"""which of an environment's indices a first dimension takes"""
INDICES = ("b", "k", "c")


def seen_as(dtype: Any) -> Any:
    """The type of a value once it is read: int32 becomes int64, so that no kernel is compiled once for either."""
    return types.int64 if dtype == types.int32 else dtype


def _read(context: Any, builder: Any, field: FieldType, *place: Any) -> Any:
    value = read(context, builder, field, *place)
    return context.cast(builder, value, field.dtype, seen_as(field.dtype))


class BoundField(types.Type):
    """Compile-time type of a field without its first dimension: address and leading index."""

    def __init__(self, field: FieldType) -> None:
        self.field, self.rank, self.dtype = field, len(field.field.dims) - 1, field.dtype
        super().__init__(f"Bound{field.name}")


class BoundView(types.Type):
    """Compile-time type of a layout seen from one environment."""

    def __init__(self, view: ViewType) -> None:
        kinds = view.fields.values()
        self.scalars = {kind.field.name: kind for kind in kinds if len(kind.field.dims) == 1}
        self.fields = {kind.field.name: BoundField(kind) for kind in kinds if len(kind.field.dims) > 1}
        self.index = LEADING[next(iter(kinds)).field.dims[0]]
        super().__init__(f"Bound{view.name}")


class EnvType(types.Type):
    """Compile-time type of one environment."""

    def __init__(self, views: dict[str, ViewType]) -> None:
        self.views = {name: BoundView(view) for name, view in views.items()}
        super().__init__("Env")


def _registers(*names: str) -> Any:
    class Registers(models.StructModel):
        def __init__(self, manager: Any, kind: Any) -> None:
            super().__init__(manager, kind, [("table", TABLE), *((name, types.intp) for name in names)])

    return Registers


register_model(EnvType)(_registers(*INDICES))
register_model(BoundView)(_registers("first"))
register_model(BoundField)(_registers("first"))


@infer_getattr
class EnvAttributes(AttributeTemplate):
    key = EnvType

    def generic_resolve(self, env: EnvType, name: str) -> Any:
        return types.intp if name in INDICES else env.views.get(name)


@infer_getattr
class BoundViewAttributes(AttributeTemplate):
    key = BoundView

    def generic_resolve(self, view: BoundView, name: str) -> Any:
        return seen_as(view.scalars[name].dtype) if name in view.scalars else view.fields.get(name)


@infer_getattr
class BoundFieldAttributes(AttributeTemplate):
    key = BoundField

    def generic_resolve(self, field: BoundField, name: str) -> Any:
        return types.UniTuple(types.intp, field.rank) if name == "shape" else None


@lower_getattr_generic(EnvType)
def _lower_view(context: Any, builder: Any, env: EnvType, value: Any, name: str) -> Any:
    registers = cgutils.create_struct_proxy(env)(context, builder, value)
    if name in INDICES:
        return getattr(registers, name)
    view = env.views[name]
    return _place(context, builder, view, registers.table, getattr(registers, view.index))


@lower_getattr_generic(BoundView)
def _lower_attribute(context: Any, builder: Any, view: BoundView, value: Any, name: str) -> Any:
    registers = cgutils.create_struct_proxy(view)(context, builder, value)
    if name in view.scalars:
        return _read(context, builder, view.scalars[name], registers.table, types.intp, registers.first)
    return _place(context, builder, view.fields[name], registers.table, registers.first)


@lower_setattr_generic(BoundView)
def _lower_scalar_write(context: Any, builder: Any, sig: Any, args: Any, name: str) -> None:
    view, kind = sig.args[0], sig.args[0].scalars[name]
    registers = cgutils.create_struct_proxy(view)(context, builder, args[0])
    address = element(context, builder, kind, registers.table, types.intp, registers.first)
    value = context.cast(builder, args[1], sig.args[1], kind.dtype)
    value = context.data_model_manager[kind.dtype].as_data(builder, value)
    mark(builder, kind, builder.store(value, address))


@lower_getattr_generic(BoundField)
def _lower_shape(context: Any, builder: Any, field: BoundField, value: Any, name: str) -> Any:
    table = cgutils.create_struct_proxy(field)(context, builder, value).table
    sizes = [size_of(context, builder, table, letter) for letter in field.field.field.dims[1:]]
    return context.make_tuple(builder, types.UniTuple(types.intp, field.rank), sizes)


def _place(context: Any, builder: Any, kind: Any, table: Any, first: Any) -> Any:
    registers = cgutils.create_struct_proxy(kind)(context, builder)
    registers.table, registers.first = table, first
    return registers._getvalue()


def whole(context: Any, builder: Any, field: BoundField, value: Any, index_type: Any, index: Any) -> Any:
    """Table, index type and index of the field itself, from those of a bound one."""
    registers = cgutils.create_struct_proxy(field)(context, builder, value)
    kinds, parts = [index_type], [index]
    if isinstance(index_type, types.BaseTuple):
        kinds, parts = list(getattr(index_type, "types", ())), cgutils.unpack_tuple(builder, index)
    kind = types.Tuple((types.intp, *kinds))
    return registers.table, kind, context.make_tuple(builder, kind, [registers.first, *parts])


def fits(field: Any, index: Any) -> bool:
    if not isinstance(field, BoundField):
        return False
    parts = tuple(getattr(index, "types", (index,)))
    if len(parts) != field.rank or not all(isinstance(part, types.Integer) for part in parts):
        raise TypeError(f"{field} takes {field.rank} integers, not {index}")
    return True


@infer_global(operator.getitem)
class ReadBound(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(seen_as(args[0].dtype), *args) if fits(args[0], args[1]) else None


@infer_global(operator.setitem)
class WriteBound(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        field, index, _ = args
        return signature(types.none, field, index, field.dtype) if fits(field, index) else None


@lower_builtin(operator.getitem, BoundField, types.Any)
def _lower_read(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    field = sig.args[0]
    return _read(context, builder, field.field, *whole(context, builder, field, args[0], sig.args[1], args[1]))


@lower_builtin(operator.setitem, BoundField, types.Any, types.Any)
def _lower_write(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    field = sig.args[0]
    place = whole(context, builder, field, args[0], sig.args[1], args[1])
    value = context.data_model_manager[field.dtype].as_data(builder, args[2])
    mark(builder, field.field, builder.store(value, element(context, builder, field.field, *place)))
    return context.get_dummy_value()


def binder(env: EnvType, world: FieldType) -> Any:
    """The compiled function (table, b, c) -> environment; `world` is the field that says which world it has."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        registers = cgutils.create_struct_proxy(env)(context, builder)
        b, c = (context.cast(builder, args[i], sig.args[i], types.intp) for i in (1, 2))
        registers.table, registers.b, registers.c = args[0], b, c
        k = read(context, builder, world, args[0], types.intp, b)
        registers.k = context.cast(builder, k, world.dtype, types.intp)
        return registers._getvalue()

    def typing(typingctx: Any, table: Any, b: Any, c: Any) -> Any:
        return env(table, b, c), codegen

    return intrinsic(typing)
