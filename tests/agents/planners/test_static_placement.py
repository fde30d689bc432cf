"""A static placement is reached and repaired."""

import numpy as np
import pytest

from og_agents.planners.static_placement import StaticPlacement, Target, moves, starting
from og_agents.policy import wishes
from og_env.env import NetworkEnv
from og_env.kernel.arrays import WARM
from og_env.scenario import loading
from tests.cases.planner_worlds import TOY, world_of


def test_moves_lead_to_a_target_and_repair_it():
    spec = loading.override(TOY, {"start.replica_sites": {"unit": ("a",)}})
    target = Target(np.array([[False, True, True]]), np.array([[True] * 3, [False, False, True], [True, True, False]]))
    policy = StaticPlacement("there", target)
    env = NetworkEnv("placement", spec, **wishes(policy).env_kwargs)
    observation, _ = env.reset(seed=0, options={"outages": [{"domain": "site:c", "start_h": 0.4, "duration_h": 0.1}]})
    for _ in range(55):
        action, _ = policy.predict(observation, action_masks=env.action_masks())
        observation, *_ = env.step(int(action))
    state = env.simulator.state
    assert ((state.phase[0] == WARM) == target.replicas).all()
    assert ((state.role_ms[0] >= 0) == target.roles).all()
    assert policy.predict(observation, action_masks=env.action_masks())[0] == 0
    with pytest.raises(ValueError, match="needs the masks of operations"):
        policy.predict(observation)


def test_moves_name_every_operation_once():
    target = starting(world_of(loading.load("one-cloud")))
    operations = moves(target)
    models, sites = target.replicas.shape
    assert len(set(operations)) == len(operations) == models * sites + 3 * sites
