"""Held-out episodes spread over a Ray cluster, with the numbers of `playing.run`, bit for bit.

A task is a batch of episodes of one policy, cut as `playing.run` cuts them: a network's sums may differ in the last bit
between batches of different size. A task whose worker dies is run again elsewhere; it depends on nothing but its seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from og_agents.cluster import ray_cluster
from og_agents.evaluation import playing
from og_agents.evaluation.episode_results import Episodes
from og_agents.policy import Policy
from og_env.scenario.specs import ScenarioSpec


def run_all(
    policies: Mapping[str, Policy],
    spec: ScenarioSpec,
    task: str = "placement",
    episodes: int = 100,
    seed: int = 0,
    *,
    split: str = "test",
) -> list[Episodes]:
    """Results of `playing.run` for each policy, in their order; ValueError as there, or where no cluster is left."""
    ray = ray_cluster.module()
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, not {episodes}")
    rows = math.ceil(episodes / math.ceil(episodes / playing.MAX_ROWS))
    batch: Any = ray.remote(num_cpus=1, max_retries=ray_cluster.RETRIES)(_batch)
    shared = ray.put((spec, task, rows, split))
    tasks = {}
    for name, policy in policies.items():
        stored = ray.put(policy)
        tasks[name] = [batch.remote(name, stored, shared, seed + first) for first in range(0, episodes, rows)]
    with ray_cluster.failures_told(ray):
        return [playing.joined(ray.get(parts), episodes) for parts in tasks.values()]


def _batch(name: str, policy: Policy, shared: tuple[ScenarioSpec, str, int, str], seed: int) -> Episodes:
    """Play one batch of episodes in a worker, as `playing.run` plays it whole."""
    spec, task, rows, split = shared
    return playing.run(policy, spec, task, rows, seed, split=split, name=name, threads=1)
