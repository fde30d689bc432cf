"""The distance model fitted to measured round trips, and how far it is off."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.scenario import catalog
from og_env.scenario.catalog.countries import continent_of
from og_env.scenario.distance_model import (
    CONTINENTS,
    JOIN_KM,
    NEAR_KM,
    DistanceModel,
    distance_rtt_ms,
    factor_table,
    great_circle_km,
)
from og_env.scenario.measured_rtt import load_rtt_csv

Floats = NDArray[np.float64]

LEAST_PAIRS = 20
"""pairs of places from which on two continents have a factor of their own"""
ROUNDS = 20
"""number of times that lines and factors are fitted in turn"""


class Pairs(NamedTuple):
    """P measured pairs of located places."""

    km: Floats
    measured_ms: Floats
    """[P]"""
    route: NDArray[np.int64]
    """[P] the pair of continents: lower index x 7 + higher"""
    provider: NDArray[np.str_]
    """[P] provider of the source; empty where the name has none"""
    unknown: tuple[str, ...]
    """names in the file that are neither sites nor user regions of the catalogue"""


def load_pairs(path: str | Path) -> Pairs:
    """The pairs of a matrix src,dst,rtt_ms (or provider,src,dst,rtt_ms) between different places of the catalogue.

    ValueError in one line where the file cannot be read or has fewer than LEAST_PAIRS such pairs.
    """
    places: dict[str, tuple[float, float, str]] = {
        region.name: (region.lat_deg, region.lon_deg, continent_of(region.country))
        for region in catalog.regions().values()
    }
    places |= {
        f"{site.provider}/{site.region}": (site.lat_deg, site.lon_deg, site.continent) for site in catalog.sites()
    }
    measured = load_rtt_csv(path)
    unknown = sorted({name for pair in measured for name in pair if name not in places})
    known = [pair for pair in measured if pair[0] != pair[1] and pair[0] in places and pair[1] in places]
    if len(known) < LEAST_PAIRS:
        hint = f", e.g. not {unknown[0]!r}" if unknown else ""
        raise ValueError(
            f"{path}: {len(known)} pairs of places that the catalogue knows (names PROVIDER/REGION or a metro{hint}); "
            f"a fit needs {LEAST_PAIRS}"
        )
    a, b = (np.array([places[pair[end]][:2] for pair in known]) for end in (0, 1))
    ends = np.array([[CONTINENTS.index(places[name][2]) for name in pair] for pair in known])
    return Pairs(
        km=great_circle_km(a[:, 0], a[:, 1], b[:, 0], b[:, 1]),
        measured_ms=np.array([measured[pair] for pair in known]),
        route=ends.min(axis=1) * len(CONTINENTS) + ends.max(axis=1),
        provider=np.array([pair[0].rpartition("/")[0] for pair in known]),
        unknown=tuple(unknown),
    )


def predict_ms(model: DistanceModel, pairs: Pairs) -> Floats:
    """Round trips [P] by the model."""
    return distance_rtt_ms(pairs.km, model) * factor_table(model).ravel()[pairs.route]


def mape(model: DistanceModel, pairs: Pairs) -> float:
    """Mean absolute error as a share of the measured round trip."""
    return float(np.mean(np.abs(predict_ms(model, pairs) / pairs.measured_ms - 1)))


def log_residual_sd(model: DistanceModel, pairs: Pairs) -> float:
    """Standard deviation of log(measured / model)."""
    return float(np.std(np.log(pairs.measured_ms / predict_ms(model, pairs))))


def held_out(pairs: Pairs) -> dict[str, float]:
    """Error on each provider's pairs of the model fitted to all others' pairs; empty with fewer than two providers."""
    result = {}
    for name in np.unique(pairs.provider):
        own = pairs.provider == name
        if (~own).sum() >= LEAST_PAIRS and own.sum() >= LEAST_PAIRS:
            result[str(name)] = mape(fit_rtt(select(pairs, ~own)), select(pairs, own))
    return result


def select(pairs: Pairs, chosen: NDArray[np.bool_]) -> Pairs:
    """The chosen pairs [P]."""
    return pairs._replace(**{name: getattr(pairs, name)[chosen] for name in ("km", "measured_ms", "route", "provider")})


def fit_rtt(pairs: Pairs) -> DistanceModel:
    """Lines and factors of least absolute deviations, in turn; deviations are relative, so that near pairs count too.

    A pair of continents with fewer than LEAST_PAIRS measurements has factor 1, and so have the near pairs a line of
    their own only where there are that many.
    """
    near, far = pairs.km <= NEAR_KM, pairs.km >= JOIN_KM
    if far.sum() < LEAST_PAIRS:
        raise ValueError(f"only {int(far.sum())} pairs are {JOIN_KM:g} km or more apart; a fit needs {LEAST_PAIRS}")
    routes = [int(route) for route in np.unique(pairs.route) if (pairs.route == route).sum() >= LEAST_PAIRS]
    factors = np.ones(len(CONTINENTS) ** 2)
    lines = (0.0, 0.0, 0.0, 0.0)
    for _ in range(ROUNDS):
        share = factors[pairs.route]
        far_line = least_deviations(pairs.km[far], pairs.measured_ms[far], share[far])
        near_line = far_line
        if near.sum() >= LEAST_PAIRS:
            near_line = least_deviations(pairs.km[near], pairs.measured_ms[near], share[near])
        lines = (*near_line, *far_line)
        base = distance_rtt_ms(pairs.km, DistanceModel(*lines, {}))
        for route in routes:
            here = pairs.route == route
            factors[route] = weighted_median(pairs.measured_ms[here] / base[here], base[here] / pairs.measured_ms[here])
    names = [(CONTINENTS[route // len(CONTINENTS)], CONTINENTS[route % len(CONTINENTS)]) for route in routes]
    return DistanceModel(*lines, {name: float(factors[route]) for name, route in zip(names, routes, strict=True)})


def least_deviations(km: Floats, measured_ms: Floats, factor: Floats) -> tuple[float, float]:
    """Intercept and slope, not negative, that minimise the sum of |factor (a + b km) / measured - 1|.

    Iteratively reweighted least squares (Schlossmacher 1973).
    """
    columns = np.stack([factor / measured_ms, factor * km / measured_ms], axis=1)
    weight = np.ones(len(km))
    a, b = 0.0, 0.0
    for _ in range(100):
        root = np.sqrt(weight)[:, None]
        a, b = np.linalg.lstsq(columns * root, root[:, 0], rcond=None)[0]
        if a < 0:
            a, b = 0.0, float((columns[:, 1] * weight).sum() / (columns[:, 1] ** 2 * weight).sum())
        if b < 0:
            a, b = float((columns[:, 0] * weight).sum() / (columns[:, 0] ** 2 * weight).sum()), 0.0
        weight = 1 / np.maximum(np.abs(columns @ [a, b] - 1), 1e-4)
    return float(a), float(b)


def weighted_median(values: Floats, weights: Floats) -> float:
    """The value that halves the weight: it minimises sum w |value - x|."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def fragment(model: DistanceModel) -> list[str]:
    """Lines of TOML that a scenario takes."""
    factors = ", ".join(f"{a}-{b} = {factor:.3f}" for (a, b), factor in sorted(model.pair_factors.items()))
    return [
        "[network.distance]",
        f"near_ms = {model.near_ms:.2f}",
        f"near_ms_per_km = {model.near_ms_per_km:.5f}",
        f"far_ms = {model.far_ms:.2f}",
        f"far_ms_per_km = {model.far_ms_per_km:.5f}",
        f"pair_factors = {{ {factors} }}",
    ]
