"""Growth of a fleet: n_eff as nodes are added, as listed or greedily, and which candidate nodes to add first."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from og_env.trust.failure_correlation import Floats, Ints, sums_by
from og_env.trust.fleet import Fleet, join
from og_env.trust.pair_sums import Pairs, pairs, prefix_n_eff, type_sums

BATCH_SHARES = (1 / 50, 1 / 20, 1 / 8, 1 / 3)
"""A greedy order adds this share of the nodes it has at once, at most one node of each type."""
WORK = 60_000_000
"""Pair terms that a greedy order may touch, about a second of work; it uses the smallest share that stays within."""
MAX_STEPS = 1000
"""Largest number of additions of candidates that are worked out."""


class Curve(NamedTuple):
    """Effective independent nodes against the number of nodes, at P points."""

    nodes: Ints
    """int64 [P] number of nodes"""
    n_eff: Floats
    """float64 [P] effective independent nodes of the fleet of so many nodes"""


class Addition(NamedTuple):
    """One step of adding candidates to a fleet."""

    candidate: int
    """position of the added node among the candidates"""
    n_eff: float
    """effective independent nodes of the fleet with it"""
    gain: float
    """growth of n_eff by this step, negative where the node lowers it"""
    usd: float | None
    """price of the node in dollars, None if candidates have no price"""
    gain_per_usd: float | None
    """`gain` over `usd`, None without a price or where it is 0"""


def curve_as_listed(fleet: Fleet, shared: Pairs) -> Curve:
    """The curve of n_eff of the first 1, 2, ... nodes in the fleet's order, from `shared = pairs(fleet)`."""
    order = np.arange(len(fleet.nodes))
    return Curve(order + 1, prefix_n_eff(fleet, shared, order))


def curve_greedy(fleet: Fleet, shared: Pairs) -> Curve:
    """The curve of n_eff when the node that raises it most always comes next.

    Nodes are added one at a time at first, later in batches of a share of the nodes there are (BATCH_SHARES), best first.
    `shared` is `pairs(fleet)`.
    """
    builder = _Builder(fleet, shared)
    share = _batch_share(len(fleet.nodes), sum(len(overlap.types) for overlap in builder.pairs.overlaps))
    left = np.ones(len(fleet.nodes), bool)
    points = [(0, 0.0)]
    while left.any():
        value = np.where(left, builder.n_eff_with_each(), -np.inf)
        batch = max(1, int(points[-1][0] * share))
        best = np.argsort(-value, kind="stable")[: int(left.sum())]
        _, first = np.unique(builder.of_node[best], return_index=True)
        chosen = best[np.sort(first)[:batch]]
        builder.add(chosen)
        left[chosen] = False
        points.append((points[-1][0] + len(chosen), builder.n_eff()))
    nodes, n_eff = zip(*points[1:], strict=True)
    return Curve(np.array(nodes), np.array(n_eff))


def _batch_share(nodes: int, terms: int) -> float:
    """The smallest of BATCH_SHARES whose steps, about (1 + log(share nodes)) / share, touch at most WORK pair terms."""
    for share in BATCH_SHARES:
        if (1 + math.log(max(1.0, share * nodes))) / share * terms <= WORK:
            return share
    return BATCH_SHARES[-1]


def best_additions(
    fleet: Fleet, candidates: Fleet, price_usd: Floats | None = None, max_steps: int = MAX_STEPS
) -> list[Addition]:
    """The order in which to add candidates: at each step the one with the largest gain of n_eff, per dollar if priced.

    Among candidates that gain nothing the one that loses least comes first. `price_usd` [C] must not be negative.
    """
    both = join(fleet, candidates)
    here = len(fleet.nodes)
    builder = _Builder(both, pairs(both))
    builder.add(np.arange(here))
    left = np.concatenate([np.zeros(here, bool), np.ones(len(candidates.nodes), bool)])
    price = None if price_usd is None else np.concatenate([np.zeros(here), price_usd])
    steps: list[Addition] = []
    for _ in range(min(max_steps, len(candidates.nodes))):
        before = builder.n_eff()
        gain = builder.n_eff_with_each() - before
        score = gain if price is None else np.where(gain > 0, gain / np.maximum(price, 1e-12), gain)
        chosen = int(np.where(left, score, -np.inf).argmax())
        builder.add(np.array([chosen]))
        left[chosen] = False
        usd = None if price is None else float(price[chosen])
        bought = float(gain[chosen]) / usd if usd else None
        steps.append(Addition(chosen - here, builder.n_eff(), float(gain[chosen]), usd, bought))
    return steps


class _Builder:
    """A fleet under construction, with running sums from which n_eff with any further node follows at once."""

    def __init__(self, fleet: Fleet, shared: Pairs) -> None:
        self.fleet = fleet
        self.pairs = shared
        self.of_node = self.pairs.types.of_node
        self.mass = fleet.weight * self.pairs.scale[self.of_node]
        self.shared = np.zeros(len(self.pairs.types.size))
        """float64 [G] sum of mass_j expm1(s_gj) over the nodes j that have joined, for type g"""
        self.weight = 0.0
        self.spread = 0.0

    def n_eff(self) -> float:
        return self.weight**2 / self.spread if self.spread > 0 else 0.0

    def n_eff_with_each(self) -> Floats:
        """n_eff [N] of the nodes that have joined and one further node each."""
        spread = self.spread + self.fleet.weight**2 + 2 * self.mass * self.shared[self.of_node]
        total = (self.weight + self.fleet.weight) ** 2
        return np.divide(total, spread, out=np.zeros_like(total), where=spread > 0)

    def add(self, nodes: Ints) -> None:
        """Let the nodes at these positions join."""
        mass, types = self.mass[nodes], self.of_node[nodes]
        if len(nodes) == 1:
            new, among_new = self._shared_with(int(types[0]), float(mass[0])), 0.0
        else:
            new = type_sums(self.pairs, sums_by(types, mass, len(self.shared)))
            among_new = float(mass @ (new[types] - mass * self.pairs.self_factor[types]))
        self.spread += float(np.sum(self.fleet.weight[nodes] ** 2) + 2 * mass @ self.shared[types] + among_new)
        self.weight += float(self.fleet.weight[nodes].sum())
        self.shared += new

    def _shared_with(self, g: int, mass: float) -> Floats:
        """The change of `shared` [G] when one node of type g with this mass joins."""
        types = self.pairs.types
        same = (types.domain == types.domain[g]) & (types.domain >= 0)
        return mass * np.expm1((same * types.load * types.hit) @ types.hit[g])
