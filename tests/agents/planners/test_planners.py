"""Every planner by its name: it plays whole episodes, and its constants are checked."""

import numpy as np
import pytest

from og_agents import planners
from og_agents.evaluation import playing
from og_agents.policy import Policy
from tests.cases.planner_worlds import TOY


@pytest.mark.parametrize("name", planners.NAMES)
def test_every_planner_plays_whole_episodes_behind_the_protocol(name):
    if "p_median" in name:
        pytest.importorskip("highspy")
    task = "routing" if name in planners.ROUTERS else "placement"
    policy = planners.make(name, TOY, task)
    assert isinstance(policy, Policy)
    played = playing.run(policy, TOY, task, episodes=2)
    assert played.policy == name and np.isfinite(played.returns).all()
    assert planners.DOCS[name]


def test_names_tasks_and_constants_are_checked():
    with pytest.raises(ValueError, match="nearest valid: rollout"):
        planners.make("rolout", TOY)
    with pytest.raises(ValueError, match="static_best has no decisions in the task 'joint'"):
        planners.make("static_best", TOY, "joint")
    with pytest.raises(ValueError, match="site_prices has no decisions in the task 'joint'; valid are routing"):
        planners.make("site_prices", TOY, "joint")
    with pytest.raises(ValueError, match="nearest valid: rate"):
        planners.make("site_prices", TOY, "routing", constants={"rat": 1.0})
    with pytest.raises(ValueError, match="nearest valid: risk"):
        planners.make("greedy_tuned", TOY, constants={"risc": 1.0})
    with pytest.raises(ValueError, match="rollout has no constants"):
        planners.make("rollout", TOY, constants={"risk": 1.0})
    with pytest.raises(ValueError, match="random-24: a static placement needs a fixed fleet"):
        planners.make("p_median", "random-24")
