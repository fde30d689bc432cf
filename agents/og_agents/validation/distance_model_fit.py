"""Models of round trips fitted to measured ones, how far they are off, and which of them to take.

Candidates: the lines of the great circle and the way over hubs, each as shipped and as fitted. `choose` takes the one that
is best on pairs left out of its fit, among those that are no worse than the shipped lines on all pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.scenario import catalog
from og_env.scenario.backbone import BACKBONE, FAR_KM, BackboneModel, backbone_rtt_ms, way_km
from og_env.scenario.backbone import NEAR_KM as BACKBONE_NEAR_KM
from og_env.scenario.catalog.countries import continent_of
from og_env.scenario.distance_model import (
    CONTINENTS,
    JOIN_KM,
    NEAR_KM,
    SHIPPED,
    DistanceModel,
    distance_rtt_ms,
    factor_table,
    great_circle_km,
)
from og_env.scenario.measured_rtt import load_rtt_csv, located

Floats = NDArray[np.float64]

LEAST_PAIRS = 20
"""pairs of places from which on two continents have a factor of their own"""
ROUNDS = 20
"""number of times that lines and factors are fitted in turn"""
FOLDS = 5
"""parts of the pairs, each of which is left out of a fit once"""
LINES_SHIPPED, LINES, HUBS_SHIPPED, HUBS = "lines, shipped", "lines, fitted", "hubs, shipped", "hubs, fitted"
Model = DistanceModel | BackboneModel


class Pairs(NamedTuple):
    """P measured pairs of located places."""

    km: Floats
    """great circle"""
    way_km: Floats
    """over the hubs"""
    measured_ms: Floats
    """[P]"""
    fold: NDArray[np.int64]
    """[P] part that a pair belongs to, in either direction: 0 to FOLDS - 1"""
    route: NDArray[np.int64]
    """[P] the pair of continents: lower index x 7 + higher"""
    provider: NDArray[np.str_]
    """[P] provider of the source; empty where the name has none"""
    unknown: tuple[str, ...]
    """names in the file that are neither sites nor user regions of the catalogue"""


def load_pairs(path: str | Path, mapped: Mapping[str, str] | None = None) -> Pairs:
    """The pairs of a file of round trips between different places of the catalogue, in a shape that `load_rtt_csv` knows.

    ValueError in one line where the file cannot be read or has fewer than LEAST_PAIRS such pairs.
    """
    places: dict[str, tuple[float, float, str]] = {
        region.name: (region.lat_deg, region.lon_deg, continent_of(region.country))
        for region in catalog.regions().values()
    }
    places |= {
        f"{site.provider}/{site.region}": (site.lat_deg, site.lon_deg, site.continent) for site in catalog.sites()
    }
    measured = located(load_rtt_csv(path, mapped), places)
    unknown = sorted({name for pair in measured for name in pair if name not in places})
    known = [pair for pair in measured if pair[0] != pair[1] and pair[0] in places and pair[1] in places]
    if len(known) < LEAST_PAIRS:
        hint = f", e.g. not {unknown[0]!r}" if unknown else ""
        raise ValueError(
            f"{path}: {len(known)} pairs of places that the catalogue knows (names PROVIDER/REGION or a metro{hint}); "
            f"a fit needs {LEAST_PAIRS}; to use them as they are, set network.rtt_csv"
        )
    a, b = (np.array([places[pair[end]][:2] for pair in known]) for end in (0, 1))
    ends = np.array([[CONTINENTS.index(places[name][2]) for name in pair] for pair in known])
    order = {pair: k for k, pair in enumerate(sorted({tuple(sorted(pair)) for pair in known}))}
    return Pairs(
        km=great_circle_km(a[:, 0], a[:, 1], b[:, 0], b[:, 1]),
        way_km=_ways_km(a, b),
        fold=np.array([order[min(pair), max(pair)] * 7919 % FOLDS for pair in known]),
        measured_ms=np.array([measured[pair] for pair in known]),
        route=ends.min(axis=1) * len(CONTINENTS) + ends.max(axis=1),
        provider=np.array([pair[0].rpartition("/")[0] for pair in known]),
        unknown=tuple(unknown),
    )


def _ways_km(a: Floats, b: Floats) -> Floats:
    """Ways over the hubs of P pairs of (latitude, longitude), [P]."""
    places, index = np.unique(np.concatenate([a, b]), axis=0, return_inverse=True)
    index = index.reshape(2, -1)
    return way_km(places[:, 0], places[:, 1], places[:, 0], places[:, 1])[index[0], index[1]]


def predict_ms(model: Model, pairs: Pairs) -> Floats:
    """Round trips [P] by the model."""
    if isinstance(model, BackboneModel):
        return backbone_rtt_ms(pairs.km, pairs.way_km, model)
    return distance_rtt_ms(pairs.km, model) * factor_table(model).ravel()[pairs.route]


def mape(model: Model, pairs: Pairs) -> float:
    """Mean absolute error as a share of the measured round trip."""
    return float(np.mean(np.abs(predict_ms(model, pairs) / pairs.measured_ms - 1)))


def log_residual_sd(model: Model, pairs: Pairs) -> float:
    """Standard deviation of log(measured / model)."""
    return float(np.std(np.log(pairs.measured_ms / predict_ms(model, pairs))))


def held_out(pairs: Pairs, fit: Callable[[Pairs], Model] | None = None) -> dict[str, float]:
    """Error on each provider's pairs of a model fitted to all others' pairs; empty with fewer than two providers."""
    result = {}
    for name in np.unique(pairs.provider):
        own = pairs.provider == name
        if (~own).sum() >= LEAST_PAIRS and own.sum() >= LEAST_PAIRS:
            result[str(name)] = mape((fit or fit_rtt)(select(pairs, ~own)), select(pairs, own))
    return result


def left_out(pairs: Pairs, fit: Callable[[Pairs], Model]) -> float:
    """Mean error on the parts of the pairs, each by a fit to the others; infinite where they are too few for a fit."""
    errors = []
    for part in range(FOLDS):
        own = pairs.fold == part
        try:
            model = fit(select(pairs, ~own))
        except ValueError:
            return float("inf")
        errors += (np.abs(predict_ms(model, select(pairs, own)) / pairs.measured_ms[own] - 1)).tolist()
    return float(np.mean(errors))


class Candidate(NamedTuple):
    """A model and its errors."""

    model: Model
    mape: float
    """on all pairs"""
    left_out: float
    """on pairs that its fit had not seen"""


def candidates(pairs: Pairs) -> dict[str, Candidate]:
    """All models by name; a fit for which the pairs are too few is not there."""
    result = {
        name: Candidate(model, mape(model, pairs), mape(model, pairs))
        for name, model in ((LINES_SHIPPED, SHIPPED), (HUBS_SHIPPED, BACKBONE))
    }
    for name, fit in ((LINES, fit_rtt), (HUBS, fit_backbone)):
        try:
            model = fit(pairs)
        except ValueError:
            continue
        result[name] = Candidate(model, mape(model, pairs), left_out(pairs, fit))
    return result


def choose(found: Mapping[str, Candidate]) -> str:
    """Name of the best candidate on pairs left out, among those that are no worse than the shipped lines on all pairs."""
    able = [name for name, candidate in found.items() if candidate.mape <= found[LINES_SHIPPED].mape]
    return min(able, key=lambda name: (found[name].left_out, found[name].mape))


def select(pairs: Pairs, chosen: NDArray[np.bool_]) -> Pairs:
    """The chosen pairs [P]."""
    names = ("km", "way_km", "measured_ms", "fold", "route", "provider")
    return pairs._replace(**{name: getattr(pairs, name)[chosen] for name in names})


def fit_backbone(pairs: Pairs) -> BackboneModel:
    """Lines of least absolute relative deviations; fewer than LEAST_PAIRS near pairs leave the near line as shipped."""
    near, far = pairs.km <= BACKBONE_NEAR_KM, pairs.km >= FAR_KM
    if far.sum() < LEAST_PAIRS:
        raise ValueError(f"only {int(far.sum())} pairs are {FAR_KM:g} km or more apart; a fit needs {LEAST_PAIRS}")
    way = least_deviations(pairs.way_km[far], pairs.measured_ms[far], np.ones(int(far.sum())))
    line = (BACKBONE.near_ms, BACKBONE.near_ms_per_km)
    if near.sum() >= LEAST_PAIRS:
        line = least_deviations(pairs.km[near], pairs.measured_ms[near], np.ones(int(near.sum())))
    return BackboneModel(*line, *way)


def fit_rtt(pairs: Pairs) -> DistanceModel:
    """Lines and factors of least absolute deviations, in turn; deviations are relative, so that near pairs count too.

    A pair of continents with fewer than LEAST_PAIRS measurements keeps the shipped factor, and so do near pairs the shipped
    line where they are fewer. Lines and factors do not improve together for ever: the best round is returned.
    """
    near, far = pairs.km <= NEAR_KM, pairs.km >= JOIN_KM
    if far.sum() < LEAST_PAIRS:
        raise ValueError(f"only {int(far.sum())} pairs are {JOIN_KM:g} km or more apart; a fit needs {LEAST_PAIRS}")
    routes = [int(route) for route in np.unique(pairs.route) if (pairs.route == route).sum() >= LEAST_PAIRS]
    factors = factor_table(SHIPPED).ravel().copy()
    best, least = SHIPPED, float("inf")
    for _ in range(ROUNDS):
        share = factors[pairs.route]
        far_line = least_deviations(pairs.km[far], pairs.measured_ms[far], share[far])
        near_line = (SHIPPED.near_ms, SHIPPED.near_ms_per_km)
        if near.sum() >= LEAST_PAIRS:
            near_line = least_deviations(pairs.km[near], pairs.measured_ms[near], share[near])
        lines = (*near_line, *far_line)
        base = distance_rtt_ms(pairs.km, DistanceModel(*lines, {}))
        for route in routes:
            here = pairs.route == route
            factors[route] = weighted_median(pairs.measured_ms[here] / base[here], base[here] / pairs.measured_ms[here])
        model = DistanceModel(*lines, _factors(factors))
        if (error := mape(model, pairs)) < least:
            best, least = model, error
    return best


def _factors(table: Floats) -> dict[tuple[str, str], float]:
    """Factors by pair of continents that are not 1, of a table [49] by lower index x 7 + higher."""
    size = len(CONTINENTS)
    return {
        (CONTINENTS[i], CONTINENTS[j]): float(table[i * size + j])
        for i in range(size)
        for j in range(i, size)
        if table[i * size + j] != 1
    }


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


def fragment(model: Model) -> list[str]:
    """Lines of TOML that a scenario takes."""
    if isinstance(model, BackboneModel):
        return [
            "[network]",
            'kind = "backbone"',
            "",
            "[network.backbone]",
            f"near_ms = {model.near_ms:.2f}",
            f"near_ms_per_km = {model.near_ms_per_km:.5f}",
            f"way_ms = {model.way_ms:.2f}",
            f"way_ms_per_km = {model.way_ms_per_km:.5f}",
        ]
    factors = ", ".join(f"{a}-{b} = {factor:.3f}" for (a, b), factor in sorted(model.pair_factors.items()))
    return [
        "[network.distance]",
        f"near_ms = {model.near_ms:.2f}",
        f"near_ms_per_km = {model.near_ms_per_km:.5f}",
        f"far_ms = {model.far_ms:.2f}",
        f"far_ms_per_km = {model.far_ms_per_km:.5f}",
        f"pair_factors = {{ {factors} }}",
    ]
