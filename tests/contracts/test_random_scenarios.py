"""Whatever valid numbers a scenario has, rewards are finite, observations lie in their space, and terms make the reward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_env.kernel.arrays import METRICS, TERMS
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv

SCENARIOS = 300
STEPS = 10
BASES = ("toy-3", "global-16", "store-loss", "opengradient", "random-24")
CHOICES: dict[str, tuple[Any, ...]] = {
    "router.latency_temperature_ms": (0.01, 1.0, 40.0, 1e6),
    "router.cold_penalty": (0.0, 0.1, 500.0),
    "router.load_penalty": (0.0, 2.0, 500.0, 1e6),
    "router.risk_aversion": (0.0, 0.5, 200.0, 1e6),
    "router.spread": (0.0, 0.1, 1.0),
    "network.utilisation_limit": (0.001, 0.5, 0.9, 0.999),
    "network.patience_s": (0.0, 60.0, 10_000.0),
    "network.timeout_s": (0.0, 2.0, 1000.0),
    "network.retries": (0, 1, 3, 10),
    "network.kept_alive_share": (0.0, 0.8, 1.0),
    "network.new_connection_round_trips": (0.0, 2.0, 10.0),
    "payment.mode": ("prepaid", "x402"),
    "payment.verify_s": (0.0, 0.35, 100.0),
    "prices.rent_share": (0.0, 0.65, 10.0),
    "prices.use_share": (0.0, 0.75, 10.0),
    "demand.requests_per_s": (1e-6, 1.0, 100.0, 1e5),
    "demand.burst_sd": (0.0, 0.2, 1.5),
    "demand.service_cv": (0.0, 0.8, 5.0),
    "demand.arrival_cv": (0.01, 1.1, 10.0),
    "failures.intensity": (0.0, 1.0, 1000.0),
    "failures.detect_s": (0.0, 60.0, 4000.0),
    "failures.lose_answers": (True, False),
    "condition.drift_sd": (0.0, 0.25, 2.0),
    "condition.grey_per_day": (0.0, 0.3, 100.0),
    "condition.blind_per_day": (0.0, 0.1, 100.0),
    "reward.weights": ("fixed", "random"),
    "reward.unserved_convexity": (0.0, 5.0, 100.0),
    "reward.churn": (0.0, 0.01, 10.0),
    "episode.step_s": (1, 60, 300, 3600),
    "episode.operations_per_step": (1, 3),
    "demand.idle_relief": (0.0, 0.4, 100.0),
}
"""valid values of settings that arithmetic could stumble over, the smallest and the largest ones among them"""


def drawn(rng: np.random.Generator) -> dict[str, Any]:
    """Settings of a random scenario: about a third of them differ from the scenario that it is made of."""
    changed = {key: values[rng.integers(len(values))] for key, values in CHOICES.items() if rng.random() < 0.35}
    return {"episode.steps": STEPS} | changed


@pytest.mark.parametrize("part", range(6))
def test_rewards_are_finite_and_observations_lie_in_their_space(part: int) -> None:
    rng = np.random.default_rng(part)
    for number in range(SCENARIOS // 6):
        base = BASES[number % len(BASES)]
        changes = drawn(rng)
        env = NetworkVectorEnv(2, scenario=loading.override(loading.load(base), changes))
        observation, _ = env.reset(seed=number)
        for _ in range(STEPS - 1):  # the last one would begin the next episode
            masks = env.action_masks()
            actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
            observation, reward, _, _, infos = env.step(actions)
            told = f"{base} with {changes}"
            for name, table in observation.items():
                assert np.isfinite(table).all() and np.abs(table).max(initial=0) <= 1, f"{name} of {told}"
            assert np.isfinite(reward).all(), told
            assert all(np.isfinite(infos[name]).all() for name in METRICS), told
            terms = np.stack([infos[f"term_{name}"] for name in TERMS], axis=1)
            np.testing.assert_allclose(
                reward,
                -(env.simulator.world.weights[env.simulator.state.world] * terms).sum(axis=1),
                rtol=1e-4,
                err_msg=told,
            )
        env.close()


def test_an_id_of_the_first_version_is_answered_with_the_present_one() -> None:
    from og_env import task_of

    with pytest.raises(ValueError, match=r"^og_env/Joint-v0 was the first version, .* take og_env/Joint-v1$"):
        task_of("og_env/Joint-v0")
