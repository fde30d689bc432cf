"""Linear and mixed-integer programmes, collected row by row or in blocks, and solved by HiGHS.

HiGHS (Huangfu and Hall 2018) is called through highspy, which the extra `opt` brings.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_env.errors import import_extra

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Programme(NamedTuple):
    """The programme: minimise cost @ x with low <= A @ x <= high and least <= x <= upper; A is sparse, by rows."""

    cost: Floats
    upper: Floats
    whole: int
    """number of variables that are integers, which come first"""
    start: npt.NDArray[np.int32]
    columns: npt.NDArray[np.int32]
    value: Floats
    low: Floats
    high: Floats
    least: Floats | None = None
    """lower bounds of the variables; None for 0"""


class Rows:
    """The constraints of a programme, collected in blocks."""

    def __init__(self) -> None:
        self._row: list[Ints] = []
        self._column: list[Ints] = []
        self._value: list[Floats] = []
        self._low: list[Floats] = []
        self._high: list[Floats] = []
        self.count = 0
        """number of constraints"""

    def add(self, index: npt.ArrayLike, value: npt.ArrayLike, low: float, high: float) -> None:
        """Add one constraint: `low` <= sum of `value` times the variables `index` <= `high`."""
        rows = self.block(1, low, high)
        self.enter(rows, np.asarray(index, np.int64).ravel(), value)

    def block(self, count: int, low: npt.ArrayLike, high: npt.ArrayLike) -> Ints:
        """Add so many constraints without entries; returns their numbers."""
        self._low.append(np.broadcast_to(np.asarray(low, np.float64).ravel(), count))
        self._high.append(np.broadcast_to(np.asarray(high, np.float64).ravel(), count))
        self.count += count
        return np.arange(self.count - count, self.count)

    def enter(self, rows: npt.ArrayLike, columns: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Enter values at rows and columns, which are broadcast against each other; no place is entered twice."""
        row, column, value = np.broadcast_arrays(rows, columns, np.asarray(values, np.float64))
        used = value.ravel() != 0
        self._row.append(row.ravel()[used])
        self._column.append(column.ravel()[used])
        self._value.append(value.ravel()[used])

    def programme(self, cost: Floats, upper: Floats, whole: int, least: Floats | None = None) -> Programme:
        """The programme of these constraints."""
        row, column, value = np.concatenate(self._row), np.concatenate(self._column), np.concatenate(self._value)
        order = np.argsort(row, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=self.count))]).astype(np.int32)
        low, high = np.concatenate(self._low), np.concatenate(self._high)
        return Programme(cost, upper, whole, start, column[order].astype(np.int32), value[order], low, high, least)


def solve(programme: Programme, limits: Mapping[str, float | int]) -> Floats | None:
    """The best values of the variables that were found within `limits`, options of HiGHS; None where there are none.

    ValueError where highspy is not installed.
    """
    highspy = import_extra("highspy")
    solver = _silent(highspy.Highs)
    solver.silent()
    for option, value in {"threads": 1, **limits}.items():
        solver.setOptionValue(option, value)
    model = highspy.HighsLp()
    count, rows = len(programme.cost), len(programme.low)
    model.num_col_, model.num_row_ = count, rows
    model.col_cost_, model.col_upper_ = programme.cost, programme.upper
    model.col_lower_ = np.zeros(count) if programme.least is None else programme.least
    model.row_lower_, model.row_upper_ = programme.low, programme.high
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_, model.a_matrix_.index_ = programme.start, programme.columns
    model.a_matrix_.value_ = programme.value
    if programme.whole:
        kinds = [highspy.HighsVarType.kInteger] * programme.whole
        model.integrality_ = kinds + [highspy.HighsVarType.kContinuous] * (count - programme.whole)
    solver.passModel(model)
    solver.run()
    values = np.array(solver.getSolution().col_value)
    return None if len(values) != count or solver.getInfo().primal_solution_status == 0 else values


def _silent(create: Any) -> Any:
    """The solver that `create` makes; the banner that it prints meanwhile goes nowhere."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        return create()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
