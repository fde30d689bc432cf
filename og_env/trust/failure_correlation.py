"""Availability, failure correlation and effective independent nodes (n_eff) in closed form, by the common-shock model.

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
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from og_env.scenario.specs import Effect, FailureKind

HOURS_PER_YEAR = 8760.0
COUNTED_EFFECTS: tuple[Effect, ...] = ("DOWN", "UNTRUSTED")
"""Effects after which a node's vote is missing; a FROZEN or SLOW node goes on voting."""
FACILITATOR_H = 0.5
"""A registry drops an entry 1800 s after its last heartbeat, so its FROZEN clients are DOWN after this many hours."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def sums_by(group: Ints, value: Floats, groups: int = 0) -> Floats:
    """Sums of values [m] by their group [m], float64 [G] with G the larger of `groups` and the largest group + 1."""
    return np.bincount(group, weights=value, minlength=groups).astype(float, copy=False)


def ranks(value: Ints) -> Ints:
    """Rank [m] of each value among the distinct ones, for values [m] of 0 and above.

    A table of the values that are there is faster than a sort as long as it is not much longer than they are many.
    """
    most = int(value.max(initial=0)) + 1
    if most > 16 * len(value):
        return np.unique(value, return_inverse=True)[1].ravel()
    there = np.zeros(most, np.int64)
    there[value] = 1
    return (np.cumsum(there) - 1)[value]


def mixture_mean_h(
    median_h: float,
    sigma: float,
    heavy_median_h: float,
    heavy_sigma: float,
    heavy_weight: float,
    until_h: float = math.inf,
) -> float:
    """Mean of min(D, until_h) in hours, where the duration D is a mixture of two lognormals.

    Each part contributes m exp(s^2 / 2) Phi(z - s) + u (1 - Phi(z)) with z = log(u / m) / s, where m is its median, s
    its sigma and u the limit; without a limit it contributes m exp(s^2 / 2).
    """
    ordinary = _lognormal_mean_h(median_h, sigma, until_h)
    heavy = _lognormal_mean_h(heavy_median_h, heavy_sigma, until_h)
    return (1 - heavy_weight) * ordinary + heavy_weight * heavy


def mean_duration_h(kind: FailureKind, until_h: float = math.inf) -> float:
    """Mean duration of a shock in hours; longer ones than `until_h` count as that long (see `mixture_mean_h`)."""
    heavy = (kind.heavy_duration_h, kind.heavy_duration_sigma, kind.heavy_weight)
    return mixture_mean_h(kind.duration_h, kind.duration_sigma, *heavy, until_h)


def hours_in(kind: FailureKind, effect: Effect) -> float:
    """Mean hours for which a shock of a domain keeps the members that it hits in one effect.

    A shock of a registry, whether drawn as DOWN or as FROZEN, is FROZEN for FACILITATOR_H and DOWN from then on.
    """
    mean_h = mean_duration_h(kind)
    if kind.kind == "facilitator" and effect in ("DOWN", "FROZEN"):
        frozen_h = mean_duration_h(kind, FACILITATOR_H)
        broken = kind.effects.get("DOWN", 0.0) + kind.effects.get("FROZEN", 0.0)
        return broken * (frozen_h if effect == "FROZEN" else mean_h - frozen_h)
    return kind.effects.get(effect, 0.0) * mean_h


def active_shocks(kind: FailureKind, effects: Collection[Effect] = COUNTED_EFFECTS) -> float:
    """Mean number of shocks of one domain that are active at a moment and have one of the `effects`."""
    return kind.rate_per_year / HOURS_PER_YEAR * sum(hours_in(kind, effect) for effect in effects)


def _lognormal_mean_h(median_h: float, sigma: float, until_h: float) -> float:
    """Mean of min(D, until_h) in hours, where D is lognormal."""
    if until_h == math.inf:
        return median_h * math.exp(sigma**2 / 2)
    if sigma == 0 or until_h <= 0:
        return min(median_h, max(until_h, 0.0))
    z = math.log(until_h / median_h) / sigma
    below = NormalDist().cdf
    return median_h * math.exp(sigma**2 / 2) * below(z - sigma) + until_h * (1 - below(z))


def availability(load: ArrayLike, hit: ArrayLike) -> Floats:
    """Stationary probability of being up, exp(-sum_d load_d hit_d), [...] from loads [..., D] and hits [..., D]."""
    active: Floats = np.asarray(np.sum(np.asarray(load, float) * np.asarray(hit, float), axis=-1))
    return np.exp(-active)


def correlation_matrix(hit: ArrayLike, load: ArrayLike) -> Floats:
    """Correlations of the up indicators, float64 [N, N], from hit probabilities [N, D] and active shocks [D].

    A node that is not a member of a domain has hit probability 0 there. Nodes that are always up or always down
    correlate with nobody. Raises ValueError for arrays of other shapes and for values out of range.
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


def joint_down(hit: ArrayLike, load: ArrayLike) -> Floats:
    """Share of time in which two nodes are both down, [N, N], from hit probabilities [N, D] and active shocks [D].

    P(i and j down) = 1 - exp(-x_i) - exp(-x_j) + exp(-x_i - x_j + s_ij) with s_ij = sum_d load_d p_id p_jd. The
    diagonal holds P(i down).
    """
    hit, load = np.asarray(hit, float), np.asarray(load, float)
    own = hit @ load
    alone = -np.expm1(-own)
    both = np.exp(-own[:, None] - own[None, :]) * np.expm1((hit * load) @ hit.T) + np.outer(alone, alone)
    np.fill_diagonal(both, alone)
    return both


def n_eff(weights: ArrayLike, rho: ArrayLike) -> Floats:
    """Effective independent nodes [...] from weights [..., N] and correlations [N, N]; 0 where all weights are 0."""
    weights = np.asarray(weights, float)
    spread = np.einsum("...i,ij,...j->...", weights, np.asarray(rho, float), weights, optimize=True)
    total = weights.sum(axis=-1) ** 2
    return np.divide(total, spread, out=np.zeros_like(np.asarray(total, float)), where=spread > 0)
