"""Read a file of measurements as it comes: CSV with commas, semicolons or tabs, JSON, or JSON lines; UTF-8 or UTF-16.

Columns are known by any of their names, without regard to capitals, blanks and underscores, or are named with a map
{column: meaning}.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from og_env.errors import nearest_valid, printable
from og_env.scenario.csv_file import check_columns, raise_csv_error, read_csv
from og_env.scenario.text_files import read_bytes

MOST_BYTES = 2_000_000_000
PEEK_BYTES = 65_536
"""beginning of a file by which its shape is told"""
SEPARATORS = (",", ";", "\t")
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


class Rows(NamedTuple):
    """A table of cells."""

    source: str
    """path of the file, as errors name it"""
    columns: tuple[str, ...]
    rows: Iterable[tuple[int, Sequence[str]]]
    """(line, cells), one cell for each column; may be read once"""
    shape: str
    """words for how the file was read; empty for a CSV file with commas"""

    def records(self, needed: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
        """(line, cells by column) of every row; ValueError in one line for a column of `needed` that is not there."""
        check_columns(self.source, self.columns, needed)
        return ((line, dict(zip(self.columns, cells, strict=True))) for line, cells in self.rows)


def read_rows(path: str | Path) -> Rows:
    """The table of a file; ValueError in one line where it is none, with the errors of `csv_file.read_csv`."""
    source = str(path)
    beginning = _beginning(path)
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if beginning.startswith(mark)), "utf-8")
    first = beginning.decode(encoding, errors="replace").lstrip("\ufeff \t\r\n")
    if first.startswith(("{", "[")):
        return _from_json(source, _text(path, encoding))
    header = first.splitlines()[0] if first else ""
    separator = max(SEPARATORS, key=header.count)
    if encoding != "utf-16" and (separator == "," or not header.count(separator)):
        table = read_csv(path)
        return Rows(source, table.columns, table.rows, "")
    return _separated(source, _text(path, encoding), separator, encoding)


def renamed(
    table: Rows, aliases: Mapping[str, Collection[str]], mapped: Mapping[str, str] | None = None
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The columns of a table under their known names, and {known name: name in the file} of those that were renamed.

    A name of its own comes before one of the aliases, an earlier alias before a later one. ValueError in one line for a
    map of a column that is not there, or to a meaning that is not known.
    """
    columns = list(table.columns)
    told: dict[str, str] = {}
    for column, meaning in (mapped or {}).items():
        if column not in columns:
            raise_csv_error(table.source, f"no column {column!r}{nearest_valid(column, columns)}")
        if meaning not in aliases:
            raise ValueError(f"--map {column}={meaning}: can be mapped: {', '.join(aliases)}")
        columns[columns.index(column)] = meaning
        told[meaning] = column
    plain = [_plain(column) for column in columns]
    for meaning, others in aliases.items():
        if meaning in columns:
            continue
        found = next((name for name in (meaning, *others) if _plain(name) in plain), None)
        if found is not None:
            place = plain.index(_plain(found))
            told[meaning] = columns[place]
            columns[place] = meaning
    return tuple(columns), told


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-.]", "", name.lower())


def _beginning(path: str | Path) -> bytes:
    if not Path(path).is_file():
        return b""  # read_csv says what it is
    with Path(path).open("rb") as file:
        return file.read(PEEK_BYTES) if file.readable() else b""


def _text(path: str | Path, encoding: str) -> str:
    try:
        return read_bytes(path, MOST_BYTES, "a file of measurements").decode(encoding)
    except UnicodeDecodeError:
        raise_csv_error(str(path), f"is no text in {encoding.upper()}")


def _separated(source: str, text: str, separator: str, encoding: str) -> Rows:
    """A table separated by something else than commas, or in UTF-16; decimal commas are understood."""
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=separator)
    lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)]
    if not lines:
        raise_csv_error(source, "the file is empty; it needs a header and rows")
    header = tuple(printable(name) for name in lines[0][1])
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            raise_csv_error(source, f"{len(cells)} values, but the header has {len(header)} columns", line)
    decimal = separator == ";"
    rows = [(line, [_decimal(cell) if decimal else cell for cell in cells]) for line, cells in lines[1:]]
    name = {",": "commas", ";": "semicolons", "\t": "tabs"}[separator]
    return Rows(source, header, rows, f"separated by {name}{', UTF-16' if encoding == 'utf-16' else ''}")


def _decimal(cell: str) -> str:
    return cell.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", cell) else cell


def _from_json(source: str, text: str) -> Rows:
    """A list of objects, or one object a line; the columns are the keys of all of them."""
    text = text.lstrip("\ufeff")
    if text.lstrip().startswith("["):
        try:
            objects = list(enumerate(json.loads(text), 1))
        except ValueError as error:
            raise_csv_error(source, f"is no JSON: {error}")
        shape = "JSON"
    else:
        objects, shape = [], "JSON lines"
        for line, piece in enumerate(text.splitlines(), 1):
            if piece.strip():
                try:
                    objects.append((line, json.loads(piece)))
                except ValueError as error:
                    raise_csv_error(source, f"is no JSON object a line: {error}", line)
    for line, found in objects:
        if not isinstance(found, dict):
            raise_csv_error(source, "is no object {column: value}", line)
    columns = tuple(dict.fromkeys(str(key) for _, found in objects for key in found))
    if not columns:
        raise_csv_error(source, "holds no objects")
    return Rows(source, columns, [(line, [_cell(found.get(c)) for c in columns]) for line, found in objects], shape)


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
