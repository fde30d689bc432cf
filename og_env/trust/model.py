"""The common-shock model in closed form: availability, correlation and effective number of nodes.

Every dependency (fault domain) d has a Poisson clock. A shock hits each member i on its own with probability p_id and keeps
the struck members down until it is over. The number of active shocks of d is then Poisson with mean
`load_d = rate_d * mean duration_d` whatever the distribution of durations (the M/G/infinity queue), a node is up if no
active shock hit it, and with x_i = sum_d load_d p_id and s_ij = sum_d load_d p_id p_jd

    P(i up)         = exp(-x_i)
    P(i and j up)   = exp(-x_i - x_j + s_ij)
    rho_ij          = expm1(s_ij) / sqrt(expm1(x_i) expm1(x_j)),   rho_ii = 1
    n_eff           = (sum_i w_i)^2 / sum_ij w_i rho_ij w_j

References: Marshall and Olkin 1967 (common shocks); Takacs 1962 (M/G/infinity); Kish 1965 (effective sample size).
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray

from og_env.specs import Effect, FailureKind

HOURS_PER_YEAR = 8760.0
COUNTED_EFFECTS: tuple[Effect, ...] = ("DOWN", "UNTRUSTED")
"""effects after which a node's vote is missing; a FROZEN or SLOW node goes on voting"""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def sums_by(group: Ints, value: Floats, groups: int = 0) -> Floats:
    """[max(groups, largest group + 1)] sum of the values [m] in each group [m]."""
    return np.bincount(group, weights=value, minlength=groups).astype(float, copy=False)


def mean_duration_h(kind: FailureKind) -> float:
    """Mean of the mixture of two lognormals, (1 - q) m exp(s^2 / 2) + q M exp(S^2 / 2), in hours."""
    ordinary = kind.duration_h * math.exp(kind.duration_sigma**2 / 2)
    heavy = kind.heavy_duration_h * math.exp(kind.heavy_duration_sigma**2 / 2)
    return (1 - kind.heavy_weight) * ordinary + kind.heavy_weight * heavy


def active_shocks(kind: FailureKind, effects: Collection[Effect] = COUNTED_EFFECTS) -> float:
    """Mean number of shocks of one domain that are active at a moment and have one of `effects`."""
    share = sum(kind.effects.get(effect, 0.0) for effect in effects)
    return kind.rate_per_year / HOURS_PER_YEAR * mean_duration_h(kind) * share


def availability(load: ArrayLike, hit: ArrayLike) -> Floats:
    """Stationary probability of being up, exp(-sum load hit), over the last axis: [..., D], [..., D] -> [...]."""
    active: Floats = np.asarray(np.sum(np.asarray(load, float) * np.asarray(hit, float), axis=-1))
    return np.exp(-active)


def correlation_matrix(hit: ArrayLike, load: ArrayLike) -> Floats:
    """Correlation of the up indicators, [N, D] hit probabilities and [D] active shocks -> [N, N].

    A node that is not a member of a domain has hit probability 0 there. Nodes that are always up or always down
    correlate with nobody.
    """
    hit = np.asarray(hit, float)
    load = np.asarray(load, float)
    if hit.ndim != 2 or load.shape != hit.shape[1:]:
        raise ValueError(f"hit must be [nodes, domains] and load [domains], got {hit.shape} and {load.shape}")
    if not (np.all((hit >= 0) & (hit <= 1)) and np.all((load >= 0) & np.isfinite(load))):
        raise ValueError("hit probabilities must lie in 0..1 and loads be finite and not negative")
    own = hit @ load
    shared = (hit * load) @ hit.T
    down = -np.expm1(-own)
    scale = np.sqrt(np.outer(down, down))
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = -np.expm1(-shared) * np.exp(shared - (own[:, None] + own[None, :]) / 2) / scale
    rho = np.where(scale > 0, np.clip(rho, 0.0, 1.0), 0.0)
    np.fill_diagonal(rho, 1.0)
    return rho


def n_eff(weights: ArrayLike, rho: ArrayLike) -> Floats:
    """Effective number of independent nodes, [..., N] weights and [N, N] correlations -> [...]; 0 without weight."""
    weights = np.asarray(weights, float)
    spread = np.einsum("...i,ij,...j->...", weights, np.asarray(rho, float), weights, optimize=True)
    total = weights.sum(axis=-1) ** 2
    return np.divide(total, spread, out=np.zeros_like(np.asarray(total, float)), where=spread > 0)
