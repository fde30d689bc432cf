"""Joint control by two policies: one places as in Placement, the other one routes as in Routing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents.planners.routers import RouterPolicy
from og_agents.policy import Asked, Policy, as_predict, attach, wishes

AND = "+"
"""between the names of who places and who routes"""
LEVELS = 129
"""levels of a site or knob: what is lost by rounding cannot be measured any more"""


def numbers_of(levels: Any) -> npt.NDArray[np.int64]:
    """Numbers of the nearest of LEVELS levels, for levels in [-1, 1]."""
    return np.rint((np.asarray(levels, np.float64) + 1) * (LEVELS - 1) / 2).astype(np.int64)


class PlaceAndRoute:
    """A policy of Joint that asks one policy of Placement and one router in every decision.

    The state of `predict` is the pair of theirs.
    """

    def __init__(self, name: str, placer: Policy, router: Policy) -> None:
        self.name, self.placer, self.router = name, placer, router
        steering = "sites" if wishes(router).env_kwargs["interface"] == "sites" else "knobs"
        mine = {"steering": steering, "levels": LEVELS}
        if not isinstance(router, RouterPolicy):
            mine["flatten"] = False  # a learned one reads the table of the sites, which the flat observation leaves out
        self.overrides: dict[str, Any] = {**wishes(placer).overrides, **wishes(router).overrides}
        self.env_kwargs: dict[str, Any] = {**wishes(placer).env_kwargs, **mine}

    @property
    def meta(self) -> Any:
        """The description of a trained policy that places; AttributeError where none was trained."""
        return self.placer.meta  # type: ignore[attr-defined]

    def attach(self, env: Any) -> None:
        """Show both the environment."""
        attach(self.placer, env)
        attach(self.router, env)

    @as_predict
    def predict(self, asked: Asked) -> tuple[npt.NDArray[np.int64], Any]:
        """Actions [B, 1 + parts], or one action [1 + parts] for one observation."""
        places, routes = (None, None) if asked.state is None else asked.state
        levels, routes = self.router.predict(asked.observation, routes, asked.episode_start)
        masks = asked.action_masks
        if masks is not None:
            masks = masks[..., : np.shape(masks)[-1] - LEVELS * levels.shape[-1]]
        chosen, places = self.placer.predict(asked.observation, places, asked.episode_start, asked.deterministic, masks)
        actions = np.concatenate([np.asarray(chosen, np.int64)[..., None], numbers_of(levels)], axis=-1)
        return actions, (places, routes)
