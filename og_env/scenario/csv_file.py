"""Read a CSV file: its columns and rows; a mistake in it is one line `FILE: line N: what is wrong`."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

from og_env.errors import printable
from og_env.scenario.text_files import encoding_problem, open_regular

MAX_FILE_BYTES = 2_000_000_000
MAX_LINE_BYTES = 1_000_000


class CsvTable(NamedTuple):
    """The columns and the rows of a CSV file."""

    source: str
    """path of the file, as errors name it"""
    columns: tuple[str, ...]
    """names in the header, without the blanks around them; those that are not empty are unique"""
    rows: Iterator[tuple[int, list[str]]]
    """(line, cells) of every row below the header that is not blank, read from the file as they are asked for, once; each
    row has one cell for each column, without the blanks around it"""


def read_csv(path: str | Path, needed: Collection[str] = ()) -> CsvTable:
    """The table of a CSV file in UTF-8 that is separated by commas.

    Quotes, a byte order mark, blank lines and any ends of lines are understood. ValueError in one line for a file that
    cannot be read, is not text, is larger than MAX_FILE_BYTES or has no header, for two columns of one name and for a
    column of `needed` that is not there; reading the rows raises it for a row that has more or fewer cells than the header,
    and for wrong quotes.
    """
    source = str(path)
    rows = _rows(Path(path), source)
    line, header = next(rows, (1, list[str]()))
    if not header:
        raise_csv_error(source, "the file is empty; it needs a header and rows")
    for name in header:
        if name and header.count(name) > 1:
            raise_csv_error(source, f"two columns are called {name!r}", line)
    check_columns(source, header, needed)
    return CsvTable(source, tuple(header), _of_width(rows, len(header), source))


def read_records(path: str | Path, needed: Collection[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells by column) of every row of `read_csv`, with its errors."""
    table = read_csv(path, needed)
    return ((line, dict(zip(table.columns, cells, strict=True))) for line, cells in table.rows)


def check_columns(source: str, header: Collection[str], needed: Collection[str]) -> None:
    """ValueError in one line for the first column of `needed` that is not in the header."""
    for column in needed:
        if column not in header:
            hint = f"{separator_hint(header)} (needs {', '.join(needed)})"
            raise_csv_error(source, f"no column {column!r}{hint}")


def separator_hint(header: Collection[str]) -> str:
    """The likeliest reason why a header of one column lacks another; empty for a header of several columns."""
    return " (is it separated by something else than commas?)" if len(header) == 1 else ""


def raise_csv_error(source: str, problem: str, line: int | None = None) -> NoReturn:
    """Raise ValueError `SOURCE: line N: PROBLEM`, or without the line where it is None."""
    message = f"{source}: {problem}" if line is None else f"{source}: line {line}: {problem}"
    raise ValueError(printable(message)) from None


def number_in(
    source: str,
    line: int,
    column: str,
    text: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float = -math.inf,
) -> float:
    """The finite number that a cell holds, in low..high and more than `above`; ValueError in one line otherwise."""
    try:
        value = float(text)
    except ValueError:
        raise_csv_error(source, f"{column} {text[:40]!r} is not a number", line)
    if math.isfinite(value) and low <= value <= high and value > above:
        return value
    wanted = "a finite number"
    if math.isfinite(above):
        wanted = f"above {above:g}" + (f" and at most {high:g}" if value > high else "")
    elif math.isfinite(low):
        wanted = f"in {low:g}..{high:g}" if math.isfinite(high) else f"at least {low:g}"
    raise_csv_error(source, f"{column} {text[:40]} must be {wanted}", line)


def _of_width(rows: Iterator[tuple[int, list[str]]], width: int, source: str) -> Iterator[tuple[int, list[str]]]:
    """The rows, each of which must have `width` cells."""
    for line, cells in rows:
        if len(cells) != width:
            raise_csv_error(source, f"{len(cells)} values, but the header has {width} columns", line)
        yield line, cells


def _rows(path: Path, source: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells without the blanks around them) of every row that is not blank, the header first."""
    line = 0
    try:
        with open_regular(path, MAX_FILE_BYTES, "a CSV file") as file:
            reader = csv.reader(_lines(file, source), strict=True, skipinitialspace=True)
            for row in reader:
                line = reader.line_num
                cells = [printable(cell.strip()) for cell in row]
                if any(cells):
                    yield line, cells
    except OSError as error:
        raise_csv_error(source, f"cannot be read: {error.strerror or error}")
    except csv.Error as error:
        raise_csv_error(source, f"not a CSV table: {error}", line + 1)


def _lines(file: BinaryIO, source: str) -> Iterator[str]:
    """The lines of the file as text, with their ends, whichever of LF, CR LF and CR these are."""
    number = size_bytes = 0
    while block := file.readline(MAX_LINE_BYTES + 1):
        size_bytes += len(block)
        if size_bytes > MAX_FILE_BYTES:
            raise_csv_error(source, f"longer than {MAX_FILE_BYTES:,} bytes")
        if len(block) > MAX_LINE_BYTES:
            raise_csv_error(source, f"longer than {MAX_LINE_BYTES:,} bytes", number + 1)
        if number == 0 and (problem := encoding_problem(block)):
            raise_csv_error(source, problem)
        for line in block.splitlines(keepends=True):
            number += 1
            if b"\0" in line:
                raise_csv_error(source, "not a text file (it holds a zero byte)", number)
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise_csv_error(source, f"not a text file in UTF-8 (byte 0x{error.object[error.start]:02x})", number)
