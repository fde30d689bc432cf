"""Places and shared dependencies by the words that people use: asia, Germany, frankfurt, aws."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from og_env.errors import nearest_valid
from og_env.scenario.catalog import SiteOffer, continent_of, regions
from og_env.scenario.catalog.table_schemas import data_file
from og_env.scenario.csv_file import read_records
from og_env.scenario.distance_model import great_circle_km
from og_env.scenario.domain_kinds import KINDS, domain_of
from og_env.scenario.specs import DomainSpec, RegionSpec, SiteSpec

CONTINENTS = {
    "africa": ("AF",),
    "america": ("NA", "SA"),
    "asia": ("AS", "ME"),
    "europe": ("EU",),
    "middle east": ("ME",),
    "north america": ("NA",),
    "oceania": ("OC",),
    "south america": ("SA",),
}
"""codes of the continents in each; the catalogue has the Middle East as one of its own"""
NEAR_KM = 1500.0
"""a site within this distance of a user region is near it"""
FIRST = ("provider", "country", "grid", "transit", "tee_vendor", "region", "metro")
"""kinds in which a name is looked up first; then come the others"""
MOST_NAMED = 12
"""providers that an error lists"""

OTHER_CODES = {"UK": "GB", "EL": "GR", "USA": "US"}
"""ISO 3166 code of country codes that are in use beside it"""

Somewhere = SiteSpec | SiteOffer | RegionSpec


@functools.cache
def country_names() -> dict[str, str]:
    """English name of each country by its code."""
    return {row["country"]: row["name"] for _, row in read_records(data_file("countries.csv"))}


class Place(NamedTuple):
    """A part of the world."""

    words: str
    """as it is said in a sentence"""
    continents: tuple[str, ...] = ()
    """codes of its continents; empty where it is something smaller"""
    country: str = ""
    """code of the country, where it is one"""
    centre: RegionSpec | None = None
    """the user region, where it is what is near one"""

    def holds(self, where: Somewhere) -> bool:
        """Whether a site or user region stands in it."""
        if self.centre is not None:
            apart = great_circle_km(self.centre.lat_deg, self.centre.lon_deg, where.lat_deg, where.lon_deg)
            return float(apart) <= NEAR_KM
        if self.country:
            return where.country == self.country
        return continent_of(where.country) in self.continents


def place_of(word: str, option: str, own: Sequence[RegionSpec] = ()) -> Place:
    """The continent, country or user region of a word; ValueError with the nearest valid one for anything else.

    `own` are the scenario's user regions, which may be made by hand.
    """
    plain = _plain(word)
    if plain in CONTINENTS:
        return Place(word.strip().title() if plain != "middle east" else "the Middle East", CONTINENTS[plain])
    centres = {_plain(name): region for name, region in regions().items()} | {
        _plain(region.name): region for region in own
    }
    if plain in centres:
        return Place(f"the surroundings of {centres[plain].name} ({NEAR_KM:,.0f} km)", centre=centres[plain])
    code = _country_code(word)
    if code:
        return Place(country_names()[code], country=code)
    valid = [*CONTINENTS, *(region.name for region in own), *regions(), *country_names().values()]
    raise ValueError(f"{option}: unknown place {word[:40]!r}{nearest_valid(word, valid)}")


class Dependency(NamedTuple):
    """Something that the sites hit by an outage have in common."""

    kind: str
    name: str
    sites: tuple[str, ...]
    """names of the sites"""

    @property
    def words(self) -> str:
        """As it is said in a sentence."""
        kind = {"tee_vendor": "TEE vendor", "transit": "carrier", "grid": "power grid", "metro": "city"}
        name = country_names().get(self.name, self.name) if self.kind == "country" else self.name
        return f"{kind.get(self.kind, self.kind)} {name}"


def dependency_of(word: str, sites: Sequence[SiteSpec], extra: Sequence[DomainSpec] = ()) -> Dependency:
    """The fault domain of the fleet that a word names, as NAME or KIND:NAME; ValueError with the nearest valid one.

    Where several kinds have the name, the one in which most sites share it is taken; at a tie the first of FIRST.
    """
    found = fleet_dependencies(sites, extra)
    kind, colon, name = word.partition(":")
    if not (colon and kind in KINDS):
        kind, name = "", word
    wanted = {_plain(name), _plain(_country_code(name) or name)}
    fits = [one for one in found if (not kind or one.kind == kind) and wanted & _spellings(one)]
    if fits:
        return max(fits, key=lambda one: len(one.sites))  # the first of equals
    inside = [one for one in found if not kind or one.kind == kind] or found
    valid = dict.fromkeys(name for one in inside for name in _shown_names(one))
    providers = [one.name for one in found if one.kind == "provider"]
    theirs = f"; its providers are {', '.join(providers)}" if not kind and 0 < len(providers) <= MOST_NAMED else ""
    raise ValueError(f"outage: {word[:60]!r} is nothing that this fleet stands on{nearest_valid(name, valid)}{theirs}")


def fleet_dependencies(sites: Sequence[SiteSpec], extra: Sequence[DomainSpec] = ()) -> list[Dependency]:
    """Everything that sites of a fleet stand on, alone or together; kinds in the order of FIRST."""
    members: dict[tuple[str, str], list[str]] = {}
    for kind in (*FIRST, *(kind for kind in KINDS if kind not in FIRST)):
        for site in sites:
            name = domain_of(site, kind)
            if name:
                members.setdefault((kind, name), []).append(site.name)
    for domain in extra:
        members.setdefault((domain.kind, domain.name), []).extend(domain.sites)
    return [Dependency(kind, name, tuple(names)) for (kind, name), names in members.items()]


def _spellings(one: Dependency) -> set[str]:
    """Plain words for a dependency."""
    words = {one.name}
    if one.kind == "region":
        words.add(one.name.partition("/")[2])
    if one.kind == "metro":
        words.add(one.name.rpartition(" (")[0])
    return {_plain(word) for word in words}


def _shown_names(one: Dependency) -> list[str]:
    return (
        [one.name, country_names()[one.name]] if one.kind == "country" and one.name in country_names() else [one.name]
    )


def _country_code(word: str) -> str:
    """Code of a country by its code or English name; empty for anything else."""
    plain = word.strip()
    code = OTHER_CODES.get(plain.upper(), plain.upper())
    if code in country_names():
        return code
    return next((code for code, name in country_names().items() if _plain(name) == _plain(plain)), "")


def _plain(word: str) -> str:
    return " ".join(word.strip().casefold().replace("-", " ").replace("_", " ").split())
