"""Weights of the reward that an episode draws: in the reward, in the observation, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.kernel.arrays import TERMS
from og_env.observation.fields import TABLES, column
from og_env.scenario import loading
from og_env.tape import reward_weights
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world

FIXED = short_world()
RANDOM = loading.override(FIXED, {"reward.weights": "random"})
SHOWN = ("latency", "cost", "unserved", "unverified", "exposure")


def shown(observation, term: str) -> np.ndarray:
    """Weights as the observation has them."""
    return 10 ** (2 * observation["globals"][:, column("globals", f"weight_{term}")])


def test_factors_are_preferences_alone():
    drawn = np.array([reward_weights.factors(seed, 4.0) for seed in range(400)])
    assert np.allclose(drawn.prod(axis=1), 1)
    assert drawn.max() <= 4 ** (4 / 3) + 1e-9 and drawn.max() > 4 and drawn.min() < 0.25
    assert np.allclose(np.log(drawn).mean(axis=0), 0, atol=0.15)
    assert reward_weights.factors(3, 1.0) == pytest.approx((1, 1, 1))


def test_a_fixed_scenario_shows_its_weights():
    env = NetworkVectorEnv(2, "placement", FIXED)
    observation, _ = env.reset(seed=0)
    for term in SHOWN:
        assert shown(observation, term) == pytest.approx(getattr(FIXED.reward, term), rel=1e-5)
    assert len({field.name for field in TABLES["globals"]} & {f"weight_{term}" for term in SHOWN}) == 5


def test_every_episode_has_weights_of_its_own_and_the_reward_uses_them():
    env, plain = (NetworkVectorEnv(6, "placement", world, reward="scalar") for world in (RANDOM, FIXED))
    observation, _ = env.reset(seed=5)
    plain.reset(seed=5)
    weights = np.stack([shown(observation, term) for term in SHOWN], axis=1)
    assert len(np.unique(weights[:, 0].round(4))) == 6
    own = np.array([getattr(FIXED.reward, term) for term in SHOWN])
    ratio = weights / own
    assert np.allclose(ratio[:, 2:], ratio[:, 2:3], rtol=1e-4), "resilience moves as one"
    assert np.allclose(ratio[:, 0] * ratio[:, 1] * ratio[:, 2], 1, rtol=1e-4)
    for _ in range(FIXED.episode.steps):
        observation, reward, _, truncated, info = env.step(np.zeros(6, np.int64))
        _, other, *_ = plain.step(np.zeros(6, np.int64))
        facts = info["final_info"] if truncated.all() else info
        terms = np.stack([facts[f"term_{term}"] for term in TERMS], axis=1)
        full = np.concatenate([weights, np.full((6, 1), FIXED.reward.churn)], axis=1)
        assert np.allclose(reward, -(terms * full).sum(axis=1), rtol=1e-4)
    assert not np.allclose(reward, other), "the same episode, other preferences"
    assert truncated.all()
    later = np.stack([shown(observation, term) for term in SHOWN], axis=1)
    assert not np.isclose(later, weights).any(axis=1).all(), "the next episode cares for something else"


def test_the_same_seed_gives_the_same_weights_in_any_batch():
    one, _ = NetworkVectorEnv(1, "placement", RANDOM).reset(seed=7)
    many, _ = NetworkVectorEnv(4, "placement", RANDOM).reset(seed=5)
    assert np.array_equal(one["globals"][0], many["globals"][2])


def test_random_fleets_have_random_weights_too():
    world = loading.override(short_world("random-24"), {"reward.weights": "random"})
    observation, _ = NetworkVectorEnv(3, "placement", world).reset(seed=1)
    assert len(np.unique(shown(observation, "cost").round(4))) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [({"reward.weights": "randm"}, "nearest valid: random"), ({"reward.weights_range": 0.5}, "weights_range")],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        loading.override(FIXED, change)
