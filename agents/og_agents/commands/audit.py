"""Audit a fleet of nodes: what they share, how many they really are, and what each of them adds.

og-env audit FLEET.csv --map dc_owner=provider --out runs/audit
og-env audit --scenario global-24 --json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from og_env.errors import Parser, guarded

# isort: split
import numpy as np

from og_agents.commands.table_options import FILLS, add_table_options, mapping, mapping_help, meanings
from og_env.scenario import catalog, loading
from og_env.scenario.fleet_file import ALIASES
from og_env.scenario.node_csv import NodeTable, read_header, read_node_table
from og_env.scenario.specs import FailureSpec
from og_env.scenario.text_files import write_text
from og_env.trust import (
    Fleet,
    additions_json,
    audit,
    best_additions,
    best_replacements,
    broken_limits,
    fleet_of_table,
    fleets_of_scenario,
    fleets_of_table,
    limits_from_words,
    with_assumptions,
)
from og_env.trust.audit_text import kind_rows, node_rows, text
from og_env.trust.growth import MAX_STEPS

USUAL_KINDS = {
    "provider": "provider", "country": "country", "metro": "city", "transit": "asn", "facility": "facility", "region": "region",
}  # fmt: skip
"""kinds that nearly every node shares with others, and the columns that name them"""


class Audited(NamedTuple):
    """An audit and its fleet."""

    result: dict[str, Any]
    """the object that is printed"""
    fleet: Fleet
    """the fleet with the dependencies that are given"""
    title: str
    """name of the picture"""
    lat_deg: Any
    """[N] for the map"""
    lon_deg: Any
    """[N] for the map"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    return guarded(lambda: _run(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__, prog="og-env audit")
    parser.add_argument("fleet", nargs="?", metavar="FLEET.csv", help="a row for each node, with a header")
    parser.add_argument("--scenario", metavar="NAME", help="audit the sites of a scenario (name or file) instead")
    parser.add_argument(
        "--candidates", metavar="SITES.csv", help="nodes that could be added; same columns, and a price"
    )
    parser.add_argument("--weight", metavar="COLUMN", help="column of the weight or stake (default: weight, if there)")
    parser.add_argument("--kinds", metavar="KIND,...", help="dependencies to look at (default: all that have a column)")
    add_table_options(parser)
    parser.add_argument(
        "--limit",
        nargs="+",
        action="extend",
        default=[],
        metavar="KIND=N",
        help="most nodes of one, or KIND=P%% of weight",
    )
    parser.add_argument(
        "--threshold", nargs="+", type=_share, action="extend", default=[], metavar="X", help="of Nakamoto coefficients"
    )
    parser.add_argument(
        "--replace", type=int, choices=(1, 2), metavar="1|2", help="show the best swaps of so many nodes"
    )
    parser.add_argument("--top", type=int, default=20, metavar="N", help="rows shown of each ranking (default: 20)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of Shapley and quorum sampling (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--out", metavar="DIR", help="write audit.json, nodes.csv, kinds.csv, audit.png there")
    return parser.parse_args(arguments)


def _share(word: str) -> float:
    share = float(word)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{word} is no share between 0 and 1")
    return share


def _run(options: argparse.Namespace) -> None:
    if options.map == []:
        print(json.dumps({"meanings": meanings()}, indent=1) if options.json else mapping_help())
        return
    options.map = options.map or []
    if options.fleet is None and options.map and "=" not in options.map[-1]:
        options.fleet = options.map.pop()
    if (options.fleet is None) == (options.scenario is None):
        raise ValueError("name either a FLEET.csv or --scenario NAME")
    if options.top < 1 or options.seed < 0:
        raise ValueError("--top must be at least 1 and --seed at least 0")
    if options.out is not None:
        Path(options.out).mkdir(parents=True, exist_ok=True)
    if options.scenario is not None:
        result, fleet, title, lat_deg, lon_deg = _audit_scenario(options)
    else:
        result, fleet, title, lat_deg, lon_deg = _audit_table(options)
    if options.out is not None:
        _write(Path(options.out), result, fleet, title, lat_deg, lon_deg)
    print(json.dumps(result, allow_nan=False) if options.json else text(result, fleet, options.top))


def _audit_table(options: argparse.Namespace) -> Audited:
    offered = () if options.candidates is None else read_header(options.candidates)
    columns = read_header(options.fleet) if offered else ()
    mapped = mapping(options.map)
    here = {column: meaning for column, meaning in mapped.items() if column in columns or column not in offered}
    kinds = None if options.kinds is None else [kind.strip() for kind in options.kinds.split(",") if kind.strip()]
    if kinds == []:
        raise ValueError("--kinds names no kind")
    table = read_node_table(
        options.fleet,
        mapped=here,
        kinds=kinds,
        weight=options.weight,
        fill=FILLS[options.blanks],
        together=options.together,
    )
    fleets = fleets_of_table(table)
    fleet = fleets.given
    result = {"fleet": Path(options.fleet).name} | audit(
        fleet,
        kind_of=table.kind_of,
        missing=table.missing,
        lat_deg=table.lat_deg,
        lon_deg=table.lon_deg,
        top=options.top,
        seed=options.seed,
        thresholds=options.threshold,
    )
    notes = [*table.notes, *_table_notes(table, result, kinds)]
    if kinds is None:
        result["assumed"] = with_assumptions(fleets, options.seed)
        if fleets.problem:
            notes.append(f"nothing is assumed from the catalogue: {fleets.problem}")
    new = None
    if options.candidates is not None:
        result["candidates"], told, new = candidates(options, table, fleet, mapped)
        notes += told
    _add_limits_and_replacements(options, result, fleet, new)
    lat_deg, lon_deg = table.lat_deg, table.lon_deg
    if lat_deg is None or lon_deg is None:
        lat_deg, lon_deg = catalogue_places(table)
        if np.isfinite(lat_deg).any():
            notes.append(
                f"no coordinates: the map has {np.isfinite(lat_deg).sum():,} nodes at their city or else the middle of "
                "their country's sites in the catalogue"
            )
    return Audited(result | {"notes": notes}, fleet, Path(options.fleet).stem, lat_deg, lon_deg)


def _table_notes(table: NodeTable, result: dict[str, Any], kinds: list[str] | None) -> list[str]:
    """Notes about dependencies that are missing, alike or not used."""
    notes = [
        f"{count:,} nodes without {label}: taken as independent in it"
        for label, count in table.missing.items()
        if count
    ]
    there = set(table.kind_of.values()) if kinds is None else set(USUAL_KINDS)
    absent = [name for kind, name in USUAL_KINDS.items() if kind not in there]
    if absent:
        notes.append(f"no column for {', '.join(absent)}: all nodes count as independent in these")
    notes += [
        f"{a} and {b} divide the nodes alike, yet count as two causes; --kinds leaves one out"
        for a, b in result["alike"]
    ]
    if table.unused:
        notes.append(f"columns not used: {', '.join(table.unused)}; --map COLUMN=KIND names one")
    return notes


def _add_limits_and_replacements(
    options: argparse.Namespace, result: dict[str, Any], fleet: Fleet, new: Fleet | None
) -> None:
    """Add the keys `limits` and `replacements` where they are asked for."""
    if options.limit:
        result["limits"] = broken_limits(fleet, limits_from_words(options.limit))
    if options.replace:
        result["replacements"] = [step._asdict() for step in best_replacements(fleet, new, options.replace)]


def catalogue_places(table: NodeTable) -> tuple[Any, Any]:
    """Latitudes and longitudes [N] for the map of nodes whose city or country the catalogue knows, NaN elsewhere."""
    by_name: dict[str, list[tuple[float, float]]] = {}
    for site in catalog.sites():
        for name in (site.country, f"{site.city} ({site.country})"):
            by_name.setdefault(name.casefold(), []).append((site.lat_deg, site.lon_deg))
    means = {name: np.mean(places, axis=0) for name, places in by_name.items()}
    found = np.full((len(table.nodes), 2), np.nan)
    for kind in ("country", "metro"):
        for label in (label for label in table.columns if table.kind_of[label] == kind):
            for row, name in enumerate(table.columns[label]):
                found[row] = means.get((name or "").casefold(), found[row])
    return found[:, 0], found[:, 1]


def candidates(
    options: argparse.Namespace, table: NodeTable, fleet: Fleet, mapped: dict[str, str]
) -> tuple[list[dict[str, Any]], list[str], Fleet]:
    """The order in which to add the candidates, notes about them, and their fleet."""
    columns = read_header(options.candidates)
    there = {column: meaning for column, meaning in mapped.items() if column in columns}
    weight = options.weight if options.weight in columns else None
    offered = read_node_table(options.candidates, mapped=there, kinds=tuple(table.columns), weight=weight)
    usual = float(fleet.weight.mean())
    new = fleet_of_table(offered, np.full(len(offered.nodes), usual) if offered.weight is None else offered.weight)
    price, notes = candidate_prices(offered)
    steps = additions_json(best_additions(fleet, new, price), new)
    notes += [f"only the first {MAX_STEPS:,} additions are worked out"] if len(steps) == MAX_STEPS else []
    if offered.weight is None and table.weight is not None:
        notes.append(f"candidates without a weight have the fleet's mean, {usual:g}")
    for label in (label for label in table.columns if table.kind_of[label] in ("provider", "transit")):
        known = {(name or "").casefold() for name in table.columns[label]}
        names = {name for name in offered.columns[label] if name}
        strange = sum(name.casefold() not in known for name in names)
        if strange:
            notes.append(
                f"candidates: {strange:,} of {len(names):,} names in {label} are not in the fleet and count as new, "
                "under whatever name the fleet may have them"
            )
    return steps, notes, new


def candidate_prices(offered: NodeTable) -> tuple[Any, list[str]]:
    """Prices [C] of the candidates, and a note that says for what they are; the dearest stands for those without one."""
    price = offered.price_usd
    if price is None or not np.isfinite(price).any():
        return None, []
    unit = "a GPU an hour" if offered.price_name == "usd_per_gpu_hour" else "a node an hour"
    guessed = ", as its name says no other" if offered.price_name == "price" else ""
    notes = [f"candidates: {offered.column[offered.price_name]} is taken for {unit}{guessed}"]
    unpriced = ~np.isfinite(price)
    if unpriced.any():
        notes.append(f"candidates: {int(unpriced.sum())} without a price have that of the dearest")
    return np.where(unpriced, np.nanmax(price), price), notes


def _audit_scenario(options: argparse.Namespace) -> Audited:
    for name in ("candidates", "weight", "kinds", "map", "together"):
        if getattr(options, name):
            raise ValueError(f"--{name} goes with a FLEET.csv, not with --scenario")
    spec = loading.load(options.scenario)
    sites = loading.sites_of(spec)
    notes = ["failure rates are the scenario's"]
    failures = spec.failures
    if failures.process == "none":
        failures = FailureSpec()
        notes = ["the scenario draws no outages: failure rates are the catalogue's"]
    fleets = fleets_of_scenario(spec, sites, failures)
    fleet = fleets.given
    lat_deg, lon_deg = np.array([site.lat_deg for site in sites]), np.array([site.lon_deg for site in sites])
    kind_of = {label: ALIASES.get(label, label.split(":")[0]) for label in fleet.kinds}
    unsaid = (fleet.domain < 0).sum(axis=0).tolist()
    result = audit(
        fleet,
        kind_of=kind_of,
        missing=dict(zip(fleet.kinds, unsaid, strict=True)) if spec.origin else None,
        lat_deg=lat_deg,
        lon_deg=lon_deg,
        top=options.top,
        seed=options.seed,
        thresholds=options.threshold,
    )
    result["assumed"] = with_assumptions(fleets, options.seed)
    _add_limits_and_replacements(options, result, fleet, None)
    return Audited({"fleet": spec.name} | result | {"notes": notes}, fleet, spec.name, lat_deg, lon_deg)


def _write(folder: Path, result: dict[str, Any], fleet: Fleet, title: str, lat_deg: Any, lon_deg: Any) -> None:
    from og_agents.evaluation.results_table import csv_text
    from og_env.trust.audit_picture import draw

    write_text(folder / "audit.json", json.dumps(result, allow_nan=False, indent=1) + "\n")
    tables = {"nodes": node_rows(result, fleet), "kinds": kind_rows(result)}
    if result.get("candidates"):
        tables["candidates"] = result["candidates"]
    for name, rows in tables.items():
        write_text(folder / f"{name}.csv", csv_text(rows))
    draw(result, folder / "audit.png", title=title, lat_deg=lat_deg, lon_deg=lon_deg)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
