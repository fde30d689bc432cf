"""Continents of countries, and the code that each of their spellings stands for."""

from __future__ import annotations

import functools
import re
from importlib import resources
from pathlib import Path

from og_env.scenario.csv_file import read_records


def continent_of(country: str) -> str:
    """Continent of an ISO 3166-1 alpha-2 country: AF AS EU ME NA OC SA (AN for Antarctica). ValueError if unknown."""
    try:
        return countries()[country]
    except KeyError:
        raise ValueError(f"unknown country {country!r} (ISO 3166-1 alpha-2)") from None


def _file() -> Path:
    return Path(str(resources.files("og_env.scenario.catalog").joinpath("data/countries.csv")))


@functools.cache
def countries() -> dict[str, str]:
    """Continent by country; GeoNames' continents, with the Middle East as one of its own."""
    return {row["country"]: row["continent"] for _, row in read_records(_file())}


@functools.cache
def capitals() -> dict[str, tuple[float, float]]:
    """Latitude and longitude of the capital, or else the largest city, by country."""
    rows = (row for _, row in read_records(_file()) if row["lat_deg"])
    return {row["country"]: (float(row["lat_deg"]), float(row["lon_deg"])) for row in rows}


@functools.cache
def country_codes() -> dict[str, str]:
    """Code by spelling, as `country_key` folds it: the code itself, that of three letters, the name and others in use."""
    codes: dict[str, str] = {}
    for _, row in read_records(_file()):
        for name in (row["country"], row["iso3"], row["name"], *row["other_names"].split("|")):
            if name:
                codes.setdefault(country_key(name), row["country"])
    return codes


def country_key(name: str) -> str:
    """The spelling without upper case, dots, commas and a leading article."""
    return re.sub(r"[^\w]+", " ", name.replace(".", "").casefold()).strip().removeprefix("the ")
