"""Static placements: a target for all replicas and roles, and the policy that moves there and repairs what breaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.policy import Asked, as_predict
from og_env.simulator import FETCHING, LAUNCH, RETIRE, VERBS, World, count_operations

Bools = npt.NDArray[np.bool_]
ROLES = 3
"""verifier, store and gateway"""


class Target(NamedTuple):
    """The sites at which replicas, verifiers, stores and gateways should stand."""

    replicas: Bools
    """[M, N] true where the model has a replica at the site"""
    roles: Bools
    """[3, N] true where the site is a verifier, a store, a gateway"""


def starting(world: World) -> Target:
    """The placement at the first step of a compiled world's episodes."""
    return Target(world.start_phase[0] >= FETCHING, world.start_role[0] >= 0)


def fits(world: World, target: Target) -> bool:
    """Whether every replica has its GPUs."""
    need = world.replica_gpus[0]
    possible = not (target.replicas & (need == 0)).any()
    return possible and bool(((target.replicas * need).sum(axis=0) <= world.gpu_count[0]).all())


def moves(target: Target) -> npt.NDArray[np.int64]:
    """Operations [K] that lead to the target, in their order: roles, launches of all models in turn, then removals.

    The mask forbids to add what is there and to remove what is not. So the first possible operation of the list is the
    next one, and the list also repairs.
    """
    models, sites = target.replicas.shape
    of_models, of_roles = np.split(np.arange(1, count_operations(sites, models)), [len(VERBS) * models * sites])
    of_models, of_roles = of_models.reshape(len(VERBS), models, sites), of_roles.reshape(ROLES, 2, sites)
    turn = np.cumsum(target.replicas, axis=1)[target.replicas]
    launches = of_models[LAUNCH][target.replicas]
    return np.concatenate(
        [
            of_roles[:, 0][target.roles],
            launches[np.lexsort((launches, turn))],
            of_models[RETIRE][~target.replicas],
            of_roles[:, 1][~target.roles],
        ]
    )


@dataclass(frozen=True)
class StaticPlacement:
    """The policy that moves to a placement by operations and repairs it: it takes the first possible one of `moves`."""

    name: str
    target: Target
    overrides: Mapping[str, Any] = field(default_factory=dict)
    env_kwargs: Mapping[str, Any] = field(default_factory=lambda: {"interface": "operations"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "_moves", moves(self.target))

    @as_predict
    def predict(self, asked: Asked) -> tuple[npt.NDArray[np.int64], Any]:
        """Operations [B] for masks [B, V], or one for one mask [V]; the observation is not read."""
        masks = None if asked.action_masks is None else np.asarray(asked.action_masks, np.bool_)
        order: npt.NDArray[np.int64] = self._moves  # type: ignore[attr-defined]
        if masks is None or masks.shape[-1] <= order.max(initial=0):
            raise ValueError(
                f'{self.name} needs the masks of operations: make the environment with interface="operations"'
            )
        possible = masks[..., order]
        first = order[possible.argmax(axis=-1)]
        return np.where(possible.any(axis=-1), first, 0), asked.state
