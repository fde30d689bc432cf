"""The tuned planner: as greedy as its constants, and the same in rollouts as in an episode."""

import numpy as np
import pytest

from og_agents import heuristics, planners
from og_agents.evaluation import playing
from og_agents.heuristics.tuned_constants import of_planner
from og_agents.planners.tuned_greedy import TunedGreedy
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.planner_worlds import short


def test_plain_constants_make_the_tuned_planner_the_greedy_one():
    spec = short("global-24")
    tuned = planners.make("greedy_tuned", spec, constants=of_planner("greedy_tuned").untuned)
    ours = playing.run(tuned, spec, episodes=4, split="validation").returns
    assert ours == pytest.approx(playing.run(heuristics.make("greedy"), spec, episodes=4, split="validation").returns)


def test_the_base_of_rollouts_decides_as_the_policy_does():
    """It knows no forecast, and where demand has no course over the day there is none to know."""
    constants = {**of_planner("greedy_tuned").untuned, "risk": 1.5, "add": -0.003, "congestion": 0.01, "alarm": 0.02}
    constants |= {"reserve": 0.2, "backlog": 1.0, "arriving": 0.8}
    spec = loading.override(loading.load("global-24"), {"demand.diurnal_amplitude": 0.0})
    env = NetworkVectorEnv(8, "placement", spec, threads=1)
    observation, _ = env.reset(seed=0)
    policy, simulator = planners.make("greedy_tuned", spec, constants=constants), env.simulator
    base = TunedGreedy(constants, simulator.world, simulator.tape, simulator.state, 10)
    same = []
    for _ in range(60):
        actions, _ = policy.predict(observation)
        same.append(actions == base.choose(simulator.output.offer, simulator.output.offer_gain))
        observation, *_ = env.step(actions)
    assert np.mean(same) > 0.98  # observations are clipped and rounded
