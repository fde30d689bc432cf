"""Whether an exported policy is the one that was trained: onnxruntime against torch on observations of episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from og_agents.export.onnx_export import graph_of
from og_agents.export.random_actions import random_actions
from og_agents.learning.checkpoint import LearnedPolicy
from og_agents.learning.networks import READ
from og_agents.learning.router_beside import task_of_placer
from og_env.errors import import_extra
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv

ROWS = 50
"""environments that observations are taken from"""


class Agreement(NamedTuple):
    """Agreement of onnxruntime and torch on the same observations."""

    observations: int
    largest: float
    """difference of a score or a value, relative where they are larger than 1"""
    equal: int
    """observations with the same action"""
    as_predicted: int
    """observations in which `predict` of the policy, as it plays, chooses that action too"""


def session(path: Path) -> Any:
    """An onnxruntime session on one thread; ValueError where onnxruntime is missing."""
    onnxruntime = import_extra("onnxruntime")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def observations(learned: LearnedPolicy, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Flat observations [count, O] and masks [count, A] ([count, 0] for routing) of validation episodes.

    The episodes are of the policy's scenario and are played with random possible actions.
    """
    meta = learned.meta
    kwargs = {**meta["env_kwargs"], "flatten": True}
    env = NetworkVectorEnv(ROWS, task_of_placer(meta), loading.load(meta["scenario"]), split="validation", **kwargs)
    rng = np.random.default_rng(seed)
    seen, _ = env.reset(seed=seed)
    rows, masks = [], []
    for _ in range(-(-count // ROWS)):
        mask = env.action_masks() if meta["task"] != "routing" else np.zeros((ROWS, 0), np.bool_)
        rows.append(seen)
        masks.append(mask)
        seen, *_ = env.step(random_actions(rng, env.single_action_space, ROWS, mask if mask.size else None))
    env.close()
    return np.concatenate(rows)[:count], np.concatenate(masks)[:count]


def compare(learned: LearnedPolicy, path: Path, count: int = 1000, seed: int = 0) -> Agreement:
    """Run onnxruntime and torch on `count` observations."""
    seen, masks = observations(learned, count, seed)
    masked = masks.shape[1] > 0
    feed = {"observation": seen} | ({"action_mask": masks} if masked else {})
    action, scores, value = session(path).run(["action", "scores", "value"], feed)
    inputs = [torch.from_numpy(seen)] + ([torch.from_numpy(masks)] if masked else [])
    with torch.no_grad():
        ours = [tensor.numpy() for tensor in graph_of(learned)(*inputs)]
    largest = 0.0
    for one, other in ((scores, ours[1]), (value, ours[2])):
        largest = max(largest, float((np.abs(one - other) / np.maximum(np.abs(other), 1.0)).max()))
    extra = {"action_masks": masks} if masked else {}
    predicted, _ = learned.network.predict(_as_space(learned, seen), deterministic=True, **extra)
    return Agreement(count, largest, int(_same(action, ours[0]).sum()), int(_same(action, np.asarray(predicted)).sum()))


def _as_space(learned: LearnedPolicy, seen: np.ndarray) -> Any:
    """Flat observations in the form of the policy's own space."""
    space = learned.network.observation_space
    if not hasattr(space, "spaces"):
        return seen
    cuts = np.cumsum([int(np.prod(space[name].shape)) for name in READ])[:-1]
    parts = dict(zip(READ, np.split(seen, cuts, axis=1), strict=True))
    blank = {name: np.zeros((len(seen), *table.shape), np.float32) for name, table in space.spaces.items()}
    return blank | {name: part.reshape(blank[name].shape) for name, part in parts.items()}


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Rows with the same action; knobs to 1e-5."""
    close = np.abs(one.astype(np.float64) - other) <= 1e-5
    return np.all(close.reshape(len(close), -1), axis=1)
