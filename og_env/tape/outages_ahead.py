"""Outages of the hours to come, drawn from the failure process as it looks now: alarms, and what is broken already.

Whoever sees the alarms alone does not know which domains are fragile. `fragile_chances` is the chance of it by Bayes'
rule. A drawn future begins with regimes of these chances. What is broken now ends after an exponential time, all sites
that one domain may have broken at once; so a future has repairs as well as shocks.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from og_env.kernel.arrays import CODES_PER_UNIT, SIGNAL_LOW
from og_env.kernel.compile import entry
from og_env.tape.draw import TapeWorld
from og_env.tape.failures import Outages, ShockProcess, Shocks, draw_source_from
from og_env.world import SourceArrays

LEAST_NOISE = 0.02
"""standard deviation of a signal's noise that is taken at least, so that one without noise divides by no zero"""
ROUNDING = 0.3 / CODES_PER_UNIT
"""standard deviation of the rounding of a signal to a code"""
Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


def fragile_chances(world: TapeWorld, signal: npt.NDArray[np.uint8]) -> Floats:
    """Share [S] of each shared domain's sources that is expected to be fragile, given its signal [S] of one row.

    It is Bayes' rule over how many of the n sources of a domain are: binomial beforehand, with normal noise on their
    share. A hidden domain keeps the stationary share.
    """
    process, drawing = world.drawing.shocks, world.drawing
    shared, share_of = drawing.sources.shared, drawing.sources.fragile_share
    counts = np.bincount(shared[shared >= 0], minlength=len(signal))
    sums = np.bincount(shared[shared >= 0], weights=share_of[shared >= 0], minlength=len(signal))
    chances = sums / np.maximum(counts, 1)  # sources of a domain have the same share
    level = signal / CODES_PER_UNIT + SIGNAL_LOW
    noise = math.hypot(max(process.signal_noise, LEAST_NOISE), ROUNDING)
    for domain in np.flatnonzero(drawing.visible & (counts > 0)):
        n, prior = int(counts[domain]), float(chances[domain])
        if not 0 < prior < 1:
            continue
        share = np.arange(n + 1) / n
        beforehand = np.array([math.comb(n, k) * prior**k * (1 - prior) ** (n - k) for k in range(n + 1)])
        fit = -((level[domain] - share) ** 2) / (2 * noise * noise)
        weight = beforehand * np.exp(fit - fit.max())
        chances[domain] = weight @ share / weight.sum()
    return chances


@entry
def draw_ahead(
    pairs: npt.NDArray[np.uint8],
    active: npt.NDArray[np.uint8],
    sources: SourceArrays,
    signal_share: Floats,
    process: ShockProcess,
    chances: Floats,
    shared: int,
    seed: int,
) -> None:
    """Write the shocks after row 0 of a window to pairs of rows uint8 [R, N], with one random stream of a seed (uint64).

    chances: [sources] that each is fragile now; shared: number of shared domains.
    """
    level, shown = np.zeros((len(active), shared)), np.zeros((len(active), shared), np.int32)
    supply = np.zeros((len(active), pairs.shape[1]), np.uint8)
    outages = Outages(pairs, active, level, shown, supply, process.step_h)
    random_state = np.empty(1, np.uint64)
    random_state[0] = seed
    episode = Shocks(random_state, sources, signal_share, process, outages)
    for source in range(len(signal_share)):
        draw_source_from(episode, source, process.step_h, chances[source])


def drawn_status(
    world: TapeWorld, signal: npt.NDArray[np.uint8], status: Bytes, rows: int, seeds: npt.NDArray[np.uint64]
) -> Bytes:
    """Status bits [futures, rows, N] of one future for each seed, from the present signals [S] and status [N] on."""
    drawing = world.drawing
    process = drawing.shocks
    of_domain, shared = fragile_chances(world, signal), drawing.sources.shared
    alone = drawing.sources.fragile_share
    chances = np.where(shared >= 0, np.append(of_domain, 0.0)[shared], alone)
    drawn = np.zeros((len(seeds), rows, len(status)), np.uint8)
    for future, seed in enumerate(seeds):
        pairs, active = np.zeros(((rows + 1) // 2, len(status)), np.uint8), np.zeros(rows, np.uint8)
        draw_ahead(pairs, active, drawing.sources, drawing.signal_share, process, chances, len(signal), np.uint64(seed))
        drawn[future] = np.stack([pairs & 15, pairs >> 4], axis=1).reshape(-1, len(status))[:rows]
        drawn[future] |= _present_until_repaired(world, status, rows, np.random.default_rng(int(seed)))
    return drawn


def _present_until_repaired(world: TapeWorld, status: Bytes, rows: int, rng: np.random.Generator) -> Bytes:
    """The present status [rows, N] in row 0, and later until the domain that broke a site is repaired."""
    row_h = np.arange(rows) * world.drawing.shocks.step_h
    kept = np.zeros((rows, len(status)), np.uint8)
    for members, mean_h in _broken_together(world, status):
        stands = (row_h < rng.exponential(mean_h)) | (row_h == 0)
        kept[np.ix_(stands, members)] = status[members]
    return kept


def _broken_together(world: TapeWorld, status: Bytes) -> list[tuple[npt.NDArray[np.int64], float]]:
    """Sites that are not well, in groups that one domain may have broken, with the mean duration of its shocks in hours.

    The domain with the largest share of its sites broken explains them; among equals the one with most, then the one
    with the most shocks.
    """
    arrays = world.compiled.arrays
    of_site, rate = arrays.site_domain[0], arrays.domain_rate[0]
    left, groups = set(np.flatnonzero(status).tolist()), []
    while left:
        broken = np.array(sorted(left))
        domains = of_site[broken]
        hit = np.bincount(domains[domains >= 0], minlength=len(rate))
        share = hit / np.maximum(arrays.domain_size[0], 1)
        domain = int(np.lexsort((rate, hit, np.where(hit > 0, share, -1.0)))[-1])
        members = broken[(domains == domain).any(axis=1)] if hit[domain] > 0 else broken
        groups.append((members, max(float(arrays.domain_mean_h[0][domain]), 1e-3)))
        left -= set(members.tolist())
    return groups
