"""How concentrated a fleet is in each kind of dependency."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from og_env.trust.failure_correlation import Floats, sums_by
from og_env.trust.fleet import Fleet

NAKAMOTO_THRESHOLDS = (Fraction(1, 3), Fraction(1, 2), Fraction(2, 3))
"""stop a two-thirds quorum; outvote; take it over"""
TOLERANCE = 1e-9
"""relative; shares closer than this are equal, so that 0.1 + 0.2 does not exceed 0.3"""


class Concentration(NamedTuple):
    """Shares of one kind; D domains, a node that shares with nobody counting as one of its own."""

    shares: Floats
    """[D] in the order of `Fleet.names`, then the private ones"""
    hhi: float
    """sum of squared shares, 1 / D .. 1 (Herfindahl-Hirschman index)"""
    effective: float
    """1 / hhi: this many equal domains are as concentrated"""
    nakamoto: dict[str, int]
    """fewest domains that together hold more than 1/3, 1/2, 2/3"""


def concentration(fleet: Fleet, kind: str, weight: Floats | None = None) -> Concentration:
    """Concentration in one kind, by `weight` [N] or by the fleet's own; ValueError for a kind that it does not have."""
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
    """Fewest domains whose joint share exceeds each threshold, from shares [D] that sum to 1 (Srinivasan and Lee 2017)."""
    joint = np.cumsum(np.sort(shares)[::-1])
    counts = (
        int(np.searchsorted(joint, float(part) * (1 + TOLERANCE), side="right")) + 1 for part in NAKAMOTO_THRESHOLDS
    )
    return {str(part): count for part, count in zip(NAKAMOTO_THRESHOLDS, counts, strict=True)}
