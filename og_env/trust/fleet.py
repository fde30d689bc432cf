"""A fleet as numbers: which node stands on which fault domain, and the groups of nodes that stand on the same ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from og_env.scenario.specs import Effect, FailureKind
from og_env.trust.failure_correlation import COUNTED_EFFECTS, Floats, Ints, active_shocks

PRIVATE = -1
"""domain index of a dependency that is shared with no other node"""
SITE = "site"
"""the node's own machine"""
MAX_ACTIVE_SHOCKS = 300.0
"""on one node: beyond it the node is never up and correlations are not defined in float64"""

FailureOf = Callable[[str, str], FailureKind | None]
"""(kind's label, domain's name or "" for a private one) -> failure parameters, e.g. og_env.scenario.catalog.failure_kind"""


class Fleet(NamedTuple):
    """Nodes and what they stand on; N nodes, K kinds of dependency."""

    nodes: tuple[str, ...]
    """[N] names"""
    kinds: tuple[str, ...]
    """[K] labels of the kinds; the last one is `site`"""
    names: tuple[tuple[str, ...], ...]
    """[K][domains of the kind] names of the domains"""
    domain: Ints
    """[N, K] index of the node's domain within its kind, PRIVATE where nobody else shares it"""
    load: Floats
    """[N, K] mean number of active shocks of that domain; 0 where the node has no such dependency"""
    hit: Floats
    """[N, K] probability that a shock of the domain hits the node"""
    weight: Floats
    """[N] vote or stake"""


class Types(NamedTuple):
    """Nodes that are equal in domains, loads and hit probabilities; G types, H profiles of hit probabilities."""

    of_node: Ints
    """[N] type of each node"""
    size: Ints
    """[G] nodes of the type"""
    domain: Ints
    """[G, K]"""
    load: Floats
    """[G, K]"""
    hit: Floats
    """[G, K]"""
    profile: Ints
    """[G] row of `profiles` that is the type's hit probabilities"""
    profiles: Floats
    """[H, K]"""


def build_fleet(
    nodes: Sequence[str],
    columns: Mapping[str, Sequence[str | None]],
    failure_of: FailureOf,
    *,
    weight: ArrayLike | None = None,
    host_class: Sequence[str] | None = None,
    effects: Collection[Effect] = COUNTED_EFFECTS,
) -> Fleet:
    """A fleet from one column of domain names per kind.

    An empty name is a dependency that the node has but shares with nobody (a missing value); None is a dependency that
    the node does not have. A kind without failure parameters counts in concentrations and N-1 but sends no shocks. Raises
    ValueError for lengths, weights and rates that cannot be.
    """
    labels = [label for label in columns if label != SITE] + [SITE]
    names, domain, load, hit = [], [], [], []
    for label in labels:
        column = columns.get(label, [""] * len(nodes))
        if len(column) != len(nodes):
            raise ValueError(f"column {label} has {len(column)} values for {len(nodes)} nodes")
        kind_names, index = _encode(column)
        failures = [failure_of(label, name) for name in (*kind_names, "")]
        active = np.array([active_shocks(failure, effects) if failure else 0.0 for failure in failures])
        has = np.array([value is not None for value in column])
        names.append(kind_names)
        domain.append(index)
        load.append(np.where(has, active[index], 0.0))
        hit.append(_hit_probability(failures, index, host_class))
    fleet = Fleet(
        nodes=tuple(nodes),
        kinds=tuple(labels),
        names=tuple(names),
        domain=np.stack(domain, axis=1),
        load=np.stack(load, axis=1),
        hit=np.stack(hit, axis=1),
        weight=np.ones(len(nodes)) if weight is None else np.asarray(weight, float),
    )
    _check(fleet)
    return fleet


def join(fleet: Fleet, other: Fleet) -> Fleet:
    """Both fleets as one: domains of the same kind and name, upper or lower case, are the same.

    ValueError for fleets that differ in kinds.
    """
    if fleet.kinds != other.kinds:
        raise ValueError(f"fleets differ in kinds: {', '.join(fleet.kinds)} and {', '.join(other.kinds)}")
    names, moved = [], other.domain.copy()
    for k in range(len(fleet.kinds)):
        index = {name: i for i, name in enumerate(fleet.names[k])}
        spelled = {name.casefold(): name for name in reversed(fleet.names[k])}
        there = [name if name in index else spelled.get(name.casefold(), name) for name in other.names[k]]
        renumber = np.array([index.setdefault(name, len(index)) for name in there], np.int64)
        shared = other.domain[:, k] >= 0
        moved[shared, k] = renumber[other.domain[shared, k]]
        names.append(tuple(index))
    return fleet._replace(
        nodes=fleet.nodes + other.nodes,
        names=tuple(names),
        domain=np.vstack([fleet.domain, moved]),
        load=np.vstack([fleet.load, other.load]),
        hit=np.vstack([fleet.hit, other.hit]),
        weight=np.concatenate([fleet.weight, other.weight]),
    )


def select(fleet: Fleet, index: ArrayLike) -> Fleet:
    """The nodes of `index` (positions or a boolean mask), in that order; domains keep their numbers."""
    rows = np.arange(len(fleet.nodes))[np.asarray(index)]
    return fleet._replace(
        nodes=tuple(fleet.nodes[i] for i in rows),
        domain=fleet.domain[rows],
        load=fleet.load[rows],
        hit=fleet.hit[rows],
        weight=fleet.weight[rows],
    )


def node_types(fleet: Fleet) -> Types:
    """Groups of nodes with identical signatures."""
    profiles, profile = np.unique(fleet.hit, axis=0, return_inverse=True)
    _, loads = np.unique(fleet.load, axis=0, return_inverse=True)
    signature = np.column_stack([fleet.domain, profile.ravel(), loads.ravel()])
    _, first, of_node, size = np.unique(signature, axis=0, return_index=True, return_inverse=True, return_counts=True)
    return Types(
        of_node=of_node.ravel(),
        size=size,
        domain=fleet.domain[first],
        load=fleet.load[first],
        hit=fleet.hit[first],
        profile=profile.ravel()[first],
        profiles=profiles,
    )


def dense(fleet: Fleet) -> tuple[Floats, Floats]:
    """The fleet as (hit [N, D], load [D]) over all its domains, private ones included; for small fleets."""
    columns, loads = [], []
    for k in range(len(fleet.kinds)):
        own = np.flatnonzero(fleet.domain[:, k] == PRIVATE)
        groups = [np.array([i]) for i in own]
        groups += [np.flatnonzero(fleet.domain[:, k] == d) for d in np.unique(fleet.domain[:, k]) if d >= 0]
        for members in groups:
            column = np.zeros(len(fleet.nodes))
            column[members] = fleet.hit[members, k] * (fleet.load[members, k] > 0)
            columns.append(column)
            loads.append(fleet.load[members, k].max())
    return np.stack(columns, axis=1), np.array(loads)


def _encode(column: Sequence[str | None]) -> tuple[tuple[str, ...], Ints]:
    """Names of the domains in order of appearance and the index of each value."""
    index: dict[str, int] = {}
    codes = [index.setdefault(value, len(index)) if value else PRIVATE for value in column]
    return tuple(index), np.array(codes, np.int64)


def _hit_probability(failures: Sequence[FailureKind | None], index: Ints, host_class: Sequence[str] | None) -> Floats:
    """[N] from the parameters of each domain, those of private ones last."""
    usual = np.array([failure.hit_probability if failure else 0.0 for failure in failures])[index]
    if host_class is None or not any(failure and failure.hit_by_host_class for failure in failures):
        return usual
    tables = [cast(dict[str, float], failure.hit_by_host_class) if failure else {} for failure in failures]
    return np.array([tables[i].get(host, p) for i, host, p in zip(index, host_class, usual, strict=True)])


def _check(fleet: Fleet) -> None:
    if not fleet.nodes:
        raise ValueError("the fleet has no nodes")
    if fleet.weight.shape != (len(fleet.nodes),):
        raise ValueError(f"weights have shape {fleet.weight.shape} for {len(fleet.nodes)} nodes")
    if not np.all(np.isfinite(fleet.weight) & (fleet.weight >= 0)) or fleet.weight.sum() <= 0:
        raise ValueError("weights must be finite, not negative and not all 0")
    active = (fleet.load * fleet.hit).sum(axis=1)
    if active.max() > MAX_ACTIVE_SHOCKS:
        node = fleet.nodes[int(active.argmax())]
        raise ValueError(f"node {node} has {active.max():g} active shocks on average; at most {MAX_ACTIVE_SHOCKS:g}")
