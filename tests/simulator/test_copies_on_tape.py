"""Copies that stand ahead of their environments meet what these then meet."""

from __future__ import annotations

import numpy as np

from og_env.scenario import loading
from og_env.simulator import Copies, CopiesOnTape
from og_env.vector_env import NetworkVectorEnv

AHEAD, MORE = 4, 3


def test_copies_go_on_where_the_environments_will_be() -> None:
    spec = loading.override(loading.load("global-24"), {"episode.operations_per_step": 1})
    env = NetworkVectorEnv(3, "placement", spec, split="validation", threads=1)
    env.reset(seed=4)
    env.step(np.ones(3, np.int64))
    rows = np.array([1, 2])
    copies, ahead = Copies(env.simulator, 2, 1, AHEAD), CopiesOnTape(env.simulator)
    copies.load(rows, truth=True)
    first = np.ones(2, np.int64)
    rewards = list(copies.run(first, copies.greedy, offers_after=True).T)
    ahead.continue_from(copies, rows)
    actions = []
    for _ in range(MORE):
        actions.append(copies.greedy(ahead.output.offer[1:], ahead.output.offer_gain[1:]))
        rewards.append(ahead.step(slice(1, 3), actions[-1]).copy())
    for step, expected in enumerate(rewards):
        output = env.simulator.output
        chosen = np.zeros(3, np.int64)
        chosen[1:] = first if step == 0 else copies.greedy(output.offer[1:], output.offer_gain[1:])
        if step >= AHEAD:
            assert np.array_equal(chosen[1:], actions[step - AHEAD])
        assert np.array_equal(env.step(chosen)[1][1:], expected)
    assert (env.simulator.state.step[1:] == ahead.state.step[1:]).all()
    env.close()
