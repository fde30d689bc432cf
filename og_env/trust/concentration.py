"""Concentration of a fleet in one kind of dependency: Herfindahl-Hirschman index, Nakamoto coefficient and others."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from og_env.trust.failure_correlation import Floats, sums_by
from og_env.trust.fleet import Fleet

NAKAMOTO_THRESHOLDS = (Fraction(1, 3), Fraction(1, 2), Fraction(2, 3))
"""Shares of the weight beyond which domains can stop a two-thirds quorum, outvote the rest, or form a quorum."""
TOP = (1, 3, 5, 10)
"""Numbers of largest domains whose joint share is given."""
TOLERANCE = 1e-9
"""Relative difference below which shares are equal, so that 0.1 + 0.2 does not exceed 0.3."""


class Concentration(NamedTuple):
    """Concentration in one kind of dependency with D domains.

    A node that shares its dependency with nobody counts as a domain of its own.
    """

    shares: Floats
    """Float64 [D]: each domain's share of the weight, in the order of `Fleet.names`, then those of single nodes."""
    hhi: float
    """Herfindahl-Hirschman index: the sum of squared shares, from 1 / D to 1."""
    effective: float
    """The number of equal domains that would be as concentrated, 1 / hhi."""
    nakamoto: dict[str, int]
    """Nakamoto coefficients: the fewest domains that together hold more than 1/3, 1/2 and 2/3, by these names."""
    measures: dict[str, float]
    """Other measures of the same shares, see `measures_of`."""


def concentration(fleet: Fleet, kind: str, weight: Floats | None = None) -> Concentration:
    """Concentration in one kind, by `weight` [N] or the fleet's own; ValueError for a kind that the fleet lacks."""
    if kind not in fleet.kinds:
        raise ValueError(f"no kind {kind} in this fleet; it has {', '.join(fleet.kinds)}")
    weight = fleet.weight if weight is None else weight
    k = fleet.kinds.index(kind)
    domain = fleet.domain[:, k]
    shared = domain >= 0
    held = sums_by(domain[shared], weight[shared], len(fleet.names[k]))
    shares = np.concatenate([held, weight[~shared]]) / weight.sum()
    hhi = float(np.sum(shares**2))
    return Concentration(shares, hhi, 1 / hhi, nakamoto(shares), measures_of(shares))


def nakamoto(shares: Floats) -> dict[str, int]:
    """Nakamoto coefficients, the fewest domains whose joint share exceeds each threshold, from shares [D] of sum 1.

    Reference: Srinivasan and Lee 2017, "Quantifying decentralization".
    """
    return {str(part): nakamoto_at(shares, float(part)) for part in NAKAMOTO_THRESHOLDS}


def nakamoto_at(shares: Floats, threshold: float) -> int:
    """The fewest domains whose joint share, of shares or weights [D], exceeds the threshold (of 1).

    A joint share equal to the threshold is not enough; some tools stop there.
    """
    joint = np.cumsum(np.sort(shares)[::-1])
    return int(np.searchsorted(joint, threshold * float(joint[-1]) * (1 + TOLERANCE), side="right")) + 1


def measures_of(weights: ArrayLike, top: tuple[int, ...] = TOP) -> dict[str, float]:
    """Measures of inequality and diversity of weights or shares [D], whose sum need not be 1.

    `gini` 0 for equal domains; `shannon_bits` and `renyi_bits` (of order 2, -log2 of the HHI), each also in percent of
    log2 D, which equal domains have; `theil` in nats, 0 for equal domains; `top_k`, the share of the k largest; `hhi_points`
    10,000 times the HHI. Domains of weight 0 count as domains.

    References: Gini 1912; Shannon 1948; Renyi 1961; Theil 1967.
    """
    held = np.sort(np.asarray(weights, float))
    size, shares = len(held), held / held.sum()
    present = shares[shares > 0]
    shannon = max(0.0, float(-np.sum(present * np.log2(present))))
    renyi = max(0.0, float(-np.log2(np.sum(shares**2))))
    most = float(np.log2(size)) if size > 1 else 1.0
    places = np.arange(1, size + 1)
    return {
        "gini": max(0.0, float(np.sum((2 * places - size - 1) * shares)) / size),
        "shannon_bits": shannon,
        "shannon_percent": 100 * shannon / most,
        "renyi_bits": renyi,
        "renyi_percent": 100 * renyi / most,
        "theil": max(0.0, float(np.sum(present * np.log(present * size)))),
        "hhi_points": 10_000 * float(np.sum(shares**2)),
        **{f"top_{k}": float(shares[-k:].sum()) for k in top},
    }
