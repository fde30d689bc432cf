"""The failure process against its closed forms, and how far incidents spread against a recorded history.

Tapes of a made-up day are drawn, with regimes and aftershocks off, and compared row by row. A row shows every outage
that touches it, so an outage of D hours shows in a row with the chance of one of D + step hours at a moment: with x_i =
sum_d rate_d p_id (D_d + step) and s_ij = sum_d rate_d p_id p_jd (D_d + step), a site is up with probability exp(-x_i)
and two are with exp(-x_i - x_j + s_ij) (`og_env.trust`). An outage begins in a row with probability exp(-x_i) -
exp(-x_i - rate_i step), and a site is up in two rows k steps apart with exp(-2 x_i + s_k), where s_k sums rate p E[(D -
(k - 1) step)+] over its domains: that tests the distribution of durations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.scenario import catalog, loading
from og_env.scenario.csv_file import number_in, read_records
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import DOWN
from og_env.tape import drawn_tapes, tape_world
from og_env.trust import availability
from og_env.world import CompiledWorld, Source, compile_world

Floats = NDArray[np.float64]

SITE_HOURS = 1_000_000
EPISODES = 200
BURN_IN_H = 600
"""left out of every tape: outages that began more than 48 h before it are not drawn, and the longest last days"""
LAGS_H = (1, 2, 6, 24)
ERROR_PROBABILITY = 1e-3
"""probability that a right process fails one of the comparisons (Bonferroni)"""
LEAST_EXPECTED = 300.0
"""rows in which a pair is expected down together, in all, below which its mean is not near enough to normal: joint
outages last many rows"""
MANY_LOCATIONS = 20


class FailureCheck(NamedTuple):
    """Largest standard score of each kind of comparison."""

    site_hours: float
    down_max_z: float
    """share of time down, by site: rates times durations"""
    onset_max_z: float
    """outages that begin, by site: rates"""
    duration_max_z: float
    """up in two rows 1 to 24 h apart, by site"""
    joint_max_z: float
    """down together, by pair"""
    comparisons: int
    limit_z: float
    """score that no comparison exceeds with probability 1 - ERROR_PROBABILITY"""
    largest_joint_ratio: float
    """largest ratio, over the pairs, of the time down together to that of independent sites with the same down-times"""


def scenario(hours: int) -> ScenarioSpec:
    """global-24 with site failures too, and neither regimes nor aftershocks; steps of an hour."""
    return loading.override(
        loading.load("global-24"),
        {
            "failures.kind_shares": {"site": 0.5, "provider": 0.3, "grid": 0.1, "region": 0.1},
            "failures.fragile_factor": 1.0,
            "failures.aftershock": 0.0,
            "episode.step_s": 3600,
            "episode.steps": BURN_IN_H + hours - 1,
        },
    )


def check_failures(site_hours: float = SITE_HOURS) -> FailureCheck:
    """Compare drawn tapes with the closed forms."""
    sites = len(loading.sites_of(scenario(1)))
    hours = math.ceil(site_hours / (sites * EPISODES))
    world = compile_world(loading.resolve(scenario(hours)))
    down = draw_down(world)
    source = Sums(world.sources, sites, step_h=1.0)
    up = 1 - down
    onset = down[:, 1:] * up[:, :-1]
    z_down = scores(down.mean(axis=1), -np.expm1(-source.load))
    z_onset = scores(onset.mean(axis=1), np.exp(-source.load) - np.exp(-source.load - source.rate))
    z_lag = [
        scores((up[:, lag:] * up[:, :-lag]).mean(axis=1), np.exp(-2 * source.load + source.overlap(lag)))
        for lag in LAGS_H
        if lag < hours
    ]
    a, b = np.triu_indices(sites, 1)
    alone = availability(source.load[:, None], np.ones((sites, 1)))
    expected = 1 - alone[a] - alone[b] + np.exp(-source.load[a] - source.load[b] + source.joint[a, b])
    enough = expected * down.shape[0] * down.shape[1] >= LEAST_EXPECTED
    together = np.stack([(down[:, :, i] * down[:, :, j]).mean(axis=1) for i, j in zip(a, b, strict=True)], axis=1)
    z_joint = scores(together[:, enough], expected[enough])
    comparisons = len(z_down) + len(z_onset) + sum(map(len, z_lag)) + len(z_joint)
    ratio = together.mean(axis=0) / ((1 - alone[a]) * (1 - alone[b]))
    return FailureCheck(
        site_hours=float(down.size),
        down_max_z=float(z_down.max()),
        onset_max_z=float(z_onset.max()),
        duration_max_z=float(max(z.max() for z in z_lag)),
        joint_max_z=float(z_joint.max()),
        comparisons=comparisons,
        limit_z=NormalDist().inv_cdf(1 - ERROR_PROBABILITY / 2 / comparisons),
        largest_joint_ratio=float(ratio.max()),
    )


def draw_down(world: CompiledWorld) -> Floats:
    """Array [EPISODES, rows, sites]: 1 where a site is down."""
    down = np.zeros((EPISODES, world.sizes["T"] - BURN_IN_H, world.sizes["N"]))
    for episode, tape in enumerate(drawn_tapes(tape_world(world), range(2**63, 2**63 + EPISODES))):
        down[episode] = (tape.status[0, BURN_IN_H:] & DOWN) != 0
    return down


def scores(samples: Floats, expected: Floats) -> Floats:
    """Absolute standard scores of the means of independent samples [E, X] against what they should be [X]."""
    error = samples.std(axis=0, ddof=1) / math.sqrt(len(samples))
    return np.abs(samples.mean(axis=0) - expected) / error


class Sums:
    """Sums over the sources of DOWN shocks, by site: rate [N] an hour, load [N] and joint [N, N] in shown outages."""

    def __init__(self, sources: Sequence[Source], sites: int, step_h: float) -> None:
        self.sources, self.sites, self.step_h = sources, sites, step_h
        self.rate, self.load, self.joint = np.zeros(sites), np.zeros(sites), np.zeros((sites, sites))
        for source in sources:
            hit, rate = self._hit(source)
            self.rate += rate * hit
            self.load += rate * hit * (source.mean_h + step_h)
            self.joint += rate * np.outer(hit, hit) * (source.mean_h + step_h)

    def overlap(self, lag: int) -> Floats:
        """Number [N] of outages expected to show both in a row and in the one `lag` steps later."""
        total = np.zeros(self.sites)
        for source in self.sources:
            hit, rate = self._hit(source)
            total += rate * hit * excess_h(source, (lag - 1) * self.step_h)
        return total

    def _hit(self, source: Source) -> tuple[Floats, float]:
        hit = np.zeros(self.sites)
        hit[list(source.members)] = source.hit
        return hit, source.rate_per_h * source.effects[0]


def excess_h(source: Source, threshold_h: float) -> float:
    """E[(D - threshold)+] in hours of a duration D that is a mixture of two lognormals."""
    parts = (
        (1 - source.heavy_weight, source.median_h, source.sigma),
        (source.heavy_weight, source.heavy_median_h, source.heavy_sigma),
    )
    total = 0.0
    for weight, median, sigma in parts:
        mean = median * math.exp(sigma**2 / 2)
        if threshold_h <= 0:
            total += weight * (mean - threshold_h)
            continue
        d = math.log(median / threshold_h) / sigma
        cdf = NormalDist().cdf
        total += weight * (mean * cdf(d + sigma) - threshold_h * cdf(d))
    return total


class Spread(NamedTuple):
    """Shares of the incidents that hit one location, and MANY_LOCATIONS or more; those that hit none do not count."""

    incidents: float
    """number, or expected number a year"""
    one: float
    many: float


def spread_of_model(provider: str = "gcp") -> Spread:
    """Spread of shocks on all catalogue sites of a provider, at the catalogue's rates.

    Failures of single nodes are left out, as no status page lists them.
    """
    sites = [site.name for site in catalog.sites() if site.provider == provider]
    changes = {"sites": sites, "failures.shocks_per_day": None, "failures.kind_shares": {}}
    world = compile_world(loading.resolve(loading.override(loading.load("global-24"), changes)))
    total, one, many = 0.0, 0.0, 0.0
    for source in world.sources:
        if source.kind == "site":
            continue
        struck = binomial(source.hit)
        total += source.rate_per_h * 8760 * (1 - struck[0])
        one += source.rate_per_h * 8760 * struck[1]
        many += source.rate_per_h * 8760 * struck[MANY_LOCATIONS:].sum()
    return Spread(total, one / total, many / total)


def binomial(hit: Sequence[float]) -> Floats:
    """Distribution of how many of the members are hit, [members + 1]."""
    result = np.ones(1)
    for p in hit:
        result = np.convolve(result, [1 - p, p])
    return np.pad(result, (0, 1))


def spread_of_record(path: Path) -> Spread:
    """Spread of the incidents of a CSV record, by its column n_locations; those that name no location are left out."""
    rows = read_records(path, ("n_locations",))
    number = np.array([number_in(str(path), line, "n_locations", row["n_locations"] or "0") for line, row in rows])
    number = number[number > 0]
    return Spread(float(len(number)), float((number == 1).mean()), float((number >= MANY_LOCATIONS).mean()))
