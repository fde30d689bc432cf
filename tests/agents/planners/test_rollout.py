"""Rollouts: with the tape, and with futures that are drawn."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest

from og_agents import planners
from og_agents.evaluation import playing
from og_agents.planners.rollout import Rollout
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.planner_worlds import short


def test_a_planner_that_reads_the_tape_prepares_for_what_is_scripted():
    outage = {"domain": "provider:equinix", "start_h": 1.5, "duration_h": 3.0, "effect": "DOWN"}
    spec = loading.override(
        loading.load("provider-blackout"), {"failures.outages": (outage,), "episode.steps": 36, "reward.exposure": 0.0}
    )
    blind, seeing = (Rollout(name, truth=name == "seeing", candidates=6, every=3) for name in ("blind", "seeing"))
    returns = [playing.run(policy, spec, episodes=2).returns for policy in (blind, seeing)]
    greedy = playing.run(planners.make("greedy_tuned", spec), spec, episodes=2).returns
    assert returns[1].mean() > returns[0].mean()
    assert returns[1].mean() > greedy.mean()


def test_rollouts_repeat_and_futures_are_drawn_for_all_candidates_alike():
    spec = short("one-cloud", **{"episode.steps": 6})
    planner = Rollout("sampled", horizon=8, candidates=4, futures=2, seed=3)
    first = playing.run(planner, spec, episodes=2).returns
    assert np.array_equal(first, playing.run(dataclasses.replace(planner), spec, episodes=2).returns)
    env = NetworkVectorEnv(2, "placement", spec, threads=1)
    env.reset(seed=0)
    planner.attach(env)
    copies = planner._copies
    assert copies is not None
    copies.load(np.arange(2))
    copies.add_drawn_outages(planner.futures, np.random.default_rng(3))
    status = copies.tape.status.reshape(2, 4, 2, 9, -1)
    assert (status == status[:, :1]).all()
    assert (status[..., 0, :] == env.simulator.state.status[:, None, None]).all()


def test_joint_decisions_leave_the_router_alone_and_misuse_is_one_sentence():
    env = NetworkEnv("joint", short("one-cloud"))
    observation, _ = env.reset(seed=0)
    planner = planners.make("rollout", "one-cloud", "joint")
    assert isinstance(planner, Rollout)
    with pytest.raises(ValueError, match="attach"):
        planner.predict(observation)
    planner.attach(env)
    action, _ = planner.predict(observation)
    assert env.action_space.contains(action) and action[1:].tolist() == [2] * 5
    with pytest.raises(ValueError, match='interface="proposals"'):
        planner.attach(NetworkEnv("placement", "toy-3", interface="operations"))
    with pytest.raises(ValueError, match="valid are 2, 1, 0 and 1 or more"):
        Rollout("thin", candidates=1)


class FirstOffer:
    """Takes the first offer in every step, and keeps how many environments it chose for."""

    name = "first"
    env_kwargs: ClassVar = {"flatten": True, "interface": "proposals", "proposals": 10}

    def __init__(self) -> None:
        self.asked: set[int] = set()

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        action_masks: Any = None,
    ) -> Any:
        assert observation.ndim == 2 and action_masks.shape == (len(observation), 11)
        self.asked.add(len(observation))
        return action_masks[:, 1].astype(np.int64), state


def test_who_knows_the_tape_does_at_least_as_well_as_what_it_goes_on_with():
    spec = short("one-cloud")

    def returns(policy):
        return playing.run(policy, spec, episodes=2, split="validation").returns

    def knowing(margin, base):
        return Rollout("knowing", truth=True, horizon=24, candidates=11, every=1, margin=margin, follow=base)

    alone, base = returns(FirstOffer()), FirstOffer()
    better = returns(knowing(1e-4, base))
    assert base.asked == {2, 2 * 11}  # in the episodes, and in their copies
    assert (better > alone + 0.1).all()
    assert returns(knowing(1e9, FirstOffer())) == pytest.approx(alone), "what it goes on with is the first candidate"
