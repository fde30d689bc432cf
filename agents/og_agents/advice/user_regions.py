"""The service that users of each region get in a step: how much is served, and how long they wait for the first token.

The simulator keeps sums by replica, not by user region. Who answers whom is fitted to them: from the gateway that a
region used, traffic is divided as the router weighs distance, and then scaled until replicas and regions have the totals
that the step had. What the mean of all users has beyond that (queues in front of gateways, cold waits, second tries) is
given to every region alike, so that the regions' mean is the simulator's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_env.simulator import KNOBS, METRICS, Simulator

Floats = npt.NDArray[np.float64]
ROUNDS = 6
"""scalings of the fit"""
TINY = 1e-12
TEMPERATURE, SPREAD = KNOBS.index("latency_temperature_ms"), KNOBS.index("spread")
FIRST_TOKEN = METRICS.index("first_token_mean_ms")


class RegionStep(NamedTuple):
    """One step of B environments with U user regions."""

    demand_rps: Floats
    """[B, U] requests/s that are asked for"""
    served_rps: Floats
    """[B, U] requests/s that are served"""
    wait_ms: Floats
    """[B, U] mean time to the first token of those that are served; 0 where nothing is"""


def region_step(simulator: Simulator) -> RegionStep:
    """The figures by region of the step that was just made."""
    world, state, tape, memo = simulator.world, simulator.state, simulator.tape, simulator.memo
    b = np.arange(simulator.batch)
    k, row = state.world, state.step
    demand = world.base_rps[k].astype(float) * tape.regional[b, row][:, :, None] * tape.model[b, row][:, None, :]
    entered = memo.gateway_of >= 0  # [B, U]
    site = np.take_along_axis(memo.gateways, np.maximum(memo.gateway_of, 0), axis=1).astype(np.int64)
    comes = demand * entered[:, :, None]
    model_served = np.minimum(state.model_served_rps, comes.sum(axis=1))
    served = comes * _ratio(model_served, comes.sum(axis=1))[:, None, :]  # [B, U, M]
    way_ms = np.take_along_axis(world.rtt_ms[k], site[:, :, None], axis=1).astype(float)  # [B, U, N]
    flow = fitted(served, state.load_rps.astype(float), way_ms, state.knobs.astype(float))
    network_ms = world.round_trips[k][:, None, None] * (memo.gateway_ms[:, :, None] + way_ms)
    place_ms = world.payment_ms[k].astype(float) + 1000 * state.shown_wait_s
    prefill_ms = 1000 * world.prefill_s[k].astype(float)  # [B, M, N]
    spent = (flow.sum(axis=2) * (network_ms + place_ms[:, None, :])).sum(axis=2)
    spent += np.einsum("bumn,bmn->bu", flow, prefill_ms)
    total = served.sum(axis=2)
    wait = _ratio(spent, flow.sum(axis=(2, 3)))
    mean = _ratio((wait * total).sum(axis=1), total.sum(axis=1))
    rest = np.where(mean > 0, simulator.output.metrics[:, FIRST_TOKEN] - mean, 0.0)
    return RegionStep(demand.sum(axis=2), total, np.where(total > TINY, np.maximum(wait + rest[:, None], 0.0), 0.0))


def fitted(served_rps: Floats, load_rps: Floats, way_ms: Floats, knobs: Floats) -> Floats:
    """Requests/s [B, U, M, N] from regions to replicas with the totals served_rps [B, U, M] and load_rps [B, M, N].

    way_ms [B, U, N] is the round trip between the region's gateway and a site; knobs [B, 5] are the router's.
    """
    here = load_rps > 0  # [B, M, N]
    near = np.exp(
        -(way_ms - way_ms.min(axis=2, keepdims=True)) / np.maximum(knobs[:, TEMPERATURE], 1e-3)[:, None, None]
    )
    pull = near[:, :, None, :] * here[:, None]
    soft = _ratio(pull, pull.sum(axis=3, keepdims=True))
    even = here[:, None] / np.maximum(here.sum(axis=2), 1)[:, None, :, None]
    spread = knobs[:, SPREAD][:, None, None, None]
    flow = ((1 - spread) * soft + np.maximum(spread, 1e-6) * even) * served_rps[..., None]
    for _ in range(ROUNDS):
        flow = flow * _ratio(load_rps, flow.sum(axis=1))[:, None]
        flow = flow * _ratio(served_rps, flow.sum(axis=3))[..., None]
    return flow


def _ratio(above: Any, below: Any) -> Floats:
    """Above / below, 0 where there is nothing below."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(above, below, out=np.zeros(above.shape), where=below > TINY)
