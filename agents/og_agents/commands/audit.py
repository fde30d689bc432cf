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
from typing import Any

from og_env.errors import Parser, guarded

# isort: split
import numpy as np

from og_agents.evaluation.results_table import csv_text
from og_env.scenario import catalog, loading
from og_env.scenario.node_csv import NodeTable, read_header, read_node_table
from og_env.scenario.specs import FailureKind, FailureSpec
from og_env.scenario.text_files import write_text
from og_env.trust import Fleet, additions_json, audit, best_additions, build_fleet, fleet_of_scenario
from og_env.trust.audit_text import kind_rows, node_rows, text
from og_env.trust.growth import MAX_STEPS


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
    parser.add_argument(
        "--map", nargs="+", action="extend", default=[], metavar="COLUMN=KIND", help="what a column means"
    )
    parser.add_argument("--top", type=int, default=20, metavar="N", help="rows shown of each ranking (default: 20)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of Shapley and quorum sampling (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--out", metavar="DIR", help="write audit.json, nodes.csv, kinds.csv, audit.png there")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> None:
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


def _audit_table(options: argparse.Namespace) -> tuple[dict[str, Any], Fleet, str, Any, Any]:
    offered = () if options.candidates is None else read_header(options.candidates)
    columns = read_header(options.fleet)
    mapped = _mapping(options.map)
    here = {column: meaning for column, meaning in mapped.items() if column in columns or column not in offered}
    kinds = None if options.kinds is None else [kind.strip() for kind in options.kinds.split(",") if kind.strip()]
    if kinds == []:
        raise ValueError("--kinds names no kind")
    table = read_node_table(options.fleet, mapped=here, kinds=kinds, weight=options.weight)
    fleet = _fleet_of_table(table)
    result = {"fleet": Path(options.fleet).name} | audit(
        fleet,
        kind_of=table.kind_of,
        missing=table.missing,
        lat_deg=table.lat_deg,
        lon_deg=table.lon_deg,
        top=options.top,
        seed=options.seed,
    )
    notes = [
        f"{count:,} nodes without {label}: taken as independent in it"
        for label, count in table.missing.items()
        if count
    ]
    notes += [
        f"{a} and {b} divide the nodes alike, yet count as two causes; --kinds leaves one out"
        for a, b in result["alike"]
    ]
    if table.unused:
        notes.append(f"columns not used: {', '.join(table.unused)}; --map COLUMN=KIND names one")
    if options.candidates is not None:
        result["candidates"], told = candidates(options, table, fleet, mapped)
        notes += told
    lat_deg, lon_deg = table.lat_deg, table.lon_deg
    if lat_deg is None or lon_deg is None:
        lat_deg, lon_deg = catalogue_places(table)
        if np.isfinite(lat_deg).any():
            notes.append(
                f"no coordinates: the map has {np.isfinite(lat_deg).sum():,} nodes at their city or else the middle of "
                "their country's sites in the catalogue"
            )
    return result | {"notes": notes}, fleet, Path(options.fleet).stem, lat_deg, lon_deg


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
) -> tuple[list[dict[str, Any]], list[str]]:
    """The order in which to add the candidates, and notes about them."""
    columns = read_header(options.candidates)
    there = {column: meaning for column, meaning in mapped.items() if column in columns}
    weight = options.weight if options.weight in columns else None
    offered = read_node_table(options.candidates, mapped=there, kinds=tuple(table.columns), weight=weight)
    usual = float(fleet.weight.mean())
    new = _fleet_of_table(offered, np.full(len(offered.nodes), usual) if offered.weight is None else offered.weight)
    steps = additions_json(best_additions(fleet, new, offered.price_usd), new)
    notes = [f"only the first {MAX_STEPS:,} additions are worked out"] if len(steps) == MAX_STEPS else []
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
    return steps, notes


def _audit_scenario(options: argparse.Namespace) -> tuple[dict[str, Any], Fleet, str, Any, Any]:
    for name in ("candidates", "weight", "kinds", "map"):
        if getattr(options, name):
            raise ValueError(f"--{name} goes with a FLEET.csv, not with --scenario")
    spec = loading.load(options.scenario)
    sites = loading.sites_of(spec)
    notes = ["failure rates are the scenario's"]
    failures = spec.failures
    if failures.process == "none":
        failures = FailureSpec()
        notes = ["the scenario draws no outages: failure rates are the catalogue's"]
    fleet = fleet_of_scenario(sites, failures, catalog.failure_kind, spec.domains)
    lat_deg, lon_deg = np.array([site.lat_deg for site in sites]), np.array([site.lon_deg for site in sites])
    kind_of = {label: label.split(":")[0] for label in fleet.kinds}
    result = audit(fleet, kind_of=kind_of, lat_deg=lat_deg, lon_deg=lon_deg, top=options.top, seed=options.seed)
    return {"fleet": spec.name} | result | {"notes": notes}, fleet, spec.name, lat_deg, lon_deg


def _mapping(items: Sequence[str]) -> dict[str, str]:
    mapped: dict[str, str] = {}
    for item in items:
        column, equals, meaning = item.partition("=")
        if not (column and equals and meaning):
            raise ValueError(f"--map {item}: write COLUMN=KIND, e.g. dc_owner=provider")
        if column in mapped:
            raise ValueError(f"--map names the column {column!r} twice")
        mapped[column] = meaning
    return mapped


def _fleet_of_table(table: NodeTable, weight: Any = None) -> Fleet:
    def failure_of(label: str, name: str) -> FailureKind:
        return catalog.failure_kind(table.kind_of.get(label, label), name)

    weight = table.weight if weight is None else weight
    return build_fleet(table.nodes, table.columns, failure_of, weight=weight, host_class=table.host_class)


def _write(folder: Path, result: dict[str, Any], fleet: Fleet, title: str, lat_deg: Any, lon_deg: Any) -> None:
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
