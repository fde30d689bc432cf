"""Which column of a file of nodes means what, by the user's map, by name, by alias and by the shape of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from og_env.errors import nearest_valid
from og_env.scenario.csv_file import raise_csv_error
from og_env.scenario.fleet_file.headers import (
    ALIASES,
    CAN_BE_MAPPED,
    FIELDS,
    MEANINGS,
    SEEN,
    Split,
    header_key,
    known_names,
    meaning_of,
    split_of,
)
from og_env.scenario.fleet_file.raw_table import RawTable
from og_env.scenario.fleet_file.spellings import is_missing

SPLIT_UP = ("", "city", "region", "facility", "node", "lat", "continent")
"""meanings of columns whose cells may hold several things"""


class Understood(NamedTuple):
    """Cells by meaning, and which columns they come from."""

    cells: dict[str, list[str]]
    """[N] cells of each meaning of MEANINGS and FIELDS that is there"""
    column: dict[str, str]
    """name of the column of each meaning"""
    order: tuple[str, ...]
    """meanings in the order of their columns"""
    forced: frozenset[str]
    """meanings that the user gave by a map"""
    unused: tuple[str, ...]
    """columns without a meaning"""
    notes: list[str]
    """what was understood"""


def understand(raw: RawTable, mapped: Mapping[str, str], weight: str | None) -> Understood:
    """The meaning of each column; ValueError in one line with all that is wrong with the map."""
    wanted = dict(mapped) if weight is None else {**mapped, weight: "weight"}
    taken = _mapped(raw, wanted)
    forced = frozenset(taken)
    known = known_names()
    free = [column for column in raw.columns if column and column not in wanted]
    meant = {column: meaning_of(column, known) for column in free}
    keys = {header_key(column) for column in raw.columns}
    if {"site", "rack"} <= keys:
        meant = {column: "" if header_key(column) == "location" else meaning for column, meaning in meant.items()}
    values = {column: [row[raw.columns.index(column)] for row in raw.rows[:SEEN]] for column in free}
    splits = {column: found for column in free if meant[column] in SPLIT_UP and (found := split_of(values[column]))}
    for column in free:
        if column not in splits and column != "site" and (column in MEANINGS or column in FIELDS):
            taken.setdefault(column, column)
    for meaning, column in _ranked(meant, set(taken.values()) | splits.keys(), known):
        taken.setdefault(meaning, column)
    _drop_twins(taken, forced)
    cells = {meaning: _column(raw, column) for meaning, column in taken.items()}
    notes = [f"{column} is {meaning}" for meaning, column in taken.items() if header_key(column) != header_key(meaning)]
    notes = [f"columns: {', '.join(notes)}"] if notes else []
    used = set(taken.values())
    for column, split in splits.items():
        if column not in used and _split_up(raw, column, split, cells, taken):
            used.add(column)
            notes.append(f"{column} holds {split.words}")
    order = tuple(sorted(cells, key=lambda meaning: raw.columns.index(taken[meaning])))
    unused = tuple(column for column in raw.columns if column and column not in used)
    return Understood(cells, taken, order, forced, unused, notes + _hints(raw, unused, taken, meant))


def _drop_twins(taken: dict[str, str], forced: frozenset[str]) -> None:
    """Keep one of two columns for one kind, such as asn and transit: the one that the user gave, or the kind's."""
    for alias, kind in ALIASES.items():
        if kind in taken and alias in taken:
            del taken[kind if alias in forced else alias]


def _split_up(raw: RawTable, column: str, split: Split, cells: dict[str, list[str]], taken: dict[str, str]) -> bool:
    """Add the parts of a column's cells that no other column holds; False where there are none."""
    new = [meaning for meaning in split.meanings if meaning not in cells and ALIASES.get(meaning) not in cells]
    parts = [split.parts(value) or ("",) * len(split.meanings) for value in _column(raw, column)] if new else []
    for meaning in new:
        cells[meaning] = [part[split.meanings.index(meaning)] for part in parts]
        taken[meaning] = column
    return bool(new)


def _ranked(meant: Mapping[str, str], used: set[str], known: Mapping[str, str]) -> list[tuple[str, str]]:
    """(meaning, column) of the columns that go by another name, the more usual names first."""
    rank = {name: place for place, name in enumerate(known)}
    found = [(rank.get(header_key(column), len(rank)), meaning, column) for column, meaning in meant.items() if meaning]
    return [(meaning, column) for _, meaning, column in sorted(found) if column not in used]


def _column(raw: RawTable, column: str) -> list[str]:
    place = raw.columns.index(column)
    return [row[place] for row in raw.rows]


def _mapped(raw: RawTable, wanted: Mapping[str, str]) -> dict[str, str]:
    """Column of each meaning that the user gave; ValueError with every wrong one."""
    taken: dict[str, str] = {}
    problems: list[str] = []
    for column, meaning in wanted.items():
        if column not in raw.columns:
            problems.append(f"no column {column!r}{nearest_valid(column, [name for name in raw.columns if name])}")
        elif meaning not in MEANINGS and meaning not in FIELDS:
            problems.append(f"cannot map {column!r} to {meaning!r}{nearest_valid(meaning, (*MEANINGS, *FIELDS))}")
        elif meaning in taken:
            problems.append(f"both {taken[meaning]!r} and {column!r} are mapped to {meaning}")
        else:
            taken[meaning] = column
    if problems:
        raise_csv_error(raw.source, "; ".join(problems))
    return taken


def _hints(raw: RawTable, unused: Sequence[str], taken: Mapping[str, str], meant: Mapping[str, str]) -> list[str]:
    """Columns that are not used and could be: a second stake, an owner, a building."""
    hints: list[str] = []
    for column in unused:
        meaning = meant.get(column, "")
        if meaning == "weight":
            hints.append(f"{column} may be a stake and is not used: --weight {column} takes it for {taken['weight']}")
            continue
        for kind, names in CAN_BE_MAPPED.items():
            filled = any(not is_missing(row[raw.columns.index(column)]) for row in raw.rows[:SEEN])
            if header_key(column) in names and filled and kind not in taken:
                hints.append(f"{column} is not used: --map '{column}={kind}' if it is that")
    return hints
