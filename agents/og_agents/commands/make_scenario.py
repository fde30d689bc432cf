"""Write a scenario from a CSV with a row for each node, and say what the table left open and where it was taken from.

og-env make-scenario fleet.csv --out fleet.toml
og-env make-scenario nodes.csv --map dc_owner=provider --sample 64 --shocks-per-day 8 --out nodes-64.toml
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from og_env.errors import Parser, guarded, nearest_valid

# isort: split
import tomli_w

from og_agents.commands.json_output import Ended, Json, add_json_option, answered
from og_agents.commands.table_options import add_world_options, check_numbers, mapping_help, meanings, table_of
from og_env.render.world_text import gpus_for_load, replica_rps
from og_env.scenario import catalog, loading
from og_env.scenario.domain_kinds import domain_of
from og_env.scenario.loading import ResolvedScenario
from og_env.scenario.parsing import MAX_ENTRIES
from og_env.scenario.sites_from_csv import ROLES, SiteTable, Table
from og_env.scenario.text_files import write_text

MODELS = {"llama-3.1-8b-bf16": 0.5, "llama-3.1-70b-int4": 0.2, "tinyllama-1.1b-fp16": 0.25, "sdxl-fp16": 0.05}
"""usual models and their shares; those that fit nowhere are left out"""
LOAD = 0.5
"""share of the GPUs that the mean demand needs at most, and of what a model serves with a replica at every node"""
EXAMPLE = "fleet.csv"
STANDARD = "global-24"
"""the scenario whose weights are taken"""
STRUCK = ("facility", "region", "provider", "grid", "transit", "image", "facilitator", "upstream")
"""kinds whose outages last hours, so that a day of many can be made of them"""

SAID = ("region", "grid", "transit", "tee_vendor", "image")
"""kinds of dependency that the catalogue adds"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    command = shlex.join(["og-env", "make-scenario", *arguments])
    return guarded(lambda: answered(lambda: run(options, command), options.json))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = Parser(__doc__, prog="og-env make-scenario")
    text = "columns node, provider, country, city, lat, lon, gpu, gpus..."
    parser.add_argument("nodes", nargs="?", metavar="NODES.csv", help=text)
    parser.add_argument("--out", metavar="FILE.toml", help="where the scenario goes")
    parser.add_argument(
        "--example", metavar="FILE.csv", help="write a table of 14 nodes to begin with, and no scenario"
    )
    parser.add_argument("--name", help="of the scenario (default: the file's)")
    add_world_options(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the sample (default: 0)")
    parser.add_argument(
        "--shocks-per-day", type=float, metavar="X", help="a day of so many outages of what nodes share, for training"
    )
    parser.add_argument("--force", action="store_true", help="replace the file where there is one")
    add_json_option(parser)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, command: str) -> Ended:
    """Write the scenario file and print what it holds; ValueError in one line for bad input."""
    if options.example is not None:
        return write_example(Path(options.example), options.force)
    if options.map == []:
        print(mapping_help())
        return Ended({"meanings": meanings()})
    if options.nodes is None and options.map and "=" not in options.map[-1]:
        options.nodes = options.map.pop()
    if options.nodes is None or options.out is None:
        raise ValueError("NODES.csv and --out FILE.toml are needed (or --example FILE.csv)")
    out = Path(options.out)
    check(options, out)
    table = table_of(options, options.nodes)
    if len(table.sites) > MAX_ENTRIES:
        raise ValueError(
            f"{options.nodes}: {len(table.sites):,} nodes; a scenario has at most {MAX_ENTRIES:,}: take some by --sample N"
        )
    tables, whole = scenario(options, options.name or out.stem, table)
    text = f"{heading(options, command, table)}\n\n{tomli_w.dumps(tables)}"
    if tomllib.loads(text) != tables:
        raise ValueError(f"{options.nodes}: a name has characters that TOML cannot hold")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    known = facts(whole, table, out)
    print(report(known, table))
    return Ended(known)


def write_example(out: Path, force: bool) -> Ended:
    """Write the table that the tutorial begins with."""
    if out.exists() and not force:
        raise ValueError(f"{out}: is there already; --force replaces it")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, example_file().read_text(encoding="utf-8"))
    scenario_file = shlex.quote(str(out.with_suffix(".toml")))
    print(f"written: {out}; make a scenario of it: og-env make-scenario {shlex.quote(str(out))} --out {scenario_file}")
    return Ended({"file": str(out)})


def example_file() -> Path:
    """The table, in the installed package or in the source tree."""
    configs = loading.scenarios_folder().parent
    packed = configs / "examples" / EXAMPLE
    return packed if packed.is_file() else configs.parent / "scripts" / "examples" / EXAMPLE


def check(options: argparse.Namespace, out: Path) -> None:
    """ValueError in one line for an option that is out of range, or a file that is there already."""
    if out.suffix != ".toml":
        raise ValueError(f"--out {out}: the name of a scenario file ends in .toml")
    if out.exists() and not options.force:
        raise ValueError(f"{out}: is there already; --force replaces it")
    check_numbers(options, {"shocks_per_day": 0})


def scenario(options: argparse.Namespace, name: str, table: SiteTable) -> tuple[Table, ResolvedScenario]:
    """The tables of the file, checked, and the scenario with everything concrete."""
    shown = sum(site["gpu_count"] for site in table.sites)
    tables: Table = {
        "version": 1,
        "name": name,
        "description": f"{len(table.sites)} nodes with {shown} GPUs from {Path(options.nodes).name}",
        "models": models(options.models, table),
        "regions": regions(options.regions),
        "demand": {"requests_per_s": options.requests_per_s or 100.0},
        "reward": loading.load(STANDARD).reward.model_dump(exclude_none=True),
        "sites": list(table.sites),
    }
    whole = loading.resolve(loading.load(tables))
    if not options.requests_per_s:
        tables["demand"]["requests_per_s"] = usual_load_rps(whole)
    tables["start"] = start(table, whole, tables["demand"]["requests_per_s"])
    if options.shocks_per_day:
        tables["failures"] = {
            "shocks_per_day": options.shocks_per_day,
            "kind_shares": kind_shares(whole, options.nodes),
        }
    tables["origin"] = table.origin
    tables["sites"] = tables.pop("sites")  # the longest part comes last
    return tables, loading.resolve(loading.load(tables))


def models(words: str | None, table: SiteTable) -> list[Table]:
    """The models asked for, those that run now, or the usual ones that fit somewhere.

    They are served without proofs where less than half of the nodes can attest.
    """
    known = catalog.models()
    if words:
        names = [word.strip() for word in words.split(",") if word.strip()]
        for name in names:
            if name not in known:
                raise ValueError(f"--models: unknown model {name!r}{nearest_valid(name, known)}")
        chosen = dict.fromkeys(names, 1.0)
    elif running := [name for name in table.runs if name in known]:
        chosen = {name: MODELS.get(name, 1.0) for name in running}
    else:
        room_gb = max(catalog.gpus()[site["gpu"]].memory_gb * site["gpu_count"] for site in table.sites)
        chosen = {name: share for name, share in MODELS.items() if known[name].memory_gb <= room_gb}
        if not chosen:
            raise ValueError(f"no node has room for a model: the largest has {room_gb:g} GB of GPU memory; name some")
    attesting = sum(site["tee_vendor"] != "none" for site in table.sites)
    unproved = {"verification": "none"} if 2 * attesting < len(table.sites) else {}
    return [{"name": name, "share": share, **unproved} for name, share in chosen.items()]


def regions(word: str) -> Any:
    """The value of `regions` in the file: a table with their number, or their names."""
    if word.isdigit():
        return {"count": int(word)}
    names = [name.strip() for name in word.split(",") if name.strip()]
    for name in names:
        if name not in catalog.regions():
            raise ValueError(f"--regions: unknown region {name!r}{nearest_valid(name, catalog.regions())}")
    return names


def kind_shares(whole: ResolvedScenario, source: str) -> dict[str, float]:
    """Share of the outages by kind: rates of the catalogue times the domains that two nodes or more share."""
    rates: dict[str, float] = {}
    for kind in STRUCK:
        members = Counter(name for site in whole.sites if (name := domain_of(site, kind)))
        rates[kind] = sum(catalog.rate_per_year(kind, name) for name, count in members.items() if count > 1)
    total = sum(rates.values())
    if total == 0:
        raise ValueError(f"--shocks-per-day: the nodes of {source} share nothing that breaks for hours")
    shares = {kind: round(rate / total, 3) for kind, rate in rates.items() if rate / total >= 0.0005}
    largest = max(shares, key=lambda kind: shares[kind])
    shares[largest] = round(1 - sum(share for kind, share in shares.items() if kind != largest), 3)
    return shares


def usual_load_rps(whole: ResolvedScenario) -> float:
    """Mean demand that LOAD allows, in two digits."""
    asked_rps = whole.spec.demand.requests_per_s
    by_gpus = LOAD * sum(site.gpu_count for site in whole.sites) / gpus_for_load(whole)
    by_model = LOAD / max(need / hosts for need, hosts in replicas_needed(whole))
    return float(f"{asked_rps * min(by_gpus, by_model):.2g}")


def start(table: SiteTable, whole: ResolvedScenario, requests_per_s: float) -> Table:
    """The table `start` of the file: what runs at the first step, as the table of nodes says, or spread."""
    if not table.runs:
        return {"replicas_per_model": starting_replicas(whole, requests_per_s)}
    names = [model.name for model in whole.models]
    roles = {f"{role}_sites": list(table.runs[role]) for role in ROLES if role in table.runs}
    return {
        "placement": "named",
        **roles,
        "replica_sites": {name: list(table.runs[name]) for name in names if name in table.runs},
    }


def starting_replicas(whole: ResolvedScenario, requests_per_s: float) -> int:
    """Number of replicas of each model with which the one that needs most carries its mean demand."""
    factor = requests_per_s / whole.spec.demand.requests_per_s
    return max(1, math.ceil(max(min(factor * need, hosts) for need, hosts in replicas_needed(whole))))


def replicas_needed(whole: ResolvedScenario) -> list[tuple[float, int]]:
    """(replicas that a model's mean demand needs, nodes that can have one) by model."""
    result = []
    share = sum(model.share for model in whole.models)
    for model in whole.models:
        rates = [rps for site in whole.sites if (rps := replica_rps(model, site, whole.gpus[site.gpu])) > 0]
        rps = whole.spec.demand.requests_per_s * model.share / share
        mean_rps = sum(rates) / len(rates)
        result.append((rps / (whole.spec.network.utilisation_limit * mean_rps), len(rates)))
    return result


def heading(options: argparse.Namespace, command: str, table: SiteTable) -> str:
    """Comment at the head of the file: the command that wrote it, and what the table left out."""
    words = [f"{len(table.sites)} nodes of {Path(options.nodes).name}. Written by", command]
    if table.filled:
        words += ["", "Not in the table:"] + [f"- {what}: {count} nodes" for what, count in table.filled.items()]
    plain = ["".join(letter if letter.isprintable() else " " for letter in line) for line in words]
    return "\n".join(f"# {line}".rstrip() for line in plain)


def report(known: Json, table: SiteTable) -> str:
    """The lines that the command prints about `facts`: size and load of the scenario, and what the table left out."""
    words = [
        f"{known['file']}: {known['nodes']} nodes of {known['providers']} providers in {known['countries']} countries; "
        f"{known['requests_per_s']:g} requests/s of {len(known['models'])} models need {known['gpu_share']:.0%} of the GPUs"
    ]
    if table.filled:
        gaps = ", ".join(f"{what} ({count})" for what, count in table.filled.items())
        words.append(f"not in the table, so (nodes): {gaps}")
    if known["assumed"]:
        words.append(f"assumed, so an audit shows its figures with and without: {', '.join(known['assumed'])}")
    words += table.notes
    if not known["proofs"]:
        words.append("less than half of the nodes can attest: models are served without proof (column tee_vendor)")
    if table.unused:
        words.append(f"columns not used: {', '.join(table.unused)}; --map COLUMN=KIND names one")
    return "\n".join([*words, f"look at it: og-env show {shlex.quote(known['file'])}"])


def facts(whole: ResolvedScenario, table: SiteTable, out: Path) -> Json:
    """The figures of the written scenario, and what the table left out, by name."""
    sites = whole.sites
    gpus = sum(site.gpu_count for site in sites)
    return {
        "file": str(out),
        "name": whole.spec.name,
        "nodes": len(sites),
        "providers": len({site.provider for site in sites}),
        "countries": len({site.country for site in sites}),
        "gpus": gpus,
        "gpu_share": gpus_for_load(whole) / gpus,
        "requests_per_s": whole.spec.demand.requests_per_s,
        "models": [model.name for model in whole.models],
        "regions": [region.name for region in whole.regions],
        "proofs": any(model.verification != "none" for model in whole.models),
        "filled": dict(table.filled),
        "assumed": [kind for kind in table.origin["assumed"] if kind in SAID],
        "notes": list(table.notes),
        "unused": list(table.unused),
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
