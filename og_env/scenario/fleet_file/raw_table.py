"""Read a file of nodes into columns and rows of text, whatever its encoding, separator or format."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from og_env.errors import printable
from og_env.scenario.csv_file import MAX_LINE_BYTES, raise_csv_error
from og_env.scenario.fleet_file.headers import known_names, meaning_of
from og_env.scenario.fleet_file.json_records import json_records
from og_env.scenario.fleet_file.spellings import is_missing
from og_env.scenario.text_files import read_bytes

MAX_BYTES = 500_000_000
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
BINARY = (
    (b"PK\x03\x04", "is a spreadsheet or an archive (.xlsx, .ods, .zip): save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an old spreadsheet (.xls): save the sheet as CSV"),
    (b"%PDF", "is a PDF: save the table as CSV"),
    (b"\x1f\x8b", "is compressed: unpack it first"),
    (b"PAR1", "is a Parquet file: write it as CSV"),
    (b"SQLite format 3", "is a database: write the table of nodes as CSV"),
)
"""first bytes of files that are no text, and the way out"""
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
TITLE_ROWS = 8
"""rows among which the header is looked for"""
TOTALS = re.compile(
    r"(grand |sub)?-?(total|totals|sum|summe|gesamt|average|mean|median|count)\b.{0,12}|somme|totale?|итого|合计", re.I
)
UNTIDY = re.compile(r"\s[,;|\"\r]|[,;|\"]\s*[ \t\f\v\u00a0]|[ \t\u00a0]$", re.M)
"""blanks at the end or the beginning of a cell, or of a line"""
ENDS = {ord("\n"): None, ord("\r"): None}
SUSPECT = re.compile(r"[#*]|grand|sub|tot|sum|som|ges|ave|mea|med|cou|sou|not|que|\u0438|\u5408", re.I)
"""beginnings of first cells of rows that may be no nodes"""
REMARKS = re.compile(r"(source|note|notes|quelle)\b|\*", re.I)
BLANK_SHARE = 0.4
"""least share of blanks in a column of merged cells"""
PLACES = ("provider", "country", "region", "city", "facility")
"""meanings whose cells people merge"""


class RawTable(NamedTuple):
    """Columns and rows of a file of nodes, as text."""

    source: str
    """path of the file, as errors name it"""
    columns: tuple[str, ...]
    """names of the columns; those that are not empty are unique"""
    rows: list[list[str]]
    """[N] cells of each row, one for each column"""
    lines: list[int]
    """[N] line of each row, or its number among the records"""
    notes: list[str]
    """what was understood, assumed and filled"""
    skipped: list[str]
    """rows that were left out, with the reason"""


def read_raw(path: str | Path, fill: bool | None = None) -> RawTable:
    """The table in a file; ValueError in one line, which names the way out, for a file that holds none.

    `fill` says whether blank cells repeat the value above; None fills where the sheet looks as if its cells were merged.
    """
    source = printable(str(path))
    notes: list[str] = []
    text = _text(read_bytes(path, MAX_BYTES, "a CSV file"), source, notes)
    if not text.strip():
        raise_csv_error(source, "the file is empty; it needs a header and rows")
    skipped: list[str] = []
    if text.lstrip()[:1] in "[{":
        columns, rows, lines = json_records(text, source, notes, skipped)
        return RawTable(source, columns, rows, lines, notes, skipped)
    cells, lines = _cells(text, source, notes, skipped)
    return _with_header(source, cells, lines, notes, skipped, fill)


def _text(raw: bytes, source: str, notes: list[str]) -> str:
    """The file's text in whichever encoding it has."""
    for magic, problem in BINARY:
        if raw.startswith(magic):
            raise_csv_error(source, problem)
    for mark, encoding, name in MARKS:
        if raw.startswith(mark):
            notes.extend([f"{name} text"] if name else [])
            try:
                return raw.decode(encoding)
            except UnicodeDecodeError:
                raise_csv_error(source, f"not a text file (it begins like {name or 'UTF-8'} and is not)")
    if encoding := _unmarked_utf16(raw[:4000]):
        notes.append("UTF-16 text")
        return raw.decode(encoding, errors="replace")
    if (at := raw.find(b"\0")) >= 0:
        raise_csv_error(source, "not a text file (it holds a zero byte)", raw.count(b"\n", 0, at) + 1)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if re.search(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]", raw[:4000]):
            raise_csv_error(source, "not a text file", raw.count(b"\n", 0, error.start) + 1)
        notes.append("not UTF-8: read as Windows-1252")
        return raw.decode("cp1252", errors="replace")


def _unmarked_utf16(head: bytes) -> str:
    """The encoding of UTF-16 text without a mark: every other byte is zero; empty for other texts."""
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = head[start::2], head[1 - start :: 2]
        if len(head) >= 8 and zeros.count(0) > 0.7 * len(zeros) and not others.count(0):
            return encoding
    return ""


def _cells(text: str, source: str, notes: list[str], skipped: list[str]) -> tuple[list[list[str]], list[int]]:
    """Cells of all rows that are not blank, with their lines."""
    separator = _separator(text)
    if separator != ",":
        notes.append(f"separated by {SEPARATORS[separator]}")
    if separator == ";" and text[:4].casefold() == "sep=":
        text = text.split("\n", 1)[-1]
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True, delimiter=separator)
    csv.field_size_limit(MAX_LINE_BYTES)
    tidy = separator != "\t" and not UNTIDY.search(text) and text.translate(ENDS).isprintable()
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return rows, lines
        except csv.Error as error:
            if "unexpected end" in str(error) or not rows:
                raise_csv_error(source, f"not a CSV table: {error}", lines[-1] + 1 if lines else 1)
            skipped.append(f"line {reader.line_num}: {error}")
            continue
        if tidy:
            if row and (row[0] or any(row)):
                rows.append(row)
                lines.append(reader.line_num)
            continue
        cells = [cell.strip() for cell in row]
        if any(cells):
            rows.append(cells if all(map(str.isprintable, cells)) else [printable(cell).strip() for cell in cells])
            lines.append(reader.line_num)


def _separator(text: str) -> str:
    """The separator that gives most of the first lines the same number of cells, more than one; a comma if none does."""
    head = text[:40_000].splitlines()[:40]
    if len(head) > 2 and len(text) > 40_000:
        head.pop()
    best, best_score = ",", 0.0
    for separator in SEPARATORS:
        try:
            widths = [len(row) for row in csv.reader(head, delimiter=separator, skipinitialspace=True) if any(row)]
        except csv.Error:
            continue
        width, rows = Counter(widths).most_common(1)[0] if widths else (1, 0)
        score = 0.0 if width < 2 else rows / len(widths) + 0.01 * min(width, 20)
        if score > best_score + (0.3 if best == "," and best_score else 0.0):
            best, best_score = separator, score
    return best


def _with_header(
    source: str, cells: list[list[str]], lines: list[int], notes: list[str], skipped: list[str], fill: bool | None
) -> RawTable:
    """The table below its header, which is the row with most known names among the first ones."""
    known = known_names()
    scores = [
        len({meaning for cell in row if cell and (meaning := meaning_of(cell, known))}) for row in cells[:TITLE_ROWS]
    ]
    at = next((i for i, score in enumerate(scores) if score == max(scores) >= max(2, scores[0] + 1)), 0)
    header, merged = cells[at], False
    if at:
        merged = any(not cell for cell in cells[at - 1]) and sum(map(bool, cells[at - 1])) > 1
        notes.append(f"the header is in line {lines[at]}; what stands above it is left out")
    columns = _column_names(header, source, lines[at], notes)
    rows, kept = [], []
    bottom = len(cells) - 3
    places = [i for i, name in enumerate(columns) if meaning_of(name, known) in PLACES]
    width = len(columns)
    for place in range(at + 1, len(cells)):
        row = cells[place]
        if len(row) != width or not row[0] or SUSPECT.match(row[0]):
            if problem := _row_problem(row, columns, places, place >= bottom):
                skipped.append(f"line {lines[place]}: {problem}")
                continue
            row = row[:width]
        rows.append(row)
        kept.append(lines[place])
    _fill(columns, rows, notes, merged if fill is None else fill, fill is None, known)
    return RawTable(source, columns, rows, kept, notes, skipped)


def _column_names(header: Sequence[str], source: str, line: int, notes: list[str]) -> tuple[str, ...]:
    """Unique names of the columns."""
    names: list[str] = []
    for name in header:
        if name and name in names:
            raise_csv_error(source, f"two columns are called {name!r}: rename one", line)
        names.append(name)
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _row_problem(row: Sequence[str], columns: Sequence[str], places: Sequence[int], at_bottom: bool) -> str:
    """Why a row is no node; empty for one that is."""
    first = next(cell for cell in row if cell)
    if first.startswith("#"):
        return "a comment"
    if TOTALS.fullmatch(first) and (at_bottom or all(is_missing(row[i]) for i in places if i < len(row))):
        return f"{first!r} is no node"
    if REMARKS.match(first) and sum(map(bool, row)) == 1 and len(columns) > 2:
        return "a remark"
    if len(row) != len(columns) and (len(row) < len(columns) or any(row[len(columns) :])):
        return f"{len(row)} values, but the header has {len(columns)} columns"
    return ""


def _fill(
    columns: Sequence[str],
    rows: list[list[str]],
    notes: list[str],
    merged: bool,
    may_guess: bool,
    known: dict[str, str],
) -> None:
    """Let blanks repeat the value above, in columns of places whose cells were merged."""
    for i, name in enumerate(columns):
        if meaning_of(name, known) not in PLACES or not rows or not rows[0][i]:
            continue
        values = [row[i] for row in rows]
        blanks = values.count("")
        given = [value for value in values if value]
        in_blocks = len(given) == len(set(given)) > 1 and blanks >= BLANK_SHARE * len(values) and len(values) > 3
        if not blanks or not (merged or (may_guess and in_blocks)):
            continue
        for above, row in itertools.pairwise(rows):
            row[i] = row[i] or above[i]
        notes.append(
            f"{name}: {blanks} blank cells repeat the value above, as merged cells do; --blanks missing leaves them"
        )
