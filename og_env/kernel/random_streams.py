"""Random numbers inside kernels: splitmix64 streams (Steele, Lea and Flood 2014), each a uint64 of state in an array."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from og_env.kernel.compile import inlined, kernel

Floats = npt.NDArray[np.float64]
State = npt.NDArray[np.uint64]
"""[1] the state of a stream, which every number drawn from it changes"""

GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_A = np.uint64(0xBF58476D1CE4E5B9)
MIX_B = np.uint64(0x94D049BB133111EB)
S27, S30, S31, S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)
TO_UNIT = 1.0 / (1 << 53)
LAYERS = 256
TAIL = 3.6541528853610088
"""where the lowest of 256 layers of equal area ends and the tail begins (Marsaglia and Tsang 2000)"""


def ziggurat() -> tuple[Floats, Floats]:
    """Right edges of the layers under exp(-x^2 / 2) and its heights there, [LAYERS + 1] each, the widest layer first."""
    area = TAIL * math.exp(-TAIL * TAIL / 2) + math.sqrt(math.pi / 2) * math.erfc(TAIL / math.sqrt(2))
    edges = [area * math.exp(TAIL * TAIL / 2), TAIL]
    for _ in range(LAYERS - 2):
        edges.append(math.sqrt(-2 * math.log(area / edges[-1] + math.exp(-(edges[-1] ** 2) / 2))))
    x = np.array([*edges, 0.0])
    return x, np.exp(-x * x / 2)


EDGE, HEIGHT = ziggurat()
LAYER = np.uint64(LAYERS - 1)


@inlined
def mix(value: np.uint64) -> np.uint64:
    """The finalizer of splitmix64: a bijection of uint64 that scatters neighbours."""
    value = (value ^ (value >> S30)) * MIX_A
    value = (value ^ (value >> S27)) * MIX_B
    return value ^ (value >> S31)


@kernel
def stream(seed: np.uint64, number: int) -> np.uint64:
    """Initial state of a sub-stream of a seed; different numbers give different states."""
    return mix(mix(seed + GAMMA) ^ (np.uint64(number) * MIX_B + GAMMA))


@inlined
def bits(state: State) -> np.uint64:
    """The next 64 bits of state [1]."""
    state[0] += GAMMA
    return mix(state[0])


@inlined
def uniform(state: State) -> float:
    """A uniform number in [0, 1) of 53 random bits."""
    return (bits(state) >> S11) * TO_UNIT


@kernel
def exponential(state: State) -> float:
    """An exponential number with mean 1."""
    return -math.log(1.0 - uniform(state))


@inlined
def throw(state: State) -> tuple[np.int64, float]:
    """A layer of the ziggurat, by the low bits of a word, and a signed place in it, by the high bits."""
    word = bits(state)
    layer = np.int64(word & LAYER)
    return layer, (2.0 * ((word >> S11) * TO_UNIT) - 1.0) * EDGE[layer]


@inlined
def normal(state: State) -> float:
    """A normal number with mean 0 and variance 1, by a ziggurat: 99 of 100 throws end under the curve for certain."""
    layer, x = throw(state)
    return x if abs(x) < EDGE[layer + 1] else beyond_doubt(state, layer, x)


@kernel
def beyond_doubt(state: State, layer: np.int64, x: float) -> float:
    """A normal number from a throw that may lie above the curve: the throw itself, or a later one."""
    while True:
        if layer == 0:
            return math.copysign(tail(state), x)
        low, high = HEIGHT[layer], HEIGHT[layer + 1]
        if low + uniform(state) * (high - low) < math.exp(-x * x / 2):
            return x
        layer, x = throw(state)
        if abs(x) < EDGE[layer + 1]:
            return x


@kernel
def tail(state: State) -> float:
    """A normal number above TAIL (Marsaglia 1964)."""
    while True:
        beyond = exponential(state) / TAIL
        if 2 * exponential(state) > beyond * beyond:
            return TAIL + beyond


@kernel
def lognormal(state: State, median: float, sigma: float) -> float:
    """A lognormal number: the exponential of a normal with mean log(median) and standard deviation sigma."""
    return median * math.exp(sigma * normal(state))
