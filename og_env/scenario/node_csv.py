"""Read a fleet of real nodes: a file with a row for each node, as people have it.

Columns that are known by name: `node`, one for each kind of dependency (`provider`, `country`, `region`, `facility`, `grid`,
`tee_vendor`, `image`, ...), `asn` (a transit network), `city` (a metro), `lat`, `lon`, `host_class`, `weight`, `price`, and
their usual other names (`fleet_file.headers`). Others are named with a map {column: meaning}. An empty value, or one of
MISSING, is a dependency that is shared with nobody. `notes` of the table say what was understood, assumed, folded, skipped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from og_env.errors import nearest_valid
from og_env.scenario.csv_file import number_in, raise_csv_error
from og_env.scenario.domain_kinds import KINDS
from og_env.scenario.fleet_file import ALIASES, FIELDS, PLAIN, RawTable, country_code, is_missing, read_raw
from og_env.scenario.fleet_file.spellings import alike, cloud_region, fold, plain_number
from og_env.scenario.fleet_file.understood import Understood, understand
from og_env.scenario.specs import HostClass

OPTIONAL_KINDS = ("tee_vendor", "facilitator", "upstream")
"""dependencies that a node can do without, written `none`"""
COMPANIES = ("provider", "facilitator", "upstream")
"""kinds whose names have a legal form"""
PRICES = ("price", "usd_per_node_hour", "usd_per_vm_hour", "usd_per_gpu_hour")
"""columns of the price of a candidate; the first that is found is used"""
MAX_ROWS = 1_000_000
MAX_WEIGHT, MIN_WEIGHT = 1e100, 1e-100
"""largest weight of a node, and smallest of the heaviest one, so that squares of sums fit into float64"""
SHOWN = 3
"""examples in a note"""


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
    """[N] price of a node, NaN where the cell is empty; None without such a column"""
    price_name: str
    """meaning of the column of the price, one of PRICES; empty without one"""
    unused: tuple[str, ...]
    """columns that were not understood"""
    lines: tuple[int, ...]
    """[N] line of the file where each node stands"""
    kept: dict[str, tuple[str, ...]]
    """[N] cells as they stand, by name, of the columns of FIELDS and of the price that are there"""
    column: dict[str, str]
    """name of the column of each meaning"""
    notes: tuple[str, ...]
    """what was understood, assumed, folded and skipped"""


def read_node_table(
    path: str | Path,
    *,
    mapped: Mapping[str, str] | None = None,
    kinds: Collection[str] | None = None,
    weight: str | None = None,
    fill: bool | None = None,
    together: Sequence[str] = (),
) -> NodeTable:
    """Read a fleet; ValueError in one line with all that is wrong where the file is no table of nodes.

    `mapped` has the meaning of columns by name, `kinds` selects dependencies, `weight` names the column of the weight,
    `fill` says whether blank cells repeat the value above (None: where it looks so), and `together` has the names of owners
    that belong together, with commas between them, or the column that says so.
    """
    raw = read_raw(path, fill)
    seen = understand(raw, mapped or {}, weight)
    notes = [*raw.notes, *seen.notes]
    skipped = list(raw.skipped)
    labels = _labels(seen, raw, kinds)
    _check_length(raw)
    weights, bad = _weights(seen, raw.lines)
    skipped += bad.values()
    keep = [row for row in range(len(raw.rows)) if row not in bad]
    if len(skipped) > max(1, len(raw.rows) + len(raw.skipped)) / 2 or not keep:
        raise_csv_error(raw.source, f"{len(skipped)} bad rows: {'; '.join(skipped[:5])}")
    cells = {meaning: [values[row] for row in keep] if bad else values for meaning, values in seen.cells.items()}
    lines = [raw.lines[row] for row in keep]
    if weights is not None:
        weights = weights[keep]
        if weights.max() < MIN_WEIGHT:
            raise_csv_error(raw.source, f"every weight is {'0' if weights.max() == 0 else f'below {MIN_WEIGHT:g}'}")
    _join_owners(cells, raw, keep, together, notes)
    columns = {label: _domains(label, cells, seen, notes) for label in labels}
    columns = _without_empty(columns, raw.source, notes, kinds)
    if skipped:
        rest = ", ..." if len(skipped) > SHOWN else ""
        notes.append(f"{len(skipped)} rows skipped: {'; '.join(skipped[:SHOWN])}{rest}")
    price = next((name for name in PRICES if name in cells), "")
    return NodeTable(
        path=raw.source,
        nodes=_node_names(cells, lines, notes),
        columns=columns,
        kind_of={label: ALIASES.get(label, label) for label in columns},
        missing={label: sum(not value for value in columns[label]) for label in columns},
        weight=weights,
        lat_deg=_numbers(cells, "lat", lines, notes, -90.0, 90.0),
        lon_deg=_numbers(cells, "lon", lines, notes, -180.0, 180.0),
        host_class=_host_classes(cells, lines, notes),
        price_usd=_numbers(cells, price, lines, notes, 0.0, math.inf),
        price_name=price,
        unused=seen.unused,
        lines=tuple(lines),
        kept={name: tuple(cells[name]) for name in (*FIELDS, "price") if name in cells},
        column=seen.column,
        notes=tuple(notes),
    )


def _check_length(raw: RawTable) -> None:
    """Raise where a file has no node, or too many."""
    if not raw.rows:
        reasons = f": {'; '.join(raw.skipped[:5])}" if raw.skipped else ""
        raise_csv_error(raw.source, f"a header but no nodes{reasons}")
    if len(raw.rows) > MAX_ROWS:
        raise_csv_error(raw.source, f"more than {MAX_ROWS:,} nodes", raw.lines[MAX_ROWS])


def read_header(path: str | Path) -> tuple[str, ...]:
    """Names of the columns of a file of nodes, with the errors of `fleet_file.read_raw`."""
    return read_raw(path).columns


def _labels(seen: Understood, raw: RawTable, kinds: Collection[str] | None) -> tuple[str, ...]:
    """Dependencies to audit, in the order asked for or else of the file; ValueError with all that is wrong."""
    there = [meaning for meaning in seen.order if meaning not in PLAIN and meaning not in FIELDS]
    names = (*ALIASES, *KINDS)
    if not there:
        hint = "; is this a list without a header?" if len(raw.columns) > 1 and len(raw.rows) > 1 else ""
        raise_csv_error(
            raw.source,
            f"no column names a dependency ({', '.join(names)}); name one with --map COLUMN=KIND (columns: "
            f"{', '.join(raw.columns[:12])}){hint}",
        )
    problems = [f"unknown kind {kind!r}{nearest_valid(kind, names)}" for kind in kinds or () if kind not in names]
    problems += [
        f"no column {kind!r}{nearest_valid(kind, raw.columns)}; name one with --map COLUMN={kind}"
        for kind in kinds or ()
        if kind in names and kind not in there
    ]
    if problems:
        raise_csv_error(raw.source, "; ".join(problems))
    return tuple(there if kinds is None else dict.fromkeys(kinds))


def _weights(seen: Understood, lines: Sequence[int]) -> tuple[NDArray[np.float64] | None, dict[int, str]]:
    """[N] weights, and the reasons by row why some are none."""
    if "weight" not in seen.cells:
        return None, {}
    bad: dict[int, str] = {}
    texts = seen.cells["weight"]
    values = np.ones(len(texts))
    for row, text in enumerate(texts):
        try:
            values[row] = float(text)
            if 0 <= values[row] <= MAX_WEIGHT:
                continue
        except ValueError:
            pass
        try:
            values[row] = _checked(text, "weight", lines[row], MAX_WEIGHT)
        except ValueError as error:
            bad[row] = str(error).removeprefix(": ")
    return values, bad


def _checked(text: str, name: str, line: int, high: float) -> float:
    """A number of at least 0, with or without a currency and separators of thousands; ValueError `line N: ...`."""
    if is_missing(text):
        raise_csv_error("", f"{name} is empty", line)
    value = number_in("", line, name, plain_number(text), low=0.0)
    if value > high:
        raise_csv_error("", f"{name} {text[:40]} must be at most {high:g}", line)
    return value


def _node_names(cells: Mapping[str, Sequence[str]], lines: Sequence[int], notes: list[str]) -> tuple[str, ...]:
    """[N] unique names; a file without them names provider and region, or numbers the nodes."""
    if "node" in cells:
        names = list(cells["node"])
    elif "provider" in cells and "region" in cells:
        names = [f"{a}/{b}" for a, b in zip(cells["provider"], cells["region"], strict=True)]
    else:
        notes.append("no column names the nodes: they are numbered")
        return tuple(f"node-{number}" for number in range(1, len(lines) + 1))
    unnamed = repeated = 0
    first = ""
    count: dict[str, int] = {}
    taken = set(names)
    for row, name in enumerate(names):
        if is_missing(name):
            unnamed += 1
            name = names[row] = f"line-{lines[row]}"
        count[name] = count.get(name, 0) + 1
        if count[name] > 1:
            repeated, first = repeated + 1, first or f"{name!r} in line {lines[row]}"
            while f"{name}#{count[name]}" in taken:
                count[name] += 1
            names[row] = f"{name}#{count[name]}"
            taken.add(names[row])
    if unnamed:
        notes.append(f"{unnamed} nodes have no name: named after their line")
    if repeated:
        notes.append(f"{repeated} names are there already and get a number ({first})")
    return tuple(names)


def _join_owners(
    cells: dict[str, list[str]], raw: RawTable, keep: Sequence[int], together: Sequence[str], notes: list[str]
) -> None:
    """Give owners that belong together one name, that of the first; a word without a comma is the column that says so."""
    for words in together:
        names = [word.strip() for word in words.split(",") if word.strip()]
        if "provider" not in cells:
            raise_csv_error(raw.source, f"--together {words}: there is no column 'provider'")
        if len(names) == 1:
            if names[0] not in raw.columns:
                raise_csv_error(
                    raw.source, f"--together {words}: no column{nearest_valid(words, raw.columns)}; or write A,B"
                )
            place = raw.columns.index(names[0])
            owners = [raw.rows[row][place] for row in keep]
            cells["provider"] = [a if is_missing(b) else b for a, b in zip(cells["provider"], owners, strict=True)]
            notes.append(f"together: providers are named by {names[0]} where it says so")
            continue
        there = {value.casefold() for value in cells["provider"]}
        for name in names:
            if name.casefold() not in there:
                hint = nearest_valid(name, set(cells["provider"]))
                raise_csv_error(raw.source, f"--together {words}: no provider {name!r}{hint}")
        joined = {name.casefold() for name in names}
        cells["provider"] = [names[0] if value.casefold() in joined else value for value in cells["provider"]]
        notes.append(f"together: {', '.join(names)} are one provider")


def _domains(label: str, cells: Mapping[str, list[str]], seen: Understood, notes: list[str]) -> tuple[str | None, ...]:
    """Names of the domains; a city belongs to its country and a region to its provider, where these are known."""
    kind = ALIASES.get(label, label)
    values = cells[label]
    if kind == "country":
        return _countries(values, notes)
    optional = kind in OPTIONAL_KINDS
    names = ["" if is_missing(value) and not (optional and value.casefold() == "none") else value for value in values]
    stands = _folded(label, names, kind in COMPANIES, notes)
    if kind == "transit":
        stands = {name: re.sub(r"^(?:AS)?\s*(\d+)(?:\.0+)?$", r"AS\1", to, flags=re.I) for name, to in stands.items()}
    plain = [stands[name] for name in names]
    if kind == "metro" and "country" in cells:
        countries = _countries(cells["country"], [])
        return tuple(_within(city, country) for city, country in zip(plain, countries, strict=True))
    if kind == "region":
        return _regions(plain, cells, "region" in seen.forced, notes)
    if optional:
        return tuple(None if name.casefold() == "none" else name for name in plain)
    return tuple(plain)


def _within(city: str, country: str | None) -> str:
    return f"{city} ({country})" if city and country and f"({country})" not in city else city


def _folded(label: str, values: Sequence[str], legal: bool, notes: list[str]) -> dict[str, str]:
    """The name that each value stands for, with notes about those that were folded and those that look alike."""
    stands, several = fold(values, legal)
    if several:
        best = max(several, key=lambda name: len(several[name]))
        more = f" and {len(several) - 1} more names" if len(several) > 1 else ""
        notes.append(f"{label}: {', '.join(map(repr, several[best][:SHOWN]))} folded into {best!r}{more}")
    if label == "provider" and (found := alike(dict.fromkeys(stands.values()))):
        shown = "; ".join(f"{a} and {b}" for a, b in found[:SHOWN])
        notes.append(f"may belong together: {shown}{', ...' if len(found) > SHOWN else ''} (--together A,B)")
    return stands


def _countries(values: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """ISO 3166 codes, and words that are no country as they stand."""
    code: dict[str, str] = {}
    strange: list[str] = []
    for value in dict.fromkeys(values):
        found = "NA" if value == "NA" else "" if is_missing(value) else country_code(value)
        if not found and not is_missing(value):
            strange.append(value)
            found = value.upper() if len(value) == 2 else value
        code[value] = found
    spelled = [value for value, found in code.items() if found and value != found and value not in strange]
    if spelled:
        notes.append(
            f"country: {', '.join(spelled[:SHOWN])}{', ...' if len(spelled) > SHOWN else ''} read as ISO 3166 codes"
        )
    if strange:
        notes.append(f"country: {', '.join(strange[:SHOWN])} is no known country and counts as it stands")
    return tuple(code[value] for value in values)


def _regions(values: Sequence[str], cells: Mapping[str, list[str]], forced: bool, notes: list[str]) -> tuple[str, ...]:
    """Regions of clouds as provider/region; a state, a continent or a city is none, unless the user says so."""
    given = cells.get("provider") or [""] * len(values)
    providers = fold(given, legal=True)[0]
    at: dict[tuple[str, str], str] = {}
    strange: dict[str, None] = {}
    for provider, value in dict.fromkeys(zip(given, values, strict=True)):
        name = providers[provider] if not is_missing(provider) else ""
        own = value.removeprefix(f"{name}/")
        found = own if forced or not value else cloud_region(name, own)
        if value and not found:
            strange[value] = None
        at[provider, value] = f"{name}/{found}" if found and name else found
    if strange:
        notes.append(
            f"region: {', '.join(list(strange)[:SHOWN])}{', ...' if len(strange) > SHOWN else ''} is no cloud region and not "
            "used; --map region=region takes it as one"
        )
    return tuple(at[pair] for pair in zip(given, values, strict=True))


def _without_empty(
    columns: dict[str, tuple[str | None, ...]], source: str, notes: list[str], kinds: Collection[str] | None
) -> dict[str, tuple[str | None, ...]]:
    """The columns in which some node says something."""
    full = {label: column for label, column in columns.items() if any(name != "" for name in column) or kinds}
    notes.extend(f"{label} is empty throughout: not used" for label in columns if label not in full)
    if not full:
        raise_csv_error(source, f"the columns {', '.join(columns)} say nothing of any node")
    return full


def _numbers(
    cells: Mapping[str, Sequence[str]], meaning: str, lines: Sequence[int], notes: list[str], low: float, high: float
) -> NDArray[np.float64] | None:
    """[N] numbers, NaN where empty or out of range, which is noted; None without such a column."""
    if meaning not in cells:
        return None
    values = np.full(len(lines), np.nan)
    bad: list[str] = []
    for row, text in enumerate(cells[meaning]):
        try:
            values[row] = float(text)
            if low <= values[row] <= high:
                continue
        except ValueError:
            if is_missing(text):
                continue
        try:
            values[row] = number_in("", lines[row], meaning, plain_number(text), low=low, high=high)
        except ValueError as error:
            values[row] = math.nan
            bad.append(str(error).removeprefix(": "))
    if bad:
        notes.append(f"{len(bad)} nodes without a usable {meaning}: {'; '.join(bad[:SHOWN])}")
    return values


def _host_classes(cells: Mapping[str, Sequence[str]], lines: Sequence[int], notes: list[str]) -> tuple[str, ...] | None:
    if "host_class" not in cells:
        return None
    known = get_args(HostClass)
    values = [value.casefold().replace(" ", "_") for value in cells["host_class"]]
    bad = {
        value: line for line, value in zip(lines, values, strict=True) if value not in known and not is_missing(value)
    }
    notes.extend(
        f"line {line}: unknown host_class {value[:40]!r}{nearest_valid(value, known)}, left out"
        for value, line in bad.items()
    )
    return tuple(value if value in known else "" for value in values)
