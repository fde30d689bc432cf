"""Prices of sites that all gateways see: an integral controller of the router's bias against busy sites.

Every gateway adds a site's price to what it holds against the site's replicas, so the price of an overloaded site rises
until its traffic has gone where there is room. This is the dual ascent of congestion control (Kelly, Maulloo and Tan
1998, "Rate control for communication networks"): the price integrates load above a target, and never falls below 0.
Where the network as a whole is loaded above the target, its mean load takes the target's place: prices that rise
everywhere would move nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from og_agents.heuristics.tuned_constants import Constants
from og_env.simulator import WARM, Simulator

Floats = npt.NDArray[np.floating]


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


def site_prices(
    simulator: Simulator, constants: Constants, before: Floats, fresh: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Levels [B, N], which are the negatives of prices in [0, 1], and the prices; `before` are those of the last step.

    `target` is the load of a site at which its price stays, `rate` the change of the price per unit of load above it and
    step, `refusal` the load that a site counts as more where it refuses everything, `decay` the share of a price that is
    forgotten in a step.
    """
    load, mean = loads(simulator, constants["refusal"])
    change = constants["rate"] * (load - np.maximum(constants["target"], mean))
    prices = np.clip((1 - constants["decay"]) * before + change, 0, 1)
    return -prices, prices
