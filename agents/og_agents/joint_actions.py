"""Actions of Joint from choices among offers or operations: all levels, of knobs, sites or providers, at the middle."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from og_env.simulator import KNOBS, choices_of

LEVELS = 5
"""number of levels of each routing knob, and of each site or provider that Joint steers to or away from"""
MIDDLE_LEVEL = LEVELS // 2
"""level that is the scenario's own setting, and that leaves a site to the knobs"""


def parts_in(masks: Any, choices: int) -> int:
    """Number of parts with levels in an action of Joint, by its masks [B, choices + levels]; without masks the knobs'."""
    return len(KNOBS) if masks is None else (np.shape(masks)[-1] - choices) // LEVELS


def parts_of(space: gym.Space[Any]) -> int:
    """Number of parts with levels in an action of the space: 0 for Placement, and for a box."""
    return max(len(choices_of(space)) - 1, 0)


def with_usual_levels(actions: npt.NDArray[Any], parts: int) -> npt.NDArray[Any]:
    """Choices [B] as actions [B, 1 + parts] with the router as the scenario sets it, steered nowhere; [B] for no parts."""
    if parts == 0:
        return actions
    return np.concatenate([actions[:, None], np.full((len(actions), parts), MIDDLE_LEVEL, np.int64)], axis=1)
