"""Figures of trust by brute force over all sets of nodes, for fleets of at most about twelve nodes."""

from __future__ import annotations

import itertools
import math

import numpy as np

from og_env.trust import dense, has_quorum


def all_up(fleet):
    """[2^N] P(all members of a set up), sets as bits: no active shock of any domain has hit one of them."""
    hit, load = dense(fleet)
    missed = np.ones((1, len(load)))
    for row in 1 - hit:
        missed = np.vstack([missed, missed * row])
    return np.exp(-np.sum(load * (1 - missed), axis=1))


def brute_rho(fleet):
    n, up = len(fleet.nodes), all_up(fleet)
    rho = np.eye(n)
    for i, j in itertools.permutations(range(n), 2):
        a, b, both = up[1 << i], up[1 << j], up[1 << i | 1 << j]
        rho[i, j] = (both - a * b) / math.sqrt(a * (1 - a) * b * (1 - b))
    return rho


def brute_worth(fleet):
    """[2^N] n_eff of every set of nodes, from the sums over its pairs."""
    rho, weight = brute_rho(fleet), fleet.weight
    total, spread = np.zeros(1), np.zeros(1)
    row = np.zeros((1, len(weight)))
    for i, w in enumerate(weight):
        spread = np.concatenate([spread, spread + w * w + 2 * w * row[:, i]])
        total = np.concatenate([total, total + w])
        row = np.vstack([row, row + w * rho[i]])
    return np.divide(total**2, spread, out=np.zeros_like(total), where=spread > 0)


def mask_of(nodes):
    return sum(1 << int(i) for i in nodes)


def brute_shapley(worth, n):
    """Mean gain over the orders: a set of size k comes before a node in k! (n - 1 - k)! of the n! orders."""
    value = np.zeros(n)
    for mask in range(2**n):
        size = mask.bit_count()
        for i in range(n):
            if not mask >> i & 1:
                share = math.factorial(size) * math.factorial(n - 1 - size) / math.factorial(n)
                value[i] += share * (worth[mask | 1 << i] - worth[mask])
    return value


def brute_hours(fleet, without=None):
    """Hours a year without quorum, from the probabilities of all 2^N sets of live nodes by inclusion and exclusion."""
    n = len(fleet.nodes)
    masks = np.arange(2**n)
    exact = all_up(fleet)
    for i in range(n):
        others = masks[masks >> i & 1 == 0]
        exact[others] -= exact[others | 1 << i]
    weight = np.array([0.0 if i == without else w for i, w in enumerate(fleet.weight)])
    live_weight = (masks[:, None] >> np.arange(n) & 1) @ weight
    return 8760 * float(exact[~has_quorum(live_weight, weight.sum())].sum())


def brute_domains(fleet):
    """Members of every domain that can break, private machines included."""
    found = [{i} for i in range(len(fleet.nodes))]
    for k in range(len(fleet.kinds)):
        found += [set(np.flatnonzero(fleet.domain[:, k] == d)) for d in set(fleet.domain[:, k]) if d >= 0]
    return found


def brute_live(fleet, broken):
    """Least share of the weight that is left when `broken` domains break."""
    total = fleet.weight.sum()
    sets = itertools.combinations_with_replacement(brute_domains(fleet), broken)
    return min(sum(fleet.weight[i] for i in range(len(fleet.nodes)) if i not in set().union(*s)) / total for s in sets)


def brute_nakamoto(shares, part):
    """Fewest domains that together hold more than a part."""
    for size in range(1, len(shares) + 1):
        if max(map(sum, itertools.combinations(shares, size))) > float(part) * (1 + 1e-9):
            return size
    raise AssertionError("all domains together hold everything")
