"""Random numbers inside kernels, from splitmix64 streams (Steele, Lea and Flood 2014).

A stream is a uint64 array [1] that holds its state; each draw advances it.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from og_env.kernel.compile import array_inlined, array_kernel

Stream = npt.NDArray[np.uint64]
"""The state of a stream [1]."""
GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_A = np.uint64(0xBF58476D1CE4E5B9)
MIX_B = np.uint64(0x94D049BB133111EB)
S27, S30, S31, S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)
S16, S32, S48, LOW16 = np.uint64(16), np.uint64(32), np.uint64(48), np.uint64(0xFFFF)
ROOT3 = math.sqrt(3.0)
TO_UNIT = 1.0 / (1 << 53)
"""Factor that maps integers of 53 bits to [0, 1)."""
LAYERS = 256
"""Number of layers of the ziggurat."""
TAIL = 3.6541528853610088
"""Where the lowest of 256 layers of equal area ends and the tail of the normal begins (Marsaglia and Tsang 2000)."""


def ziggurat() -> tuple[np.ndarray, np.ndarray]:
    """Right edges of the layers under exp(-x^2 / 2) and its heights there, [LAYERS + 1] each, the widest layer first."""
    area = TAIL * math.exp(-TAIL * TAIL / 2) + math.sqrt(math.pi / 2) * math.erfc(TAIL / math.sqrt(2))
    edges = [area * math.exp(TAIL * TAIL / 2), TAIL]
    for _ in range(LAYERS - 2):
        edges.append(math.sqrt(-2 * math.log(area / edges[-1] + math.exp(-(edges[-1] ** 2) / 2))))
    x = np.array([*edges, 0.0])
    return x, np.exp(-x * x / 2)


EDGE, HEIGHT = ziggurat()
LAYER = np.uint64(LAYERS - 1)


@array_inlined
def mix(value: np.uint64) -> np.uint64:
    """The finalizer of splitmix64, a bijection of uint64 that scatters neighbours."""
    value = (value ^ (value >> S30)) * MIX_A
    value = (value ^ (value >> S27)) * MIX_B
    return value ^ (value >> S31)


@array_kernel
def stream(seed: np.uint64, number: int) -> np.uint64:
    """Initial state of the sub-stream of a seed with this number; different numbers give different states."""
    return mix(mix(seed + GAMMA) ^ (np.uint64(number) * MIX_B + GAMMA))


@array_inlined
def bits(state: Stream) -> np.uint64:
    """The next 64 bits of the stream whose state [1] is given, as a uint64."""
    state[0] += GAMMA
    return mix(state[0])


@array_inlined
def uniform(state: Stream) -> float:
    """A uniform number in [0, 1) of 53 random bits."""
    return (bits(state) >> S11) * TO_UNIT


@array_inlined
def standard_noise(seed: np.uint64, row: int, place: int) -> float:
    """A number of mean 0 and variance 1 that belongs to a row and a place: four uniform numbers of 16 bits added up.

    It lies within 3.5 of 0. `later_noise` gives the seed for which rows begin further on.
    """
    word = mix(seed + np.uint64(row) * GAMMA + np.uint64(place) * MIX_B + GAMMA)
    parts = (word & LOW16) + ((word >> S16) & LOW16) + ((word >> S32) & LOW16) + (word >> S48)
    return (parts / 65536.0 - 2.0) * ROOT3


def later_noise(seed: npt.NDArray[np.uint64], rows: npt.NDArray[np.integer]) -> npt.NDArray[np.uint64]:
    """Seeds whose `standard_noise` in row 0 is that of the given seeds in row `rows`, and so on from there."""
    return seed + rows.astype(np.uint64) * GAMMA


@array_kernel
def exponential(state: Stream) -> float:
    """An exponential number of mean 1."""
    return -math.log(1.0 - uniform(state))


@array_inlined
def throw(state: Stream) -> tuple[np.int64, float]:
    """A random layer of the ziggurat, by the low bits, and a signed place in it, by the high ones."""
    word = bits(state)
    layer = np.int64(word & LAYER)
    return layer, (2.0 * ((word >> S11) * TO_UNIT) - 1.0) * EDGE[layer]


@array_inlined
def normal(state: Stream) -> float:
    """A normal number of mean 0 and variance 1 by a ziggurat, which accepts 99 of 100 throws without a further test."""
    layer, x = throw(state)
    return x if abs(x) < EDGE[layer + 1] else doubtful(state, layer, x)


@array_kernel
def doubtful(state: Stream, layer: np.int64, number: float) -> float:
    """The normal number from a throw that may lie above the curve, which is tested and repeated where it does."""
    while True:
        if layer == 0:
            return math.copysign(tail(state), number)
        low, high = HEIGHT[layer], HEIGHT[layer + 1]
        if low + uniform(state) * (high - low) < math.exp(-number * number / 2):
            return number
        layer, number = throw(state)
        if abs(number) < EDGE[layer + 1]:
            return number


@array_kernel
def tail(state: Stream) -> float:
    """A normal number given that it exceeds TAIL (Marsaglia 1964)."""
    while True:
        beyond = exponential(state) / TAIL
        if 2 * exponential(state) > beyond * beyond:
            return TAIL + beyond


@array_kernel
def lognormal(state: Stream, median: float, sigma: float) -> float:
    """A lognormal number: exp of a normal number with mean log(median) and standard deviation sigma."""
    return median * math.exp(sigma * normal(state))
