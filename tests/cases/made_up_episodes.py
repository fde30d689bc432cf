"""Made-up episodes with plausible numbers, for tests that need results and no environment."""

from __future__ import annotations

import numpy as np

from og_agents.evaluation.episode_results import TRACED, Episodes
from og_env.kernel.arrays import METRICS, TERMS


def made_up(policy: str, mean_return: float, *, episodes: int = 20, steps: int = 48, seed: int = 100) -> Episodes:
    """Returns around a mean on a tape noise that all policies share; worse returns come with lower service."""
    tape = np.random.default_rng(seed)
    own = np.random.default_rng(abs(hash_of(policy)))
    returns = mean_return + tape.normal(0, 8, episodes) + own.normal(0, 1, episodes)
    metrics = np.zeros((episodes, len(METRICS)))
    base = {
        "served_share": 1 + mean_return / 1000,
        "usd_per_hour": 60 + 30 * own.random(),
        "latency_p95_ms": 900 - 4 * mean_return,
        "latency_mean_ms": 500 - 3 * mean_return,
        "exposure": 0.2 - mean_return / 500,
        "sites_down": 1.5,
        "active_outages": 0.3,
        "replicas_warm": 20,
    }
    for name, value in base.items():
        metrics[:, METRICS.index(name)] = value
    struck = np.zeros((episodes, steps), np.float32)
    for episode in range(episodes):
        begin = int(tape.integers(4, steps - 10))
        struck[episode, begin : begin + int(tape.integers(2, 8))] = 1
    metrics[:, METRICS.index("sites_down")] = 6 * struck.mean(axis=1)
    traces = {name: np.full((episodes, steps), base[name], np.float32) for name in TRACED}
    traces["active_outages"], traces["sites_down"] = struck, 6 * struck
    traces["served_share"] = (1 - (0.4 + 0.1 * own.random()) * struck).astype(np.float32)
    traces["exposure"] = (0.3 + 0.05 * own.normal(size=struck.shape)).astype(np.float32)
    terms = np.abs(own.normal(0.1, 0.02, (episodes, len(TERMS))))
    return Episodes(policy, seed + np.arange(episodes), returns, terms, metrics, traces, steps, 0.01 * episodes)


def hash_of(text: str) -> int:
    """The same in every process, unlike hash()."""
    return sum(at * byte for at, byte in enumerate(text.encode(), start=1))
