"""The memory that a batch takes, worked out before it is asked for: `check_room`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from og_env.kernel.arrays import METRICS, Memo, Output, Scratch, State, Tape, World
from og_env.kernel.memory import LANES, SMALL_DIMENSIONS, fields

MOST_ENVS = 1_000_000
"""most environments of a batch"""
USUAL_OFFERS = 10
"""offers that are counted where their number is not known"""


def check_room(sizes: Mapping[str, int], batch: int, *, own_worlds: bool, threads: int) -> None:
    """ValueError in one line where a batch of so many environments takes more memory than is free on the machine."""
    free = free_bytes()
    need = needed_bytes(sizes, batch, own_worlds=own_worlds, threads=threads)
    if free is None or need <= free:
        return
    one = needed_bytes(sizes, 1, own_worlds=own_worlds, threads=1)
    most = max(int(batch * free / need), 0)
    advice = f"take {most:,} environments or fewer" if one <= free and most else "take fewer sites or shorter episodes"
    raise ValueError(
        f"num_envs is {batch:,}: that takes {need / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free; {advice}"
    )


def needed_bytes(sizes: Mapping[str, int], batch: int, *, own_worlds: bool, threads: int) -> int:
    """Bytes of the arrays of a batch, observations left out."""
    lanes = {letter: -(-sizes[of] // LANES) * LANES for letter, of in (("L", "N"), ("G", "F"))}
    whole = {
        **SMALL_DIMENSIONS,
        **sizes,
        **lanes,
        "W": batch if own_worlds else 1,
        "B": batch,
        "X": sizes["N"] * lanes["L"],
        "R": (sizes["T"] + 1) // 2,
        "P": USUAL_OFFERS,
        "Q": len(METRICS),
        "V": 1 + 3 * sizes["M"] * sizes["N"] + 6 * sizes["N"],
        "H": sizes["F"],
        "C": 1,
        "K": 8,
        "O": 0,
    }
    counts = ((World, 1), (Tape, 1), (State, 1), (Output, 1), (Memo, 1), (Scratch, threads))
    return sum(
        times * math.prod(whole[letter] for letter in field.dims) * np.dtype(field.dtype).itemsize
        for layout, times in counts
        for field in fields(layout)
    )


def free_bytes() -> int | None:
    """Memory that the system has to give, in bytes; None where it does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
