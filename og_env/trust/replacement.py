"""The best replacements: which node to swap for which other, so that the fleet of the same size behaves like most nodes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from og_env.trust.failure_correlation import Floats
from og_env.trust.fleet import Fleet, join, select
from og_env.trust.marginal_contribution import leave_one_out
from og_env.trust.pair_sums import fleet_n_eff, pair_sums, pairs

TRIED = 400
"""Types of nodes that are tried, out and in: those that cost least and those that bring most on their own."""


class Replacement(NamedTuple):
    """One swap of two nodes of equal weight."""

    out: str
    """name of the node that leaves"""
    into: str
    """name of the candidate that comes, or of the node of the fleet that another one like it joins"""
    n_eff: float
    """effective independent nodes after this swap, and those before it"""
    gain: float
    """growth of n_eff by this swap"""


def best_replacements(fleet: Fleet, candidates: Fleet | None = None, swaps: int = 2) -> list[Replacement]:
    """The swaps that raise n_eff most, each after the one before it; fewer where none raises it any more.

    Without candidates, another node like any of the fleet's own types may come. The one that comes has the weight of the one
    that leaves. Each swap is the best of all pairs of the TRIED types that cost least to lose and of the TRIED that bring most.
    """
    offered = fleet if candidates is None else candidates
    found: list[Replacement] = []
    for _ in range(swaps):
        if len(fleet.nodes) < 2:
            break
        out, into, after, before = _best(fleet, offered)
        if after <= before * (1 + 1e-9):
            break
        found.append(Replacement(fleet.nodes[out], offered.nodes[into], after, after - before))
        rest = select(fleet, np.arange(len(fleet.nodes)) != out)
        new = select(offered, [into])._replace(weight=fleet.weight[[out]])
        fleet = join(rest, new._replace(nodes=(f"{new.nodes[0]} (new)",)))
        if candidates is not None:
            offered = select(offered, np.arange(len(offered.nodes)) != into)
            if not offered.nodes:
                break
    return found


def _best(fleet: Fleet, offered: Fleet) -> tuple[int, int, float, float]:
    """Positions of the node that leaves and of the one that comes, and n_eff after and before."""
    both = join(fleet, offered._replace(nodes=tuple(f"{name} (new)" for name in offered.nodes)))
    here = len(fleet.nodes)
    shared = pairs(both)
    kind = shared.types.of_node
    before = fleet_n_eff(fleet)
    scale = shared.scale[kind]
    mass = np.concatenate([fleet.weight * scale[:here], np.zeros(len(offered.nodes))])
    with_fleet = pair_sums(shared, mass)
    leaving = _distinct(kind[:here] * (here + 1) + np.unique(fleet.weight, return_inverse=True)[1].ravel())
    leaving = leaving[np.argsort(leave_one_out(fleet, pairs(fleet))[leaving], kind="stable")[:TRIED]]
    coming = here + _distinct(kind[here:])
    coming = coming[np.argsort((scale * with_fleet)[coming], kind="stable")[:TRIED]]
    total = float(fleet.weight.sum())
    spread = total**2 / before
    types = shared.types
    domain, load, hit = types.domain[kind[coming]], types.load[kind[coming]], types.hit[kind[coming]]
    best = (0, 0, 0.0)
    for out in leaving:
        weight, own = float(fleet.weight[out]), kind[out]
        rest = spread - weight**2 - 2 * mass[out] * with_fleet[out]
        same = (domain == types.domain[own]) & (domain >= 0)
        with_out: Floats = np.expm1(np.sum(same * load * hit * types.hit[own], axis=1))
        new = rest + weight**2 + 2 * weight * scale[coming] * (with_fleet[coming] - mass[out] * with_out)
        values = total**2 / np.maximum(new, total**2 / here / 1e6)
        at = int(values.argmax())
        if values[at] > best[2]:
            best = (int(out), int(coming[at]) - here, float(values[at]))
    return best[0], best[1], best[2], before


def _distinct(key: np.ndarray) -> np.ndarray:
    """Positions of the first of each value."""
    return np.unique(key, return_index=True)[1]
