"""Tables of real nodes: a CSV with a row per node into columns of names, weights and coordinates.

Columns that are known by name: `node`, one for each kind of dependency (`provider`, `country`, `region`, `facility`, `grid`,
`tee_vendor`, `image`, ...), `asn` (a transit network), `city` (a metro), `lat`, `lon`, `host_class`, `weight`, `price`. Others
are named with a map {column: meaning}. An empty value, or one of MISSING, is a dependency that is shared with nobody.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from og_env.errors import nearest_valid
from og_env.scenario.specs import HostClass, Kind

ALIASES = {"asn": "transit", "city": "metro"}
"""columns that are called otherwise than the kind of dependency they are"""
COUNTRY_ALIASES = {"UK": "GB", "EL": "GR"}
"""codes in use beside those of ISO 3166"""
KINDS: tuple[str, ...] = get_args(Kind)
OTHER_NAMES = {
    "lat": ("lat_deg",),
    "lon": ("lon_deg",),
    "price": ("usd_per_hour", "usd_per_vm_hour", "usd_per_gpu_hour"),
}
"""columns that serve where one of the plain name is missing, first found first used"""
PLAIN = ("node", "weight", "lat", "lon", "host_class", "price")
MEANINGS = (*PLAIN, *ALIASES, *KINDS)
MISSING = frozenset({"", "-", "?", "unknown", "n/a", "null", "nan"})
OPTIONAL_KINDS = ("tee_vendor", "facilitator", "upstream")
"""dependencies that a node can do without, written `none`"""
MAX_LINE_BYTES = 1_000_000
MAX_ROWS = 1_000_000
MAX_WEIGHT, MIN_WEIGHT = 1e100, 1e-100
"""of one node, and of the heaviest one; squares of sums must fit into float64"""


class NodeTable(NamedTuple):
    """Nodes as read; N rows."""

    path: str
    nodes: tuple[str, ...]
    """[N]"""
    columns: dict[str, tuple[str | None, ...]]
    """[N] by label of the kind; empty: shared with nobody, None: no such dependency"""
    kind_of: dict[str, str]
    """kind of dependency of each label"""
    missing: dict[str, int]
    """empty values by label"""
    weight: NDArray[np.float64] | None
    """[N] None without a column"""
    lat_deg: NDArray[np.float64] | None
    """[N] NaN where empty; None without columns"""
    lon_deg: NDArray[np.float64] | None
    host_class: tuple[str, ...] | None
    price_usd: NDArray[np.float64] | None
    unused: tuple[str, ...]
    """columns that were not understood"""
    lines: tuple[int, ...]
    """[N] of the file"""
    kept: dict[str, tuple[str, ...]]
    """[N] cells as they stand, of the columns asked for that there are"""


def read_node_table(
    path: str | Path,
    *,
    mapped: Mapping[str, str] | None = None,
    kinds: Collection[str] | None = None,
    weight: str | None = None,
    keep: Collection[str] = (),
) -> NodeTable:
    """Read a fleet; `mapped` names columns, `kinds` selects dependencies, `weight` names the column of the weight, `keep`
    columns whose cells are handed over as they stand.

    ValueError with one line `FILE: line N: what is wrong` for a file that is no table of nodes.
    """
    source = str(path)
    rows = _rows(Path(path), source)
    header = [cell.strip() for cell in next(rows, (0, []))[1]]
    if not any(header):
        _fail(source, "the file is empty; it needs a header and a row for each node")
    places, unused = _places(header, source, mapped or {}, weight)
    labels = _labels(places, source, header, kinds)
    cells: dict[str, list[str]] = {meaning: [] for meaning in places}
    kept: dict[str, list[str]] = {column: [] for column in header if column in keep}
    lines: list[int] = []
    for line, row in rows:
        if len(row) != len(header):
            _fail(source, f"{len(row)} values, but the header has {len(header)} columns", line)
        if len(lines) == MAX_ROWS:
            _fail(source, f"more than {MAX_ROWS:,} nodes", line)
        lines.append(line)
        for meaning, place in places.items():
            cells[meaning].append(row[place].strip())
        for column, of_column in kept.items():
            of_column.append(row[header.index(column)].strip())
    if not lines:
        _fail(source, "a header but no nodes")
    return NodeTable(
        path=source,
        nodes=_node_names(cells, lines, source),
        columns={label: _domains(label, cells, labels) for label in labels},
        kind_of={label: ALIASES.get(label, label) for label in labels},
        missing={label: sum(_is_missing(value) for value in cells[label]) for label in labels},
        weight=_numbers(cells, "weight", lines, source, low=0.0, required=True),
        lat_deg=_numbers(cells, "lat", lines, source, low=-90.0, high=90.0),
        lon_deg=_numbers(cells, "lon", lines, source, low=-180.0, high=180.0),
        host_class=_host_classes(cells, lines, source),
        price_usd=_numbers(cells, "price", lines, source, low=0.0, required=True),
        unused=tuple(column for column in unused if column not in kept),
        lines=tuple(lines),
        kept={column: tuple(of_column) for column, of_column in kept.items()},
    )


def read_header(path: str | Path) -> tuple[str, ...]:
    """Names of the columns; the same errors as `read_node_table`."""
    return tuple(cell.strip() for cell in next(_rows(Path(path), str(path)), (0, []))[1])


def _fail(source: str, problem: str, line: int | None = None) -> NoReturn:
    raise ValueError(f"{source}: line {line}: {problem}" if line else f"{source}: {problem}")


def _rows(path: Path, source: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank, read a line at a time."""
    line = 0
    try:
        with path.open("rb") as file:
            reader = csv.reader(_lines(file, source), strict=True)
            for row in reader:
                line = reader.line_num
                if any(cell.strip() for cell in row):
                    yield line, row
    except OSError as error:
        _fail(source, f"cannot be read: {error.strerror or error}")
    except csv.Error as error:
        _fail(source, f"not a CSV table: {error}", line + 1)


def _lines(file: BinaryIO, source: str) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            _fail(source, f"longer than {MAX_LINE_BYTES:,} bytes", number)
        if b"\0" in line:
            _fail(source, "not a text file (it holds a zero byte)", number)
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            _fail(source, f"not a text file in UTF-8 (byte 0x{line[error.start]:02x})", number)


def _places(
    header: Sequence[str], source: str, mapped: Mapping[str, str], weight: str | None
) -> tuple[dict[str, int], tuple[str, ...]]:
    """({meaning: position}, columns without meaning)."""
    for name in header:
        if name and header.count(name) > 1:
            _fail(source, f"two columns are called {name!r}", 1)
    wanted = dict(mapped)
    if weight is not None:
        wanted[weight] = "weight"
    taken: dict[str, str] = {}
    for column, meaning in wanted.items():
        if column not in header:
            _fail(source, f"no column {column!r}{nearest_valid(column, header)}")
        if meaning not in MEANINGS:
            raise ValueError(f"cannot map {column!r} to {meaning!r}{nearest_valid(meaning, MEANINGS)}")
        if meaning in taken:
            raise ValueError(f"both {taken[meaning]!r} and {column!r} are mapped to {meaning}")
        taken[meaning] = column
    for column in header:
        if column not in wanted and column in MEANINGS:
            taken.setdefault(column, column)
    for meaning, others in OTHER_NAMES.items():
        for column in (other for other in others if other in header and other not in wanted):
            taken.setdefault(meaning, column)
    for alias, kind in ALIASES.items():
        if kind in taken and alias in taken:
            del taken[kind if taken[alias] in wanted else alias]
    if "node" not in taken and not {"provider", "region"} <= taken.keys():
        hint = " (is it separated by something else than commas?)" if len(header) == 1 else ""
        _fail(source, f"no column 'node'{hint or nearest_valid('node', header)}; name one with --map COLUMN=node")
    unused = tuple(column for column in header if column and column not in taken.values())
    return {meaning: header.index(column) for meaning, column in taken.items()}, unused


def _labels(
    places: Mapping[str, int], source: str, header: Sequence[str], kinds: Collection[str] | None
) -> tuple[str, ...]:
    """Dependencies to audit, in the order asked for or else of the file."""
    there = sorted((meaning for meaning in places if meaning not in PLAIN), key=lambda meaning: places[meaning])
    if not there:
        _fail(
            source, f"no column names a dependency ({', '.join((*ALIASES, *KINDS))}); name one with --map COLUMN=KIND"
        )
    if kinds is None:
        return tuple(there)
    for kind in kinds:
        if kind not in (*ALIASES, *KINDS):
            raise ValueError(f"unknown kind {kind!r}{nearest_valid(kind, (*ALIASES, *KINDS))}")
        if kind not in there:
            _fail(source, f"no column {kind!r}{nearest_valid(kind, header)}; name one with --map COLUMN={kind}")
    return tuple(dict.fromkeys(kinds))


def _is_missing(value: str) -> bool:
    return value.casefold() in MISSING


def _node_names(cells: Mapping[str, Sequence[str]], lines: Sequence[int], source: str) -> tuple[str, ...]:
    """[N] unique names; a table of sites without a column for them names a site provider/region."""
    names = cells.get("node") or [f"{a}/{b}" for a, b in zip(cells["provider"], cells["region"], strict=True)]
    first: dict[str, int] = {}
    for line, name in zip(lines, names, strict=True):
        if not name:
            _fail(source, "the node has no name", line)
        if name in first:
            _fail(source, f"node {name!r} is there already, in line {first[name]}", line)
        first[name] = line
    return tuple(names)


def _domains(label: str, cells: Mapping[str, Sequence[str]], labels: Collection[str]) -> tuple[str | None, ...]:
    """Names of the domains; a city belongs to its country and a region to its provider, where these are known."""
    kind = ALIASES.get(label, label)
    countries = [_country(name) for name in cells.get("country", ())] if kind == "metro" else []
    providers = cells.get("provider") if kind == "region" else None
    names: list[str | None] = []
    for row, value in enumerate(cells[label]):
        if kind in OPTIONAL_KINDS and value.casefold() == "none":
            names.append(None)
        elif _is_missing(value):
            names.append("")
        elif kind == "country" and len(value) == 2:
            names.append(_country(value))
        elif countries and countries[row] and f"({countries[row]})" not in value:
            names.append(f"{value} ({countries[row]})")
        elif providers is not None and providers[row] and not value.startswith(f"{providers[row]}/"):
            names.append(f"{providers[row]}/{value}")
        else:
            names.append(value)
    return tuple(names)


def _country(name: str) -> str:
    code = name.upper()
    return COUNTRY_ALIASES.get(code, code)


def _numbers(
    cells: Mapping[str, Sequence[str]],
    meaning: str,
    lines: Sequence[int],
    source: str,
    *,
    low: float,
    high: float = math.inf,
    required: bool = False,
) -> NDArray[np.float64] | None:
    """[N] checked numbers, NaN where empty; None without such a column."""
    if meaning not in cells:
        return None
    values = np.full(len(lines), np.nan)
    span = f"in {low:g}..{high:g}" if math.isfinite(high) else f"at least {low:g}"
    for row, (line, text) in enumerate(zip(lines, cells[meaning], strict=True)):
        if _is_missing(text):
            if required:
                _fail(source, f"{meaning} is empty", line)
            continue
        try:
            values[row] = float(text)
        except ValueError:
            _fail(source, f"{meaning} {text[:40]!r} is not a number", line)
        if not (math.isfinite(values[row]) and low <= values[row] <= high):
            _fail(source, f"{meaning} {text[:40]} must be {span}", line)
        if meaning == "weight" and values[row] > MAX_WEIGHT:
            _fail(source, f"weight {text[:40]} must be at most {MAX_WEIGHT:g}", line)
    if meaning == "weight" and values.max() < MIN_WEIGHT:
        _fail(source, f"every weight is {'0' if values.max() == 0 else f'below {MIN_WEIGHT:g}'}")
    return values


def _host_classes(cells: Mapping[str, Sequence[str]], lines: Sequence[int], source: str) -> tuple[str, ...] | None:
    if "host_class" not in cells:
        return None
    known = get_args(HostClass)
    for line, value in zip(lines, cells["host_class"], strict=True):
        if value and value not in known:
            _fail(source, f"unknown host_class {value[:40]!r}{nearest_valid(value, known)}", line)
    return tuple(cells["host_class"])
