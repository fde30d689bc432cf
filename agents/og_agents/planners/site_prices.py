"""Prices of sites that all gateways see: an integral controller of the router's bias against busy sites.

Every gateway adds a site's price to what it holds against the site's replicas, so the price of an overloaded site rises
until its traffic has gone where there is room. This is the dual ascent of congestion control (Kelly, Maulloo and Tan
1998, "Rate control for communication networks"): the price integrates load above a target, and never falls below 0.
Where the network as a whole is loaded above the target, its mean load takes the target's place: prices that rise
everywhere would move nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents.policy import Asked, as_predict
from og_agents.tuned_constants import Constants
from og_env.errors import nearest_valid
from og_env.simulator import WARM, Simulator

Floats = npt.NDArray[np.floating]

NAME = "site_prices"
DOC = "Routing: a price on every site, which its load above a target raises"
CONSTANTS: Constants = MappingProxyType({"target": 0.6, "rate": 0.2, "refusal": 0.5, "decay": 0.02})
"""target: load of a site at which its price stays; rate: level of the price per unit of load above it and step; refusal:
load that a site counts as more where it refuses everything; decay: share of a price that is forgotten in a step"""


def loads(simulator: Simulator, refusal: float) -> tuple[Floats, Floats]:
    """Measured load of every site [B, N], and its mean over all sites [B, 1], by GPUs of warm replicas.

    It is the share of the nominal capacity in use times the measured slowness, and `refusal` times the share of requests
    that the site refuses: all as last shown, so a site's hidden condition counts as far as it was measured.
    """
    state, world = simulator.state, simulator.world
    held = (world.replica_gpus[state.world] * (state.phase == WARM)).sum(axis=1)
    used = state.shown_load * np.exp2(state.shown_slowness_log2)
    load = np.where(held > 0, used + refusal * state.shown_refused, 0.0)
    mean = (load * held).sum(axis=1, keepdims=True) / np.maximum(held.sum(axis=1, keepdims=True), 1)
    return load, mean


@dataclass
class SitePrices:
    """A policy of Routing with interface="sites": prices [B, N] in [0, 1], whose negatives are the sites' levels.

    Call `attach` before the first prediction; the state of `predict` is the prices.
    """

    name: str = NAME
    constants: Constants = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=lambda: {"router.load_penalty": 0.0})
    """the price takes the place of the penalty on the last step's load, by which a router swings to and fro"""
    env_kwargs: Mapping[str, Any] = field(default_factory=lambda: {"interface": "sites"})

    def __post_init__(self) -> None:
        for key in self.constants:
            if key not in CONSTANTS:
                raise ValueError(f"{self.name} has no constant {key!r}{nearest_valid(key, CONSTANTS)}")
        self.constants = MappingProxyType({**CONSTANTS, **self.constants})
        self._simulator: Simulator | None = None

    def attach(self, env: Any) -> None:
        """Measure the loads of this environment, single or vector."""
        if env.simulator.settings.interface != "sites":
            raise ValueError(f'{self.name} steers sites: make the environment of Routing with interface="sites"')
        self._simulator = env.simulator

    @as_predict
    def predict(self, asked: Asked) -> tuple[npt.NDArray[np.float32], Any]:
        """Levels [B, N] of the sites for the environments as they are now; the observation is not read."""
        simulator, constants = self._simulator, self.constants
        if simulator is None:
            raise ValueError(f"{self.name} measures the loads of an environment: attach(env) first")
        load, mean = loads(simulator, constants["refusal"])
        before = np.zeros(load.shape) if asked.state is None else asked.state
        if asked.episode_start is not None:
            before = np.where(np.reshape(asked.episode_start, (-1, 1)), 0.0, before)
        change = constants["rate"] * (load - np.maximum(constants["target"], mean))
        prices = np.clip((1 - constants["decay"]) * before + change, 0, 1)
        actions = -prices.astype(np.float32)
        observation = asked.observation
        shape = np.shape(observation["globals"] if isinstance(observation, Mapping) else observation)
        return (actions[0] if len(shape) == 1 else actions), prices
