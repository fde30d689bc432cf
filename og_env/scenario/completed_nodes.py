"""Nodes of a table with what it leaves out, as the catalogue has it: place, grid, transit, image, TEE vendor, host class.

Each value is marked as given by the table or assumed, so that an audit can say which figures rest on assumptions.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.errors import nearest_valid
from og_env.scenario import catalog
from og_env.scenario.catalog import SiteOffer
from og_env.scenario.catalog.countries import capitals, countries
from og_env.scenario.csv_file import raise_csv_error
from og_env.scenario.distance_model import great_circle_km
from og_env.scenario.fleet_file.spellings import catalogue_provider, region_key
from og_env.scenario.node_csv import NodeTable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
USUAL_CLASS = "bare_metal"
OF_THE_NODE = ("facility", "facilitator", "upstream")
"""dependencies that nobody but the table knows"""
OF_THE_PROVIDER = ("transit", "image", "tee_vendor")
"""dependencies that a provider has in common, taken from its nearest site"""
NO_VALUE = {"tee_vendor": "none"}
"""words for a dependency that is not there, beside the empty one"""
WORDS_OF = {"tee_vendor": ("TEE vendor of the catalogue", "no TEE")}
"""words for a value that the catalogue has, and for one that nobody has"""


class Completed(NamedTuple):
    """M nodes of a table with everything that a site needs, except for its GPUs and prices."""

    fields: dict[str, list[str]]
    """[M] values by field of SiteSpec; empty: shared with nobody, or none of it"""
    assumed: dict[str, Bools]
    """[M] by field, and by kind of dependency: whether the table does not say"""
    lat_deg: Floats
    """[M] NaN where nobody knows"""
    lon_deg: Floats
    """[M] NaN where nobody knows"""
    like: list[SiteOffer | None]
    """[M] nearest site of the provider in the catalogue"""
    filled: Counter[str]
    """number of nodes by words for what took the place of what is missing"""
    problems: dict[int, str]
    """why a node cannot be a site, by its number among the M"""


def complete(table: NodeTable, rows: Sequence[int]) -> Completed:
    """The nodes at `rows` with what the catalogue adds; ValueError in one line where the table has no owners at all."""
    filled: Counter[str] = Counter()
    problems: dict[int, str] = {}
    size = len(rows)
    names = [table.nodes[row] for row in rows]
    provider, no_provider = _providers(table, rows, names, filled)
    region = _cells(table, ("region",), rows)
    region = [name.removeprefix(f"{owner}/") for name, owner in zip(region, provider, strict=True)]
    own = [(catalogue_provider(owner), region_key(name)) for owner, name in zip(provider, region, strict=True)]
    at_region = [_by_region().get(key) if key[1] else None for key in own]
    country, no_country = _countries(table, rows, at_region)
    city = [name.rsplit(" (", 1)[0] for name in _cells(table, ("city", "metro"), rows)]
    lat_deg, lon_deg = _own_place(table, rows)
    _nearest_country(country, city, lat_deg, lon_deg)
    for i in range(size):
        if not country[i]:
            problems[i] = "country is empty, and there are no lat and lon"
        elif country[i] not in countries():
            hint = nearest_valid(country[i], countries()) if len(country[i]) == 2 else " (ISO 3166, e.g. DE)"
            problems[i] = f"unknown country {country[i][:40]!r}{hint}"
    if no_country.any():
        filled["country of the nearest site of the catalogue"] += int(no_country.sum()) - len(problems)
    _place(country, city, at_region, lat_deg, lon_deg, filled, problems)
    like = _nearest(_offers_by("provider"), [key[0] for key in own], lat_deg, lon_deg)
    like = [found or near for found, near in zip(at_region, like, strict=True)]
    near = _nearest(_offers_by("country"), country, lat_deg, lon_deg)
    no_city = np.array([not name for name in city], bool)
    city = [name or (found.city if found else node) for name, found, node in zip(city, at_region, names, strict=True)]
    no_region = np.array([not name for name in region], bool)
    fields = {
        "provider": provider,
        "country": country,
        "city": city,
        "region": [a or b for a, b in zip(region, city, strict=True)],
    }
    assumed = {"provider": no_provider, "country": no_country, "metro": no_city, "region": no_region}
    known = {name: [getattr(offer, name) if offer else "" for offer in like] for name in OF_THE_PROVIDER}
    known["grid"] = [offer.grid if offer else "" for offer in near]
    for kind, values in known.items():
        fields[kind], assumed[kind] = _given_or(table, rows, kind, values, filled)
    for kind in OF_THE_NODE:
        fields[kind], assumed[kind] = _given_or(table, rows, kind, [""] * size, Counter())
    given = [""] * size if table.host_class is None else [table.host_class[row] for row in rows]
    assumed["host_class"] = np.array([not value for value in given], bool)
    fields["host_class"] = [
        value or (offer.host_class if offer else USUAL_CLASS) for value, offer in zip(given, like, strict=True)
    ]
    return Completed(fields, assumed, lat_deg, lon_deg, like, +filled, problems)


def _cells(table: NodeTable, labels: Iterable[str], rows: Sequence[int]) -> list[str]:
    """Names of the nodes' dependencies in the first of the columns that is there; empty where the table has none."""
    column = next((table.columns[label] for label in labels if label in table.columns), None)
    return [""] * len(rows) if column is None else [column[row] or "" for row in rows]


def _providers(
    table: NodeTable, rows: Sequence[int], names: Sequence[str], filled: Counter[str]
) -> tuple[list[str], Bools]:
    """Owners of the nodes: a network where no column has them, and the node itself where its cell is empty."""
    labels = ("provider", "asn", "transit")
    if not any(label in table.columns for label in labels):
        needed = ["no column 'provider'; name one with --map COLUMN=provider"]
        if table.lat_deg is None and not {"country", "city", "metro", "region"} & table.columns.keys():
            needed.append("no column 'country' and no lat and lon: add them")
        raise_csv_error(table.path, "; ".join([*needed, *(note for note in table.notes if "--map" in note)]))
    given = _cells(table, labels, rows)
    empty = np.array([not name for name in given], bool)
    filled["provider of its own"] += int(empty.sum())
    if "provider" not in table.columns:
        filled["the network as its provider"] += int((~empty).sum())
        return [a or b for a, b in zip(given, names, strict=True)], np.ones(len(rows), bool)
    return [a or b for a, b in zip(given, names, strict=True)], empty


def _countries(table: NodeTable, rows: Sequence[int], at_region: Sequence[SiteOffer | None]) -> tuple[list[str], Bools]:
    """Codes of the countries, those of the cloud's region where the table has none."""
    given = _cells(table, ("country",), rows)
    missing = np.array([not name for name in given], bool)
    return [name or (offer.country if offer else "") for name, offer in zip(given, at_region, strict=True)], missing


def _own_place(table: NodeTable, rows: Sequence[int]) -> tuple[Floats, Floats]:
    """Coordinates as the table has them, NaN where it has not both."""
    if table.lat_deg is None or table.lon_deg is None:
        return np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    lat_deg, lon_deg = table.lat_deg[list(rows)], table.lon_deg[list(rows)]
    known = np.isfinite(lat_deg) & np.isfinite(lon_deg)
    return np.where(known, lat_deg, np.nan), np.where(known, lon_deg, np.nan)


def _nearest_country(country: list[str], city: Sequence[str], lat_deg: Floats, lon_deg: Floats) -> None:
    """Fill empty countries: by the city, if the catalogue has it in one country alone, or by the nearest site."""
    empty = [i for i, code in enumerate(country) if not code]
    by_city: dict[str, set[str]] = defaultdict(set)
    for offer in catalog.sites() if empty else ():
        by_city[offer.city.casefold()].add(offer.country)
    near = _nearest({"": list(catalog.sites())}, ["" for _ in empty], lat_deg[empty], lon_deg[empty]) if empty else []
    for i, offer in zip(empty, near, strict=True):
        at_city = by_city.get(city[i].casefold(), set())
        country[i] = next(iter(at_city)) if len(at_city) == 1 else offer.country if offer else ""


def _place(
    country: Sequence[str],
    city: Sequence[str],
    at_region: Sequence[SiteOffer | None],
    lat_deg: Floats,
    lon_deg: Floats,
    filled: Counter[str],
    problems: dict[int, str],
) -> None:
    """Fill missing coordinates: of the region, the city or the country in the catalogue, or of the country's capital."""
    for i in np.flatnonzero(np.isnan(lat_deg)).tolist():
        if i in problems:
            continue
        found = at_region[i]
        if found is not None:
            place, words = (found.lat_deg, found.lon_deg), "at its cloud region"
        else:
            place, words = place_of(country[i], city[i].casefold())
        if place is None:
            problems[i] = f"no lat and lon, and the catalogue has no site in {country[i]}: add columns lat and lon"
            continue
        lat_deg[i], lon_deg[i] = place
        filled[words] += 1


@functools.cache
def place_of(country: str, city: str) -> tuple[tuple[float, float] | None, str]:
    """Coordinates of a city (in lower case) or else of its country, and words for which of both they are."""
    here = _offers_by("country").get(country, [])
    of_city = [offer for offer in here if offer.city.casefold() == city]
    if not here:
        return capitals().get(country), "at the capital of its country"
    places = np.array([(offer.lat_deg, offer.lon_deg) for offer in of_city or here])
    lat_deg, lon_deg = places.mean(axis=0).round(2).tolist()
    words = "at its city in the catalogue" if of_city else "at the middle of its country's catalogue sites"
    return (lat_deg, lon_deg), words


@functools.cache
def _by_region() -> dict[tuple[str, str], SiteOffer]:
    """Site of the catalogue by provider and folded region."""
    return {(offer.provider, region_key(offer.region)): offer for offer in catalog.sites()}


@functools.cache
def _offers_by(field: str) -> dict[str, list[SiteOffer]]:
    """Sites of the catalogue by provider or country."""
    found: dict[str, list[SiteOffer]] = defaultdict(list)
    for offer in catalog.sites():
        found[getattr(offer, field)].append(offer)
    return dict(found)


def _nearest(
    offers: dict[str, list[SiteOffer]], keys: Collection[Hashable], lat_deg: Floats, lon_deg: Floats
) -> list[SiteOffer | None]:
    """The nearest of the sites with each node's key; None where there is none or the node has no place."""
    nearest: list[SiteOffer | None] = [None] * len(keys)
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        if key in offers and np.isfinite(lat_deg[i]):
            members[key].append(i)
    for key, nodes in members.items():
        there = offers[str(key)]
        at = np.array([(offer.lat_deg, offer.lon_deg) for offer in there])
        distinct, which = np.unique(np.stack([lat_deg[nodes], lon_deg[nodes]]), axis=1, return_inverse=True)
        apart = great_circle_km(distinct[0][:, None], distinct[1][:, None], at[:, 0], at[:, 1])
        best = np.asarray(apart).argmin(axis=1)[which.ravel()]
        for i, b in zip(nodes, best.tolist(), strict=True):
            nearest[i] = there[b]
    return nearest


def _given_or(
    table: NodeTable, rows: Sequence[int], kind: str, known: Sequence[str], filled: Counter[str]
) -> tuple[list[str], Bools]:
    """Values of a kind as the table has them, else as the catalogue knows them, and whether the table does not say."""
    labels = ("transit", "asn") if kind == "transit" else (kind,)
    column = next((table.columns[label] for label in labels if label in table.columns), None)
    given = [""] * len(rows) if column is None else [column[row] for row in rows]
    nothing = NO_VALUE.get(kind, "")
    usual = [nothing] * len(rows) if column is not None and kind == "tee_vendor" else known
    assumed = np.array([value == "" for value in given], bool)
    of_catalogue, of_nobody = WORDS_OF.get(kind, (f"{kind} of the catalogue", f"{kind} shared with nobody"))
    for value, word in zip(given, usual, strict=True):
        if value == "":
            filled[of_catalogue if word and word != nothing else of_nobody] += 1
    values = [nothing if value is None else value or word or nothing for value, word in zip(given, usual, strict=True)]
    return values, assumed
