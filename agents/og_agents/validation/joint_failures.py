"""Do sites fail together as often as the closed form says? Drawn tapes against the common-shock model of og_env.trust.

The closed form is that of the shocks which a row of a tape can show. A tape begins WARM_UP_H before its first row, so
at hour t no shock is older than WARM_UP_H + t: durations count up to there (their means are exact, tails included), and
the expected share of time is the mean over the hours of a tape. A row shows every shock that touches it, so each lasts
one row longer. The error is that of the mean over independent tapes. The strict comparison is without fragile regimes
and aftershocks, which move shocks in time and keep their average rate; with them, `ratio` says how far off the model
is.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import DOWN
from og_env.tape import WARM_UP_H, drawn_tapes, tape_world
from og_env.trust import joint_down
from og_env.trust.failure_correlation import Floats
from og_env.world import CompiledWorld, compile_world, down_loads

TAPE_H = 1000.0
MIN_TAPES = 100
KNOTS = 65
"""ages at which the closed form is worked out, dense where a tape is young; twice as many change it by less than 1e-5"""
CHANCE = 1e-4
"""probability that the right model exceeds `bound` in some pair"""
POISSON = {"failures.fragile_factor": 1.0, "failures.aftershock": 0.0}


class JointFailures(NamedTuple):
    """Shares of time that both of two sites are down; one site on the diagonal. N sites."""

    drawn: Floats
    """[N, N]"""
    error: Floats
    """[N, N] standard error of `drawn`"""
    expected: Floats
    """[N, N] share by the closed form"""
    stationary: Floats
    """[N, N] share by the closed form without a limit of age and without rows, as an audit of these sites uses it"""
    hours: float
    """simulated"""

    @property
    def z(self) -> Floats:
        """Drawn minus expected [N, N] in standard errors; 0 where neither ever happens."""
        gap = self.drawn - self.expected
        return np.divide(gap, self.error, out=np.where(np.abs(gap) > 1e-12, np.inf, 0.0), where=self.error > 0)

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Every pair of two sites once."""
        return np.triu_indices(len(self.drawn), 1)

    @property
    def max_z(self) -> float:
        """Largest deviation of any pair."""
        return float(np.abs(self.z[self.pairs]).max())

    @property
    def bound(self) -> float:
        """Limit that `max_z` exceeds with probability CHANCE at most where the model is right (Bonferroni)."""
        return NormalDist().inv_cdf(1 - CHANCE / (2 * len(self.pairs[0])))

    @property
    def ratio(self) -> float:
        """Drawn joint down-time over the expected one, mean over the pairs."""
        return float(self.drawn[self.pairs].mean() / self.expected[self.pairs].mean())

    def figures(self) -> dict[str, float]:
        """Figures that a validation reports, by name."""
        expected, stationary = self.expected[self.pairs], self.stationary[self.pairs]
        alone = self.drawn.diagonal().mean() / self.expected.diagonal().mean()
        return {
            "joint_failure_max_z": self.max_z,
            "joint_failure_bound": self.bound,
            "joint_failure_pairs": len(expected),
            "joint_failure_hours": self.hours,
            "joint_failure_relative_error": float(np.median(self.error[self.pairs] / expected)),
            "joint_failure_ratio": self.ratio,
            "joint_failure_ratio_single": float(alone),
            "joint_failure_ratio_to_stationary": float(self.drawn[self.pairs].mean() / stationary.mean()),
        }


def measure(
    scenario: str | ScenarioSpec = "global-24",
    *,
    hours: float = 1e6,
    seed: int = 0,
    clustered: bool = False,
    step_s: int | None = None,
) -> JointFailures:
    """Draw `hours` of failures and compare; `clustered` keeps fragile regimes and aftershocks, which the model leaves out.

    `step_s` is the length of a row, the scenario's own by default: longer rows draw faster and are as exact. ValueError
    for a scenario without outages or too few hours.
    """
    spec = loading.load(scenario) if isinstance(scenario, str) else scenario
    if spec.failures.process == "none":
        raise ValueError(f"{spec.name}: failures.process is none; a world that draws outages is needed")
    if hours < MIN_TAPES * TAPE_H:
        raise ValueError(f"{hours:g} hours give no error; at least {MIN_TAPES * TAPE_H:g}")
    step_s = step_s or spec.episode.step_s
    changes = {"episode.step_s": step_s, "episode.steps": round(TAPE_H * 3600 / step_s), "failures.outages": ()}
    world = compile_world(loading.resolve(loading.override(spec, changes | ({} if clustered else POISSON))))
    drawn, error = _drawn(world, round(hours / TAPE_H), seed)
    sites, shared = len(world.resolved.sites), world.sizes["S"]
    stationary = joint_down(*down_loads(world.sources, sites, shared))
    return JointFailures(drawn, error, _expected(world), stationary, hours)


def _drawn(world: CompiledWorld, tapes: int, seed: int) -> tuple[Floats, Floats]:
    """Mean share of rows in which both sites are down [N, N], and its standard error over the tapes [N, N]."""
    sites = len(world.resolved.sites)
    mean, squares = np.zeros((sites, sites)), np.zeros((sites, sites))
    seeds = np.random.SeedSequence(seed).generate_state(tapes, np.uint64).tolist()
    for done, tape in enumerate(drawn_tapes(tape_world(world), seeds), start=1):
        down = ((tape.status[0] & DOWN) > 0).astype(np.float32)
        share = (down.T @ down).astype(float) / len(down)
        step = share - mean
        mean += step / done
        squares += step * (share - mean)
    return mean, np.sqrt(squares / (tapes - 1) / tapes)


def _expected(world: CompiledWorld) -> Floats:
    """Closed form [N, N] of the share, mean over the hours of a tape."""
    sites, shared = len(world.resolved.sites), world.sizes["S"]
    episode = world.resolved.spec.episode
    step_h = episode.step_s / 3600
    ages = WARM_UP_H * (1 + (episode.steps + 1) * step_h / WARM_UP_H) ** np.linspace(0, 1, KNOTS)
    forms = [joint_down(*down_loads(world.sources, sites, shared, age_h=age, step_h=step_h)) for age in ages]
    return np.trapezoid(np.array(forms), ages, axis=0) / (ages[-1] - ages[0])
