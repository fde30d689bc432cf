"""Results of whole episodes of one policy: returns, reward terms, metrics and what is kept step by step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from og_env.simulator import METRICS

Floats = npt.NDArray[np.float64]

SECONDS_PER_DAY = 86_400
TRACED = (
    "served_share",
    "latency_mean_ms",
    "latency_p95_ms",
    "usd_per_hour",
    "exposure",
    "sites_down",
    "active_outages",
    "replicas_warm",
)
"""metrics kept step by step"""


class Episodes(NamedTuple):
    """E whole episodes of T steps by one policy."""

    policy: str
    seeds: npt.NDArray[np.int64]
    """[E] seed that each episode was reset with"""
    returns: Floats
    """[E] sum of rewards"""
    terms: Floats
    """[E, 6] mean of each reward term over the steps, unweighted, in the order of `og_env.simulator.TERMS`"""
    metrics: Floats
    """[E, Q] mean of each metric over the steps, in the order of `og_env.simulator.METRICS`"""
    traces: dict[str, npt.NDArray[np.float32]]
    """metrics step by step [E, T], by the names of TRACED"""
    steps: int
    """T, the length of every episode"""
    predict_s: float
    """seconds spent in `predict`, all episodes together"""
    step_s: int = 300
    """seconds of a step"""

    @property
    def decisions_per_s(self) -> float:
        """Steps of an episode decided on per second of `predict`; the environment's time is not in it."""
        return len(self.seeds) * self.steps / max(self.predict_s, 1e-9)

    @property
    def operations_per_day(self) -> float:
        """Mean number of operations carried out in a day of the episodes."""
        return float(self.metric("operations").mean()) * SECONDS_PER_DAY / self.step_s

    def metric(self, name: str) -> Floats:
        """One metric's mean over the steps [E]."""
        return self.metrics[:, METRICS.index(name)]
