"""Survival of the quorum when the worst one dependency (N-1) or the worst two (N-2) break, by weight and exactly.

Broken means that every node on the dependency stops voting, whatever the hit probability: the worst case, not the usual one.
The quorum holds while the live weight is more than two thirds of all weight; for n equal nodes that is
floor(2 n / 3) + 1 of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.trust.failure_correlation import Floats, Ints, sums_by
from og_env.trust.fleet import PRIVATE, SITE, Fleet

QUORUM = 2 / 3
"""Share of the weight that the live weight must exceed."""
TOLERANCE = 1e-9
"""Relative difference within which live weight counts as equal to the threshold, which is not enough."""


class Domain(NamedTuple):
    """A dependency and the weight of the nodes that depend on it."""

    kind: str
    """label of its kind"""
    name: str
    """name of the domain, or of the node for a single node's own machine"""
    weight: float
    """weight of the nodes that depend on it"""


class Survival(NamedTuple):
    """N-1 and N-2 of a fleet's quorum."""

    worst: Domain
    """the dependency that carries most weight"""
    worst_pair: tuple[Domain, Domain]
    """the two dependencies that together carry most weight, where a node on both counts once"""
    n1_live: float
    """share of the weight that votes when the worst dependency is broken"""
    n2_live: float
    """share of the weight that votes when the worst pair is broken"""
    n1_survives: bool
    """whether the quorum survives the worst dependency"""
    n2_survives: bool
    """whether the quorum survives the worst pair"""


class DomainTable(NamedTuple):
    """The D domains of a fleet, single nodes' own machines included, the heaviest first."""

    kind: Ints
    """int64 [D] index of the kind"""
    number: Ints
    """int64 [D] index within the kind; for a single node's machine its position plus the number of shared ones"""
    weight: Floats
    """float64 [D] weight of the nodes on each domain"""
    codes: Ints
    """int64 [N, K] `Fleet.domain`, with the numbers of the single nodes' machines in place of PRIVATE"""


def has_quorum(live: Floats, total: Floats | float) -> NDArray[np.bool_]:
    """Whether the live weight [...] is a quorum of the total, bool [...]."""
    return live > QUORUM * np.asarray(total) * (1 + TOLERANCE)


def domain_table(fleet: Fleet) -> DomainTable:
    """All domains with their weight: those that nodes share, of every kind, and every node's own machine."""
    codes = fleet.domain.copy()
    site = fleet.kinds.index(SITE)
    private = codes[:, site] == PRIVATE
    codes[private, site] = len(fleet.names[site]) + np.flatnonzero(private)
    kinds: list[Ints] = []
    indices: list[Ints] = []
    weights: list[Floats] = []
    for k in range(len(fleet.kinds)):
        present, place = np.unique(codes[:, k], return_inverse=True)
        held = sums_by(place.ravel(), fleet.weight)
        real = present >= 0
        kinds.append(np.full(int(real.sum()), k))
        indices.append(present[real])
        weights.append(held[real])
    weight = np.concatenate(weights)
    order = np.argsort(-weight, kind="stable")
    return DomainTable(np.concatenate(kinds)[order], np.concatenate(indices)[order], weight[order], codes)


def survival(fleet: Fleet) -> Survival:
    """N-1 and N-2 of the quorum over all dependencies of the fleet."""
    table = domain_table(fleet)
    total = float(fleet.weight.sum())
    first, second, lost_pair = _worst_pair(fleet, table, total)
    n1_live = 1 - float(table.weight[0]) / total
    n2_live = max(0.0, 1 - lost_pair / total)
    return Survival(
        worst=_name(fleet, table, 0),
        worst_pair=(_name(fleet, table, first), _name(fleet, table, second)),
        n1_live=n1_live,
        n2_live=n2_live,
        n1_survives=bool(has_quorum(np.array(n1_live), 1.0)),
        n2_survives=bool(has_quorum(np.array(n2_live), 1.0)),
    )


def n1_live_without(fleet: Fleet) -> Floats:
    """Share [N] of the remaining weight that survives the worst dependency once each node has left; 0 for one node."""
    table = domain_table(fleet)
    n, k = len(fleet.nodes), len(fleet.kinds)
    weight, total = fleet.weight, fleet.weight.sum()
    lost = np.zeros(n)
    pending = np.arange(n)
    for kind, index, held in zip(table.kind[: k + 1], table.number[: k + 1], table.weight[: k + 1], strict=True):
        member = table.codes[pending, kind] == index
        lost[pending[~member]] = np.maximum(lost[pending[~member]], held)
        lost[pending[member]] = np.maximum(lost[pending[member]], held - weight[pending[member]])
        pending = pending[member]
        if not len(pending):
            break
    rest = total - weight
    return np.divide(rest - lost, rest, out=np.zeros(n), where=rest > TOLERANCE * total)


def _worst_pair(fleet: Fleet, table: DomainTable, total: float) -> tuple[int, int, float]:
    """Positions of the two domains with the heaviest union, and its weight; one domain twice if no second adds any.

    A pair weighs at most the sum of both, so the search goes from heavy to light and ends when the next sum cannot win.
    """
    best = (0, 0, float(table.weight[0]))
    for a in range(len(table.weight) - 1):
        if min(table.weight[a] + table.weight[a + 1], total) <= best[2] * (1 + 1e-15):
            break
        inside = table.codes[:, table.kind[a]] == table.number[a]
        union = table.weight[a] + table.weight
        for k in range(len(fleet.kinds)):
            rows = np.flatnonzero(table.kind == k)
            codes = table.codes[inside, k]
            both = np.bincount(codes[codes >= 0], weights=fleet.weight[inside][codes >= 0])
            met = table.number[rows] < len(both)
            union[rows[met]] -= both[table.number[rows[met]]]
        union[a] = -1.0
        b = int(union.argmax())
        if union[b] > best[2]:
            best = (a, b, float(union[b]))
    return best


def _name(fleet: Fleet, table: DomainTable, position: int) -> Domain:
    """The domain at a position of the table, with its names."""
    kind, index = int(table.kind[position]), int(table.number[position])
    shared = len(fleet.names[kind])
    name = fleet.names[kind][index] if index < shared else fleet.nodes[index - shared]
    return Domain(fleet.kinds[kind], name, float(table.weight[position]))
