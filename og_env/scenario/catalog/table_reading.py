"""Read a table of the catalogue, a CSV file, into validated specs, and the converters of its cells."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from og_env.errors import nearest_valid
from og_env.scenario.csv_file import check_columns, raise_csv_error, read_csv
from og_env.scenario.specs import Spec

SpecT = TypeVar("SpecT", bound=Spec)
Converter = Callable[[str], Any]
PROVENANCE = ("source", "as_of")
"""columns that every table has for its readers; no field of a spec comes from them"""


class Table(NamedTuple, Generic[SpecT]):
    """How the rows of one CSV become specs."""

    spec: type[SpecT]
    columns: Mapping[str, Converter]
    """converter of the cells by column; the header must have exactly these columns and those of PROVENANCE"""
    fields: Callable[[dict[str, Any]], dict[str, Any]]
    """makes the fields of the spec from the values by column"""
    key: Callable[[dict[str, Any]], str]
    """makes the name of a row, which must be unique, from the values by column"""
    renamed: Mapping[str, str] = {}
    """column by field where they differ in name; errors name the column"""


def read_table(path: str | Path, table: Table[SpecT]) -> dict[str, SpecT]:
    """Specs by key in the order of the file.

    ValueError with one line `FILE: line N: column C: what is wrong` for a header that differs, a value that does not
    convert or is out of range, an unknown cross reference and a key that comes twice.
    """
    expected = (*table.columns, *PROVENANCE)
    source, header, rows = read_csv(path)
    for column in header:
        if column not in expected:
            raise_csv_error(source, f"unknown column {column!r}{nearest_valid(column, expected)}")
    check_columns(source, header, expected)
    specs: dict[str, SpecT] = {}
    for line, cells in rows:
        try:
            values = _values(dict(zip(header, cells, strict=True)), table.columns)
            key = table.key(values)
            if key in specs:
                raise ValueError(f"column {header[0]}: {key!r} is listed twice")
            specs[key] = table.spec(**table.fields(values))
        except ValidationError as error:
            raise_csv_error(source, _first_problem(error, table), line)
        except ValueError as error:
            raise_csv_error(source, str(error), line)
    return specs


def one_of(choices: Callable[[], Collection[str]], what: str) -> Converter:
    """A converter that lets only known names through and suggests the nearest one."""

    def convert(text: str) -> str:
        known = choices()
        if text not in known:
            raise ValueError(f"unknown {what} {text!r}{nearest_valid(text, known)}")
        return text

    return convert


def text(cell: str) -> str:
    """The cell, which must not be empty."""
    if not cell:
        raise ValueError("is empty")
    return cell


def number(cell: str) -> float:
    """The number that a cell holds, which may be infinite or not a number: the spec says what it must be."""
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is not a number") from None


def whole(cell: str) -> int:
    """The whole number that a cell holds."""
    try:
        return int(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is not a whole number") from None


def yes_or_no(cell: str) -> bool:
    """Whether the cell says yes."""
    if cell not in ("yes", "no"):
        raise ValueError(f"{cell!r} is neither yes nor no")
    return cell == "yes"


def optional(convert: Converter) -> Converter:
    """A converter that gives None for an empty cell."""
    return lambda cell: convert(cell) if cell else None


def pairs(name: Converter = text) -> Converter:
    """A converter of `NAME:NUMBER;NAME:NUMBER` to a dict; no number is below 0, an empty cell is an empty dict."""

    def convert(cell: str) -> dict[str, float]:
        result: dict[str, float] = {}
        for part in filter(None, cell.split(";")):
            key, colon, value = part.partition(":")
            if not colon:
                raise ValueError(f"{part!r} is not NAME:NUMBER")
            if name(key) in result:
                raise ValueError(f"{key!r} is listed twice")
            result[key] = number(value)
            if not result[key] >= 0:
                raise ValueError(f"{part!r} is below 0")
        return result

    return convert


def _values(row: dict[str, str], columns: Mapping[str, Converter]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column, convert in columns.items():
        try:
            values[column] = convert(row[column])
        except ValueError as error:
            raise ValueError(f"column {column}: {error}") from None
    for column in PROVENANCE:
        if not row[column]:
            raise ValueError(f"column {column}: is empty")
    return values


def _first_problem(error: ValidationError, table: Table[SpecT]) -> str:
    """Pydantic's first complaint as `column C: message`; a dict field may be spread over columns FIELD_KEY."""
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    message = problem["msg"].removeprefix("Value error, ")
    if not path:
        return message
    column = next((name for name in ("_".join(path[:2]), path[0]) if name in table.columns), path[0])
    return f"column {table.renamed.get(column, column)}: {message}, not {problem['input']!r}"
