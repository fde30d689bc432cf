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
