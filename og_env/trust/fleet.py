"""A fleet of nodes as arrays: the fault domains that each node depends on, and how often these fail."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from og_env.scenario.specs import Effect, FailureKind
from og_env.trust.failure_correlation import COUNTED_EFFECTS, Floats, Ints, active_shocks, ranks

PRIVATE = -1
"""The index in `Fleet.domain` of a dependency that a node shares with no other node."""
SITE = "site"
"""The label of the kind whose domains are the nodes' own machines."""
MAX_ACTIVE_SHOCKS = 300.0
"""Most active shocks on one node; with more it is never up, and correlations are not defined in float64."""

FailureOf = Callable[[str, str], FailureKind | None]
"""Failure parameters of a domain by its kind's label and its name, which is "" for a single node's domain."""


class Fleet(NamedTuple):
    """N nodes and their dependencies of K kinds; a domain is what the nodes that share a dependency have in common."""

    nodes: tuple[str, ...]
    """[N] names of the nodes"""
    kinds: tuple[str, ...]
    """[K] labels of the kinds; the last one is `site`"""
    names: tuple[tuple[str, ...], ...]
    """[K] for each kind the names of its domains"""
    domain: Ints
    """int64 [N, K] index of the node's domain in `names` of its kind, PRIVATE where nobody else shares it"""
    load: Floats
    """float64 [N, K] mean number of active shocks of the node's domain; 0 where the node has no such dependency"""
    hit: Floats
    """float64 [N, K] probability that a shock of the node's domain hits the node"""
    weight: Floats
    """float64 [N] votes or stake"""


class Types(NamedTuple):
    """G types of nodes, equal in domains, loads and hit probabilities, of which there are H distinct rows."""

    of_node: Ints
    """int64 [N] type of each node"""
    size: Ints
    """int64 [G] number of nodes of each type"""
    domain: Ints
    """int64 [G, K] `Fleet.domain` of the nodes of each type"""
    load: Floats
    """float64 [G, K] `Fleet.load` of the nodes of each type"""
    hit: Floats
    """float64 [G, K] `Fleet.hit` of the nodes of each type"""
    profile: Ints
    """int64 [G] row of `profiles` that equals the type's hit probabilities"""
    profiles: Floats
    """float64 [H, K] distinct rows of hit probabilities"""


def build_fleet(
    nodes: Sequence[str],
    columns: Mapping[str, Sequence[str | None]],
    failure_of: FailureOf,
    *,
    weight: ArrayLike | None = None,
    host_class: Sequence[str] | None = None,
    effects: Collection[Effect] = COUNTED_EFFECTS,
) -> Fleet:
    """The fleet of N nodes from one column [N] of domain names for each kind of dependency.

    An empty name is a dependency that the node has but shares with nobody (a missing value); None is a dependency that
    the node does not have. A kind without failure parameters counts in concentrations and N-1 but sends no shocks. Weights
    [N] are 1 unless given, and `host_class` [N] selects hit probabilities where a kind has them by host class. Raises
    ValueError for columns of another length, impossible weights, an empty fleet and rates beyond MAX_ACTIVE_SHOCKS.
    """
    labels = [label for label in columns if label != SITE] + [SITE]
    names: list[tuple[str, ...]] = []
    domain: list[Ints] = []
    load: list[Floats] = []
    hit: list[Floats] = []
    for label in labels:
        column = columns.get(label, [""] * len(nodes))
        if len(column) != len(nodes):
            raise ValueError(f"column {label} has {len(column)} values for {len(nodes)} nodes")
        kind_names, index = _encode(column)
        failures = [failure_of(label, name) for name in (*kind_names, "")]
        known = {id(failure): active_shocks(failure, effects) for failure in {id(f): f for f in failures if f}.values()}
        active = np.array([known[id(failure)] if failure else 0.0 for failure in failures])
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
    """Both fleets as one, in which domains of the same kind and name, in upper or lower case, are the same domain.

    Raises ValueError for fleets that differ in their kinds.
    """
    if fleet.kinds != other.kinds:
        raise ValueError(f"fleets differ in kinds: {', '.join(fleet.kinds)} and {', '.join(other.kinds)}")
    names: list[tuple[str, ...]] = []
    moved = other.domain.copy()
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
    """The fleet of the nodes at `index` (positions or a boolean mask), in that order; domains keep their numbers."""
    rows = np.arange(len(fleet.nodes), dtype=np.int64)[np.asarray(index)]
    return fleet._replace(
        nodes=tuple(fleet.nodes[i] for i in rows),
        domain=fleet.domain[rows],
        load=fleet.load[rows],
        hit=fleet.hit[rows],
        weight=fleet.weight[rows],
    )


def node_types(fleet: Fleet) -> Types:
    """Group the nodes by their domains, loads and hit probabilities."""
    profile, loads = _row_ranks(fleet.hit), _row_ranks(fleet.load)
    of_node = _row_ranks(np.column_stack([fleet.domain, profile, loads]))
    _, first, size = np.unique(of_node, return_index=True, return_counts=True)
    return Types(
        of_node=of_node,
        size=size,
        domain=fleet.domain[first],
        load=fleet.load[first],
        hit=fleet.hit[first],
        profile=profile[first],
        profiles=fleet.hit[np.unique(profile, return_index=True)[1]],
    )


def _row_ranks(rows: Floats | Ints) -> Ints:
    """Rank [N] of each row of [N, K] among the distinct ones, the first column first; a column at a time is fastest."""
    rank = np.zeros(len(rows), np.int64)
    for column in rows.T:
        values, number = np.unique(column, return_inverse=True)
        if len(values) > 1:
            rank = ranks(rank * len(values) + number.ravel())
    return rank


def dense(fleet: Fleet) -> tuple[Floats, Floats]:
    """Hit probabilities [N, D] and active shocks [D] over all D domains, those of single nodes included.

    The arrays are those of `correlation_matrix`; their size limits this to small fleets.
    """
    columns: list[Floats] = []
    loads: list[float] = []
    for k in range(len(fleet.kinds)):
        own = np.flatnonzero(fleet.domain[:, k] == PRIVATE)
        groups = [np.array([i]) for i in own]
        groups += [np.flatnonzero(fleet.domain[:, k] == d) for d in np.unique(fleet.domain[:, k]) if d >= 0]
        for members in groups:
            column = np.zeros(len(fleet.nodes))
            column[members] = fleet.hit[members, k] * (fleet.load[members, k] > 0)
            columns.append(column)
            loads.append(float(fleet.load[members, k].max()))
    return np.stack(columns, axis=1), np.array(loads)


def _encode(column: Sequence[str | None]) -> tuple[tuple[str, ...], Ints]:
    """Names of the domains in order of appearance, and the index of each value [N] among them."""
    index: dict[str, int] = {}
    codes = [index.setdefault(value, len(index)) if value else PRIVATE for value in column]
    return tuple(index), np.array(codes, np.int64)


def _hit_probability(failures: Sequence[FailureKind | None], index: Ints, host_class: Sequence[str] | None) -> Floats:
    """Hit probabilities [N] from the failure parameters of each domain and, last, of a domain of a single node."""
    usual = np.array([failure.hit_probability if failure else 0.0 for failure in failures])[index]
    if host_class is None or not any(failure and failure.hit_by_host_class for failure in failures):
        return usual
    rows = zip((failures[i] for i in index), host_class, usual, strict=True)
    return np.array([failure.hit_by_host_class.get(cast(Any, host), p) if failure else p for failure, host, p in rows])


def _check(fleet: Fleet) -> None:
    """Raise ValueError for a fleet without nodes, with impossible weights or with too many active shocks on a node."""
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
