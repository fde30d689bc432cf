"""Countries and their continents."""

from __future__ import annotations

import pytest

from og_env.scenario.catalog.countries import continent_of, countries
from og_env.scenario.distance_model import CONTINENTS


def test_countries_lie_on_seven_continents_and_the_middle_east_is_one() -> None:
    assert set(countries().values()) == set(CONTINENTS)
    assert len(countries()) > 240
    expected = {
        "DE": "EU",
        "AE": "ME",
        "IL": "ME",
        "TR": "ME",
        "IN": "AS",
        "BR": "SA",
        "MX": "NA",
        "NZ": "OC",
        "EG": "AF",
    }
    assert {country: continent_of(country) for country in expected} == expected


def test_an_unknown_country_is_named() -> None:
    with pytest.raises(ValueError, match="unknown country 'ZZ'"):
        continent_of("ZZ")
