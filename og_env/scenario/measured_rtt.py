"""Read measured round trips: a file with a row for each pair of places, or a matrix of them.

Rows: src, dst and rtt_ms, under one of their ALIASES or named by a map, with or without a provider. Matrix: the names of
the places in the first column and in the header. Names of regions without their provider are those of AWS, Google or
Azure, as `located` finds them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from og_env.scenario.csv_file import number_in, raise_csv_error
from og_env.scenario.measurement_file import Rows, read_rows, renamed

MOST_MS = 1e6
"""longest round trip"""
ALIASES = {
    "src": ("source", "from", "source_region", "sending_region", "src_region", "region_from", "origin"),
    "dst": ("destination", "to", "target", "destination_region", "receiving_region", "dst_region", "region_to", "dest"),
    "rtt_ms": ("milliseconds", "latency_ms", "rtt", "latency", "ms", "p50_ms", "avg_ms", "mean_ms", "ping_ms", "p50"),
    "provider": ("cloud", "csp"),
}
"""other names of the columns, without regard to capitals"""
CLOUDS = ("aws", "gcp", "azure")
"""providers whose regions are known by name alone, in this order where several have as many of the names"""


def load_rtt_csv(path: str | Path, mapped: Mapping[str, str] | None = None) -> dict[tuple[str, str], float]:
    """Measured round trips by (src, dst) from a table or a matrix.

    Where the file has a column provider, the names are PROVIDER/SRC and PROVIDER/DST, as the catalogue's sites are named.
    Other columns are ignored; `mapped` has the meaning of columns by name. ValueError in one line, with the errors of
    `measurement_file.read_rows`, for an empty name, a time that is no number above 0, and a pair that is given twice.
    """
    table = read_rows(path)
    columns, _ = renamed(table, ALIASES, mapped)
    table = table._replace(columns=columns, rows=list(table.rows))
    if not {"src", "dst"} & set(columns) and len(columns) > 1 and _is_matrix(table):
        return dict(_matrix(table))
    measured: dict[tuple[str, str], float] = {}
    for line, row in table.records(("src", "dst", "rtt_ms")):
        src, dst = row["src"], row["dst"]
        if not src or not dst:
            raise_csv_error(table.source, "src or dst is empty", line)
        if provider := row.get("provider"):
            src, dst = f"{provider.lower()}/{src}", f"{provider.lower()}/{dst}"
        if (src, dst) in measured:
            raise_csv_error(table.source, f"{src} -> {dst} is given twice", line)
        measured[src, dst] = number_in(table.source, line, "rtt_ms", row["rtt_ms"], above=0.0, high=MOST_MS)
    return measured


def located(measured: Mapping[tuple[str, str], float], places: Collection[str]) -> dict[tuple[str, str], float]:
    """The round trips with names of regions replaced by PROVIDER/REGION where the provider can be told.

    Names in `places` stay. Of the others, those of the cloud that has the most of them get its name; "West Europe" is
    westeurope.
    """
    names = {name for pair in measured for name in pair if name not in places}
    counts = Counter({cloud: sum(_region(cloud, name) in places for name in names) for cloud in CLOUDS})
    cloud, known = counts.most_common(1)[0] if counts else ("", 0)
    if not known:
        return dict(measured)
    new = {name: _region(cloud, name) for name in names}
    new = {name: place for name, place in new.items() if place in places}
    result: dict[tuple[str, str], float] = {}
    for (a, b), ms in measured.items():
        result.setdefault((new.get(a, a), new.get(b, b)), ms)
    return result


def _region(cloud: str, name: str) -> str:
    plain = name.lower()
    return f"{cloud}/{re.sub(r'[ _-]', '', plain) if cloud == 'azure' else plain}"


def _is_matrix(table: Rows) -> bool:
    """Whether the header's names stand in the first column as well."""
    firsts = {cells[0] for _, cells in table.rows}
    return bool(firsts) and len(firsts & set(table.columns[1:])) * 2 >= len(firsts)


def _matrix(table: Rows) -> Iterator[tuple[tuple[str, str], float]]:
    """Pairs and round trips of a matrix; empty cells and those of a place to itself that are 0 or a dash are left out."""
    seen: set[str] = set()
    for line, cells in table.rows:
        src = cells[0]
        if not src:
            raise_csv_error(table.source, "the name of the row is empty", line)
        if src in seen:
            raise_csv_error(table.source, f"two rows are called {src!r}", line)
        seen.add(src)
        for dst, cell in zip(table.columns[1:], cells[1:], strict=True):
            if cell in ("", "-", "n/a", "N/A") or (src == dst and cell in ("0", "0.0")):
                continue
            yield (src, dst), number_in(table.source, line, f"{src} -> {dst}", cell, above=0.0, high=MOST_MS)
