"""Plays a policy on held-out episodes, those of a batch side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from og_agents.evaluation.episode_results import TRACED, Episodes
from og_agents.policy import Policy, attach, wishes
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import METRICS, TERMS
from og_env.vector_env import NetworkVectorEnv

MAX_ROWS = 256
"""episodes played side by side"""


def run(
    policy: Policy,
    scenario: str | ScenarioSpec | Mapping[str, Any],
    task: str = "placement",
    episodes: int = 100,
    seed: int = 0,
    *,
    split: str = "test",
    name: str | None = None,
    progress: Callable[[float], None] | None = None,
    options: Mapping[str, Any] | None = None,
    **env_kwargs: Any,
) -> Episodes:
    """Play episodes seed, seed + 1, ... of a split; the same tapes for every policy, however they are batched.

    `progress` is called after each step with the number of episodes done, of those that run a share. `options` are those
    of `reset`, for every episode; `env_kwargs` go to the environment, after those the policy asks for. Raises ValueError
    for less than one episode, a negative seed, an unknown scenario, task, split or option, or a reward that is not finite.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, not {episodes}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")
    batches = math.ceil(episodes / MAX_ROWS)
    rows = math.ceil(episodes / batches)
    label = name or str(getattr(policy, "name", type(policy).__name__))
    env = stage(policy, scenario, task, rows, split=split, **env_kwargs)
    parts = []
    try:
        attach(policy, env)
        for first in range(0, episodes, rows):
            parts.append(_play(policy, env, seed + first, label, options, _from(first, episodes, progress)))
    finally:
        env.close()
    return joined(parts, episodes)


def _from(first: int, episodes: int, progress: Callable[[float], None] | None) -> Callable[[float], None] | None:
    """Count the episodes of a batch from its first one on; those beyond the last that is asked for do not count."""
    return None if progress is None else lambda done: progress(min(first + done, episodes))


def stage(
    policy: Policy,
    scenario: str | ScenarioSpec | Mapping[str, Any],
    task: str,
    rows: int,
    *,
    split: str = "test",
    **env_kwargs: Any,
) -> NetworkVectorEnv:
    """The environment that a policy plays in: the scenario with the router and the arguments that it asks for."""
    asked = wishes(policy)
    spec = loading.load(scenario)
    spec = loading.override(spec, asked.overrides) if asked.overrides else spec
    settings: dict[str, Any] = {**asked.env_kwargs, **env_kwargs, "task": task, "split": split}
    return NetworkVectorEnv(rows, scenario=spec, **settings)


def _play(
    policy: Policy,
    env: NetworkVectorEnv,
    seed: int,
    label: str,
    options: Mapping[str, Any] | None,
    progress: Callable[[float], None] | None,
) -> Episodes:
    """One episode in every row of the environment, each at its own pace where a step may have several decisions."""
    rows, steps = env.num_envs, env.simulator.spec.episode.steps
    done, every = np.zeros(rows, np.int64), np.arange(rows)
    observation, info = env.reset(seed=seed, options=dict(options or {}))
    start, state, predict_s = np.ones(rows, np.bool_), None, 0.0
    returns, terms, metrics = np.zeros(rows), np.zeros((rows, len(TERMS))), np.zeros((rows, len(METRICS)))
    traces = {key: np.zeros((rows, steps), np.float32) for key in TRACED}
    while (done < steps).any():
        masks = info["action_mask"].astype(np.bool_) if "action_mask" in info else None
        begin = time.perf_counter()
        actions, state = policy.predict(observation, state, start, deterministic=True, action_masks=masks)
        predict_s += time.perf_counter() - begin
        observation, reward, _, truncated, info = env.step(actions)
        start = np.asarray(truncated, np.bool_)
        happened = info["final_info"] if start.any() else info
        counts = happened["moved"] & (done < steps)  # a row that has ended goes on with an episode that nobody counts
        if (start & counts != (done + counts == steps) & counts).any():
            raise ValueError(f"episodes of {steps} steps ended at step {int(done[counts].min()) + 1}")
        moved = every[counts]
        returns[moved] += reward[moved]
        terms[moved] += np.stack([happened[f"term_{term}"] for term in TERMS], axis=1)[moved]
        metrics[moved] += np.stack([happened[metric] for metric in METRICS], axis=1)[moved]
        for key, trace in traces.items():
            trace[moved, done[moved]] = happened[key][moved]
        done += counts
        if progress is not None:
            progress(float(done.sum()) / steps)
    if not np.isfinite(returns).all():
        raise ValueError(
            f"{label}: a reward is not finite in the episode of seed {seed + int(np.argmin(np.isfinite(returns)))}"
        )
    terms, metrics, step_s = terms / steps, metrics / steps, env.simulator.spec.episode.step_s
    return Episodes(label, seed + np.arange(rows), returns, terms, metrics, traces, steps, predict_s, step_s)


def joined(parts: list[Episodes], episodes: int) -> Episodes:
    """Batches of episodes as one, without the surplus rows of the last batch."""
    played = sum(len(part.seeds) for part in parts)
    return Episodes(
        policy=parts[0].policy,
        seeds=np.concatenate([part.seeds for part in parts])[:episodes],
        returns=np.concatenate([part.returns for part in parts])[:episodes],
        terms=np.concatenate([part.terms for part in parts])[:episodes],
        metrics=np.concatenate([part.metrics for part in parts])[:episodes],
        traces={key: np.concatenate([part.traces[key] for part in parts])[:episodes] for key in TRACED},
        steps=parts[0].steps,
        predict_s=sum(part.predict_s for part in parts) * episodes / played,
        step_s=parts[0].step_s,
    )
