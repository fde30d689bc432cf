"""Distances and round-trip times between places: great circles, and lines fitted to measured cloud regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

EARTH_RADIUS_KM = 6371.0
CONTINENTS = ("AF", "AS", "EU", "ME", "NA", "OC", "SA")

NEAR_KM, JOIN_KM = 500.0, 700.0
"""largest distance of the near line and smallest of the far one; between them the model is a straight line"""


class DistanceModel(NamedTuple):
    """Round trip = a line of the great circle, near or far, times a factor for the two continents."""

    near_ms: float
    near_ms_per_km: float
    far_ms: float
    far_ms_per_km: float
    pair_factors: Mapping[tuple[str, str], float]
    """length of cables relative to the great circle, by pair of continents in either order; 1 for other pairs"""


SHIPPED = DistanceModel(
    # Least absolute deviations over 2,463 pairs of cloud regions (AWS P50 of a year to 2025-10, Azure 2026-08).
    near_ms=3.6,
    near_ms_per_km=0.020,
    far_ms=9.5,
    far_ms_per_km=0.01516,
    # Fitted to the same pairs; the Middle East is apart from Asia.
    pair_factors={
        ("EU", "NA"): 0.96,
        ("AS", "NA"): 0.92,
        ("EU", "EU"): 0.91,
        ("AS", "AS"): 0.94,
        ("NA", "OC"): 0.79,
        ("AS", "EU"): 1.31,
        ("EU", "ME"): 1.29,
        ("AS", "ME"): 1.25,
        ("EU", "SA"): 1.23,
        ("AF", "AS"): 1.28,
    },
)
LOG_RESIDUAL_SD = 0.255
"""standard deviation of log(measured / model) over the pairs that the SHIPPED model is fitted to"""


def great_circle_km(lat_a_deg: ArrayLike, lon_a_deg: ArrayLike, lat_b_deg: ArrayLike, lon_b_deg: ArrayLike) -> Floats:
    """Distance on a sphere by the haversine formula; the arguments broadcast, the result has their shape."""
    degrees = (lat_a_deg, lon_a_deg, lat_b_deg, lon_b_deg)
    lat_a, lon_a, lat_b, lon_b = (np.radians(np.asarray(angle, dtype=float)) for angle in degrees)
    haversine = np.sin((lat_b - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(haversine, 0.0, 1.0)))


def distance_rtt_ms(distance_km: ArrayLike, model: DistanceModel = SHIPPED) -> Floats:
    """Round trip over a distance before the continents' factor; continuous."""
    distance = np.asarray(distance_km, dtype=float)
    near = model.near_ms + model.near_ms_per_km * distance
    far = model.far_ms + model.far_ms_per_km * distance
    near_end = model.near_ms + model.near_ms_per_km * NEAR_KM
    far_start = model.far_ms + model.far_ms_per_km * JOIN_KM
    between = near_end + (far_start - near_end) * (distance - NEAR_KM) / (JOIN_KM - NEAR_KM)
    return np.where(distance <= NEAR_KM, near, np.where(distance >= JOIN_KM, far, between))


def factor_table(model: DistanceModel = SHIPPED) -> Floats:
    """The model's factors by index in CONTINENTS, [7, 7], symmetric."""
    table = np.ones((len(CONTINENTS), len(CONTINENTS)))
    for (a, b), factor in model.pair_factors.items():
        i, j = CONTINENTS.index(a), CONTINENTS.index(b)
        table[i, j] = table[j, i] = factor
    return table


def pair_factor(continent_a: Sequence[str], continent_b: Sequence[str], model: DistanceModel = SHIPPED) -> Floats:
    """Factors of the distance model by pair of continents, [A, B]; symmetric, 1 where no factor was fitted."""
    return factor_table(model)[np.ix_(_continent_indices(continent_a), _continent_indices(continent_b))]


def rtt_matrix_ms(
    lat_a_deg: ArrayLike,
    lon_a_deg: ArrayLike,
    continent_a: Sequence[str],
    lat_b_deg: ArrayLike,
    lon_b_deg: ArrayLike,
    continent_b: Sequence[str],
    model: DistanceModel = SHIPPED,
) -> Floats:
    """Modelled round trips from every a to every b, [A, B] ms. ValueError for an unknown continent."""
    degrees = (lat_a_deg, lon_a_deg, lat_b_deg, lon_b_deg)
    lat_a, lon_a, lat_b, lon_b = (np.atleast_1d(np.asarray(angle, dtype=float)) for angle in degrees)
    distance = great_circle_km(lat_a[:, None], lon_a[:, None], lat_b[None, :], lon_b[None, :])
    return distance_rtt_ms(distance, model) * pair_factor(continent_a, continent_b, model)


def rtt_ms(lat_deg: ArrayLike, lon_deg: ArrayLike, continent: Sequence[str]) -> Floats:
    """Modelled round trips among places, [N, N] ms, symmetric; the diagonal is the model at distance 0."""
    return rtt_matrix_ms(lat_deg, lon_deg, continent, lat_deg, lon_deg, continent)


def _continent_indices(continents: Sequence[str]) -> NDArray[np.intp]:
    try:
        return np.array([CONTINENTS.index(continent) for continent in continents], dtype=np.intp)
    except ValueError:
        unknown = next(continent for continent in continents if continent not in CONTINENTS)
        raise ValueError(f"unknown continent {unknown!r} (valid: {', '.join(CONTINENTS)})") from None
