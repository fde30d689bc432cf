"""The probability that the live weight is no quorum, when nodes are up independently with given probabilities.

Most states are settled by Hoeffding's and Chernoff's bounds. In the others the answer is exact where sums of weights take few
values: their distribution is built node by node from both ends, so that each node can be left out. Elsewhere votes are drawn
under the exponential tilt that makes the threshold likely (Siegmund 1976), which keeps the relative error of rare losses small.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from og_env.trust.failure_correlation import Floats, Ints
from og_env.trust.quorum_survival import QUORUM, TOLERANCE

MAX_NODES = 256
"""Number of nodes up to which the distribution of the live weight is built."""
MAX_SUMS = 4096
"""Number of distinct sums of weights up to which the distribution of the live weight is built."""
BLOCK_SUMS = 500_000
"""Number of probabilities that are held at once: with 8 times as many, memory takes twice the time."""
NEGLIGIBLE = 1e-16
"""States in which a bound on the probability is below this count as settled."""
MIN_DRAWS, MAX_DRAWS = 2, 100_000
"""Fewest and most votes drawn in one state."""
TILTS = np.concatenate([[0.0], np.geomspace(0.02, 30.0, 15)])
"""Tilts among which the best is chosen, in units of 1 over the largest weight of a node."""


class Voters(NamedTuple):
    """Nodes grouped into V voters: the nodes of a voter have the same type and the same weight."""

    type: Ints
    """int64 [V] type of the nodes (see `Types`)"""
    weight: Floats
    """float64 [V] weight of one node"""
    size: Ints
    """int64 [V] number of nodes"""
    of_node: Ints
    """int64 [N] voter of each node"""
    sums: Sums | None
    """possible live weights, None where they are too many"""


class Sums(NamedTuple):
    """Possible live weights of the first and of the last nodes, where the nodes stand in the order of their voters."""

    voter: Ints
    """int64 [N] voter of each node in that order"""
    first: tuple[Floats, ...]
    """[N + 1] sorted sums of nodes 0 .. i-1"""
    last: tuple[Floats, ...]
    """[N + 1] sorted sums of nodes i .. N-1"""


class Lost(NamedTuple):
    """Probability of no quorum in each of S states, with all nodes and with one node less."""

    probability: Floats
    """float64 [S] probability that there is no quorum"""
    variance: Floats
    """float64 [S] variance of `probability`, 0 where it is exact"""
    without: Floats
    """float64 [S, V] probability of no quorum once one node of the voter has left the fleet"""


def voters(weight: Floats, of_type: Ints) -> Voters:
    """Group the nodes by weight [N] and type [N]."""
    values, rank = np.unique(weight, return_inverse=True)
    pairs, of_node, size = np.unique(of_type * len(values) + rank.ravel(), return_inverse=True, return_counts=True)
    each = values[pairs % len(values)]
    return Voters(pairs // len(values), each, size, of_node.ravel(), _sums(each, size))


def lost(voters: Voters, up: Floats, importance: Floats, votes: int, rng: np.random.Generator) -> Lost:
    """Probability of no quorum in each of S states, from the probabilities [S, V] that a node of each voter is up.

    Where votes are drawn, `votes` of them are divided over the states by `importance` [S] times the bound on the loss.
    """
    each, size = voters.weight, voters.size
    margin = up @ (each * size) - limit(float(each @ size))
    slack = np.maximum(np.abs(margin) - each.max(), 0.0)
    probability = np.where(margin < 0, 1.0, 0.0)
    found = Lost(probability, np.zeros(len(up)), np.repeat(probability[:, None], len(each), axis=1))
    open_states = np.flatnonzero(np.exp(-2 * slack**2 / float(each**2 @ size)) >= NEGLIGIBLE)
    tilts = _tilts(voters, up[open_states])
    negligible = np.array([bound + tilt * each.max() / 3 < np.log(NEGLIGIBLE) for tilt, bound in tilts], bool)
    found.probability[open_states[negligible]], found.without[open_states[negligible]] = 0.0, 0.0
    if voters.sums is None:
        likely = np.exp(np.minimum([bound for _, bound in tilts], 0.0)) * ~negligible
        share = importance[open_states] * likely / max(float(importance[open_states] @ likely), 1e-300)
        draws = np.clip(votes / len(each) * share, MIN_DRAWS, MAX_DRAWS).astype(int)
        for at in np.flatnonzero(~negligible):
            state = open_states[at]
            drawn = _drawn(voters, up[state], *tilts[at], int(draws[at]), rng)
            found.probability[state], found.variance[state], found.without[state] = drawn
        return found
    open_states = open_states[~negligible]
    block = max(1, BLOCK_SUMS // sum(len(sums) for sums in voters.sums.last))
    for start in range(0, len(open_states), block):
        states = open_states[start : start + block]
        found.probability[states], found.without[states] = _from_sums(voters, voters.sums, up[states])
    return found


def limit(total: Floats | float) -> Floats | float:
    """The largest live weight that is no quorum of the total."""
    return QUORUM * total * (1 + TOLERANCE)


def _sums(weight: Floats, size: Ints) -> Sums | None:
    """Possible live weights of voters with these weights [V] and sizes [V], or None where they are too many."""
    voter = np.repeat(np.arange(len(size)), size)
    if len(voter) > MAX_NODES:
        return None
    each = weight[voter]
    first, last = _growing_sums(each), _growing_sums(each[::-1])
    return Sums(voter, first, last[::-1]) if first and last else None


def _growing_sums(weight: Floats) -> tuple[Floats, ...]:
    """Sorted distinct sums of any of the first 0, 1, ... weights; an empty tuple where there are more than MAX_SUMS."""
    grain = weight.sum() * 1e-12
    grown = [np.zeros(1)]
    for value in weight:
        both = np.sort(np.concatenate([grown[-1], grown[-1] + value]))
        distinct = both[np.diff(both, prepend=-np.inf) > grain]
        if len(distinct) > MAX_SUMS:
            return ()
        grown.append(distinct)
    return tuple(grown)


def _grow(mass: Floats, old: Floats, new: Floats, weight: float, up: Floats) -> Floats:
    """Distribution [new sums, S] of the live weight with one more node, from `mass` [old sums, S] without it.

    A sum that `_growing_sums` has left out counts as the next one below it. With weights far apart many do.
    """
    grown = np.zeros((len(new), len(up)))
    for sums, share in ((old, 1 - up), (old + weight, up)):
        places, part = np.searchsorted(new, sums, side="right") - 1, mass * share
        fresh = np.diff(places, prepend=-1) > 0
        grown[places[fresh]] += part[fresh]
        np.add.at(grown, places[~fresh], part[~fresh])
    return grown


def _from_sums(voters: Voters, sums: Sums, up: Floats) -> tuple[Floats, Floats]:
    """Exact probabilities of no quorum with all nodes [S] and without one node of each voter [S, V].

    The distribution without a node joins that of the nodes before it with that of the nodes after it.
    """
    n = len(sums.voter)
    total = float(voters.weight @ voters.size)
    after = [np.ones((1, len(up)))]
    for i in range(n - 1, -1, -1):
        voter = sums.voter[i]
        after.append(_grow(after[-1], sums.last[i + 1], sums.last[i], float(voters.weight[voter]), up[:, voter]))
    after.reverse()
    without = np.empty(up.shape)
    before = np.ones((1, len(up)))
    for i in range(n):
        voter = sums.voter[i]
        if i == 0 or sums.voter[i - 1] != voter:
            rest = float(limit(total - voters.weight[voter]))
            without[:, voter] = _joint_tail(before, sums.first[i], after[i + 1], sums.last[i + 1], rest)
        before = _grow(before, sums.first[i], sums.first[i + 1], float(voters.weight[voter]), up[:, voter])
    probability = (sums.first[n] <= limit(total)).astype(float) @ before
    return probability, without


def _joint_tail(before: Floats, before_sums: Floats, after: Floats, after_sums: Floats, limit: float) -> Floats:
    """Probability [S] that the sum of two independent live weights stays within the limit, from [sums, S] of each."""
    below = np.cumsum(after, axis=0)
    reach = np.searchsorted(after_sums, limit - before_sums, side="right") - 1
    able = reach >= 0
    return np.einsum("xs,xs->s", before[able], below[reach[able]])


def _tilts(voters: Voters, up: Floats) -> list[tuple[float, float]]:
    """The tilt with the smallest Chernoff bound on the probability of no quorum, and the logarithm of that bound.

    One pair for each of the S states of up [S, V]. A state differs from the others in few voters, and only their logarithms
    are taken anew: `terms` [tilts, V] are those of a node that is up as probably as it is in any state.
    """
    size = voters.size.astype(float)
    most = float(limit(float(voters.weight @ voters.size)))
    tilts = TILTS / voters.weight.max()
    losses = np.expm1(-np.outer(tilts, voters.weight))
    usual = up.max(axis=0, initial=0.0)
    terms = np.log1p(usual * losses)
    found: list[tuple[float, float]] = []
    for state in up:
        struck = np.flatnonzero(state != usual)
        kept = terms[:, struck]
        terms[:, struck] = np.log1p(state[struck] * losses[:, struck])
        bounds = terms @ size + tilts * most
        terms[:, struck] = kept
        best = int(bounds.argmin())
        found.append((float(tilts[best]), float(bounds[best])))
    return found


def _drawn(
    voters: Voters, up: Floats, tilt: float, log_bound: float, draws: int, rng: np.random.Generator
) -> tuple[float, float, Floats]:
    """Estimates in one state: probability of no quorum, its variance, and that without a node of each voter [V]."""
    each, size = voters.weight, voters.size
    most = float(limit(float(each @ size)))
    decay = np.exp(-tilt * each)
    grown = 1 - up + up * decay
    tilted = up * decay / grown
    if size.max() == 1:
        live = (rng.random((draws, len(each)), np.float32) < tilted).astype(float)
    else:
        live = rng.binomial(size, tilted, size=(draws, len(each)))
    weight = live @ each
    ratio = np.exp(np.minimum(log_bound + tilt * (weight - most), 50.0))
    estimate = np.where(weight <= most, ratio, 0.0)
    share_up = live / size
    rest = most - limit(each)
    without = np.zeros(len(each))
    for alive, share in ((1.0, share_up), (0.0, 1 - share_up)):
        is_lost = weight[:, None] <= rest + alive * each
        without += np.einsum("d,dv->v", ratio, share * is_lost) / (grown * np.exp(tilt * alive * each))
    return float(estimate.mean()), float(estimate.var(ddof=1)) / draws, without / draws
