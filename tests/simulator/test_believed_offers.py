"""Offers in a believed world: the simulator's own where nothing is believed, others where prices are, and no side effects."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.scenario import loading
from og_env.simulator import BelievedOffers
from og_env.vector_env import NetworkVectorEnv


def started(scenario: str, steps: int = 5) -> NetworkVectorEnv:
    env = NetworkVectorEnv(3, scenario=loading.load(scenario))
    env.reset(seed=2)
    for _ in range(steps):
        env.step(np.ones(3, np.int64))
    return env


@pytest.mark.parametrize("scenario", ["global-24", "random-24"])
def test_offers_and_observation_are_the_own_ones_in_the_true_world(scenario: str) -> None:
    env = started(scenario)
    believed = BelievedOffers(env.simulator)
    tables = believed.look()
    own = env.simulator.tables(env.simulator.observation)
    assert np.array_equal(believed.offer, env.simulator.output.offer) and believed.offer.any()
    assert set(tables) == set(own)
    for name, table in own.items():
        assert np.array_equal(tables[name], table), name


def test_a_believed_world_changes_offers_and_nothing_of_the_simulator() -> None:
    env = started("global-24")
    groups = (env.simulator.world, env.simulator.state, env.simulator.output)
    before = [values.copy() for group in groups for values in group]
    believed = BelievedOffers(env.simulator)
    believed.world.usd_per_gpu_hour[:] *= 1000
    believed.look(lambda state: state.status.fill(0))
    assert not np.array_equal(believed.offer, env.simulator.output.offer)
    for values, old in zip((values for group in groups for values in group), before, strict=True):
        assert np.array_equal(values, old)
    believed.take_worlds()
    believed.look()
    assert np.array_equal(believed.offer, env.simulator.output.offer)
