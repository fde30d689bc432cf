"""The value of an offer to the tuned planner, each part of it worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from og_agents.planners.offer_value import CALM, FULL_MARGIN, GAIN_SCALE, Offers, observed, tuned_value, unsquashed

NOTHING = dict.fromkeys(
    ("rent", "risk", "add", "remove", "congestion", "alarm", "reserve", "target", "backlog", "arriving", "quorum"), 0.0
)


def offers(**facts: float) -> Offers:
    """One offer of which nothing is true but the facts, beside a full margin of verifiers."""
    named = dict.fromkeys(Offers._fields, 0.0) | {"margin": 1.0} | facts
    return Offers(**{name: np.array([[value]]) for name, value in named.items()})


def value(constants: dict[str, float], **facts: float) -> float:
    return tuned_value(offers(**facts), NOTHING | constants).item()


@pytest.mark.parametrize(
    ("constants", "facts", "expected"),
    [
        ({}, {"service": 0.7}, 0.7),
        ({"rent": 2.0}, {"service": 1.0, "cost": -0.25}, 0.5),
        ({"risk": 4.0}, {"service": 1.0, "resilience": -0.125}, 0.5),
        ({"add": 0.1}, {"adds": 1.0}, -0.1),
        ({"add": 0.1}, {"adds": 0.0}, 0.0),
        ({"remove": 0.1}, {"adds": 0.0}, -0.1),
        ({"remove": 0.1}, {"adds": 1.0}, 0.0),
        ({"congestion": 0.5}, {"fetches": 1.0, "queue": 0.25}, -0.125),
        ({"congestion": 0.5}, {"fetches": 0.0, "queue": 0.25}, 0.0),
        ({"alarm": 2.0}, {"adds": 1.0, "alarm": CALM + 0.25}, -0.5),
        ({"alarm": 2.0}, {"adds": 0.0, "alarm": CALM + 0.25}, 0.0),
        ({"alarm": 2.0}, {"adds": 1.0, "alarm": CALM - 0.25}, 0.0),
    ],
)
def test_gain_churn_congestion_and_alarm(constants: dict[str, float], facts: dict[str, float], expected: float) -> None:
    assert value(constants, **facts) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"launches": 1.0}, 2.0 * 0.5 * (0.9 - 0.6)),
        ({"retires": 1.0}, -2.0 * 0.5 * (0.9 - 0.6)),
        ({"launches": 1.0, "unserved": 0.2}, 2.0 * 0.5 * (0.9 + 3.0 * 0.2 - 0.6)),
        ({"launches": 1.0, "loading": 0.25}, 2.0 * 0.5 * (0.9 * (1 - 0.5 * 0.25) - 0.6)),
        ({"launches": 1.0, "busy": 0.5}, 0.0),
        ({"launches": 1.0, "share": 0.0}, 0.0),
        ({"fetches": 1.0}, 0.0),
    ],
)
def test_a_reserve_is_worth_the_load_above_the_target(facts: dict[str, float], expected: float) -> None:
    constants = {"reserve": 2.0, "target": 0.6, "backlog": 3.0, "arriving": 0.5}
    assert value(constants, **({"share": 0.5, "busy": 0.9} | facts)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"verifiers": 1.0, "adds": 1.0}, 0.5),
        ({"verifiers": 1.0, "adds": 0.0}, -0.5),
        ({"verifiers": 0.0, "adds": 1.0}, 0.0),
        ({"verifiers": 1.0, "adds": 1.0, "margin": FULL_MARGIN + 0.25}, 0.0),
    ],
)
def test_a_verifier_is_worth_the_votes_that_a_full_margin_lacks(facts: dict[str, float], expected: float) -> None:
    assert value({"quorum": 2.0}, **({"margin": FULL_MARGIN - 0.25} | facts)) == pytest.approx(expected)


def test_observed_gains_are_those_before_squashing() -> None:
    gains = np.array([-3.0, -0.05, 0.0, 0.01, 2.0])
    assert unsquashed(gains / (abs(gains) + GAIN_SCALE)) == pytest.approx(gains)
    assert unsquashed(np.array([-1.0, 1.0])) == pytest.approx(np.array([-49.95, 49.95]))


def test_offers_from_columns_of_the_observation() -> None:
    columns = {
        "gain_service": 0.5,
        "gain_cost": -0.5,
        "gain_resilience": 0.0,
        "model_loading": 1.0,
        "model_replicas": 3.0,
        "is_add": 1.0,
        "is_launch": 1.0,
        "is_retire": 0.0,
        "is_stage": 0.0,
        "on_disk": 0.0,
        "is_verifier": 0.0,
        "alarm": 0.4,
        "model_share": 0.3,
        "model_utilisation": 0.8,
        "model_forecast": 0.25,
        "model_unserved": 0.1,
    }

    def seen(**changes: float) -> Offers:
        return observed(lambda name: np.array([[(columns | changes)[name]]]), np.array([[0.2]]), np.array([[0.1]]))

    found = {name: part.item() for name, part in seen()._asdict().items()}
    assert found == pytest.approx(
        {"service": GAIN_SCALE, "cost": -GAIN_SCALE, "resilience": 0.0, "adds": 1.0, "launches": 1.0, "retires": 0.0}
        | {"fetches": 1.0, "verifiers": 0.0, "alarm": 0.4, "share": 0.3, "busy": 1.0, "unserved": 0.1, "loading": 0.25}
        | {"queue": 0.2, "margin": 0.1},
        rel=1e-5,
    )
    assert seen(model_forecast=-0.5).busy.item() == pytest.approx(0.8)  # a fall is no reason to have fewer
    assert seen(on_disk=1.0).fetches.item() == 0.0
    assert seen(is_launch=0.0, is_stage=1.0).fetches.item() == 1.0
    assert seen(is_launch=0.0).fetches.item() == 0.0
    assert seen(model_loading=0.0, model_replicas=0.0).loading.item() == 0.0
