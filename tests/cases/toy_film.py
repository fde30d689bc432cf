"""Films of short episodes, by default of toy-3 with an outage of provider P."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents import heuristics
from og_agents.replay.page import film
from og_env.scenario import loading
from tests.cases.as_stated import AS_STATED

TOY = loading.override(loading.load("toy-3"), AS_STATED | {"start.verifier_sites": ("c",)})


P_DOWN = {"outages": [{"domain": "provider:P", "start_h": 0.5, "duration_h": 0.2}], "background": False}


def toy(name: str = "static", options=P_DOWN, spec=TOY, seed: int = 4):
    return film(heuristics.make(name), name, spec, task="placement", seed=seed, options=options)


class Steering:
    """A policy of Routing that steers to the first site, away from the second, and lets the third be."""

    env_kwargs: Mapping[str, Any] = MappingProxyType({"interface": "sites"})

    def predict(self, observation, state=None, episode_start=None, deterministic=True, action_masks=None):
        batch = len(observation["globals"] if isinstance(observation, Mapping) else observation)
        levels: npt.NDArray[np.float32] = np.tile(np.array([0.5, -1.0, 0.0], np.float32), (batch, 1))
        return levels, state


def steered_toy():
    """The film of `Steering`."""
    return film(Steering(), "steering", TOY, task="routing", seed=4, options=P_DOWN)
