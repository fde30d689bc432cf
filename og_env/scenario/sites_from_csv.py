"""Make the sites of a scenario from a file of nodes; the catalogue has what the file leaves out."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np

from og_env.errors import nearest_valid
from og_env.scenario import catalog
from og_env.scenario.catalog import SiteOffer
from og_env.scenario.completed_nodes import Completed, complete
from og_env.scenario.csv_file import number_in, raise_csv_error
from og_env.scenario.fleet_file import is_missing
from og_env.scenario.fleet_file.spellings import INSTANCE_TYPES, gpu_key, gpu_name, plain_number
from og_env.scenario.node_csv import NodeTable, read_node_table
from og_env.scenario.specs import HostClass, Role, TeeVendor

USE_PRICE = "use_usd_per_gpu_hour"
"""column of the price of use; an empty cell leaves it to the scenario's prices"""
NUMBERS = ("usd_per_vm_hour", "link_gbps", "disk_gb_per_s", "egress_usd_per_gb")
RUNS = "runs"
"""column of what the node runs now: names of models, and of ROLES, with spaces or semicolons between them"""
ROLES = get_args(Role)
MOST_GPUS = 64
ALL = "*"
"""stands for the names of all sites"""

Table = dict[str, Any]
PricePer = Literal["gpu", "node"]


class SiteTable(NamedTuple):
    """Sites as a scenario file writes them."""

    sites: tuple[Table, ...]
    """fields of SiteSpec; dependencies that are shared with nobody are left out where they may be"""
    filled: dict[str, int]
    """number of sites for which the table left something out, by words for what took its place"""
    runs: dict[str, tuple[str, ...]]
    """names of the sites that run a model or a role now; empty where the table does not say"""
    unused: tuple[str, ...]
    """columns that were not understood"""
    origin: Table
    """fields of OriginSpec: what the table says and what is assumed"""
    notes: tuple[str, ...]
    """what was understood, folded and skipped"""


def read_sites(
    path: str | Path,
    *,
    mapped: Mapping[str, str] | None = None,
    sample: int | None = None,
    seed: int = 0,
    gpu: str = "A100-80GB",
    gpu_count: int = 4,
    price_per: PricePer | None = None,
    weight: str | None = None,
    fill: bool | None = None,
    together: Sequence[str] = (),
) -> SiteTable:
    """Sites from a file with the columns of `og_env.scenario.node_csv`; `mapped` names columns.

    A node needs a provider and a place (a country, a city or region of the catalogue, or lat and lon). A missing grid is
    that of the nearest catalogue site of the country; what a known provider has everywhere is taken from its nearest
    site; a dependency that nobody names is shared with nobody. `gpu` and `gpu_count` stand where the table has none.
    `sample` takes that many nodes at random; `price_per` says what a column `price` is for. Rows that make no site are left
    out and noted. ValueError with one line `FILE: what is wrong`, where more than half of the rows make none.
    """
    if gpu not in catalog.gpus():
        raise ValueError(f"unknown GPU {gpu!r}{nearest_valid(gpu, catalog.gpus())}")
    table = read_node_table(path, mapped=mapped, weight=weight, fill=fill, together=together)
    _ask_for_the_unit(table, price_per, gpu_count)
    rows = range(len(table.nodes))
    if sample is not None and sample < len(table.nodes):
        rows = sorted(np.random.default_rng(seed).choice(len(table.nodes), sample, replace=False).tolist())
    rows = list(rows)
    whole = complete(table, rows)
    filled = Counter(whole.filled)
    problems = dict(whole.problems)
    sites: dict[int, Table] = {}
    for at, row in enumerate(rows):
        if at in problems:
            continue
        try:
            sites[at] = _site(table, row, at, whole, filled, (gpu, gpu_count), price_per)
            _check_runs(table, row)
        except ValueError as error:
            problems[at] = str(error).removeprefix(": ")
            sites.pop(at, None)
    notes = list(table.notes)
    if problems:
        told = [f"line {table.lines[rows[at]]}: {problem}" for at, problem in sorted(problems.items())]
        if 2 * len(problems) > len(rows):
            raise_csv_error(table.path, "; ".join([*told[:5], *([f"{len(told)} such rows"] if len(told) > 5 else [])]))
        notes.append(f"{len(told)} nodes left out: {'; '.join(told[:3])}{', ...' if len(told) > 3 else ''}")
    used = list(sites)
    return SiteTable(
        tuple(sites.values()),
        dict(filled),
        _runs(table, [rows[at] for at in used]),
        table.unused,
        _origin(table, rows, whole, used),
        tuple(notes),
    )


def _site(
    table: NodeTable,
    row: int,
    at: int,
    whole: Completed,
    filled: Counter[str],
    usual: tuple[str, int],
    price_per: PricePer | None,
) -> Table:
    """One site; ValueError with the reason where the row makes none."""
    fields = {name: values[at] for name, values in whole.fields.items()}
    like = whole.like[at]
    if fields["tee_vendor"] not in get_args(TeeVendor):
        given = fields["tee_vendor"]
        raise ValueError(f"unknown tee_vendor {given[:40]!r}{nearest_valid(given, get_args(TeeVendor))}")
    host_class = cast(HostClass, fields["host_class"])
    optional = {name: fields[name] for name in ("facility", "facilitator", "upstream") if fields[name]}
    return {
        "name": table.nodes[row],
        "provider": fields["provider"],
        "region": fields["region"],
        "city": fields["city"],
        "country": fields["country"],
        "lat_deg": float(whole.lat_deg[at]),
        "lon_deg": float(whole.lon_deg[at]),
        "grid": fields["grid"],
        "transit": fields["transit"],
        "tee_vendor": fields["tee_vendor"],
        "host_class": host_class,
        **_gpus(table, row, host_class, like, usual, price_per, filled),
        **{name: _number(table, row, name, _usual(name, host_class, like)) for name in NUMBERS},
        "image": fields["image"],
        **optional,
    }


def _origin(table: NodeTable, rows: Sequence[int], whole: Completed, used: Sequence[int]) -> Table:
    """The labels of the table, the sites by kind about which it says nothing, and the weights that it has."""
    names = [table.nodes[rows[at]] for at in used]
    assumed: dict[str, list[str]] = {}
    for kind, flags in whole.assumed.items():
        who = [name for name, at in zip(names, used, strict=True) if flags[at]]
        if who:
            assumed[kind] = [ALL] if len(who) == len(names) else who
    origin: Table = {"kinds": list(table.columns), "assumed": assumed}
    if table.weight is not None:
        origin["weights"] = {name: float(table.weight[rows[at]]) for name, at in zip(names, used, strict=True)}
    return origin


def _check_runs(table: NodeTable, row: int) -> None:
    known = (*ROLES, *catalog.models())
    for word in _words(table, row):
        if word not in known:
            raise ValueError(f"runs: unknown model or role {word[:40]!r}{nearest_valid(word, known)}")


def _words(table: NodeTable, row: int) -> list[str]:
    """Models and roles that the node runs now."""
    return list(dict.fromkeys(table.kept[RUNS][row].replace(";", " ").split())) if RUNS in table.kept else []


def _runs(table: NodeTable, rows: Iterable[int]) -> dict[str, tuple[str, ...]]:
    """Names of the sites that run each model or role now."""
    where: dict[str, list[str]] = {}
    for row in rows:
        for word in _words(table, row):
            where.setdefault(word, []).append(table.nodes[row])
    return {word: tuple(names) for word, names in where.items()}


def _ask_for_the_unit(table: NodeTable, price_per: PricePer | None, usual_count: int) -> None:
    """ValueError for a price of which nobody says whether it is for a node or for a GPU, where that differs."""
    if (
        price_per is not None
        or "price" not in table.kept
        or {"usd_per_gpu_hour", "usd_per_node_hour"} & table.kept.keys()
    ):
        return
    prices = table.kept["price"]
    counts = table.kept.get("gpu_count", (str(usual_count),) * len(prices))
    differs = (count != "1" for price, count in zip(prices, counts, strict=True) if not is_missing(price))
    if any(differs):
        raise_csv_error(
            table.path, "the price: is it for a node or for a GPU an hour? say --price-per node or --price-per gpu"
        )


def _gpus(
    table: NodeTable,
    row: int,
    host_class: HostClass,
    like: SiteOffer | None,
    usual: tuple[str, int],
    price_per: PricePer | None,
    filled: Counter[str],
) -> Table:
    """Fields of SiteSpec for the kind, number and rent of the node's GPUs."""
    gpu, counted = _gpu(_text(table, row, "gpu"), _text(table, row, "instance_type"), filled)
    known = catalog.gpus()
    if not gpu:
        gpu = usual[0]
        filled[f"GPU {gpu}"] += 1
    count = _number(table, row, "gpu_count", counted)
    if math.isnan(count):
        count = usual[1]
        filled[f"{count} GPUs"] += 1
    if count != int(count) or count > MOST_GPUS:
        raise ValueError(f"{count:g} GPUs: a whole number up to {MOST_GPUS} is wanted")
    price = _number(table, row, "usd_per_gpu_hour", math.nan)
    if math.isnan(price):
        price = _number(table, row, "usd_per_node_hour", math.nan) / max(count, 1)
    if math.isnan(price):
        price = _number(table, row, "price", math.nan) / (max(count, 1) if price_per == "node" else 1)
    if math.isnan(price):
        price = (dict(like.offers) if like else {}).get(gpu) or known[gpu].usd_per_hour.get(host_class, math.nan)
        filled["price of the catalogue"] += 1
    if math.isnan(price):
        raise ValueError(f"{gpu} has no price at a host of class {host_class}: add a column usd_per_gpu_hour")
    use_usd = _number(table, row, USE_PRICE, math.nan)
    use: Table = {} if math.isnan(use_usd) else {USE_PRICE: use_usd}
    return {"gpu": gpu, "gpu_count": int(count), "usd_per_gpu_hour": round(price, 6)} | use


def _gpu(text: str, machine: str, filled: Counter[str]) -> tuple[str, float]:
    """GPU of the catalogue and number of GPUs by the words for them or the type of machine; empty and NaN if unsaid."""
    gpu, count = INSTANCE_TYPES.get(machine.casefold(), ("", math.nan))
    if is_missing(text):
        return gpu, count
    many = re.fullmatch(r"(\d+)\s*[x\u00d7*]\s*(.+)", text)
    found = gpu_name(many[2] if many else text)
    if not found:
        raise ValueError(f"unknown gpu {text[:40]!r}{nearest_valid(text, catalog.gpus())}")
    if gpu_key(found) != gpu_key(many[2] if many else text):
        filled[f"{text} read as {found}"] += 1
    return found, float(many[1]) if many else count


def _text(table: NodeTable, row: int, column: str) -> str:
    return table.kept[column][row] if column in table.kept else ""


def _number(table: NodeTable, row: int, column: str, usual: float) -> float:
    """A number of at least 0; ValueError with the reason for anything else."""
    text = _text(table, row, column)
    if is_missing(text):
        return usual
    try:
        return number_in("", 0, table.column[column], plain_number(text), low=0.0)
    except ValueError as error:
        raise ValueError(str(error).removeprefix(": line 0: ")) from None


def _usual(name: str, host_class: HostClass, like: SiteOffer | None) -> float:
    """A field of the provider's nearest site, or its median over the catalogue's sites of the class."""
    return _median(name, host_class) if like is None else float(getattr(like, name))


@functools.cache
def _median(name: str, host_class: HostClass) -> float:
    return float(np.median([getattr(offer, name) for offer in catalog.sites() if offer.host_class == host_class]))
