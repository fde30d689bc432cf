"""Kinds of numbers by their dimension, each with the range that it can have in a network of this world.

Whatever lies in these ranges can be squared and multiplied as the simulator does it without leaving 32-bit numbers, and
leads to no more random events than can be drawn in seconds.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

LARGEST = 1e9
"""largest number that any setting takes"""
SMALLEST = 1e-9
"""smallest number above 0 that a setting which may not be 0 takes"""
DAY_S, MONTH_S, YEAR_H = 86_400.0, 2_678_400.0, 8784.0


def _not_tiny(value: float) -> float:
    if value < SMALLEST:
        raise ValueError(f"must be >= {SMALLEST:g}, not {value:g}")
    return value


def _no_path(value: str) -> str:
    """The name, where a file or folder can bear it and stays in the folder where it is put."""
    if not value.strip(" .") or value != value.strip() or set(value) & set('/\\:*?"<>|'):
        raise ValueError(f"{value[:40]!r} is no name of a file: letters, digits, blanks, '.', '_' and '-' are")
    return value


FileName = Annotated[str, Field(max_length=120), AfterValidator(_no_path)]
"""a name that files of results bear"""
Positive = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False), AfterValidator(_not_tiny)]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Number = Annotated[int, Field(ge=0, le=100_000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]

Usd = Annotated[float, Field(ge=0, le=1e6)]
"""a price in US dollars, of an hour, a gigabyte or a month"""
Gigabytes = Annotated[float, Field(gt=0, le=1e6), AfterValidator(_not_tiny)]
Gbps = Annotated[float, Field(gt=0, le=1e6), AfterValidator(_not_tiny)]
"""speed of a link or a disk, Gb/s or GB/s"""
Tokens = Annotated[float, Field(ge=0, le=1e8)]
"""tokens of an input or an answer"""
TokensPerS = Annotated[float, Field(ge=1e-3, le=LARGEST)]
"""speed of a GPU or a replica"""
RequestsPerS = Annotated[float, Field(gt=0, le=1e8), AfterValidator(_not_tiny)]
RequestSeconds = Annotated[float, Field(ge=0, le=DAY_S)]
"""a time that a request may take or wait: a day at most"""
ClockSeconds = Annotated[float, Field(ge=0, le=MONTH_S)]
"""a time in which a fleet changes: a month at most"""
Milliseconds = Annotated[float, Field(ge=0, le=1e6)]
"""a round trip or a part of one"""
Hours = Annotated[float, Field(gt=0, le=YEAR_H), AfterValidator(_not_tiny)]
"""a length or a memory: a year at most"""
Dwell = Annotated[float, Field(ge=0.05, le=YEAR_H)]
"""mean length of spans that follow one another, hours"""
PerDay = Annotated[float, Field(ge=0, le=10_000)]
"""random events a day"""
Factor = Annotated[float, Field(gt=0, le=1e4), AfterValidator(_not_tiny)]
"""what a quantity of the facts is multiplied by"""
Variation = Annotated[float, Field(ge=0, le=100)]
"""a coefficient of variation, or a standard deviation of what is around 1"""
Penalty = Annotated[float, Field(ge=0, le=1e6)]
"""a penalty of the router"""
Weight = Annotated[float, Field(ge=0, le=1e6)]
"""a weight of the reward"""
