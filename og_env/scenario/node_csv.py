"""Read a fleet of real nodes: a CSV file with a row for each node.

Columns that are known by name: `node`, one for each kind of dependency (`provider`, `country`, `region`, `facility`, `grid`,
`tee_vendor`, `image`, ...), `asn` (a transit network), `city` (a metro), `lat`, `lon`, `host_class`, `weight`, `price`. Others
are named with a map {column: meaning}. An empty value, or one of MISSING, is a dependency that is shared with nobody.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from og_env.errors import nearest_valid
from og_env.scenario.csv_file import number_in, raise_csv_error, read_csv, separator_hint
from og_env.scenario.domain_kinds import KINDS
from og_env.scenario.specs import HostClass

ALIASES = {"asn": "transit", "city": "metro"}
"""kind of dependency of the columns that have another name than their kind"""
COUNTRY_ALIASES = {"UK": "GB", "EL": "GR"}
"""ISO 3166 code of country codes that are in use beside it"""
OTHER_NAMES = {
    "lat": ("lat_deg",),
    "lon": ("lon_deg",),
    "price": ("usd_per_hour", "usd_per_vm_hour", "usd_per_gpu_hour"),
}
"""columns that serve where the one named first is missing; the first that is found is used"""
PLAIN = ("node", "weight", "lat", "lon", "host_class", "price")
MEANINGS = (*PLAIN, *ALIASES, *KINDS)
MISSING = frozenset({"", "-", "?", "unknown", "n/a", "null", "nan"})
OPTIONAL_KINDS = ("tee_vendor", "facilitator", "upstream")
"""dependencies that a node can do without, written `none`"""
MAX_ROWS = 1_000_000
MAX_WEIGHT, MIN_WEIGHT = 1e100, 1e-100
"""largest weight of a node, and smallest of the heaviest one, so that squares of sums fit into float64"""


class NodeTable(NamedTuple):
    """Nodes as read; N rows."""

    path: str
    nodes: tuple[str, ...]
    """[N] unique names"""
    columns: dict[str, tuple[str | None, ...]]
    """[N] domain of each node by label of the kind; empty: shared with nobody, None: no such dependency"""
    kind_of: dict[str, str]
    """kind of dependency of each label"""
    missing: dict[str, int]
    """number of nodes that are in no domain, by label"""
    weight: NDArray[np.float64] | None
    """[N] weight or stake; None without such a column"""
    lat_deg: NDArray[np.float64] | None
    """[N] NaN where the cell is empty; None without such a column"""
    lon_deg: NDArray[np.float64] | None
    """[N] NaN where the cell is empty; None without such a column"""
    host_class: tuple[str, ...] | None
    """[N] empty where the cell is; None without such a column"""
    price_usd: NDArray[np.float64] | None
    """[N] price of a node; None without such a column"""
    unused: tuple[str, ...]
    """columns that were not understood"""
    lines: tuple[int, ...]
    """[N] line of the file where each node stands"""
    kept: dict[str, tuple[str, ...]]
    """[N] cells as they stand, by name, of the columns that were asked for and are there"""


def read_node_table(
    path: str | Path,
    *,
    mapped: Mapping[str, str] | None = None,
    kinds: Collection[str] | None = None,
    weight: str | None = None,
    keep: Collection[str] = (),
) -> NodeTable:
    """Read a fleet; ValueError with one line `FILE: line N: what is wrong` for a file that is no table of nodes.

    `mapped` has the meaning of columns by name, `kinds` selects dependencies, `weight` names the column of the weight, and
    `keep` columns whose cells are handed over as they stand.
    """
    source, header, rows = read_csv(path)
    places, unused = _places(header, source, mapped or {}, weight)
    labels = _labels(places, source, header, kinds)
    cells: dict[str, list[str]] = {meaning: [] for meaning in places}
    kept: dict[str, list[str]] = {column: [] for column in header if column in keep}
    lines: list[int] = []
    for line, row in rows:
        if len(lines) == MAX_ROWS:
            raise_csv_error(source, f"more than {MAX_ROWS:,} nodes", line)
        lines.append(line)
        for meaning, place in places.items():
            cells[meaning].append(row[place])
        for column, of_column in kept.items():
            of_column.append(row[header.index(column)])
    if not lines:
        raise_csv_error(source, "a header but no nodes")
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
    """Names of the columns of a CSV file, with the errors of `csv_file.read_csv`."""
    return read_csv(path).columns


def _places(
    header: Sequence[str], source: str, mapped: Mapping[str, str], weight: str | None
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Position of the column of each meaning, and the columns that have none."""
    wanted = dict(mapped) if weight is None else {**mapped, weight: "weight"}
    taken = _mapped(header, source, wanted)
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
        hint = separator_hint(header) or nearest_valid("node", header)
        raise_csv_error(source, f"no column 'node'{hint}; name one with --map COLUMN=node")
    unused = tuple(column for column in header if column and column not in taken.values())
    return {meaning: header.index(column) for meaning, column in taken.items()}, unused


def _mapped(header: Sequence[str], source: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """Column of each meaning that the user gave; ValueError for an unknown one, and for one given twice."""
    taken: dict[str, str] = {}
    for column, meaning in wanted.items():
        if column not in header:
            raise_csv_error(source, f"no column {column!r}{nearest_valid(column, header)}")
        if meaning not in MEANINGS:
            raise ValueError(f"cannot map {column!r} to {meaning!r}{nearest_valid(meaning, MEANINGS)}")
        if meaning in taken:
            raise ValueError(f"both {taken[meaning]!r} and {column!r} are mapped to {meaning}")
        taken[meaning] = column
    return taken


def _labels(
    places: Mapping[str, int], source: str, header: Sequence[str], kinds: Collection[str] | None
) -> tuple[str, ...]:
    """Dependencies to audit, in the order asked for or else of the file."""
    there = sorted((meaning for meaning in places if meaning not in PLAIN), key=lambda meaning: places[meaning])
    if not there:
        raise_csv_error(
            source, f"no column names a dependency ({', '.join((*ALIASES, *KINDS))}); name one with --map COLUMN=KIND"
        )
    if kinds is None:
        return tuple(there)
    for kind in kinds:
        if kind not in (*ALIASES, *KINDS):
            raise ValueError(f"unknown kind {kind!r}{nearest_valid(kind, (*ALIASES, *KINDS))}")
        if kind not in there:
            raise_csv_error(
                source, f"no column {kind!r}{nearest_valid(kind, header)}; name one with --map COLUMN={kind}"
            )
    return tuple(dict.fromkeys(kinds))


def _is_missing(value: str) -> bool:
    return value.casefold() in MISSING


def _node_names(cells: Mapping[str, Sequence[str]], lines: Sequence[int], source: str) -> tuple[str, ...]:
    """[N] unique names; a table of sites without a column for them names a site provider/region."""
    names = cells.get("node") or [f"{a}/{b}" for a, b in zip(cells["provider"], cells["region"], strict=True)]
    first: dict[str, int] = {}
    for line, name in zip(lines, names, strict=True):
        if not name:
            raise_csv_error(source, "the node has no name", line)
        if name in first:
            raise_csv_error(source, f"node {name!r} is there already, in line {first[name]}", line)
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
    for row, (line, text) in enumerate(zip(lines, cells[meaning], strict=True)):
        if _is_missing(text):
            if required:
                raise_csv_error(source, f"{meaning} is empty", line)
            continue
        values[row] = number_in(source, line, meaning, text, low=low, high=high)
        if meaning == "weight" and values[row] > MAX_WEIGHT:
            raise_csv_error(source, f"weight {text[:40]} must be at most {MAX_WEIGHT:g}", line)
    if meaning == "weight" and values.max() < MIN_WEIGHT:
        raise_csv_error(source, f"every weight is {'0' if values.max() == 0 else f'below {MIN_WEIGHT:g}'}")
    return values


def _host_classes(cells: Mapping[str, Sequence[str]], lines: Sequence[int], source: str) -> tuple[str, ...] | None:
    if "host_class" not in cells:
        return None
    known = get_args(HostClass)
    for line, value in zip(lines, cells["host_class"], strict=True):
        if value and value not in known:
            raise_csv_error(source, f"unknown host_class {value[:40]!r}{nearest_valid(value, known)}", line)
    return tuple(cells["host_class"])
