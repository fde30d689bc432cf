"""Continents of countries."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path

from og_env.scenario.csv_file import read_records


def continent_of(country: str) -> str:
    """Continent of an ISO 3166-1 alpha-2 country: AF AS EU ME NA OC SA (AN for Antarctica). ValueError if unknown."""
    try:
        return countries()[country]
    except KeyError:
        raise ValueError(f"unknown country {country!r} (ISO 3166-1 alpha-2)") from None


@functools.cache
def countries() -> dict[str, str]:
    """Continent by country; GeoNames' continents, with the Middle East as one of its own."""
    path = Path(str(resources.files("og_env.scenario.catalog").joinpath("data/countries.csv")))
    return {row["country"]: row["continent"] for _, row in read_records(path)}
