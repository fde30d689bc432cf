"""Round trips between sites and users, and the order of sites by them.

Round trips are measured where a file has the pair, and follow the model of `network.kind` elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.dynamics.replicas import MOST_TEMPERATURES
from og_env.kernel.arrays import World
from og_env.scenario import catalog
from og_env.scenario.backbone import backbone_matrix_ms
from og_env.scenario.catalog.countries import continent_of
from og_env.scenario.distance_model import rtt_matrix_ms
from og_env.scenario.loading import ResolvedScenario
from og_env.scenario.measured_rtt import load_rtt_csv, located
from og_env.scenario.specs import NetworkSpec, PaymentSpec, RegionSpec, SiteSpec

Floats = NDArray[np.float64]

LOCAL_MS = 0.5
"""round trip of a site to itself: inside one building"""


def fill_distances(world: World, resolved: ResolvedScenario, padded: int) -> None:
    """Write all round trips, and for every site and region the order of the `padded` sites by round trip."""
    sites, network = resolved.sites, resolved.spec.network
    n = len(sites)
    rtt_ms, rtt_user_ms = site_rtt_ms(sites, network), user_rtt_ms(resolved.regions, sites, network)
    world.rtt_ms[0, :n, :n] = rtt_ms
    world.rtt_user_ms[0, :, :n] = rtt_user_ms
    world.payment_ms[0, :n] = payment_ms(sites, resolved.spec.payment, network)
    world.near_site[0] = np.arange(padded)
    world.near_site[0, :n] = nearest_first(rtt_ms, padded)
    world.near_user[0] = nearest_first(rtt_user_ms, padded)


def site_rtt_ms(sites: Sequence[SiteSpec], network: NetworkSpec) -> Floats:
    """Round trips between sites, float64 [N, N]."""
    result = _model_ms(sites, sites, network)
    if network.rtt_csv is not None:
        _overlay(result, [site.name for site in sites], [site.name for site in sites], network.rtt_csv)
    np.fill_diagonal(result, LOCAL_MS)
    return result


def user_rtt_ms(regions: Sequence[RegionSpec], sites: Sequence[SiteSpec], network: NetworkSpec) -> Floats:
    """Round trips from user regions to sites, float64 [U, N]."""
    result = _model_ms(regions, sites, network)
    if network.rtt_csv is not None:
        _overlay(result, [region.name for region in regions], [site.name for site in sites], network.rtt_csv)
    return result


def payment_ms(sites: Sequence[SiteSpec], payment: PaymentSpec, network: NetworkSpec) -> Floats:
    """Time that the check of a payment adds to a request at each site, float64 [N]: a round trip and the check itself."""
    if payment.mode == "prepaid":
        return np.zeros(len(sites))
    place = (payment.facilitator_lat_deg, payment.facilitator_lon_deg, payment.facilitator_country)
    return _model_ms([_Place(*place)], sites, network)[0] + payment.verify_s * 1000


def attraction(rtt_ms: NDArray[np.floating], temperature_ms: float) -> Floats:
    """The router's weight of every site by distance, exp(-rtt / temperature), float64 [site, gateway].

    `rtt_ms` are the round trips [gateway, site].
    """
    return np.exp(-np.minimum(rtt_ms.T.astype(np.float64) / float(temperature_ms), MOST_TEMPERATURES))


def nearest_first(rtt_ms: Floats, padded: int) -> NDArray[np.int64]:
    """Columns of `rtt_ms` [R, N] by round trip, ties by index, int64 [R, padded]; padded places come last."""
    rows, count = rtt_ms.shape
    result = np.empty((rows, padded), np.int64)
    result[:, :count] = np.argsort(rtt_ms, axis=1, kind="stable")
    result[:, count:] = np.arange(count, padded)
    return result


class _Place(NamedTuple):
    lat_deg: float
    lon_deg: float
    country: str


def _model_ms(
    places_a: Sequence[SiteSpec | RegionSpec | _Place], places_b: Sequence[SiteSpec | RegionSpec], network: NetworkSpec
) -> Floats:
    def columns(places: Sequence[SiteSpec | RegionSpec | _Place]) -> tuple[list[float], list[float], list[str]]:
        return (
            [place.lat_deg for place in places],
            [place.lon_deg for place in places],
            [continent_of(place.country) for place in places],
        )

    a, b = columns(places_a), columns(places_b)
    if network.kind == "great-circle":
        return rtt_matrix_ms(*a, *b, network.distance.model())
    return backbone_matrix_ms(*a[:2], *b[:2], network.backbone.model(network.kind))


def _overlay(rtt_ms: Floats, names_a: Sequence[str], names_b: Sequence[str], rtt_csv: str) -> None:
    """Write measured pairs over the model's values, whichever direction the file gives.

    The second site of a region, whose name ends in "#2", has the figures of the first.
    """
    measured = _measured(rtt_csv, Path(rtt_csv).stat().st_mtime_ns if Path(rtt_csv).is_file() else 0)
    plain_b = [name.split("#")[0] for name in names_b]
    for i, name_a in enumerate(names_a):
        plain_a = name_a.split("#")[0]
        for j, name_b in enumerate(names_b):
            for pair in ((name_a, name_b), (name_b, name_a), (plain_a, plain_b[j]), (plain_b[j], plain_a)):
                if pair in measured:
                    rtt_ms[i, j] = measured[pair]
                    break


@functools.lru_cache(maxsize=8)
def _measured(rtt_csv: str, changed_ns: int) -> dict[tuple[str, str], float]:
    measured = load_rtt_csv(rtt_csv)
    return located(measured, catalog.site_offers().keys() | catalog.regions().keys()) | measured
