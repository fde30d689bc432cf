"""One rollout of every id, by hash: a change of the numbers is noticed, and means a new version of the id.

Rewards enter rounded to 4 digits, so that the last bit of another machine's exponential does not matter; events enter
exactly.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from og_env import IDS
from og_env.scenario import loading
from og_env.simulator import Task
from og_env.vector_env import NetworkVectorEnv

GOLDEN = {"placement": "4bc8d45204794d2d", "routing": "17683853af7cd422", "joint": "629ac799f8a50999"}


def rollout_hash(task: Task) -> str:
    """First 16 digits of the hash of two episodes of 36 steps in 8 environments, with actions that chance alone sets."""
    spec = loading.override(loading.load("global-16"), {"episode.steps": 36})
    env = NetworkVectorEnv(8, task, spec, interface="operations", knobs="levels", threads=1)
    env.reset(seed=2026)
    rng = np.random.default_rng(7)
    total = hashlib.sha256()
    for _ in range(72):
        highs = np.broadcast_to(
            np.asarray(getattr(env.single_action_space, "nvec", getattr(env.single_action_space, "n", 0))),
            env.action_space.shape or (),
        )
        _, rewards, *_ = env.step(rng.integers(0, highs))
        state = env.simulator.state
        total.update(np.round(rewards, 4).tobytes())
        gpus_used = state.gpus_used.astype(np.int32)
        for events in (state.phase, state.role_ms, gpus_used, state.status, state.undetected_ms):
            total.update(events.tobytes())
    return total.hexdigest()[:16]


@pytest.mark.parametrize("task", IDS)
def test_rollout_is_the_recorded_one(task: Task) -> None:
    assert rollout_hash(task) == GOLDEN[task], f"{IDS[task]} gives other numbers: raise its version and its history"
