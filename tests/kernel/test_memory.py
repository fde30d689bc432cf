"""Arrays of a layout in one piece of memory, and the table of their addresses."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
import pytest

from og_env.kernel.memory import (
    CACHE_LINE,
    DIMENSIONS,
    HEADER,
    LANES,
    Array,
    CopiedWhole,
    Field,
    Table,
    allocate,
    bind,
    columns,
    fields,
)


class Layout(NamedTuple):
    phase: Annotated[Array, "i1", "B M N"]
    lanes: Annotated[Array, "f4", "B L"]
    pairs: Annotated[Array, "u1", "B R 2"]
    step: Annotated[Array, "i4", "B"]


SIZES = {"B": 3, "M": 2, "N": 9, "T": 5, "F": 1}


def test_fields_are_declared_in_order() -> None:
    assert fields(Layout)[0] == Field("phase", np.dtype("i1"), "BMN")
    assert [field.name for field in fields(Layout)] == list(Layout._fields)


def test_columns_number_their_names() -> None:
    assert columns("C", ("a", "b"))._asdict() == {"a": 0, "b": 1}


def test_arrays_are_zeros_on_cache_lines_of_their_own() -> None:
    arrays = allocate(Layout, SIZES)
    assert [array.shape for array in arrays] == [(3, 2, 9), (3, 2 * LANES), (3, 3, 2), (3,)]
    assert [array.dtype for array in arrays] == [np.dtype(code) for code in ("i1", "f4", "u1", "i4")]
    ends = 0
    for array in arrays:
        assert array.ctypes.data % CACHE_LINE == 0 and not array.any() and array.ctypes.data >= ends
        ends = array.ctypes.data + array.nbytes
        array.fill(1)
    assert all((array == 1).all() for array in arrays)


def test_the_table_holds_sizes_and_addresses() -> None:
    arrays = allocate(Layout, SIZES)
    table = bind(SIZES, arrays)
    size = dict(zip(DIMENSIONS, table[:HEADER].tolist(), strict=True))
    assert {letter: size[letter] for letter in "BMNTLXGRU"} == {
        "B": 3, "M": 2, "N": 9, "T": 5, "L": 16, "X": 9 * 16, "G": 8, "R": 3, "U": 0,
    }  # fmt: skip
    assert table[HEADER:].tolist() == [array.ctypes.data for array in arrays]


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 2, 8), np.int8), np.zeros((3, 2, 9), np.int16), np.zeros((9, 2, 3), np.int8).T]
)
def test_an_array_of_another_form_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"phase is .*, not contiguous int8 \(3, 2, 9\)"):
        bind(SIZES, allocate(Layout, SIZES)._replace(phase=wrong))


class Owner(CopiedWhole):
    """Holds arrays by name, one of them twice, and their table."""

    def __init__(self) -> None:
        self.arrays = allocate(Layout, SIZES)
        self.step = self.arrays.step
        self.table = Table(SIZES, self.arrays)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda owner: pickle.loads(pickle.dumps(owner))])
def test_the_table_of_a_copy_leads_to_the_arrays_of_the_copy(copied: Callable[[Owner], Owner]) -> None:
    owner = Owner()
    owner.step[:] = 7
    twin = copied(owner)
    assert twin.table.words[HEADER:].tolist() == [array.ctypes.data for array in twin.arrays]
    assert twin.table.words[:HEADER].tolist() == owner.table.words[:HEADER].tolist()
    assert twin.step is twin.arrays.step and (twin.step == 7).all() and not np.shares_memory(twin.step, owner.step)


def test_a_shallow_copy_of_a_table_leads_to_the_same_arrays() -> None:
    table = Table(SIZES, allocate(Layout, SIZES))
    assert copy.copy(table).words.tolist() == table.words.tolist()
