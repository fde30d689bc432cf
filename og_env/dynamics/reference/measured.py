"""Measurements of served traffic: all that the operator is shown of a site, as long as its telemetry works."""

from __future__ import annotations

import numpy as np

from og_env.dynamics.reference.traffic import Traffic
from og_env.dynamics.reference.world_rows import Condition, Facts, down, ratio
from og_env.kernel.arrays import State, Tape
from og_env.kernel.random_streams import GAMMA, LOW16, MIX_A, MIX_B, S16, S27, S30, S31, S32, S48


def shown(facts: Facts, tape: Tape, state: State, traffic: Traffic, condition: Condition) -> dict[str, np.ndarray]:
    """The fields of State [B, N] that show how sites do; where nothing is measured, they stay as they are."""
    world, load = facts.world, traffic.load_rps
    telemetry = ~condition.blind & ~down(state.status)
    served = load.sum(axis=1)
    requests = served * world.step_ms[:, None] / 1000
    error = noise(tape.noise, state.step + 1, served.shape[1]) * world.service_cv[:, None]
    slowness_log2 = np.log2(condition.slowness) + error / np.sqrt(np.maximum(requests, 1)) / np.log(2)
    offered, refused = traffic.answered.offered_rps.sum(axis=1), traffic.answered.refused_rps.sum(axis=1)
    gpus = np.where(traffic.replicas.alive, world.replica_gpus, 0)
    busy_gpus = (gpus * ratio(load, world.capacity_rps)).sum(axis=1)

    def updated(name: str, value: np.ndarray, measured: np.ndarray) -> np.ndarray:
        return np.where(telemetry & measured, value, getattr(state, name))

    wait_s = ratio((load * traffic.times.delay_s).sum(axis=1), served)
    return {
        "shown_slowness_log2": updated("shown_slowness_log2", slowness_log2, served > 0),
        "shown_wait_s": updated("shown_wait_s", wait_s, served > 0),
        "shown_refused": updated("shown_refused", ratio(refused, offered), offered > 0),
        "shown_load": updated("shown_load", ratio(busy_gpus, gpus.sum(axis=1)), gpus.sum(axis=1) > 0),
        "blind": condition.blind,
    }


def noise(seed: np.ndarray, row: np.ndarray, sites: int) -> np.ndarray:
    """[B, sites]: four uniform numbers of 16 bits added up, of mean 0 and variance 1; all from seed and row [B]."""
    place = np.arange(sites, dtype=np.uint64)[None]
    word = _mixed((seed.astype(np.uint64) + row.astype(np.uint64) * GAMMA)[:, None] + place * MIX_B + GAMMA)
    parts = [word & LOW16, (word >> S16) & LOW16, (word >> S32) & LOW16, word >> S48]
    return (sum(part.astype(np.float64) for part in parts) / 65536 - 2) * np.sqrt(3)


def _mixed(value: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64."""
    value = (value ^ (value >> S30)) * MIX_A
    value = (value ^ (value >> S27)) * MIX_B
    return value ^ (value >> S31)
