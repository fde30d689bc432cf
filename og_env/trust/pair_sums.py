"""Sums over all pairs of nodes, and n_eff from them, without a matrix of pairs: linear in the number of nodes.

With s_ij the shared active shocks of two nodes, expm1(s_ij) expands into a sum over the non-empty sets T of kinds in
which both stand on the same domain:

    exp(sum_k s_ij^k) - 1 = sum over T of prod_{k in T} expm1(s_ij^k),

so that sum_j m_j expm1(s_ij) is, for each T, one sum over the class of nodes that share all of T. This is exact. `pairs`
lists the classes of every T once and drops nodes that share T with nobody on the way down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from og_env.trust.failure_correlation import Floats, Ints, ranks, sums_by
from og_env.trust.fleet import Fleet, Types, node_types

HELD = 4_000_000
"""Nodes in classes for which sums are held at once, about 100 MB."""

T = TypeVar("T")


class Overlap(NamedTuple):
    """The classes of nodes that share all domains in one set T of kinds, with m types of nodes among them.

    The factors hold for pairs whose first node, the source, has a given profile of hit probabilities.
    """

    types: Ints
    """int64 [m] types that share all of T with another node"""
    group: Ints
    """int64 [m] class of each of these types"""
    factor: Floats
    """float64 [m] prod_{k in T} expm1(load_k hit_k source_hit_k) of each of these types"""
    source: NDArray[np.bool_]
    """bool [m] whether the type itself has the source's profile"""
    first: int
    """number of the first overlap with equal types, groups and sources, as where one kind of domain lies inside another"""


class Pairs(NamedTuple):
    """The figures of a fleet with G types of nodes that every sum over pairs uses."""

    types: Types
    """groups of equal nodes"""
    overlaps: tuple[Overlap, ...]
    """classes of nodes with shared domains, for every set of kinds and every profile"""
    scale: Floats
    """float64 [G] 1 / sqrt(expm1(x)) with x the active shocks on a node of the type; 0 where it never fails"""
    self_factor: Floats
    """float64 [G] the term of the overlaps for the pair of a node with itself"""


def pairs(fleet: Fleet) -> Pairs:
    """The overlaps of a fleet, from which the other functions compute."""
    types = node_types(fleet)
    found: list[Overlap] = []
    domain = np.ascontiguousarray(types.domain.T)
    for profile, hit in enumerate(types.profiles):
        strength = np.ascontiguousarray(np.expm1(types.load * types.hit * hit).T)
        everyone = np.arange(len(types.size))
        start = Overlap(everyone, np.zeros_like(everyone), np.ones(len(everyone)), types.profile == profile, -1)
        _descend(_Search(types.size, domain, strength, found, {}), 0, start)
    active = (types.load * types.hit).sum(axis=1)
    grown = np.sqrt(np.expm1(active))
    scale = np.divide(1.0, grown, out=np.zeros_like(grown), where=grown > 0)
    self_factor = np.zeros(len(types.size))
    for overlap in found:
        self_factor[overlap.types] += overlap.factor * overlap.source
    return Pairs(types, tuple(found), scale, self_factor)


class _Search(NamedTuple):
    """The search for the overlaps of one profile."""

    size: Ints
    """[G] nodes of each type"""
    domain: Ints
    """[K, G] domain of each type by kind"""
    strength: Floats
    """[K, G] factor of a shared domain by kind"""
    found: list[Overlap]
    """grows, also by what earlier searches found"""
    known: dict[tuple[int, int], int]
    """number of the overlap whose types and groups have these hashes"""


def _descend(search: _Search, first_kind: int, outer: Overlap) -> None:
    """Append the overlaps of every T that extends that of `outer` by kinds from `first_kind` on."""
    for k in range(first_kind, len(search.domain)):
        number, strength = search.domain[k][outer.types], search.strength[k][outer.types]
        keep = np.flatnonzero((number >= 0) & (strength > 0))
        if not len(keep):
            continue
        group = ranks(outer.group[keep] * (int(search.domain[k].max()) + 1) + number[keep])
        several = np.bincount(group, weights=search.size[outer.types[keep]]) >= 2
        if not several.any():
            continue
        company = np.flatnonzero(several[group])
        keep, group = keep[company], (np.cumsum(several) - 1)[group[company]]
        factor = outer.factor[keep] * strength[keep]
        inner = _known_or_new(search, Overlap(outer.types[keep], group, factor, outer.source[keep], len(search.found)))
        search.found.append(inner)
        _descend(search, k + 1, inner)


def _known_or_new(search: _Search, overlap: Overlap) -> Overlap:
    """The overlap, with the arrays of an earlier one where its types and groups are the same."""
    key = hash(overlap.types.tobytes()), hash(overlap.group.tobytes())
    known = search.found[search.known[key]] if key in search.known else overlap
    if np.array_equal(known.types, overlap.types) and np.array_equal(known.group, overlap.group):
        search.known[key] = known.first
        return known._replace(factor=overlap.factor)
    return overlap


def _with_classes(
    overlaps: tuple[Overlap, ...], nodes: int, work: Callable[[Overlap], T]
) -> Iterator[tuple[Overlap, T]]:
    """Every overlap with the result of `work`, which does not read factors and is called once for equal classes.

    Overlaps with equal classes stand near each other, so that it is enough to hold the last results, of `nodes` entries each.
    """
    held: dict[int, T] = {}
    for overlap in overlaps:
        if overlap.first not in held:
            if len(held) * nodes >= HELD:
                del held[next(iter(held))]
            held[overlap.first] = work(overlap)
        yield overlap, held[overlap.first]


def type_sums(shared: Pairs, mass: Floats) -> Floats:
    """Sum [G] of mass_j expm1(s_gj) over all nodes j, from the mass [G] of the nodes of each type together."""

    def inside(overlap: Overlap) -> Floats:
        return sums_by(overlap.group, mass[overlap.types] * overlap.source)[overlap.group]

    total = np.zeros(len(mass))
    for overlap, sums in _with_classes(shared.overlaps, len(mass), inside):
        total[overlap.types] += overlap.factor * sums
    return total


def pair_sums(shared: Pairs, mass: Floats) -> Floats:
    """Sum [N] of mass_j expm1(s_ij) over the other nodes j, from the mass [N] of each node."""
    of_node = shared.types.of_node
    of_type = sums_by(of_node, mass, len(shared.types.size))
    return type_sums(shared, of_type)[of_node] - mass * shared.self_factor[of_node]


def prefix_pair_sums(shared: Pairs, mass: Floats, order: Ints) -> Floats:
    """Sum [N] of mass_j expm1(s_ij) over the nodes j before node i, for each node i in the order [N]."""
    types = shared.types.of_node[order]
    ordered_mass = mass[order]
    place = np.empty(len(shared.types.size), np.int64)

    def earlier(overlap: Overlap) -> tuple[Ints, Ints, Floats]:
        """Places in the order, rows of the overlap there, and the mass of the same class before."""
        place.fill(-1)
        place[overlap.types] = np.arange(len(overlap.types))
        row = place[types]
        taking_part = np.flatnonzero(row >= 0)
        group = overlap.group[row[taking_part]]
        small = group.astype(np.uint16) if overlap.group.max() < 65_536 else group
        by_group = np.argsort(small, kind="stable")
        taking_part, group = taking_part[by_group], group[by_group]
        row = row[taking_part]
        mass = ordered_mass[taking_part] * overlap.source[row]
        before = np.cumsum(mass) - mass
        opens = np.append(0, 1 + np.flatnonzero(group[1:] != group[:-1]))
        before -= before[np.repeat(opens, np.bincount(group))]
        return taking_part, row, before

    total = np.zeros(len(order))
    for overlap, (taking_part, row, before) in _with_classes(shared.overlaps, len(order), earlier):
        total[taking_part] += overlap.factor[row] * before
    return total


def fleet_n_eff(fleet: Fleet, shared: Pairs | None = None) -> float:
    """Effective independent nodes of the whole fleet, (sum_i w_i)^2 / sum_ij w_i rho_ij w_j."""
    shared = shared or pairs(fleet)
    mass = fleet.weight * shared.scale[shared.types.of_node]
    spread = np.sum(fleet.weight**2) + np.sum(mass * pair_sums(shared, mass))
    return float(fleet.weight.sum() ** 2 / spread)


def prefix_n_eff(fleet: Fleet, shared: Pairs, order: Ints) -> Floats:
    """n_eff [N] of the first 1, 2, ... nodes in the order [N]; 0 while they have no weight."""
    mass = fleet.weight * shared.scale[shared.types.of_node]
    added = fleet.weight[order] ** 2 + 2 * mass[order] * prefix_pair_sums(shared, mass, order)
    spread = np.cumsum(added)
    total = np.cumsum(fleet.weight[order]) ** 2
    return np.divide(total, spread, out=np.zeros(len(order)), where=spread > 0)
