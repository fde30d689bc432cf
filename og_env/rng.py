"""Random numbers inside kernels: splitmix64 streams (Steele, Lea and Flood 2014), each a uint64 of state in an array."""

from __future__ import annotations

import math

import numpy as np

from og_env.jit import kernel

GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_A = np.uint64(0xBF58476D1CE4E5B9)
MIX_B = np.uint64(0x94D049BB133111EB)
S27, S30, S31, S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)
TO_UNIT = 1.0 / (1 << 53)


@kernel
def mix(value):
    """The finalizer of splitmix64: a bijection of uint64 that scatters neighbours."""
    value = (value ^ (value >> S30)) * MIX_A
    value = (value ^ (value >> S27)) * MIX_B
    return value ^ (value >> S31)


@kernel
def stream(seed, number):
    """Initial state of a sub-stream of a seed."""
    return mix(mix(seed + GAMMA) ^ (np.uint64(number) * MIX_B + GAMMA))


@kernel
def bits(state):
    """The next 64 bits of state [1]."""
    state[0] += GAMMA
    return mix(state[0])


@kernel
def uniform(state):
    """In [0, 1), 53 bits."""
    return (bits(state) >> S11) * TO_UNIT


@kernel
def exponential(state):
    """Mean 1."""
    return -math.log(1.0 - uniform(state))


@kernel
def normal(state):
    """Mean 0, variance 1 (Box-Muller, one value of the pair)."""
    radius = math.sqrt(2.0 * exponential(state))
    return radius * math.cos(2.0 * math.pi * uniform(state))
