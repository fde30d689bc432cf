"""Times in files: seconds, milliseconds and finer, and ISO dates; and the one stamp that is far from all others."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from og_env.scenario.csv_file import raise_csv_error

Floats = NDArray[np.float64]

UNITS = ((1e17, 1e9, "nanoseconds"), (1e14, 1e6, "microseconds"), (1e11, 1e3, "milliseconds"))
"""stamps whose median is at least so large are in so many a second: as seconds they would be 3,000 years after 1970"""
MOST_SPAN_S = 3660 * 86_400.0
"""longest recording, ten years"""
BY_NAME = {"ms": (1e3, "milliseconds"), "us": (1e6, "microseconds"), "ns": (1e9, "nanoseconds")}
FRACTION = re.compile(r"(\.\d{6})\d+")


def parse_stamp(source: str, line: int, column: str, text: str) -> tuple[float, bool]:
    """A stamp as a number, and whether it was a date; ValueError in one line for anything else."""
    try:
        value = float(text)
    except ValueError:
        return _date(source, line, column, text), True
    if not math.isfinite(value):
        raise_csv_error(source, f"{column} {text[:40]} must be a finite number", line)
    return value, False


def _date(source: str, line: int, column: str, text: str) -> float:
    """Seconds since 1970 of an ISO date with a time; without a zone it is UTC."""
    try:
        if not re.match(r"\d{4}-\d\d-\d\d", text):
            raise ValueError
        moment = datetime.fromisoformat(FRACTION.sub(r"\1", text.replace(" UTC", "+00:00")))
    except ValueError:
        raise_csv_error(source, f"{column} {text[:40]!r} is not a number and no date like 2026-01-31 12:00:00", line)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def in_seconds(
    source: str, column: str, stamps: Sequence[tuple[int, float, bool]], told_unit: str | None = None
) -> tuple[Floats, list[str]]:
    """Stamps (line, number, is a date) in seconds, and what is to be said of them.

    column: as the file has it; `_ms` at its end tells the unit, and so does `told_unit`. ValueError in one line that names
    the stamp which makes the recording longer than MOST_SPAN_S.
    """
    values = np.array([value for _, value, _ in stamps], np.float64)
    notes = []
    if any(dated for _, _, dated in stamps):
        notes.append("times are dates; those without a zone are taken for UTC")
    else:
        suffix = re.search(r"[_ (](ms|us|ns)\)?$", column.lower())
        per_second, unit = BY_NAME[suffix[1]] if suffix else (1.0, "")
        if told_unit:
            per_second, unit = BY_NAME[told_unit]
        if per_second == 1.0:
            middle = float(np.median(np.abs(values)))
            per_second, unit = next(((per, name) for least, per, name in UNITS if middle >= least), (1.0, ""))
        if per_second != 1.0:
            values = values / per_second
            notes.append(f"times are {unit}: divided by {per_second:,.0f}")
    check_span(source, column, stamps, values)
    steps = np.diff(values)
    if len(steps) and (steps < 0).any():
        newest = (steps <= 0).all()
        notes.append("rows come newest first: turned round" if newest else "rows are not in the order of time: sorted")
    return values, notes


def check_span(source: str, column: str, stamps: Sequence[tuple[int, float, bool]], values: Floats) -> None:
    """ValueError in one line that names the most remote stamp, where the stamps span more than MOST_SPAN_S."""
    if len(values) == 0 or np.ptp(values) <= MOST_SPAN_S:
        return
    far = np.abs(values - np.median(values))
    if len(values) == 2:
        far = np.abs(values)
    worst = int(np.argmax(far))
    line, value, _ = stamps[worst]
    years = float(np.ptp(values)) / 86_400 / 365.25
    others = np.delete(values, worst)
    lone = " alone" if np.ptp(others) <= MOST_SPAN_S else ""
    raise_csv_error(
        source,
        f"{column} {value:.15g}{lone} makes the recording {years:,.0f} years long; is it a mistake, or in another unit?",
        line,
    )
