"""Concentration of a fleet in one kind of dependency: Herfindahl-Hirschman index and Nakamoto coefficient."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from og_env.trust.failure_correlation import Floats, sums_by
from og_env.trust.fleet import Fleet

NAKAMOTO_THRESHOLDS = (Fraction(1, 3), Fraction(1, 2), Fraction(2, 3))
"""Shares of the weight beyond which domains can stop a two-thirds quorum, outvote the rest, or form a quorum."""
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
    return Concentration(shares, hhi, 1 / hhi, nakamoto(shares))


def nakamoto(shares: Floats) -> dict[str, int]:
    """Nakamoto coefficients, the fewest domains whose joint share exceeds each threshold, from shares [D] of sum 1.

    Reference: Srinivasan and Lee 2017, "Quantifying decentralization".
    """
    joint = np.cumsum(np.sort(shares)[::-1])
    counts = (
        int(np.searchsorted(joint, float(part) * (1 + TOLERANCE), side="right")) + 1 for part in NAKAMOTO_THRESHOLDS
    )
    return {str(part): count for part, count in zip(NAKAMOTO_THRESHOLDS, counts, strict=True)}
