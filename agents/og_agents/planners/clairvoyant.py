"""The clairvoyant planner: rollouts on the tape itself, as a reference for policies that cannot see the future."""

from __future__ import annotations

from og_agents.heuristics.tuned_constants import Constants
from og_agents.planners.rollout import Rollout
from og_agents.policy import Policy

HORIZON = 72
"""steps ahead, twice as far as `rollout`: with 36, all else the same, it gains less (configs/planners/RESULTS.md)"""
CANDIDATES = 11
"""doing nothing and every offer; with the best 8 it gains less (configs/planners/RESULTS.md)"""


QUICK_HORIZON, QUICK_CANDIDATES, QUICK_EVERY = 36, 6, 3
"""of the quick one, which looks ahead in every third step alone (figures: configs/planners/RESULTS.md)"""


def clairvoyant(
    task: str = "placement", *, seed: int, base: Constants, follow: Policy | None = None, quick: bool = False
) -> Rollout:
    """The planner; `follow` acts after a candidate in every step, or the tuned greedy planner of the constants `base`.

    quick: take about a tenth of the time or less, for less return.
    """
    return Rollout(
        "clairvoyant_quick" if quick else "clairvoyant",
        task,
        truth=True,
        horizon=QUICK_HORIZON if quick else HORIZON,
        candidates=QUICK_CANDIDATES if quick else CANDIDATES,
        every=2 if quick else 1,
        decide_every=QUICK_EVERY if quick else 1,
        seed=seed,
        base=base,
        follow=follow,
    )
