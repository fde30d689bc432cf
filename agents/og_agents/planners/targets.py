"""Static placements: where everything should stand, and the policy that moves there and repairs what breaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_env.simulator import FETCHING, LAUNCH, RETIRE, World

Bools = npt.NDArray[np.bool_]
ROLES = 3


class Target(NamedTuple):
    """Where replicas, verifiers, stores and gateways should stand."""

    replicas: Bools
    """[M, N]"""
    roles: Bools
    """[3, N]"""


def starting(world: World) -> Target:
    """The placement at the first step of a compiled world's episodes."""
    return Target(world.start_phase[0] >= FETCHING, world.start_role[0] >= 0)


def fits(world: World, target: Target) -> bool:
    """Whether every replica has its GPUs."""
    need = world.replica_gpus[0]
    possible = not (target.replicas & (need == 0)).any()
    return possible and bool(((target.replicas * need).sum(axis=0) <= world.gpu_count[0]).all())


def moves(target: Target) -> npt.NDArray[np.int64]:
    """Operations that lead to the target, first ones first: roles, launches of all models in turn, removals.

    What is there already, or not there, is impossible by the mask and skipped, so the list also repairs.
    """
    models, sites = target.replicas.shape
    roles = 1 + 3 * models * sites
    adds = [roles + 2 * role * sites + s for role in range(ROLES) for s in np.flatnonzero(target.roles[role])]
    turn = np.cumsum(target.replicas, axis=1)
    launches = sorted(
        (int(turn[m, s]), 1 + LAUNCH * models * sites + m * sites + s) for m, s in np.argwhere(target.replicas)
    )
    retires = [1 + RETIRE * models * sites + m * sites + s for m, s in np.argwhere(~target.replicas)]
    drops = [roles + (2 * role + 1) * sites + s for role in range(ROLES) for s in np.flatnonzero(~target.roles[role])]
    return np.array([*adds, *(operation for _, operation in launches), *retires, *drops], np.int64)


@dataclass(frozen=True)
class StaticPlacement:
    """Moves to a placement by operations and repairs it: the first possible move of its list."""

    name: str
    target: Target
    overrides: Mapping[str, Any] = field(default_factory=dict)
    env_kwargs: Mapping[str, Any] = field(default_factory=lambda: {"interface": "operations"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "_moves", moves(self.target))

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[npt.NDArray[np.int64], Any]:
        """Operations [B] for masks [B, V], or one for one mask [V]; the observation is not read."""
        masks = None if action_masks is None else np.asarray(action_masks, np.bool_)
        order: npt.NDArray[np.int64] = self._moves  # type: ignore[attr-defined]
        if masks is None or masks.shape[-1] <= order.max(initial=0):
            raise ValueError(
                f'{self.name} needs the masks of operations: make the environment with interface="operations"'
            )
        possible = masks[..., order]
        first = order[possible.argmax(axis=-1)]
        return np.where(possible.any(axis=-1), first, 0), state
