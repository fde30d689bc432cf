"""Constants of the planners, found on training episodes. The test split was not looked at.

python scripts/tune.py --scenario S --policies constant,spot_hedge,greedy_tuned --episodes 12
"""

from __future__ import annotations

from collections.abc import Mapping

Constants = Mapping[str, float]

START: Mapping[str, Constants] = {
    "constant": {"rank": 1},
    "spot_hedge": {"high": 0.7, "spare": 1.0, "slack": 1.0, "avoid": 1.0, "arriving": 1.0, "ahead": 0.5, "drop": 0.1},
    "greedy_tuned": {
        "rent": 1.0,
        "risk": 1.0,
        "add": 0.0,
        "remove": 0.0,
        "congestion": 0.0,
        "alarm": 0.0,
        "reserve": 0.0,
        "target": 0.7,
    },
}
"""where the search begins; greedy_tuned is plain greedy there"""

SPREAD: Mapping[str, float] = {
    "high": 0.1,
    "spare": 0.7,
    "slack": 0.7,
    "alarm": 0.02,
    "avoid": 0.5,
    "arriving": 0.2,
    "ahead": 0.3,
    "drop": 0.1,
    "rent": 0.3,
    "risk": 0.7,
    "add": 0.004,
    "remove": 0.004,
    "congestion": 0.01,
    "reserve": 0.05,
    "target": 0.1,
}
"""standard deviation of the first population"""

BOUNDS: Mapping[str, tuple[float, float]] = {
    "high": (0.4, 0.95),
    "spare": (0.0, 4.0),
    "slack": (0.0, 4.0),
    "avoid": (0.0, 3.0),
    "arriving": (0.0, 1.0),
    "ahead": (0.0, 1.5),
    "drop": (-0.2, 0.6),
    "rent": (0.2, 3.0),
    "risk": (0.0, 5.0),
    "add": (-0.01, 0.03),
    "remove": (-0.01, 0.03),
    "congestion": (0.0, 0.1),
    "alarm": (0.0, 0.2),
    "reserve": (0.0, 0.5),
    "target": (0.3, 0.9),
}

TUNED: Mapping[str, Mapping[str, Constants]] = {}
"""by scenario and policy; a scenario that is not here uses global-24's"""

FALLBACK = "global-24"


def constants_of(scenario: str, policy: str) -> dict[str, float]:
    """The constants of a policy in a scenario."""
    found = TUNED.get(scenario, TUNED.get(FALLBACK, {})).get(policy, {})
    return {**START[policy], **found}
