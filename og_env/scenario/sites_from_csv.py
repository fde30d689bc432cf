"""Make the sites of a scenario from a CSV file of nodes; the catalogue has what the file leaves out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, get_args

import numpy as np

from og_env.errors import nearest_valid
from og_env.scenario import catalog
from og_env.scenario.catalog import SiteOffer
from og_env.scenario.catalog.countries import countries
from og_env.scenario.csv_file import number_in, raise_csv_error
from og_env.scenario.distance_model import great_circle_km
from og_env.scenario.node_csv import COUNTRY_ALIASES, MISSING, NodeTable, read_node_table
from og_env.scenario.specs import HostClass, Role, TeeVendor

COUNTS, PRICES = ("gpu_count", "gpus"), ("usd_per_gpu_hour", "price")
"""columns of the number of GPUs and of their rent; the first that is found is used"""
USE_PRICE = "use_usd_per_gpu_hour"
"""column of the price of use; an empty cell leaves it to the scenario's prices"""
NUMBERS = ("usd_per_vm_hour", "link_gbps", "disk_gb_per_s", "egress_usd_per_gb")
RUNS = "runs"
"""column of what the node runs now: names of models, and of ROLES, with spaces or semicolons between them"""
ROLES = get_args(Role)
KEPT = ("gpu", *COUNTS, *PRICES, USE_PRICE, *NUMBERS, RUNS)
USUAL_CLASS = "bare_metal"
MOST_GPUS = 64

Table = dict[str, Any]


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


def read_sites(
    path: str | Path,
    *,
    mapped: Mapping[str, str] | None = None,
    sample: int | None = None,
    seed: int = 0,
    gpu: str = "A100-80GB",
    gpu_count: int = 4,
) -> SiteTable:
    """Sites from a CSV with the columns of `og_env.scenario.node_csv` and those of KEPT; `mapped` names columns.

    A node needs a name, a provider, a country and a place (lat and lon, or a city or country of the catalogue). A missing
    grid is that of the nearest catalogue site of the country; what a known provider has everywhere is taken from its nearest
    site; a dependency that nobody names is shared with nobody. `gpu` and `gpu_count` stand where the table has none.
    `sample` takes that many nodes at random. ValueError with one line `FILE: line N: what is wrong`.
    """
    if gpu not in catalog.gpus():
        raise ValueError(f"unknown GPU {gpu!r}{nearest_valid(gpu, catalog.gpus())}")
    table = read_node_table(path, mapped=mapped, keep=KEPT)
    for needed in ("provider", "country"):
        if needed not in table.columns:
            _fail(table, f"no column {needed!r}; name one with --map COLUMN={needed}")
    rows = range(len(table.nodes))
    if sample is not None and sample < len(table.nodes):
        rows = sorted(np.random.default_rng(seed).choice(len(table.nodes), sample, replace=False).tolist())
    filled: Counter[str] = Counter()
    sites = tuple(_site(table, row, filled, gpu, gpu_count) for row in rows)
    return SiteTable(sites, dict(filled), _runs(table, rows), table.unused)


def _site(table: NodeTable, row: int, filled: Counter[str], usual_gpu: str, usual_count: int) -> Table:
    provider = _cell(table, "provider", row)
    if not provider:
        _fail(table, "provider is empty", row)
    country = _country(table, row)
    city = (_cell(table, "city", row) or _cell(table, "metro", row)).removesuffix(f" ({country})")
    lat_deg, lon_deg = _place(table, row, country, city, filled)
    like = _nearest(_offers_of(provider), lat_deg, lon_deg)
    host_class = _host_class(table, row, like)
    site: Table = {
        "name": table.nodes[row],
        "provider": provider,
        "region": _cell(table, "region", row).removeprefix(f"{provider}/") or city or table.nodes[row],
        "city": city or table.nodes[row],
        "country": country,
        "lat_deg": lat_deg,
        "lon_deg": lon_deg,
        "grid": _grid(table, row, country, (lat_deg, lon_deg), filled),
        "transit": _shared(table, row, "asn", _cell(table, "transit", row), like.transit if like else "", filled),
        "tee_vendor": _tee_vendor(table, row, like, filled),
        "host_class": host_class,
        **_gpus(table, row, host_class, like, (usual_gpu, usual_count), filled),
        **{name: _number(table, row, name, _usual(name, host_class, like)) for name in NUMBERS},
        "image": _shared(table, row, "image", "", like.image if like else "", filled),
    }
    optional = {name: _cell(table, name, row) for name in ("facility", "facilitator", "upstream")}
    return site | {name: value for name, value in optional.items() if value}


def _runs(table: NodeTable, rows: Iterable[int]) -> dict[str, tuple[str, ...]]:
    """Names of the sites that run each model or role now."""
    known = (*ROLES, *catalog.models())
    where: dict[str, list[str]] = {}
    for row in rows if RUNS in table.kept else ():
        for word in dict.fromkeys(table.kept[RUNS][row].replace(";", " ").split()):
            if word not in known:
                _fail(table, f"runs: unknown model or role {word[:40]!r}{nearest_valid(word, known)}", row)
            where.setdefault(word, []).append(table.nodes[row])
    return {word: tuple(names) for word, names in where.items()}


def _fail(table: NodeTable, problem: str, row: int | None = None) -> NoReturn:
    raise_csv_error(table.path, problem, None if row is None else table.lines[row])


def _cell(table: NodeTable, label: str, row: int) -> str:
    """Name of the node's dependency; empty where the table has none."""
    return (table.columns[label][row] if label in table.columns else "") or ""


def _country(table: NodeTable, row: int) -> str:
    name = _cell(table, "country", row)
    code = COUNTRY_ALIASES.get(name, name)
    if code not in countries():
        hint = nearest_valid(name, countries()) if len(name) == 2 else " (two letters of ISO 3166 are wanted, e.g. DE)"
        _fail(table, f"unknown country {name[:40]!r}{hint}" if name else "country is empty", row)
    return code


def _place(table: NodeTable, row: int, country: str, city: str, filled: Counter[str]) -> tuple[float, float]:
    """Latitude and longitude of the node in degrees: its own, or those of its city or country in the catalogue."""
    if table.lat_deg is not None and table.lon_deg is not None:
        lat_deg, lon_deg = float(table.lat_deg[row]), float(table.lon_deg[row])
        if math.isfinite(lat_deg) and math.isfinite(lon_deg):
            return lat_deg, lon_deg
    here = [offer for offer in catalog.sites() if offer.country == country]
    of_city = [offer for offer in here if offer.city.casefold() == city.casefold()]
    if not here:
        _fail(table, f"no lat and lon, and the catalogue has no site in {country}: add columns lat and lon", row)
    filled["at its city in the catalogue" if of_city else "at the middle of its country's catalogue sites"] += 1
    places = np.array([(offer.lat_deg, offer.lon_deg) for offer in of_city or here])
    lat_deg, lon_deg = places.mean(axis=0).round(2).tolist()
    return lat_deg, lon_deg


def _offers_of(provider: str) -> list[SiteOffer]:
    return [offer for offer in catalog.sites() if offer.provider.casefold() == provider.casefold()]


def _nearest(offers: Collection[SiteOffer], lat_deg: float, lon_deg: float) -> SiteOffer | None:
    def distance_km(offer: SiteOffer) -> float:
        return float(great_circle_km(lat_deg, lon_deg, offer.lat_deg, offer.lon_deg))

    return min(offers, key=distance_km, default=None)


def _host_class(table: NodeTable, row: int, like: SiteOffer | None) -> HostClass:
    given = "" if table.host_class is None else table.host_class[row]
    return given or (like.host_class if like else USUAL_CLASS)  # type: ignore[return-value]


def _grid(table: NodeTable, row: int, country: str, place: tuple[float, float], filled: Counter[str]) -> str:
    near = None
    if not _cell(table, "grid", row):
        near = _nearest([offer for offer in catalog.sites() if offer.country == country], *place)
    return _shared(table, row, "grid", "", near.grid if near else "", filled)


def _shared(table: NodeTable, row: int, label: str, other: str, known: str, filled: Counter[str]) -> str:
    """The dependency as the table has it, or as the catalogue knows it; empty where neither does."""
    given = _cell(table, label, row) or other
    if given:
        return given
    what = "transit" if label == "asn" else label
    filled[f"{what} of the catalogue" if known else f"{what} shared with nobody"] += 1
    return known


def _tee_vendor(table: NodeTable, row: int, like: SiteOffer | None, filled: Counter[str]) -> str:
    known = get_args(TeeVendor)
    if "tee_vendor" not in table.columns:
        filled["TEE vendor of the catalogue" if like else "no TEE"] += 1
        return like.tee_vendor if like else "none"
    given = _cell(table, "tee_vendor", row) or "none"
    if given not in known:
        _fail(table, f"unknown tee_vendor {given[:40]!r}{nearest_valid(given, known)}", row)
    return given


def _gpus(
    table: NodeTable,
    row: int,
    host_class: HostClass,
    like: SiteOffer | None,
    usual: tuple[str, int],
    filled: Counter[str],
) -> Table:
    """Fields of SiteSpec for the kind, number and rent of the node's GPUs."""
    gpu = table.kept.get("gpu", ("",) * len(table.nodes))[row]
    if gpu.casefold() in MISSING:
        gpu = usual[0]
        filled[f"GPU {gpu}"] += 1
    known = catalog.gpus()
    if gpu not in known:
        _fail(table, f"unknown gpu {gpu[:40]!r}{nearest_valid(gpu, known)}", row)
    count = next((_number(table, row, name, math.nan) for name in COUNTS if name in table.kept), math.nan)
    if math.isnan(count):
        count = usual[1]
        filled[f"{count} GPUs"] += 1
    if count != int(count) or count > MOST_GPUS:
        _fail(table, f"{count:g} GPUs: a whole number up to {MOST_GPUS} is wanted", row)
    price = next((_number(table, row, name, math.nan) for name in PRICES if name in table.kept), math.nan)
    if math.isnan(price):
        price = (dict(like.offers) if like else {}).get(gpu) or known[gpu].usd_per_hour.get(host_class, math.nan)
        filled["price of the catalogue"] += 1
    if math.isnan(price):
        _fail(table, f"{gpu} has no price at a host of class {host_class}: add a column usd_per_gpu_hour", row)
    use_usd = _number(table, row, USE_PRICE, math.nan)
    use: Table = {} if math.isnan(use_usd) else {USE_PRICE: use_usd}
    return {"gpu": gpu, "gpu_count": int(count), "usd_per_gpu_hour": price} | use


def _number(table: NodeTable, row: int, column: str, usual: float) -> float:
    text = table.kept.get(column, ("",) * len(table.nodes))[row]
    if text.casefold() in MISSING:
        return usual
    return number_in(table.path, table.lines[row], column, text, low=0.0)


def _usual(name: str, host_class: HostClass, like: SiteOffer | None) -> float:
    """A field of the provider's nearest site, or its median over the catalogue's sites of the class."""
    if like is not None:
        return float(getattr(like, name))
    return float(np.median([getattr(offer, name) for offer in catalog.sites() if offer.host_class == host_class]))
