"""The search planner: futures from the alarms, and the policy that it goes on with."""

from __future__ import annotations

from typing import Any

import numpy as np

from og_agents import load_policies, planners
from og_agents.planners.rollout import Rollout
from og_env.env import NetworkEnv
from tests.cases.planner_worlds import short


def test_search_and_clairvoyant_are_one_planner_that_differ_in_what_they_see() -> None:
    search: Any = planners.make("search", "one-cloud")
    clairvoyant: Any = planners.make("clairvoyant", "one-cloud")
    assert type(search) is type(clairvoyant) is Rollout
    assert (search.truth, search.futures > 1) == (False, True)
    assert (clairvoyant.truth, clairvoyant.futures) == (True, 0)


def test_search_goes_on_with_the_policy_that_comes_along(monkeypatch: Any) -> None:
    spec = short("one-cloud")

    class Follower:
        env_kwargs: dict[str, Any] = {"flatten": True}

    monkeypatch.setattr(load_policies, "_shipped", lambda spec, task: {"ppo": "folder"})
    monkeypatch.setattr(load_policies, "_trained", lambda folder, spec, task: Follower())
    for name in planners.FOLLOWING:
        planner: Any = load_policies.make_planner(name, spec)
        assert isinstance(planner.follow, Follower) and planner.env_kwargs == {"flatten": True}
    rollout: Any = load_policies.make_planner("rollout", spec)
    assert rollout.follow is None


def test_search_reads_no_row_of_the_tape_that_is_to_come() -> None:
    """With another future on the tape it decides the same."""
    actions = []
    for factor in (1.0, 3.0):
        env = NetworkEnv("placement", short("one-cloud"))
        observation, _ = env.reset(seed=4)
        tape = env.simulator.tape
        tape.regional[:, 1:] *= factor
        tape.signal[:, 1:] = 255 if factor > 1 else tape.signal[:, 1:]
        planner: Any = planners.make("search", "one-cloud", seed=1)
        planner.attach(env)
        copies = planner._copies
        actions.append(int(planner.predict(observation)[0]))
        actions.append(copies.tape.status.copy())
    assert actions[0] == actions[2]
    assert np.array_equal(actions[1], actions[3])
