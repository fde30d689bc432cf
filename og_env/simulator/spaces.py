"""Action and observation spaces by task and interface, and actions checked at the door."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from og_env.kernel.arrays import TERMS
from og_env.simulator.simulator import LEVELS, Settings, Simulator

REWARDS = ("scalar", "vector")
UNBOUNDED = TERMS.index("cost")
"""the one term that may exceed 1: a fleet may cost more than its budget"""


def observation_space(simulator: Simulator) -> gym.Space[Any]:
    """Dict of float32 boxes in [-1, 1], or one flat box."""
    if simulator.settings.flatten:
        return gym.spaces.Box(-1, 1, (simulator.slices.width,), np.float32)
    shapes = simulator.slices.shapes
    return gym.spaces.Dict({name: gym.spaces.Box(-1, 1, shape, np.float32) for name, shape in shapes.items()})


def action_space(settings: Settings, knobs: str, sizes: dict[str, int]) -> gym.Space[Any]:
    """Discrete choices for Placement, a box or levels of the router's knobs for Routing, both for Joint."""
    if knobs not in ("box", "levels"):
        raise ValueError(f"knobs is {knobs!r}; valid are box, levels")
    choices = 1 + settings.proposals if settings.interface == "proposals" else sizes["V"]
    if settings.task == "placement":
        return gym.spaces.Discrete(choices)
    if settings.task == "joint":
        return gym.spaces.MultiDiscrete([choices] + [LEVELS] * 5)
    return gym.spaces.Box(-1, 1, (5,), np.float32) if knobs == "box" else gym.spaces.MultiDiscrete([LEVELS] * 5)


def reward_space(reward: str) -> gym.spaces.Box | None:
    """Minus every term, float32 [6] in the order of TERMS, for "vector"; None for "scalar"; ValueError for others."""
    if reward not in REWARDS:
        raise ValueError(f"reward is {reward!r}; valid are {', '.join(REWARDS)}")
    if reward == "scalar":
        return None
    low = np.full(len(TERMS), -1.0, np.float32)
    low[UNBOUNDED] = -np.inf
    return gym.spaces.Box(low, np.zeros_like(low), dtype=np.float32)


def split_actions(actions: Any, task: str, space: gym.Space[Any], batch: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Operations int64 [B] and knob levels float32 [B, 5] (None for the defaults) of a batch of actions."""
    values = np.asarray(actions)
    shape = (batch, *(space.shape or ()))
    if values.shape != shape or values.dtype.kind not in "iufb":
        raise ValueError(f"action is {values.dtype} {values.shape}, not {shape} of {space}")
    if isinstance(space, gym.spaces.Box):
        if not np.all(np.abs(values) <= 1 + 1e-6):
            raise ValueError(f"action outside the space: knobs must lie in [-1, 1], got {values.tolist()}")
        return np.zeros(batch, np.int64), np.clip(values, -1, 1).astype(np.float32)
    if values.dtype.kind != "i" and values.dtype.kind != "u":
        raise ValueError(f"action is {values.dtype}, not integer: {space}")
    values = values.astype(np.int64)
    limits = space.n if isinstance(space, gym.spaces.Discrete) else space.nvec  # type: ignore[attr-defined]
    if np.any(values < 0) or np.any(values >= limits):
        raise ValueError(f"action outside the space {space}: {values.tolist()}")
    if task == "placement":
        return values, None
    levels = values if task == "routing" else values[:, 1:]
    operations = np.zeros(batch, np.int64) if task == "routing" else np.ascontiguousarray(values[:, 0])
    return operations, (levels * 2 / (LEVELS - 1) - 1).astype(np.float32)


def choices_of(space: gym.Space[Any]) -> list[int]:
    """Number of choices in each part of an action: what a mask has side by side; none in a box."""
    if isinstance(space, gym.spaces.Discrete):
        return [int(space.n)]
    return [int(count) for count in space.nvec] if isinstance(space, gym.spaces.MultiDiscrete) else []


def full_mask(mask: np.ndarray, task: str) -> np.ndarray:
    """The mask of the whole action [..., A]: knob levels are always possible."""
    if task != "joint":
        return mask
    return np.concatenate([mask, np.ones((*mask.shape[:-1], 5 * LEVELS), mask.dtype)], axis=-1)
