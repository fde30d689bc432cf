"""Sums over all pairs of nodes, and n_eff from them, without a matrix of pairs: linear in the number of nodes.

With s_ij the shared active shocks of two nodes, expm1(s_ij) expands into a sum over the non-empty sets T of kinds in
which both stand on the same domain:

    exp(sum_k s_ij^k) - 1 = sum over T of prod_{k in T} expm1(s_ij^k),

so that sum_j m_j expm1(s_ij) is, for each T, one sum over the class of nodes that share all of T. This is exact. `pairs`
lists the classes of every T once and drops nodes that share T with nobody on the way down.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.trust.failure_correlation import Floats, Ints, sums_by
from og_env.trust.fleet import Fleet, Types, node_types


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
    for profile in range(len(types.profiles)):
        strength = np.expm1(types.load * types.hit * types.profiles[profile])
        everyone = np.arange(len(types.size))
        _descend(types, profile, strength, 0, everyone, np.zeros_like(everyone), np.ones(len(everyone)), found)
    active = (types.load * types.hit).sum(axis=1)
    grown = np.sqrt(np.expm1(active))
    scale = np.divide(1.0, grown, out=np.zeros_like(grown), where=grown > 0)
    self_factor = np.zeros(len(types.size))
    for overlap in found:
        self_factor[overlap.types] += overlap.factor * overlap.source
    return Pairs(types, tuple(found), scale, self_factor)


def _descend(
    types: Types,
    profile: int,
    strength: Floats,
    first_kind: int,
    members: Ints,
    group: Ints,
    factor: Floats,
    found: list[Overlap],
) -> None:
    """Append the overlaps of every T that extends the current one by kinds from `first_kind` on."""
    for k in range(first_kind, types.domain.shape[1]):
        keep = (types.domain[members, k] >= 0) & (strength[members, k] > 0)
        if not keep.any():
            continue
        inner, inner_factor = members[keep], factor[keep] * strength[members[keep], k]
        joint = group[keep] * (types.domain[:, k].max() + 1) + types.domain[inner, k]
        inner_group = np.unique(joint, return_inverse=True)[1].ravel()
        several = np.bincount(inner_group, weights=types.size[inner]) >= 2
        if not several.any():
            continue
        company = several[inner_group]
        inner, inner_factor = inner[company], inner_factor[company]
        inner_group = (np.cumsum(several) - 1)[inner_group[company]]
        found.append(Overlap(inner, inner_group, inner_factor, types.profile[inner] == profile))
        _descend(types, profile, strength, k + 1, inner, inner_group, inner_factor, found)


def type_sums(shared: Pairs, mass: Floats) -> Floats:
    """Sum [G] of mass_j expm1(s_gj) over all nodes j, from the mass [G] of the nodes of each type together."""
    total = np.zeros(len(mass))
    for overlap in shared.overlaps:
        inside = sums_by(overlap.group, mass[overlap.types] * overlap.source)
        total[overlap.types] += overlap.factor * inside[overlap.group]
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
    total = np.zeros(len(order))
    place = np.empty(len(shared.types.size), np.int64)
    for overlap in shared.overlaps:
        place.fill(-1)
        place[overlap.types] = np.arange(len(overlap.types))
        row = place[types]
        taking_part = np.flatnonzero(row >= 0)
        row = row[taking_part]
        group = overlap.group[row]
        small = group.astype(np.uint16) if overlap.group.max() < 65_536 else group
        by_group = np.argsort(small, kind="stable")
        sorted_mass = (ordered_mass[taking_part] * overlap.source[row])[by_group]
        before = np.cumsum(sorted_mass) - sorted_mass
        sorted_group = group[by_group]
        opens = np.flatnonzero(np.diff(sorted_group, prepend=-1))
        sizes = np.diff(np.append(opens, len(sorted_group)))
        before -= np.repeat(before[opens], sizes)
        total[taking_part[by_group]] += overlap.factor[row[by_group]] * before
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
