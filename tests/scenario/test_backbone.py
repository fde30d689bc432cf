"""Round trips over the graph of hubs: ways that are known, and the blend of two lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from og_env.scenario import backbone, catalog
from og_env.scenario.distance_model import great_circle_km
from og_env.scenario.specs import BackboneSpec
from tests.cases.compiled_worlds import compiled

CAPE_TOWN, SAO_PAULO, TEL_AVIV, DUBAI = (-33.93, 18.42), (-23.55, -46.63), (32.09, 34.78), (25.20, 55.27)


def way(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(backbone.way_km(*a, *b)[0, 0])


def test_every_hub_is_reached_from_every_other() -> None:
    hubs = backbone.graph()
    assert len(hubs.names) >= 70 and np.isfinite(hubs.way_km).all() and (hubs.way_km == hubs.way_km.T).all()
    links = Path(catalog.__file__).parent / "data" / "links.csv"
    assert all(len(line.split(",")) >= 5 for line in links.read_text().splitlines())


def test_a_way_goes_where_cables_go() -> None:
    hubs = backbone.graph()
    place = {name: (hubs.lat_deg[i], hubs.lon_deg[i]) for i, name in enumerate(hubs.names)}
    london, new_york = place["london"], place["new-york"]
    assert way(london, new_york) == pytest.approx(float(great_circle_km(*london, *new_york)), rel=0.02)
    straight = float(great_circle_km(*CAPE_TOWN, *SAO_PAULO))
    assert way(CAPE_TOWN, SAO_PAULO) > 2.5 * straight, "by way of Europe and North America"
    assert way(TEL_AVIV, DUBAI) > 2 * float(great_circle_km(*TEL_AVIV, *DUBAI)), "Israel has cables to the west alone"


def test_a_way_is_between_the_great_circle_and_the_cap() -> None:
    rng = np.random.default_rng(0)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-0.95, 0.95, 60))), rng.uniform(-180, 180, 60)
    ways, km = backbone.way_km(lat, lon, lat, lon), great_circle_km(lat[:, None], lon[:, None], lat, lon)
    assert (ways >= km).all() and (ways <= backbone.MOST_DETOUR * km + backbone.DETOUR_KM).all()
    assert np.allclose(ways, ways.T)


def test_near_and_far_are_lines_and_between_is_a_blend() -> None:
    model = backbone.BackboneModel(2.0, 0.02, 10.0, 0.01)
    ms = backbone.backbone_rtt_ms([0, 500, 1000, 1500, 9000], [0, 700, 1400, 2000, 12_000], model)
    assert ms == pytest.approx([2, 12, (22 + 24) / 2, 30, 130])


def test_a_scenario_names_the_kind_of_network() -> None:
    usual, cloud, public = (
        compiled("global-16", **({} if kind is None else {"network__kind": kind})).arrays.rtt_ms[0]
        for kind in (None, "backbone", "public")
    )
    named = compiled("global-16", network__kind="great-circle").arrays.rtt_ms[0]
    assert (named == usual).all() and not np.allclose(cloud, usual)
    apart = ~np.eye(len(cloud), dtype=bool) & (cloud > 0.5)
    assert np.allclose((public / np.where(cloud > 0, cloud, 1))[apart], backbone.PUBLIC_OVER_BACKBONE, rtol=1e-4)


def test_coefficients_of_a_scenario_replace_those_of_its_kind() -> None:
    assert BackboneSpec(way_ms=5.0).model("backbone") == backbone.BACKBONE._replace(way_ms=5.0)
    assert BackboneSpec().model("public").near_ms == pytest.approx(backbone.BACKBONE.near_ms * 1.22)


def test_public_is_as_slow_as_published() -> None:
    places = list(catalog.regions().values())
    lat, lon = np.array([place.lat_deg for place in places]), np.array([place.lon_deg for place in places])
    ms = backbone.backbone_matrix_ms(lat, lon, lat, lon, backbone.MODELS["public"])
    light_ms = 2 * great_circle_km(lat[:, None], lon[:, None], lat, lon) / 299.792458
    apart = np.triu_indices(len(places), 1)
    assert np.median(ms[apart] / light_ms[apart]) == pytest.approx(3.2, abs=0.05)
