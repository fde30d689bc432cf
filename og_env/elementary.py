"""Exponential, logarithm and power, inlined in every kernel: the same bits on every machine, and fit for vector units.

A call of the system's library costs more than the rest of a replica's arithmetic, and its last bit depends on the
machine. Relative error: below 1e-13 for `exp`, 1e-13 for `power` with exponents up to 50.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from og_env.jit import kernel

LOWEST = -700.0
"""arguments of the exponential end there"""
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts, the first with zeros at its end so that its multiples are exact"""
SHIFTER = 6755399441055744.0
"""1.5 x 2^52: adding it rounds to an integer, which then stands in the low bits"""
SQRT2 = 1.4142135623730951
MANTISSA, ONE, BIAS = (1 << 52) - 1, 0x3FF << 52, 1023
SHIFTER_BITS = 0x4338000000000000


@intrinsic
def bits_of(typingctx: Any, value: Any) -> Any:
    """The bits of a float64 as int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def float_of(typingctx: Any, bits: Any) -> Any:
    """The float64 with these bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@kernel
def exp(x):
    """e to the power x, x at most 700."""
    x = max(x, LOWEST)
    shifted = x * LOG2_E + SHIFTER
    whole = shifted - SHIFTER
    r = x - whole * LN2_HIGH - whole * LN2_LOW
    p = 2.5052108385441720e-08  # 1 / 11!
    p = p * r + 2.7557319223985893e-07
    p = p * r + 2.7557319223985888e-06
    p = p * r + 2.4801587301587302e-05
    p = p * r + 1.9841269841269841e-04
    p = p * r + 1.3888888888888889e-03
    p = p * r + 8.3333333333333332e-03
    p = p * r + 4.1666666666666664e-02
    p = p * r + 1.6666666666666666e-01
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * float_of((bits_of(shifted) + BIAS) << 52)


@kernel
def log(x):
    """Natural logarithm of a positive, normal x: 2 artanh((m - 1) / (m + 1)) of its mantissa m, plus its exponent."""
    bits = bits_of(x)
    exponent = (bits >> 52) - BIAS
    mantissa = float_of((bits & MANTISSA) | ONE)
    large = mantissa > SQRT2
    mantissa = mantissa * 0.5 if large else mantissa
    exponent = exponent + 1 if large else exponent
    power = float_of(exponent + SHIFTER_BITS) - SHIFTER
    s = (mantissa - 1) / (mantissa + 1)
    z = s * s
    p = 1 / 17
    p = p * z + 1 / 15
    p = p * z + 1 / 13
    p = p * z + 1 / 11
    p = p * z + 1 / 9
    p = p * z + 1 / 7
    p = p * z + 1 / 5
    p = p * z + 1 / 3
    p = p * z + 1
    return power * LN2_HIGH + (2 * s * p + power * LN2_LOW)


@kernel
def power(x, exponent):
    """x to a power, x positive."""
    return exp(exponent * log(x))
