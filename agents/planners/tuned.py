"""Constants of the planners, found on training episodes. The test split was not looked at.

python scripts/tune.py --scenario S --policies planners --episodes 12
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

TUNED: Mapping[str, Mapping[str, Constants]] = {
    "flash-crowd": {
        "constant": {"rank": 1},
        "spot_hedge": {
            "high": 0.701,
            "spare": 0.147,
            "slack": 0.951,
            "avoid": 1.54,
            "arriving": 0.989,
            "ahead": 0.238,
            "drop": 0.127,
        },
        "greedy_tuned": {
            "rent": 0.996,
            "risk": 0.884,
            "add": -0.00408,
            "remove": -0.00374,
            "congestion": 0.000381,
            "alarm": 0.007,
            "reserve": 0.0477,
            "target": 0.55,
        },
    },
    "global-24": {
        "constant": {"rank": 1},
        "spot_hedge": {
            "high": 0.813,
            "spare": 0.0,
            "slack": 0.195,
            "avoid": 1.41,
            "arriving": 0.997,
            "ahead": 0.0237,
            "drop": 0.249,
        },
        "greedy_tuned": {
            "rent": 0.985,
            "risk": 0.836,
            "add": -0.00156,
            "remove": -0.000687,
            "congestion": 0.0,
            "alarm": 0.00241,
            "reserve": 0.0507,
            "target": 0.691,
        },
    },
    "grid-blackout": {
        "constant": {"rank": 1},
        "spot_hedge": {
            "high": 0.758,
            "spare": 1.25,
            "slack": 0.807,
            "avoid": 1.22,
            "arriving": 1.0,
            "ahead": 0.0,
            "drop": 0.249,
        },
        "greedy_tuned": {
            "rent": 0.802,
            "risk": 1.31,
            "add": 0.00321,
            "remove": 0.00562,
            "congestion": 0.00073,
            "alarm": 0.0232,
            "reserve": 0.0147,
            "target": 0.856,
        },
    },
    "near-but-cold": {
        "constant": {"rank": 1},
        "spot_hedge": {
            "high": 0.735,
            "spare": 0.0,
            "slack": 0.161,
            "avoid": 0.983,
            "arriving": 0.997,
            "ahead": 0.166,
            "drop": 0.138,
        },
        "greedy_tuned": {
            "rent": 1.0,
            "risk": 1.27,
            "add": 0.00131,
            "remove": 0.000604,
            "congestion": 0.00225,
            "alarm": 0.00222,
            "reserve": 0.0477,
            "target": 0.895,
        },
    },
    "one-cloud": {
        "constant": {"rank": 1},
        "spot_hedge": {
            "high": 0.565,
            "spare": 0.377,
            "slack": 1.25,
            "avoid": 1.02,
            "arriving": 0.934,
            "ahead": 0.621,
            "drop": 0.0982,
        },
        "greedy_tuned": {
            "rent": 1.03,
            "risk": 1.83,
            "add": -0.00296,
            "remove": 8.77e-05,
            "congestion": 0.000573,
            "alarm": 0.00203,
            "reserve": 0.0498,
            "target": 0.727,
        },
    },
    "provider-blackout": {
        "constant": {"rank": 3},
        "spot_hedge": {
            "high": 0.7,
            "spare": 1.0,
            "slack": 1.0,
            "avoid": 1.0,
            "arriving": 1.0,
            "ahead": 0.5,
            "drop": 0.1,
        },
        "greedy_tuned": {
            "rent": 1.13,
            "risk": 1.49,
            "add": -0.00474,
            "remove": -0.00265,
            "congestion": 0.0,
            "alarm": 0.0,
            "reserve": 0.087,
            "target": 0.65,
        },
    },
    "store-loss": {
        "constant": {"rank": 1},
        "spot_hedge": {
            "high": 0.7,
            "spare": 1.0,
            "slack": 1.0,
            "avoid": 1.0,
            "arriving": 1.0,
            "ahead": 0.5,
            "drop": 0.1,
        },
        "greedy_tuned": {
            "rent": 0.921,
            "risk": 1.82,
            "add": -0.00225,
            "remove": 8.1e-05,
            "congestion": 0.000258,
            "alarm": 0.000618,
            "reserve": 0.0323,
            "target": 0.647,
        },
    },
    "tee-break": {
        "constant": {"rank": 1},
        "spot_hedge": {
            "high": 0.654,
            "spare": 1.15,
            "slack": 0.293,
            "avoid": 0.895,
            "arriving": 0.968,
            "ahead": 0.662,
            "drop": 0.121,
        },
        "greedy_tuned": {
            "rent": 0.957,
            "risk": 1.39,
            "add": -0.00455,
            "remove": 0.00355,
            "congestion": 0.000113,
            "alarm": 0.00818,
            "reserve": 0.0385,
            "target": 0.697,
        },
    },
}
"""by scenario and policy; a scenario that is not here uses global-24's"""

FALLBACK = "global-24"


def constants_of(scenario: str, policy: str) -> dict[str, float]:
    """The constants of a policy in a scenario."""
    found = TUNED.get(scenario, TUNED.get(FALLBACK, {})).get(policy, {})
    return {**START[policy], **found}
