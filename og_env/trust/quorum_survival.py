"""Does the quorum survive when any one dependency breaks, or any two? By weight, exactly.

Broken means that every node on the dependency stops voting, whatever the hit probability: the worst case, not the usual one.
The quorum holds while the live weight is more than two thirds of all weight; for n equal nodes that is
floor(2 n / 3) + 1 of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from og_env.trust.failure_correlation import Floats, Ints
from og_env.trust.fleet import PRIVATE, SITE, Fleet

QUORUM = 2 / 3
TOLERANCE = 1e-9
"""relative; live weight within it of the threshold counts as equal to it, which is not enough"""


class Domain(NamedTuple):
    kind: str
    name: str
    weight: float


class Survival(NamedTuple):
    worst: Domain
    """the dependency that carries most weight"""
    worst_pair: tuple[Domain, Domain]
    """the two that together carry most; a node on both counts once"""
    n1_live: float
    """share of the weight that votes without the worst one"""
    n2_live: float
    """share without the worst pair"""
    n1_survives: bool
    n2_survives: bool


class DomainTable(NamedTuple):
    """Every domain of the fleet, heaviest first; D domains."""

    kind: Ints
    """[D] index of the kind"""
    number: Ints
    """[D] index within the kind; for a private machine the node's position, counted from the end of the shared ones"""
    weight: Floats
    """[D]"""
    codes: Ints
    """[N, K] like `Fleet.domain`, private machines numbered"""


def has_quorum(live: Floats, total: Floats | float) -> np.ndarray:
    """Whether live weight [...] is a quorum of the total."""
    return live > QUORUM * np.asarray(total) * (1 + TOLERANCE)


def domain_table(fleet: Fleet) -> DomainTable:
    """All domains with their weight: shared ones of every kind and every node's own machine."""
    codes = fleet.domain.copy()
    site = fleet.kinds.index(SITE)
    private = codes[:, site] == PRIVATE
    codes[private, site] = len(fleet.names[site]) + np.flatnonzero(private)
    kinds, indices, weights = [], [], []
    for k in range(len(fleet.kinds)):
        present, place = np.unique(codes[:, k], return_inverse=True)
        held = np.bincount(place.ravel(), weights=fleet.weight)
        real = present >= 0
        kinds.append(np.full(real.sum(), k))
        indices.append(present[real])
        weights.append(held[real])
    weight = np.concatenate(weights)
    order = np.argsort(-weight, kind="stable")
    return DomainTable(np.concatenate(kinds)[order], np.concatenate(indices)[order], weight[order], codes)


def survival(fleet: Fleet) -> Survival:
    """N-1 and N-2 over all dependencies."""
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
    """[N] share of the remaining weight that survives the worst single dependency once a node has left; 0 with one node."""
    table = domain_table(fleet)
    n, k = table.codes.shape
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
    """Positions of the two domains with the heaviest union, and that weight; one domain twice where there is only one.

    A pair weighs at most the sum of both, so heaviest first the search ends when the next sum cannot win.
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
    kind, index = int(table.kind[position]), int(table.number[position])
    shared = len(fleet.names[kind])
    name = fleet.names[kind][index] if index < shared else fleet.nodes[index - shared]
    return Domain(fleet.kinds[kind], name, float(table.weight[position]))
