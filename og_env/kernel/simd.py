"""Eight float64 side by side as one value of compiled code, and the elementary functions on it.

The compiler's own vectorising depends on how long it guesses a loop to be; here the vector instructions are written
down. So are the order of sums and the polynomials of exp and log: results have the same bits in every kernel and
process, and a call of the system's library, whose last bit depends on the machine, is saved. Relative error of `exp`
and `log`: below 1e-13. Fields that are read in lanes have room up to a multiple of LANES (dimension L).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, signature
from numba.extending import models, register_model

from og_env.kernel.compile import intrinsic
from og_env.kernel.memory import LANES
from og_env.kernel.views import FieldType, element, infer_global, mark

LOWEST, HIGHEST = -700.0, 700.0
"""arguments of the exponential end there"""
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts, the first with zeros at its end so that its multiples are exact"""
SHIFTER, SHIFTER_BITS = 6755399441055744.0, 0x4338000000000000
"""1.5 x 2^52: adding it rounds to an integer, which then stands in the low bits"""
SQRT2 = 1.4142135623730951
MANTISSA, ONE, BIAS = (1 << 52) - 1, 0x3FF << 52, 1023
EXP = [1 / product for product in (39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2, 1, 1)]
"""coefficients of e^r, highest power first, |r| below 0.35"""
ARTANH = [1 / odd for odd in (17, 15, 13, 11, 9, 7, 5, 3, 1)]
"""coefficients of artanh(s) / s in s^2, |s| below 0.18"""

REAL, WHOLE = ir.DoubleType(), ir.IntType(64)


class LanesType(types.Type):
    """Compile-time type of LANES float64."""

    def __init__(self) -> None:
        super().__init__("Lanes")


LANES_TYPE = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: LanesType) -> None:
        super().__init__(manager, kind, ir.VectorType(REAL, LANES))


def _arithmetic(function: Any, build: Callable[[Any, Any, Any], Any]) -> None:
    """Make a binary operation work on lanes."""

    @infer_global(function)
    class Operation(ConcreteTemplate):
        cases = [signature(LANES_TYPE, LANES_TYPE, LANES_TYPE)]

    @lower_builtin(function, LANES_TYPE, LANES_TYPE)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return build(builder, *args)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


_arithmetic(operator.iadd, lambda builder, a, b: builder.fadd(a, b))
_arithmetic(operator.add, lambda builder, a, b: builder.fadd(a, b))
_arithmetic(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_arithmetic(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_arithmetic(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))
_arithmetic(max, _larger)
_arithmetic(min, _smaller)


@intrinsic
def splat(typingctx: Any, value: Any) -> Any:
    """The same float64 in every lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(REAL, LANES)
        first = builder.insert_element(ir.Constant(kind, ir.Undefined), args[0], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    return LANES_TYPE(types.float64), codegen


@intrinsic
def load(typingctx: Any, field: FieldType, index: Any) -> Any:
    """The LANES elements of a float64 field from an index [tuple] on, along its last dimension."""
    _check(field)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = element(context, builder, field, args[0], signature.args[1], args[1])
        return mark(builder, field, builder.load(_wide(builder, address), align=8))

    return LANES_TYPE(field, index), codegen


@intrinsic
def store(typingctx: Any, field: FieldType, index: Any, value: Any) -> Any:
    """Write lanes to the elements of a float64 field from an index [tuple] on, along its last dimension."""
    _check(field)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = element(context, builder, field, args[0], signature.args[1], args[1])
        mark(builder, field, builder.store(args[2], _wide(builder, address), align=8))
        return context.get_dummy_value()

    return types.none(field, index, LANES_TYPE), codegen


def _check(field: Any) -> None:
    if not isinstance(field, FieldType) or field.dtype != types.float64:
        raise TypeError(f"lanes are read from and written to float64 fields, not {field}")


def _wide(builder: Any, address: Any) -> Any:
    return builder.bitcast(address, ir.VectorType(REAL, LANES).as_pointer())


@intrinsic
def where(typingctx: Any, test: Any, a: Any, b: Any) -> Any:
    """Lane by lane, a where the test is above 0, else b."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        above = builder.fcmp_ordered(">", args[0], _same(args[0], 0.0))
        return builder.select(above, args[1], args[2])

    return LANES_TYPE(LANES_TYPE, LANES_TYPE, LANES_TYPE), codegen


@intrinsic
def total(typingctx: Any, value: Any) -> Any:
    """Sum of the lanes: halves added to halves, always in the same order."""
    return _folded(lambda builder, low, high: builder.fadd(low, high))


@intrinsic
def largest(typingctx: Any, value: Any) -> Any:
    """The largest of the lanes."""
    return _folded(_larger)


def _folded(build: Callable[[Any, Any, Any], Any]) -> Any:
    """Typing and code of one number made of all lanes, halves with halves."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        part, width = args[0], LANES
        while width > 1:
            width //= 2
            low, high = (_half(builder, part, range(start, start + width)) for start in (0, width))
            part = build(builder, low, high)
        return builder.extract_element(part, ir.IntType(32)(0))

    return types.float64(LANES_TYPE), codegen


def _half(builder: Any, vector: Any, lanes: Sequence[int]) -> Any:
    order = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), order)


def _same(like: Any, value: float | int) -> Any:
    """A constant of the shape of another value."""
    kind = WHOLE if isinstance(value, int) else REAL
    if isinstance(like.type, ir.VectorType):
        return ir.Constant(ir.VectorType(kind, LANES), [value] * LANES)
    return ir.Constant(kind, value)


def _cast(builder: Any, value: Any, kind: Any) -> Any:
    """The bits of a value as another kind."""
    return builder.bitcast(value, ir.VectorType(kind, LANES) if isinstance(value.type, ir.VectorType) else kind)


def _polynomial(builder: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """The polynomial by Estrin's scheme: neighbours are joined with x, pairs of them with x^2, and so on.

    It takes half the time of Horner's scheme, in which every step waits for the one before.
    """
    terms = [_same(x, coefficient) for coefficient in reversed(coefficients)]
    while len(terms) > 1:
        odd = terms[len(terms) // 2 * 2 :]
        pairs = zip(terms[::2], terms[1::2], strict=False)
        terms = [builder.fadd(low, builder.fmul(high, x)) for low, high in pairs] + odd
        x = builder.fmul(x, x)
    return terms[0]


def _exp(builder: Any, x: Any) -> Any:
    x = _larger(builder, x, _same(x, LOWEST))
    x = _smaller(builder, x, _same(x, HIGHEST))
    shifted = builder.fadd(builder.fmul(x, _same(x, LOG2_E)), _same(x, SHIFTER))
    whole = builder.fsub(shifted, _same(x, SHIFTER))
    rest = builder.fsub(x, builder.fmul(whole, _same(x, LN2_HIGH)))
    rest = builder.fsub(rest, builder.fmul(whole, _same(x, LN2_LOW)))
    bits = builder.add(_cast(builder, shifted, WHOLE), _same(x, BIAS))
    power = _cast(builder, builder.shl(bits, _same(x, 52)), REAL)
    return builder.fmul(_polynomial(builder, rest, EXP), power)


def _log(builder: Any, x: Any) -> Any:
    bits = _cast(builder, x, WHOLE)
    exponent = builder.sub(builder.lshr(bits, _same(x, 52)), _same(x, BIAS))
    mantissa = _cast(builder, builder.or_(builder.and_(bits, _same(x, MANTISSA)), _same(x, ONE)), REAL)
    large = builder.fcmp_ordered(">", mantissa, _same(x, SQRT2))
    mantissa = builder.select(large, builder.fmul(mantissa, _same(x, 0.5)), mantissa)
    exponent = builder.select(large, builder.add(exponent, _same(x, 1)), exponent)
    power = _cast(builder, builder.add(exponent, _same(x, SHIFTER_BITS)), REAL)
    power = builder.fsub(power, _same(x, SHIFTER))
    ratio = builder.fdiv(builder.fsub(mantissa, _same(x, 1.0)), builder.fadd(mantissa, _same(x, 1.0)))
    series = _polynomial(builder, builder.fmul(ratio, ratio), ARTANH)
    low = builder.fadd(builder.fmul(builder.fmul(ratio, _same(x, 2.0)), series), builder.fmul(power, _same(x, LN2_LOW)))
    return builder.fadd(builder.fmul(power, _same(x, LN2_HIGH)), low)


def _root(builder: Any, x: Any) -> Any:
    name = f"llvm.sqrt.v{LANES}f64" if isinstance(x.type, ir.VectorType) else "llvm.sqrt.f64"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(x.type, [x.type]), name)
    return builder.call(function, [x])


def _elementary(build: Callable[[Any, Any], Any], value: Any) -> Any:
    """Typing and code of a function of one number or of lanes."""
    kind = LANES_TYPE if isinstance(value, LanesType) else types.float64
    return kind(kind), lambda context, builder, signature, args: build(builder, args[0])


@intrinsic
def exp(typingctx: Any, x: Any) -> Any:
    """The exponential of x, a float64 or lanes; x is cut off at -700 and 700."""
    return _elementary(_exp, x)


@intrinsic
def root(typingctx: Any, x: Any) -> Any:
    """Square root of a float64 that is not negative, or of lanes of them."""
    return _elementary(_root, x)


@intrinsic
def log(typingctx: Any, x: Any) -> Any:
    """Natural logarithm of a positive, normal float64 or of lanes of them.

    It is 2 artanh((m - 1) / (m + 1)) of the mantissa m, plus the exponent's part.
    """
    return _elementary(_log, x)
