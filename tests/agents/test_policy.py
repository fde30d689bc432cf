"""Actions of Joint where an action steers to sites or providers: their shape, and a router that is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from og_agents import heuristics, planners
from og_agents.evaluation import playing
from og_agents.learning.planner_return import Continuation
from og_agents.learning.shaped_reward import TrainingReward
from og_agents.policy import Policy, parts_of
from og_agents.sb3_adapter import SB3VecEnv
from og_env.simulator import Arguments, Task
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world

WORLD = short_world()
QUICK = ("constant", "spot_hedge", "greedy_tuned")


def policy_of(name: str, task: str) -> Policy:
    return heuristics.make(name, task) if name in heuristics.NAMES else planners.make(name, WORLD, task)


@pytest.mark.parametrize("name", [*(name for name in heuristics.NAMES if name != "random"), *QUICK, "rollout"])
def test_baselines_play_the_same_whatever_joint_steers(name):
    placed = playing.run(policy_of(name, "placement"), WORLD, "placement", 2).returns
    for steering in ("knobs", "sites", "domains"):
        found = playing.run(policy_of(name, "joint"), WORLD, "joint", 2, steering=steering).returns
        assert np.array_equal(found, placed), f"steering {steering} by levels of no effect"


@pytest.mark.parametrize("steering", ["sites", "domains"])
def test_random_steers_by_levels_of_all_kinds(steering):
    env = NetworkVectorEnv(64, "joint", WORLD, steering=steering, interface="operations")
    seen, info = env.reset(seed=0)
    actions, _ = heuristics.make("random", "joint").predict(seen, action_masks=info["action_mask"])
    assert actions.shape == env.action_space.shape and env.action_space.contains(actions)
    assert set(np.unique(actions[:, 1:])) == set(range(5))
    env.close()


@pytest.mark.parametrize("interface", ["proposals", "operations"])
@pytest.mark.parametrize("steering", ["knobs", "sites"])
def test_training_begins_its_episodes_with_the_router_left_alone(interface, steering):
    env = NetworkVectorEnv(4, "joint", WORLD, flatten=True, interface=interface, steering=steering)
    ahead = Continuation(env, horizon=4) if interface == "proposals" else None
    training = TrainingReward(SB3VecEnv(env), ahead=ahead)
    training.seed(0)
    training.reset()
    state, world = env.simulator.state, env.simulator.world
    assert (state.step > 0).any(), "some episodes have gone on"
    assert not state.steer.any() and np.allclose(state.knobs, world.knobs[0])
    training.close()


def test_the_number_of_levels_is_read_from_the_space():
    cases: list[tuple[Task, Arguments, int]] = [
        ("placement", {}, 0),
        ("joint", {}, 5),
        ("joint", {"steering": "sites"}, 3),
        ("routing", {"interface": "sites"}, 0),
    ]
    for task, arguments, parts in cases:
        env = NetworkVectorEnv(1, task, WORLD, **arguments)
        assert parts_of(env.single_action_space) == parts
        env.close()
