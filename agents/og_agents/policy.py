"""The protocol of policies: SB3's `predict` over a batch of observations, requests to the environment, usual actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from og_env.simulator import KNOBS, LEVELS, choices_of

Observation = npt.NDArray[np.float32] | Mapping[str, npt.NDArray[np.float32]]
"""a batch: one Box [B, ...], or its tables by name, each [B, rows, columns]"""
MIDDLE_LEVEL = LEVELS // 2
"""level that is the scenario's own setting, and that leaves a site to the knobs"""


@runtime_checkable
class Policy(Protocol):
    """Anything with SB3's `predict`: heuristics, planners and trained models alike."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:
        """Actions [B, ...] for a batch of observations, and the state to hand in at the next step.

        `state` is None at the first step; `episode_start` [B] is true where an episode begins; `action_masks` [B, A]
        is true where an action is possible, None where the task has no mask.
        """
        ...


class Asked(NamedTuple):
    """The arguments of one call of `predict`, with the meaning that `Policy.predict` gives them."""

    observation: Any
    state: Any = None
    episode_start: Any = None
    deterministic: bool = True
    action_masks: Any = None


def as_predict(decide: Callable[[Any, Asked], tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """The method `predict` of `Policy` from a method that gives actions and the next state for what was asked."""

    def predict(self: Any, *arguments: Any, **named: Any) -> tuple[Any, Any]:
        return decide(self, Asked(*arguments, **named))

    predict.__doc__ = decide.__doc__
    return predict


def as_batch(observation: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A Dict observation with a batch axis, and whether it was a single one, which had none."""
    single = observation["globals"].ndim == 1
    return {table: values[None] if single else values for table, values in observation.items()}, single


class Wishes(NamedTuple):
    """Changes to the scenario's environment that a policy asks for; the tapes stay the same."""

    overrides: dict[str, Any]
    """scenario settings by dotted key, e.g. the router's"""
    env_kwargs: dict[str, Any]
    """arguments of the environment, e.g. flatten"""


def wishes(policy: Policy) -> Wishes:
    """The optional attributes `overrides` and `env_kwargs` of a policy, empty where it has none."""
    return Wishes(dict(getattr(policy, "overrides", {})), dict(getattr(policy, "env_kwargs", {})))


def attach(policy: Policy, env: Any) -> None:
    """Show a planner the environment that it plans in copies of; policies without `attach` see observations alone."""
    show = getattr(policy, "attach", None)
    if show is not None:
        show(env)


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
