"""The prior of the networks is the tuned planner."""

from __future__ import annotations

import numpy as np
import torch

from og_agents import planners
from og_agents.heuristics.tuned_constants import PLANNERS
from og_agents.learning.networks import VALID
from og_agents.learning.planner_prior import PlannerPrior
from og_env.vector_env import NetworkVectorEnv


def test_the_tuned_prior_is_what_the_tuned_planner_does():
    values = (0.9, 1.4, -0.001, 0.002, 0.01, 0.02, 0.05, 0.6, 0.8, 0.5, 0.02)
    constants = dict(zip(PLANNERS["greedy_tuned"], values, strict=True))
    prior = PlannerPrior(constants)
    env = NetworkVectorEnv(16, "placement", "global-24", threads=1)
    observation, _ = env.reset(seed=3)
    policy = planners.make("greedy_tuned", "global-24", constants=constants)
    chosen = []
    for _ in range(40):
        rows = torch.as_tensor(observation["proposals"])
        with torch.no_grad():
            values = prior(torch.as_tensor(observation["globals"]), rows)
        values = values.masked_fill(rows[..., VALID] <= 0, -1.0)
        actions, _ = policy.predict(observation)
        assert (torch.where(values.amax(1) > 0, values.argmax(1) + 1, 0).numpy() == actions).all()
        chosen.append(actions)
        observation, *_ = env.step(actions)
    assert len(np.unique(chosen)) > 3
