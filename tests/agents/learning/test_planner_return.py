"""The planner's path that is kept and extended is the one that starting anew would find."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import MultiDiscrete

from og_agents.heuristics.tuned_constants import constants_of
from og_agents.learning.planner_return import Continuation
from og_agents.planners.tuned_greedy import TunedGreedy
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.ahead import Ahead
from tests.cases.short_training import STEPS, short_world

WORLD = short_world()
OPPONENT = {"attacks_per_day": 40.0, "budget": 3, "cooldown_h": 0.5, "duration_h": 0.5}
ATTACKED = loading.override(WORLD, {"failures.opponent": OPPONENT})
HORIZON, BATCH = 6, 5


@pytest.mark.parametrize(
    ("task", "threads", "steering"),
    [("placement", 1, "knobs"), ("joint", 1, "knobs"), ("joint", 1, "sites"), ("placement", 2, "knobs")],
)
@pytest.mark.parametrize("world", [WORLD, ATTACKED], ids=["outages", "opponent"])
def test_paths_extended_are_paths_begun_anew(task, threads, steering, world):
    env = NetworkVectorEnv(BATCH, task, world, split="train", flatten=True, steering=steering)
    env.simulator.threaded_cells = 1 if threads > 1 else env.simulator.threaded_cells
    env.reset(seed=11)
    kept, anew = Continuation(env, horizon=HORIZON), Ahead(env, 1, horizon=HORIZON)
    rng, simulator = np.random.default_rng(3), env.simulator
    planner = TunedGreedy(
        constants_of(world.name, "greedy_tuned"), simulator.world, simulator.tape, simulator.state, 10
    )
    assert np.array_equal(kept.begin(), anew.rewards()[:, 0])
    strays = 0
    for _ in range(STEPS + 4):
        planned = planner.choose(simulator.output.offer, simulator.output.offer_gain)
        chosen = np.where(rng.random(BATCH) < 0.4, rng.integers(11, size=BATCH), planned)
        strays += int((chosen != planned).sum())
        actions = chosen
        if task == "joint":
            assert isinstance(env.single_action_space, MultiDiscrete)
            parts = (BATCH, len(env.single_action_space.nvec) - 1)
            levels = np.where(rng.random((BATCH, 1)) < 0.1, rng.integers(5, size=parts), 2)
            actions = np.concatenate([chosen[:, None], levels], axis=1)
        *_, ended, _ = env.step(actions)
        assert np.array_equal(kept.advance(ended), anew.rewards()[:, 0])
    assert strays > 10
    kept.close()
    anew.close()


def test_an_environment_without_offers_has_no_path():
    with pytest.raises(ValueError, match="proposals"):
        Continuation(NetworkVectorEnv(2, "placement", WORLD, interface="operations"), horizon=2)
