"""Prices of sites: they even out load that the router leaves uneven, and say what they need."""

from typing import Any

import numpy as np
import pytest

from og_agents import planners
from og_agents.planners.site_prices import loads
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.as_stated import AS_STATED
from tests.cases.planner_worlds import short

A, C = 0, 2
TWO = loading.override(
    loading.load("toy-3"),
    AS_STATED
    | {"start.replica_sites": {"unit": ["a", "c"]}, "demand.requests_per_s": 12.0, "router.load_penalty": 0.0},
)
"""12 requests/s, nearly all for a, which is where the users are; a and c serve 10 each"""


def play(constants, steps=60):
    """Loads of a and c in the last step, the return, and the prices."""
    env = NetworkEnv("routing", TWO, interface="sites")
    policy: Any = planners.make("site_prices", TWO, "routing", constants=constants)
    policy.attach(env)
    observation, _ = env.reset(seed=0)
    prices: Any = None
    total = 0.0
    for _ in range(steps):
        load = loads(env.simulator, 0.0)[0][0]
        action, prices = policy.predict(observation, prices, np.zeros(1, bool))
        observation, reward, *_ = env.step(action)
        total += reward
    return load, total, prices[0]


def test_prices_even_out_the_load_of_two_sites():
    uneven, before, _ = play({"rate": 0.0})
    even, after, prices = play({})
    assert uneven[A] - uneven[C] > 0.5
    assert abs(even[A] - even[C]) < 0.1 and even[A] + even[C] == pytest.approx(1.2, rel=0.1), "as it is measured"
    assert prices[A] > 0.2 and prices[C] == 0
    assert after > before + 1, "shorter queues are worth more than the way to c costs"


def test_a_price_stays_0_below_the_target():
    load, _, prices = play({"target": 1.1, "refusal": 0.0})  # what is measured is a few percent above or below
    assert load[A] > 0.8 and not prices.any()


def test_load_is_what_was_measured():
    env = NetworkVectorEnv(1, "routing", TWO, interface="sites")
    env.reset(seed=0)
    env.step(np.zeros((1, 3), np.float32))
    before, mean = loads(env.simulator, 0.0)
    assert mean[0, 0] == pytest.approx(before[0, [A, C]].mean())
    state = env.simulator.state
    assert before[0, [A, C]] == pytest.approx(state.load_rps[0, 0, [A, C]] / 10, rel=0.2)
    state.shown_slowness_log2[0] = [0, 3, 1]
    state.shown_refused[0] = [0.5, 0.9, 0]
    state.shown_load[0] = [0.9, 0.9, 0.3]
    after, _ = loads(env.simulator, 0.5)
    assert after[0].tolist() == pytest.approx([0.9 + 0.25, 0, 2 * 0.3]), "b has no replica, whatever was once measured"


def test_prices_begin_anew_with_an_episode_and_batches_agree():
    spec = short("global-24")
    batch = NetworkVectorEnv(3, "routing", spec, interface="sites")
    policy: Any = planners.make("site_prices", spec, "routing", constants={"target": 0.1})
    policy.attach(batch)
    observation, _ = batch.reset(seed=5)
    batch.step(np.zeros((3, 24), np.float32))
    kept, prices = policy.predict(observation, np.full((3, 24), 0.5), np.zeros(3, bool))
    anew, _ = policy.predict(observation, np.full((3, 24), 0.5), np.array([False, True, False]))
    fresh, _ = policy.predict(observation)
    assert kept.shape == (3, 24) and kept.dtype == np.float32 and np.array_equal(kept, -prices.astype(np.float32))
    assert np.array_equal(anew[[0, 2]], kept[[0, 2]]) and np.array_equal(anew[1], fresh[1])
    assert not np.array_equal(anew[1], kept[1])


def test_what_it_needs_is_said_in_one_line():
    policy: Any = planners.make("site_prices", TWO, "routing")
    with pytest.raises(ValueError, match=r"attach\(env\) first"):
        policy.predict(np.zeros((1, 3)))
    with pytest.raises(ValueError, match='interface="sites"'):
        policy.attach(NetworkEnv("routing", TWO))
