"""Settings of a scenario in the order of the arrays."""

from __future__ import annotations

import numpy as np

from og_env.kernel.arrays import KNOBS, PLANNER, TERMS
from og_env.world import compile_world
from tests.cases.compiled_worlds import compiled, toy


def test_a_fleet_for_free_still_has_a_budget() -> None:
    free = {name: {"usd_per_gpu_hour": 0.0} for name in "abc"}
    assert toy(free, {}).arrays.budget_usd_per_hour[0] == 1
    assert toy(free, {"reward.budget_usd_per_hour": 7.0}).arrays.budget_usd_per_hour[0] == 7


def test_settings_are_in_the_order_of_the_layout() -> None:
    world = compiled("global-24", router__spread=0.25, router__cold_penalty=0.5, reward__churn=0.125)
    assert world.arrays.knobs[0, KNOBS.index("spread")] == 0.25
    assert world.arrays.knobs[0, KNOBS.index("cold_penalty")] == 0.5
    assert world.arrays.weights[0, TERMS.index("churn")] == 0.125
    assert world.arrays.planner[0, PLANNER.risk_weight] == 1
    half = compile_world(world.resolved, risk_weight=0.5)
    assert np.allclose(half.arrays.planner[0], [12, 36, 0.02, 0.002, 6, 0.5])


def test_the_opponent_counts_in_steps() -> None:
    opponent = {"attacks_per_day": 2.0, "budget": 4, "cooldown_h": 1.01, "duration_h": 2.0}
    arrays = compiled("global-24", failures__opponent=opponent).arrays
    assert (arrays.attack_budget[0], arrays.attack_cooldown[0], arrays.attack_steps[0]) == (4, 13, 24)


def test_round_trips_of_open_and_new_connections() -> None:
    arrays = compiled(network__kept_alive_share=0.75, network__retries=0, failures__lose_answers=False).arrays
    assert (arrays.round_trips[0], arrays.round_trips2[0]) == (0.75 * 1 + 0.25 * 3, 0.75 * 1 + 0.25 * 9)
    assert (arrays.tries[0], arrays.loses_answers[0]) == (1, 0)
    paid = {"payment__mode": "x402", "network__new_connection_round_trips": 1.0, "network__kept_alive_share": 0.75}
    arrays = compiled(**paid).arrays
    assert (arrays.round_trips[0], arrays.round_trips2[0]) == (0.75 * 2 + 0.25 * 3, 0.75 * 4 + 0.25 * 9)


def test_usual_requests() -> None:
    arrays = compiled("one-cloud").arrays
    usual = (arrays.round_trips[0], arrays.round_trips2[0], arrays.tries[0], arrays.loses_answers[0])
    assert np.allclose(usual, [0.8 + 0.2 * 3, 0.8 + 0.2 * 9, 2, 1])
    assert not arrays.payment_ms.any()
