"""The clairvoyant planner: rollouts on the tape itself, as a reference for policies that cannot see the future."""

from __future__ import annotations

from og_agents.heuristics.tuned_constants import Constants
from og_agents.planners.rollout import Rollout
from og_agents.policy import Policy

HORIZON = 72
"""steps ahead, twice as far as `rollout`: with 36, all else the same, it gains less (configs/planners/RESULTS.md)"""
CANDIDATES = 11
"""doing nothing and every offer; with the best 8 it gains less (configs/planners/RESULTS.md)"""


def clairvoyant(task: str = "placement", *, seed: int, base: Constants, follow: Policy | None = None) -> Rollout:
    """The planner; `follow` acts after a candidate in every step, or the tuned greedy planner of the constants `base`."""
    return Rollout(
        "clairvoyant",
        task,
        truth=True,
        horizon=HORIZON,
        candidates=CANDIDATES,
        every=1,
        seed=seed,
        base=base,
        follow=follow,
    )
