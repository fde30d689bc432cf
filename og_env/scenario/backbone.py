"""Round trips over a graph of network hubs: the shortest way along cables and long-haul fibre (`hubs.csv`, `links.csv`).

Up to NEAR_KM a round trip is a line of the great circle, from FAR_KM on a line of the way over the hubs, between them a
blend of both. A way may not exceed a line of the great circle, so that a place far from all hubs is not sent around the
world.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from og_env.scenario.csv_file import number_in, raise_csv_error, read_records
from og_env.scenario.distance_model import great_circle_km

Floats = NDArray[np.float64]

NEAR_KM, FAR_KM = 500.0, 1500.0
"""great circle up to which, and from which on, a round trip is a line of one distance alone"""
ENTRIES = 3
"""hubs nearest to a place over which it may enter the graph"""
MOST_DETOUR, DETOUR_KM = 3.0, 3000.0
"""longest way: so many great circles, and so many km more"""


class BackboneModel(NamedTuple):
    """Round trip = a line of the great circle for near places, and of the way over the hubs for far ones."""

    near_ms: float
    near_ms_per_km: float
    way_ms: float
    way_ms_per_km: float

    def times(self, factor: float) -> BackboneModel:
        """The model with all round trips so many times as long."""
        return BackboneModel(*(value * factor for value in self))


BACKBONE = BackboneModel(near_ms=1.97, near_ms_per_km=0.0253, way_ms=13.3, way_ms_per_km=0.01239)
"""private networks of clouds: least absolute relative deviations over 3,237 pairs of regions (AWS 2025-10, Azure 2026-08)"""
PUBLIC_OVER_BACKBONE = 1.22
"""round trip over the public Internet over that over a cloud's backbone.

Published: pings over the Internet take 3.2 times as long as light in vacuum on the great circle, in the median (Bozkurt
et al., PAM 2017; Singla et al., HotNets 2014). BACKBONE takes 2.62 times as long, in the median over the pairs of the
catalogue's user regions. Nothing is fitted to measurements of the public Internet.
"""
MODELS = {"backbone": BACKBONE, "public": BACKBONE.times(PUBLIC_OVER_BACKBONE)}
"""by `network.kind`"""


class Graph(NamedTuple):
    """H hubs and the shortest ways between them."""

    names: tuple[str, ...]
    lat_deg: Floats
    lon_deg: Floats
    """[H]"""
    way_km: Floats
    """[H, H] infinite where there is none"""


@functools.cache
def graph() -> Graph:
    """The shipped graph; a link is as long as its great circle."""
    folder = resources.files("og_env.scenario.catalog").joinpath("data")
    hubs, links = (str(folder.joinpath(name)) for name in ("hubs.csv", "links.csv"))
    rows = {row["name"]: (line, row) for line, row in read_records(hubs, ("name", "lat_deg", "lon_deg"))}
    names = tuple(rows)
    lat, lon = (
        np.array([number_in(hubs, line, column, row[column], low=-180, high=180) for line, row in rows.values()])
        for column in ("lat_deg", "lon_deg")
    )
    way_km = np.full((len(names), len(names)), np.inf)
    np.fill_diagonal(way_km, 0.0)
    for line, row in read_records(links, ("hub_a", "hub_b")):
        for end in (row["hub_a"], row["hub_b"]):
            if end not in rows:
                raise_csv_error(links, f"unknown hub {end!r}", line)
        a, b = names.index(row["hub_a"]), names.index(row["hub_b"])
        way_km[a, b] = way_km[b, a] = float(great_circle_km(lat[a], lon[a], lat[b], lon[b]))
    for hub in range(len(names)):  # Floyd and Warshall
        way_km = np.minimum(way_km, way_km[:, hub, None] + way_km[hub])
    return Graph(names, lat, lon, way_km)


def way_km(lat_a_deg: ArrayLike, lon_a_deg: ArrayLike, lat_b_deg: ArrayLike, lon_b_deg: ArrayLike) -> Floats:
    """Shortest way over the hubs from every a to every b, [A, B] km: at least the great circle, at most the cap."""
    hubs = graph()
    (places_a, km_a), (places_b, km_b) = _entries(lat_a_deg, lon_a_deg), _entries(lat_b_deg, lon_b_deg)
    result = np.full((len(places_a), len(places_b)), np.inf)
    for i in range(ENTRIES):
        for j in range(ENTRIES):
            between = hubs.way_km[places_a[:, i, None], places_b[None, :, j]]
            result = np.minimum(result, km_a[:, i, None] + between + km_b[None, :, j])
    km = _great_circles_km(lat_a_deg, lon_a_deg, lat_b_deg, lon_b_deg)
    return np.clip(result, km, MOST_DETOUR * km + DETOUR_KM)


def backbone_rtt_ms(km: ArrayLike, way: ArrayLike, model: BackboneModel = BACKBONE) -> Floats:
    """Round trips over great circles `km` and ways of the same shape."""
    km, way = np.asarray(km, dtype=float), np.asarray(way, dtype=float)
    near, far = model.near_ms + model.near_ms_per_km * km, model.way_ms + model.way_ms_per_km * way
    share = far_share(km)
    return near * (1 - share) + far * share


def far_share(km: ArrayLike) -> Floats:
    """Weight of the way over the hubs at great circles `km`, 0 to 1."""
    return np.clip((np.asarray(km, dtype=float) - NEAR_KM) / (FAR_KM - NEAR_KM), 0.0, 1.0)


def backbone_matrix_ms(
    lat_a_deg: ArrayLike,
    lon_a_deg: ArrayLike,
    lat_b_deg: ArrayLike,
    lon_b_deg: ArrayLike,
    model: BackboneModel = BACKBONE,
) -> Floats:
    """Modelled round trips from every a to every b, [A, B] ms."""
    places = (lat_a_deg, lon_a_deg, lat_b_deg, lon_b_deg)
    return backbone_rtt_ms(_great_circles_km(*places), way_km(*places), model)


def _great_circles_km(lat_a: ArrayLike, lon_a: ArrayLike, lat_b: ArrayLike, lon_b: ArrayLike) -> Floats:
    a_lat, a_lon, b_lat, b_lon = (
        np.atleast_1d(np.asarray(angle, dtype=float)) for angle in (lat_a, lon_a, lat_b, lon_b)
    )
    return great_circle_km(a_lat[:, None], a_lon[:, None], b_lat[None, :], b_lon[None, :])


def _entries(lat_deg: ArrayLike, lon_deg: ArrayLike) -> tuple[NDArray[np.intp], Floats]:
    """The nearest hubs of each place [A, ENTRIES], and their distances in km."""
    hubs = graph()
    km = _great_circles_km(lat_deg, lon_deg, hubs.lat_deg, hubs.lon_deg)
    nearest = np.argsort(km, axis=1, kind="stable")[:, :ENTRIES]
    return nearest, np.take_along_axis(km, nearest, axis=1)
