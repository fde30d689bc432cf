"""Marginal contribution of each node to n_eff: exactly, when it alone is left out, and as its Shapley value."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from og_env.trust.failure_correlation import Floats, Ints, correlation_matrix
from og_env.trust.fleet import Fleet, dense
from og_env.trust.pair_sums import Pairs, pair_sums, prefix_n_eff

EXACT_NODES = 12
"""Number of nodes up to which a Shapley value is the exact mean over all coalitions."""
DENSE_NODES = 256
"""Number of nodes up to which permutations use a matrix of all pairs, which is faster there."""
WORK = 20_000_000
"""Pair terms that permutation sampling may touch, which takes about a second."""
MIN_ROUNDS, MAX_ROUNDS = 4, 1000
"""Fewest and most rounds of permutation sampling where the caller does not say how many."""


class Shapley(NamedTuple):
    """Shapley values of N nodes in the game in which the value of a set of nodes is its n_eff."""

    value: Floats
    """float64 [N] Shapley value of each node; they sum to n_eff of the fleet"""
    standard_error: Floats
    """float64 [N] standard error of `value`, 0 where every coalition was counted"""
    permutations: int
    """number of permutations that were drawn, 0 where every coalition was counted"""


def leave_one_out(fleet: Fleet, shared: Pairs) -> Floats:
    """n_eff of the fleet minus n_eff without each node [N], from `shared = pairs(fleet)`; below 0 if the node lowers it."""
    weight = fleet.weight
    mass = weight * shared.scale[shared.types.of_node]
    with_others = mass * pair_sums(shared, mass)
    spread = float(np.sum(weight**2) + np.sum(with_others))
    total = float(weight.sum())
    rest = np.maximum(total - weight, 0.0)
    spread_rest = spread - weight**2 - 2 * with_others
    spread_rest = np.maximum(spread_rest, rest**2 / len(weight))
    without = np.divide(rest**2, spread_rest, out=np.zeros_like(rest), where=rest > 1e-12 * total)
    return total**2 / spread - without


def shapley(fleet: Fleet, shared: Pairs, *, rounds: int | None = None, seed: int = 0) -> Shapley:
    """Shapley value of each node: the mean gain of n_eff when it joins, over all orders of building the fleet.

    Fleets up to EXACT_NODES count every coalition unless `rounds` is given. A round is a random permutation and its reverse;
    nodes of one signature and weight have one value, the mean over them. The permutations depend on `seed` and the number
    of nodes alone, so two fleets of one size are compared on common random numbers. `shared` is `pairs(fleet)`. Raises
    ValueError for fewer than 2 rounds, which give no standard error.

    References: Shapley 1953; Castro, Gomez and Tejada 2009 (sampling of permutations).
    """
    if rounds is None and len(fleet.nodes) <= EXACT_NODES:
        return Shapley(_every_coalition(fleet), np.zeros(len(fleet.nodes)), 0)
    if rounds is None:
        rounds = int(np.clip(WORK // (2 * _terms(fleet, shared)), MIN_ROUNDS, MAX_ROUNDS))
    if rounds < 2:
        raise ValueError(f"{rounds} rounds give no standard error; at least 2")
    player, size = _players(fleet, shared)
    growth = _growth(fleet, shared)
    rng = np.random.default_rng(seed)
    mean, squares = np.zeros(len(size)), np.zeros(len(size))
    for done in range(1, rounds + 1):
        order = rng.permutation(len(fleet.nodes))
        gain = _gains(growth, order) + _gains(growth, order[::-1])
        sample = np.bincount(player, weights=gain / 2) / size
        step = sample - mean
        mean += step / done
        squares += step * (sample - mean)
    error = np.sqrt(squares / (rounds - 1) / rounds)
    return Shapley(mean[player], error[player], 2 * rounds)


def _players(fleet: Fleet, shared: Pairs) -> tuple[Ints, Ints]:
    """The player of each node [N] and the nodes of each player [P]; the nodes of a player are alike in all respects."""
    values, rank = np.unique(fleet.weight, return_inverse=True)
    joint = shared.types.of_node * len(values) + rank.ravel()
    _, player, size = np.unique(joint, return_inverse=True, return_counts=True)
    return player.ravel(), size


def _terms(fleet: Fleet, shared: Pairs) -> int:
    """Number of pair terms that one permutation touches."""
    n = len(fleet.nodes)
    if n <= DENSE_NODES:
        return n * n
    return n + sum(int(shared.types.size[overlap.types].sum()) for overlap in shared.overlaps)


def _growth(fleet: Fleet, shared: Pairs) -> Callable[[Ints], Floats]:
    """The function from an order [N] of the nodes to n_eff [N] of the first 1, 2, ... of them."""
    if len(fleet.nodes) > DENSE_NODES:
        return functools.partial(prefix_n_eff, fleet, shared)
    terms = correlation_matrix(*dense(fleet)) * np.outer(fleet.weight, fleet.weight)
    earlier = np.tril(np.full(terms.shape, 2.0), -1) + np.eye(len(terms))

    def grow(order: Ints) -> Floats:
        spread = np.cumsum(np.einsum("ij,ij->i", terms[np.ix_(order, order)], earlier))
        total = np.cumsum(fleet.weight[order]) ** 2
        return np.divide(total, spread, out=np.zeros(len(order)), where=spread > 0)

    return grow


def _gains(growth: Callable[[Ints], Floats], order: Ints) -> Floats:
    """Growth of n_eff when each node [N] joins those before it in the order."""
    gain = np.empty(len(order))
    gain[order] = np.diff(growth(order), prepend=0.0)
    return gain


def _every_coalition(fleet: Fleet) -> Floats:
    """Shapley values [N] from n_eff of all 2^N coalitions."""
    n = len(fleet.nodes)
    member = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1
    weight = member * fleet.weight
    spread = np.einsum("ci,ij,cj->c", weight, correlation_matrix(*dense(fleet)), weight, optimize=True)
    value = np.divide(weight.sum(axis=1) ** 2, spread, out=np.zeros(1 << n), where=spread > 0)
    others = member.sum(axis=1)
    orders = np.array([math.factorial(k) * math.factorial(n - 1 - k) for k in range(n)]) / math.factorial(n)
    result = np.empty(n)
    for i in range(n):
        without = np.flatnonzero(member[:, i] == 0)
        result[i] = np.sum(orders[others[without]] * (value[without + 2**i] - value[without]))
    return result
