"""CSV files into validated specs: every error is one line with file, line and column."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from og_env.scenario.specs import Spec

SpecT = TypeVar("SpecT", bound=Spec)
Converter = Callable[[str], Any]
PROVENANCE = ("source", "as_of")
"""columns that every table has for its readers; no field of a spec comes from them"""


class Table(NamedTuple, Generic[SpecT]):
    """How the rows of one CSV become specs."""

    spec: type[SpecT]
    columns: Mapping[str, Converter]
    """column -> text to value; the header must have exactly these (and source, as_of)"""
    fields: Callable[[dict[str, Any]], dict[str, Any]]
    """values by column -> fields of the spec"""
    key: Callable[[dict[str, Any]], str]
    """values by column -> what must be unique"""
    renamed: Mapping[str, str] = {}
    """field -> column, where they differ in name (errors name the column)"""


def read_csv(path: str | Path, table: Table[SpecT]) -> dict[str, SpecT]:
    """Specs by key in the order of the file.

    ValueError with one line `FILE, line N, column C: what is wrong` for a header that differs, a value that does not
    convert or is out of range, an unknown cross reference and a key that comes twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    rows = csv.reader(text.splitlines())
    header = next(rows, [])
    _check_header(path.name, header, (*table.columns, *PROVENANCE))
    specs: dict[str, SpecT] = {}
    for cells in rows:
        where = f"{path.name}, line {rows.line_num}"
        if len(cells) != len(header):
            raise ValueError(f"{where}: {len(cells)} cells, but the header has {len(header)} columns")
        values = _values(dict(zip(header, cells, strict=True)), table.columns, where)
        key = table.key(values)
        if key in specs:
            raise ValueError(f"{where}, column {header[0]}: {key!r} is listed twice")
        try:
            specs[key] = table.spec(**table.fields(values))
        except ValidationError as error:
            raise ValueError(f"{where}, {_first_problem(error, table)}") from None
    return specs


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that `name` was probably meant to be (case aside); None where nothing is close."""
    by_lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def one_of(choices: Callable[[], Iterable[str]], what: str) -> Converter:
    """A converter that lets only known names through and suggests the nearest one."""

    def convert(text: str) -> str:
        known = choices()
        if text not in known:
            hint = nearest(text, known)
            raise ValueError(f"unknown {what} {text!r}" + (f" (nearest valid: {hint})" if hint else ""))
        return text

    return convert


def text(cell: str) -> str:
    """The cell, which must not be empty."""
    if not cell:
        raise ValueError("is empty")
    return cell


def number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is not a number") from None


def whole(cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is not a whole number") from None


def optional(convert: Converter) -> Converter:
    """None for an empty cell."""
    return lambda cell: convert(cell) if cell else None


def pairs(name: Converter = text) -> Converter:
    """`NAME:NUMBER;NAME:NUMBER` as a dict in that order, no number below 0; an empty cell is an empty dict."""

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


def _check_header(name: str, header: list[str], expected: tuple[str, ...]) -> None:
    for column in header:
        if column not in expected:
            hint = nearest(column, [known for known in expected if known not in header])
            suffix = f" (nearest valid: {hint})" if hint else ""
            raise ValueError(f"{name}, line 1: unknown column {column!r}{suffix}")
    for column in expected:
        if header.count(column) != 1:
            raise ValueError(f"{name}, line 1: column {column!r} is there {header.count(column)} times, not once")


def _values(row: dict[str, str], columns: Mapping[str, Converter], where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column, convert in columns.items():
        try:
            values[column] = convert(row[column])
        except ValueError as error:
            raise ValueError(f"{where}, column {column}: {error}") from None
    for column in PROVENANCE:
        if not row[column]:
            raise ValueError(f"{where}, column {column}: is empty")
    return values


def _first_problem(error: ValidationError, table: Table[SpecT]) -> str:
    """`column C: message` of pydantic's first complaint; a dict field may be spread over columns FIELD_KEY."""
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    message = problem["msg"].removeprefix("Value error, ")
    if not path:
        return message
    column = next((name for name in ("_".join(path[:2]), path[0]) if name in table.columns), path[0])
    return f"column {table.renamed.get(column, column)}: {message}, not {problem['input']!r}"
