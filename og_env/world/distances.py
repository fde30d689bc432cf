"""Round trips of a world: measured pairs where a file has them, the distance model elsewhere; and who is near whom."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from og_env.dynamics.verification import MOST_TEMPERATURES
from og_env.scenario.catalog.countries import continent_of
from og_env.scenario.distance_model import rtt_matrix_ms
from og_env.scenario.measured_rtt import load_rtt_csv
from og_env.scenario.specs import NetworkSpec, RegionSpec, SiteSpec

Floats = NDArray[np.float64]

LOCAL_MS = 0.5
"""a site to itself: inside one building"""


def site_rtt_ms(sites: Sequence[SiteSpec], network: NetworkSpec) -> Floats:
    """[N, N] round trips between sites."""
    result = _model_ms(sites, sites, network)
    if network.rtt_csv is not None:
        _overlay(result, [site.name for site in sites], [site.name for site in sites], network.rtt_csv)
    np.fill_diagonal(result, LOCAL_MS)
    return result


def user_rtt_ms(regions: Sequence[RegionSpec], sites: Sequence[SiteSpec], network: NetworkSpec) -> Floats:
    """[U, N] round trips from users to sites."""
    result = _model_ms(regions, sites, network)
    if network.rtt_csv is not None:
        _overlay(result, [region.name for region in regions], [site.name for site in sites], network.rtt_csv)
    return result


def attraction(rtt_ms: NDArray[np.floating], temperature_ms: float) -> Floats:
    """[site, gateway] exp(-rtt / temperature), as the router weighs sites by their distance [gateway, site]."""
    return np.exp(-np.minimum(rtt_ms.T.astype(np.float64) / float(temperature_ms), MOST_TEMPERATURES))


def nearest_first(rtt_ms: Floats, padded: int) -> NDArray[np.int64]:
    """[R, padded] columns of [R, N] by distance, ties by index; padded places come last."""
    rows, count = rtt_ms.shape
    result = np.empty((rows, padded), np.int64)
    result[:, :count] = np.argsort(rtt_ms, axis=1, kind="stable")
    result[:, count:] = np.arange(count, padded)
    return result


def _model_ms(
    places_a: Sequence[SiteSpec | RegionSpec], places_b: Sequence[SiteSpec | RegionSpec], network: NetworkSpec
) -> Floats:
    def columns(places: Sequence[SiteSpec | RegionSpec]) -> tuple[list[float], list[float], list[str]]:
        return (
            [place.lat_deg for place in places],
            [place.lon_deg for place in places],
            [continent_of(place.country) for place in places],
        )

    return rtt_matrix_ms(*columns(places_a), *columns(places_b), network.distance.model())


def _overlay(rtt_ms: Floats, names_a: Sequence[str], names_b: Sequence[str], rtt_csv: str) -> None:
    """Write measured pairs, given in either direction, over the model's; a second site of a region has its figures."""
    measured = _measured(rtt_csv, Path(rtt_csv).stat().st_mtime_ns if Path(rtt_csv).is_file() else 0)
    plain_b = [name.split("#")[0] for name in names_b]
    for i, name_a in enumerate(names_a):
        plain_a = name_a.split("#")[0]
        for j, name_b in enumerate(names_b):
            for pair in (
                (name_a, name_b),
                (name_b, name_a),
                (plain_a, plain_b[j]),
                (plain_b[j], plain_a),
            ):
                if pair in measured:
                    rtt_ms[i, j] = measured[pair]
                    break


@functools.lru_cache(maxsize=8)
def _measured(rtt_csv: str, changed_ns: int) -> dict[tuple[str, str], float]:
    return load_rtt_csv(rtt_csv)
