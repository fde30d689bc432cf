"""The audit of one fleet as a JSON object: how diverse it looks, and how many independent nodes it behaves like."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from og_env.scenario.distance_model import great_circle_km
from og_env.trust.concentration import Concentration, concentration, nakamoto_at
from og_env.trust.failure_correlation import Floats
from og_env.trust.fleet import PRIVATE, SITE, Fleet, select
from og_env.trust.growth import Addition, Curve, curve_as_listed, curve_greedy
from og_env.trust.marginal_contribution import leave_one_out, shapley
from og_env.trust.pair_sums import Pairs, fleet_n_eff, pairs
from og_env.trust.quorum_downtime import quorum_outage
from og_env.trust.quorum_survival import Domain, n1_live_without, survival

DISTANCE_PAIRS = 100_000
"""Pairs of nodes drawn for the mean distance, which gives a standard error of about 15 km on a world-wide fleet."""
ALIKE = 0.05
"""Two kinds of dependency are alike if at most this share of the nodes lacks one of them, and if both together divide
the nodes into at most this share more groups than the kind with fewer domains does."""
ROUNDING = 1e-9
"""Gains below this share of n_eff count as none."""

Json = dict[str, Any]


def audit(
    fleet: Fleet,
    *,
    kind_of: Mapping[str, str],
    missing: Mapping[str, int] | None = None,
    lat_deg: Floats | None = None,
    lon_deg: Floats | None = None,
    top: int = 20,
    seed: int = 0,
    thresholds: Sequence[float] = (),
) -> Json:
    """Every figure about a fleet, as an object that can be written as JSON.

    `kind_of` gives the failure kind of each label of the fleet's kinds, and `missing` the number of nodes without a value in
    it. `lat_deg` and `lon_deg` [N], NaN where unknown, are used for the mean distance between nodes. Rankings have `top`
    entries; `seed` is that of the sampling in Shapley values and quorum downtime. `thresholds` are shares for which Nakamoto
    coefficients are given beside the usual ones.

    The keys are `nodes`, `total_weight`, `n_eff`, `n_eff_by_count`, `apparent`, `kinds`, `by_node`, `alike`, `quorum`,
    `count_only`, `growth` and `marginal`, which has one entry for each node, in the fleet's order. Raises ValueError for a
    `top` below 1.
    """
    if top < 1:
        raise ValueError(f"top is {top}; at least 1")
    shared = pairs(fleet)
    n_eff = fleet_n_eff(fleet, shared)
    labels = [label for label in fleet.kinds if label != SITE or len(fleet.names[-1])]
    kinds = {label: _kind(fleet, label, kind_of, (missing or {}).get(label, 0), top, thresholds) for label in labels}
    quorum, marginal = _quorum_and_marginal(fleet, shared, seed)
    listed, greedy = curve_as_listed(fleet, shared), curve_greedy(fleet, shared)
    best = int(greedy.n_eff.argmax())
    return {
        "nodes": len(fleet.nodes),
        "total_weight": float(fleet.weight.sum()),
        "n_eff": n_eff,
        "n_eff_by_count": fleet_n_eff(fleet._replace(weight=np.ones(len(fleet.nodes))), shared),
        "apparent": _apparent(fleet, kind_of, lat_deg, lon_deg),
        "kinds": kinds,
        "by_node": _of_nodes(fleet, thresholds),
        "alike": _alike(fleet),
        "quorum": quorum,
        "count_only": _count_only(fleet, marginal, n_eff, top),
        "growth": {
            "as_listed": _thinned(listed),
            "greedy": _thinned(greedy),
            "greedy_best": {"nodes": int(greedy.nodes[best]), "n_eff": float(greedy.n_eff[best])},
        },
        "marginal": marginal,
    }


def additions_json(additions: list[Addition], candidates: Fleet) -> list[Json]:
    """The steps of `best_additions` as JSON objects, each with the candidate's name under `node`."""
    return [
        {"node": candidates.nodes[step.candidate], **step._asdict(), "candidate": step.candidate} for step in additions
    ]


def _kind(
    fleet: Fleet, label: str, kind_of: Mapping[str, str], missing: int, top: int, thresholds: Sequence[float]
) -> Json:
    """Concentration of one kind of dependency, by number of nodes and by weight, with its largest domains."""
    count = concentration(fleet, label, np.ones(len(fleet.nodes)))
    weight = concentration(fleet, label)
    names = fleet.names[fleet.kinds.index(label)]
    largest = np.argsort(-count.shares[: len(names)], kind="stable")[:top]
    return {
        "failure_kind": kind_of.get(label, label),
        "domains": len(names),
        "missing": missing,
        "top": [
            {
                "name": names[i],
                "nodes": round(float(count.shares[i]) * len(fleet.nodes)),
                "share": float(count.shares[i]),
                "weight_share": float(weight.shares[i]),
            }
            for i in largest
        ],
        **_figures(count, thresholds),
        "by_weight": _figures(weight, thresholds),
    }


def _of_nodes(fleet: Fleet, thresholds: Sequence[float]) -> Json:
    """Concentration over the nodes themselves, as if each stood alone, by count and by weight."""
    alone = fleet._replace(domain=np.full_like(fleet.domain, PRIVATE))
    count = concentration(alone, SITE, np.ones(len(fleet.nodes)))
    return {**_figures(count, thresholds), "by_weight": _figures(concentration(alone, SITE), thresholds)}


def _alike(fleet: Fleet) -> list[tuple[str, str]]:
    """Pairs of kinds that divide the nodes in nearly the same way, as networks and their owners do; see ALIKE."""
    found: list[tuple[str, str]] = []
    for a, b in itertools.combinations(range(len(fleet.kinds)), 2):
        both = (fleet.domain[:, a] >= 0) & (fleet.domain[:, b] >= 0)
        if both.mean() < 1 - ALIKE:
            continue
        joint = len(np.unique(fleet.domain[both][:, [a, b]], axis=0))
        fewest = min(len(fleet.names[a]), len(fleet.names[b]))
        if 1 < joint < both.sum() and joint <= (1 + ALIKE) * fewest:
            found.append((fleet.kinds[a], fleet.kinds[b]))
    return found


def _figures(figures: Concentration, thresholds: Sequence[float]) -> Json:
    more = {f"{threshold:g}": nakamoto_at(figures.shares, threshold) for threshold in thresholds}
    return {
        "hhi": figures.hhi,
        "effective": figures.effective,
        "nakamoto": figures.nakamoto | more,
        "measures": figures.measures,
    }


def _quorum_and_marginal(fleet: Fleet, shared: Pairs, seed: int) -> tuple[Json, list[Json]]:
    """Figures of the quorum, and for every node how they and n_eff differ between the fleet with it and without it."""
    worst = survival(fleet)
    outage = quorum_outage(fleet, seed=seed, types=shared.types)
    value = shapley(fleet, shared, seed=seed)
    quorum = {
        "threshold": "2/3",
        "n1_survives": worst.n1_survives,
        "n2_survives": worst.n2_survives,
        "n1_live_share": worst.n1_live,
        "n2_live_share": worst.n2_live,
        "worst": _domain(worst.worst, fleet),
        "worst_pair": [_domain(domain, fleet) for domain in worst.worst_pair],
        "hours_per_year_without": outage.hours_per_year,
        "standard_error": outage.standard_error,
        "method": outage.method,
        "truncation_hours": outage.truncation,
        "causes": [cause._asdict() for cause in outage.causes],
    }
    columns = {
        "n_eff": leave_one_out(fleet, shared),
        "shapley": value.value,
        "shapley_standard_error": value.standard_error,
        "n1_live_share": worst.n1_live - n1_live_without(fleet),
        "hours_per_year_without": outage.hours_per_year - outage.hours_without,
    }
    rows = zip(fleet.nodes, *(column.tolist() for column in columns.values()), strict=True)
    return quorum, [dict(zip(("node", *columns), row, strict=True)) for row in rows]


def _domain(domain: Domain, fleet: Fleet) -> Json:
    return {"kind": domain.kind, "name": domain.name, "share": domain.weight / float(fleet.weight.sum())}


def _apparent(fleet: Fleet, kind_of: Mapping[str, str], lat_deg: Floats | None, lon_deg: Floats | None) -> Json:
    """The diversity that a map shows: countries, cities, and the mean distance between two nodes in km."""
    counts = {kind_of.get(label, label): len(names) for label, names in zip(fleet.kinds, fleet.names, strict=True)}
    picture: Json = {"countries": counts.get("country"), "cities": counts.get("metro"), "mean_distance_km": None}
    if lat_deg is not None and lon_deg is not None:
        placed = np.flatnonzero(np.isfinite(lat_deg) & np.isfinite(lon_deg))
        if len(placed) > 1:
            rng = np.random.default_rng(0)
            a, b = placed[rng.integers(0, len(placed), (2, DISTANCE_PAIRS))]
            apart = a != b
            distance = great_circle_km(lat_deg[a], lon_deg[a], lat_deg[b], lon_deg[b])
            picture["mean_distance_km"] = float(distance[apart].mean())
    return picture


def _count_only(fleet: Fleet, marginal: list[Json], n_eff: float, top: int) -> Json:
    """Nodes whose removal, one at a time, does not lower n_eff, so that they add to the count alone.

    `groups` lists those that depend on the same domains together, the largest groups first.
    """
    gain = np.array([entry["n_eff"] for entry in marginal])
    is_useless = gain <= ROUNDING * n_eff
    useless = np.flatnonzero(is_useless)
    others = select(fleet, ~is_useless)
    groups, first, size = np.unique(fleet.domain[useless], axis=0, return_index=True, return_counts=True)
    largest = np.argsort(-size, kind="stable")[:top]
    return {
        "nodes": len(useless),
        "share": len(useless) / len(fleet.nodes),
        "weight_share": float(fleet.weight[useless].sum() / fleet.weight.sum()),
        "n_eff_without_all": fleet_n_eff(others) if others.weight.sum() > 0 else 0.0,
        "groups": [
            {
                "on": {label: fleet.names[k][groups[g, k]] for k, label in enumerate(fleet.kinds) if groups[g, k] >= 0},
                "nodes": int(size[g]),
                "n_eff_each": float(gain[useless[first[g]]]),
            }
            for g in largest
        ],
    }


def _thinned(curve: Curve, points: int = 400) -> Json:
    """The curve at no more than `points` node counts, evenly spread on a log scale, the last one included."""
    steps = np.unique(np.round(np.geomspace(1, len(curve.nodes), points)).astype(int)) - 1
    return {"nodes": curve.nodes[steps].tolist(), "n_eff": curve.n_eff[steps].tolist()}
