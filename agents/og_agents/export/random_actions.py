"""Random actions that are possible."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from og_env.simulator import choices_of


def random_actions(rng: np.random.Generator, space: gym.Space[Any], rows: int, mask: Any = None) -> npt.NDArray[Any]:
    """A batch [rows, ...] of actions, each choice equally likely among those that `mask` [rows, A] allows.

    Without a mask every choice is allowed.
    """
    if isinstance(space, gym.spaces.Box):
        return rng.uniform(space.low, space.high, (rows, *space.shape)).astype(space.dtype)
    sizes = choices_of(space)
    mask = np.ones((rows, sum(sizes)), np.bool_) if mask is None else np.asarray(mask, np.bool_)
    parts = np.split(mask, np.cumsum(sizes)[:-1], axis=1)
    chosen = [np.where(part, rng.random(part.shape), -1.0).argmax(axis=1) for part in parts]
    return chosen[0] if isinstance(space, gym.spaces.Discrete) else np.stack(chosen, axis=1)
