"""Every planner by its name: it plays whole episodes, and its constants are checked."""

import numpy as np
import pytest

from og_agents import heuristics, planners
from og_agents.evaluation import playing
from og_agents.policy import Policy, attach
from og_env.kernel.arrays import FETCHING
from og_env.scenario import loading
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


@pytest.mark.parametrize("name", [*planners.NAMES, "greedy", "offer_autoscaler", "nearest", "spread", "random"])
def test_no_planner_breaks_a_limit(name):
    """Sites b and c may take nothing new, two replicas would be wanted, and every role stays."""
    if "p_median" in name:
        pytest.importorskip("highspy")
    limits = {
        "most_replicas": {"unit": 1},
        "least_replicas": {"unit": 1},
        "least_roles": {"verifier": 3, "store": 1, "gateway": 1},
        "forbidden_sites": ("b", "c"),
    }
    busy = {"demand.requests_per_s": 20.0, "start.replica_sites": {"unit": ("a",)}}
    spec = loading.override(TOY, busy | {"limits": limits})
    task = "routing" if name in planners.ROUTERS and name not in heuristics.NAMES else "placement"
    policy = heuristics.make(name) if name in heuristics.NAMES else planners.make(name, spec, task)
    env = playing.stage(policy, spec, task, 1)
    observation, info = env.reset(seed=3)
    attach(policy, env)
    simulator, memory = env.simulator, None
    for _ in range(30):
        masks = info["action_mask"].astype(np.bool_) if task == "placement" else None
        action, memory = policy.predict(observation, memory, action_masks=masks)
        observation, _, _, _, info = env.step(action)
        state = simulator.state
        assert (state.phase[0, 0] >= FETCHING).tolist() == [True, False, False] and not state.phase[0, 0, 1:].any()
        assert (state.role_ms[0, 0] >= 0).all() and state.role_ms[0, 1].tolist()[1:] == [-1, 0]
    env.close()


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
