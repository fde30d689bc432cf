"""Action, observation and reward spaces by task and interface; masks, and actions checked at the door."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from og_env.kernel.arrays import KNOBS, TERMS
from og_env.simulator.simulator import Simulator

UNBOUNDED = TERMS.index("cost")
"""the one term that may exceed 1: a fleet may cost more than its budget"""

Space = gym.spaces.Space[Any]
Flag = TypeVar("Flag", np.bool_, np.int8)
"""an element of a mask"""


class ActionParts(NamedTuple):
    """A batch of actions in parts, as `Simulator.advance` takes them."""

    chosen: npt.NDArray[np.int64]
    """[B] operations, or offers"""
    levels: npt.NDArray[np.float32] | None
    """[B, 5] of the knobs, in [-1, 1]; None: as they are"""
    site_levels: npt.NDArray[np.float32] | None
    """[B, N] of the sites, in [-1, 1]; None: as they are"""


def observation_space(simulator: Simulator) -> Space:
    """Dict of float32 boxes [rows, columns] in [-1, 1] by table, or one flat box [O]."""
    if simulator.settings.flatten:
        return gym.spaces.Box(-1, 1, (simulator.slices.width,), np.float32)
    shapes = simulator.slices.shapes
    return gym.spaces.Dict({name: gym.spaces.Box(-1, 1, shape, np.float32) for name, shape in shapes.items()})


def action_space(simulator: Simulator) -> Space:
    """Discrete choices for Placement, a box or levels of the router's knobs or of the sites for Routing, both for Joint."""
    settings, sites = simulator.settings, simulator.sizes["N"]
    if settings.task == "routing":
        if settings.interface == "sites":
            return gym.spaces.Box(-1, 1, (sites,), np.float32)
        if settings.knobs == "box":
            return gym.spaces.Box(-1, 1, (len(KNOBS),), np.float32)
        return gym.spaces.MultiDiscrete([settings.levels] * len(KNOBS))
    choices = 1 + settings.proposals if settings.interface == "proposals" else simulator.sizes["V"]
    if settings.task == "placement":
        return gym.spaces.Discrete(choices)
    parts = {"knobs": len(KNOBS), "sites": sites, "domains": simulator.providers.shape[1]}[settings.steering]
    return gym.spaces.MultiDiscrete([choices, *[settings.levels] * parts])


def reward_space(simulator: Simulator) -> gym.spaces.Box:
    """Minus every term, float32 [6] in the order of TERMS: the rewards of reward="vector"."""
    low = np.full(len(TERMS), -1.0, np.float32)
    low[TERMS.index("churn")] = -simulator.spec.episode.operations_per_step
    low[UNBOUNDED] = -np.inf
    return gym.spaces.Box(low, np.zeros_like(low), dtype=np.float32)


def split_actions(actions: Any, simulator: Simulator, space: Space, rows: npt.NDArray[np.integer]) -> ActionParts:
    """The parts of a batch of actions [B, ...], which are of the simulator's environments `rows` [B].

    Raises ValueError in one line for actions of another shape or type, and for those outside the space.
    """
    values: npt.NDArray[Any] = np.asarray(actions)
    batch, settings = len(rows), simulator.settings
    shape = (batch, *(space.shape or ()))
    if values.shape != shape or values.dtype.kind not in "iufb":
        raise ValueError(f"action is {values.dtype} {values.shape}, not {shape} of {space}")
    if isinstance(space, gym.spaces.Box):
        if not np.all(np.abs(values) <= 1 + 1e-6):
            what = settings.interface
            raise ValueError(f"action outside the space: {what} must lie in [-1, 1], got {values.tolist()}")
        levels = np.clip(values, -1, 1).astype(np.float32)
        return _with_levels(np.zeros(batch, np.int64), levels, simulator, rows)
    if values.dtype.kind != "i" and values.dtype.kind != "u":
        raise ValueError(f"action is {values.dtype}, not integer: {space}")
    values = values.astype(np.int64)
    if np.any(values < 0) or np.any(values >= limits_of(space)):
        raise ValueError(f"action outside the space {space}: {values.tolist()}")
    if settings.task == "placement":
        return ActionParts(values, None, None)
    routing = settings.task == "routing"
    chosen = np.zeros(batch, np.int64) if routing else np.ascontiguousarray(values[:, 0])
    levels = ((values if routing else values[:, 1:]) * 2 / (settings.levels - 1) - 1).astype(np.float32)
    return _with_levels(chosen, levels, simulator, rows)


def _with_levels(
    chosen: npt.NDArray[np.int64], levels: npt.NDArray[np.float32], simulator: Simulator, rows: npt.NDArray[np.integer]
) -> ActionParts:
    """The parts of actions whose levels are those of the knobs, of the sites or of the providers, by the settings."""
    settings, levels = simulator.settings, np.ascontiguousarray(levels)
    if settings.steering == "domains":
        sites = simulator.providers[simulator.state.world[rows]]
        return ActionParts(chosen, None, np.clip((levels[:, :, None] * sites).sum(axis=1), -1, 1))
    if "sites" in (settings.interface, settings.steering):
        return ActionParts(chosen, None, levels)
    return ActionParts(chosen, levels, None)


def levels_of(space: Space) -> int:
    """Number of levels of all parts of an action but its first, the choices among offers or operations."""
    return sum(choices_of(space)[1:])


def limits_of(space: Space) -> npt.NDArray[np.int64]:
    """Number of choices in each part of an action, int64 [] for a Discrete space and [parts] for a MultiDiscrete one."""
    if isinstance(space, gym.spaces.Discrete):
        return np.asarray(space.n)
    return np.asarray(cast(gym.spaces.MultiDiscrete, space).nvec)


def choices_of(space: Space) -> list[int]:
    """Number of choices in each part of an action, whose masks stand side by side; empty for a box."""
    if isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        return [int(count) for count in np.atleast_1d(limits_of(space))]
    return []


def full_mask(mask: npt.NDArray[Flag], levels: int) -> npt.NDArray[Flag]:
    """The mask of a whole action [..., A] from that of its choices: so many levels are always possible."""
    if levels == 0:
        return mask
    return np.concatenate([mask, np.ones((*mask.shape[:-1], levels), mask.dtype)], axis=-1)
