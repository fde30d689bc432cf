"""The search planner: rollouts in futures drawn from the alarms, which any policy may do, slow and strong."""

from __future__ import annotations

from og_agents.heuristics.tuned_constants import Constants
from og_agents.planners.rollout import Rollout
from og_agents.policy import Policy

HORIZON = 36
"""steps ahead"""
CANDIDATES = 8
"""doing nothing and the best seven offers"""
FUTURES = 4
"""futures that each candidate is tried in, the same ones for all"""


def search(task: str = "placement", *, seed: int, base: Constants, follow: Policy | None = None) -> Rollout:
    """The planner; `follow` acts after a candidate, or the tuned greedy planner of the constants `base`."""
    return Rollout(
        "search",
        task,
        horizon=HORIZON,
        candidates=CANDIDATES,
        futures=FUTURES,
        every=2,
        seed=seed,
        base=base,
        follow=follow,
    )
