"""The parts of the world that a step reads, one row an environment, and the small arithmetic that all parts share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from og_env.dynamics.verification import NO_PROOF, TEE
from og_env.kernel.arrays import BLIND, CALM_SPEED, DOWN, SLOW, SPEEDS_PER_OCTAVE, UNTRUSTED, State, Tape, World

SLOW_TIMES = 2.0
"""how much longer a slow site works on an answer"""
GREY_SPEED = 0.7
"""a site is grey below this speed"""


class Facts(NamedTuple):
    """The world of every environment, floats in float64."""

    world: World  # every array [B, ...]
    member: np.ndarray  # bool [B, F, N]: site N stands in fault domain F
    hit: np.ndarray  # [B, F, N]: probability that a shock of the domain strikes the site; 0 outside
    shared: int  # S: domains of several sites come first, then each site's own


class Condition(NamedTuple):
    """How sites do in a step, as nobody sees it."""

    speed: np.ndarray  # [B, N]: 1 is nominal; without the effect of status SLOW
    slowness: np.ndarray  # [B, N]: how much longer the site works on an answer than the world says
    blind: np.ndarray  # bool [B, N]: its telemetry fails
    grey: np.ndarray  # bool [B, N]: it is up and much slower than it seems


def condition_of(facts: Facts, tape: Tape, state: State) -> Condition:
    """The condition of sites in the step that follows state.step, under the step's status."""
    now = state.step + 1
    byte = tape.condition[np.arange(len(now)), now].astype(np.int64)
    speed = 2.0 ** (((byte & (BLIND - 1)) - CALM_SPEED) / SPEEDS_PER_OCTAVE)
    slowness = np.where(slow(state.status), SLOW_TIMES, 1) / speed
    valid = facts.world.site_valid == 1
    return Condition(speed, slowness, has(byte, BLIND), valid & ~down(state.status) & (speed < GREY_SPEED))


def facts_of(world: World, index: np.ndarray) -> Facts:
    """The facts of the environments whose worlds are index [B]."""
    worlds, sites = world.site_valid.shape
    shared = world.fragile_rate.shape[1]
    domain = np.arange(shared + sites)[:, None, None]
    belongs = world.site_domain[:, None] == domain
    hit = np.where(belongs, world.hit[:, None].astype(np.float64), 0).sum(axis=-1)

    def rows(values: np.ndarray) -> np.ndarray:
        if worlds == 1:
            return np.broadcast_to(wide(values), (len(index), *values.shape[1:]))
        return wide(values[index])

    return Facts(World(*(rows(values) for values in world)), rows(belongs.any(axis=-1)), rows(hit), shared)


def carried(facts: Facts, site_share: np.ndarray) -> np.ndarray:
    """[B, S]: share of the traffic that each shared domain carries."""
    exists = facts.world.domain_size[:, : facts.shared] > 0
    return np.einsum("bfs,bs->bf", facts.member[:, : facts.shared] & exists[:, :, None], site_share)


def wide(values: np.ndarray) -> np.ndarray:
    """Integers as int64 and floats as float64, so that nothing overflows or is rounded."""
    kind = values.dtype.kind
    return values.astype(np.float64 if kind == "f" else bool if kind == "b" else np.int64)


def ratio(part: Any, whole: Any) -> Any:
    """The quotient part / whole, and 0 where there is no whole."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def clipped(values: Any, low: float, high: float) -> Any:
    """The values, at least `low` and at most `high`."""
    return np.minimum(np.maximum(values, low), high)


def has(status: np.ndarray, bit: int) -> np.ndarray:
    """Where a status bit is set."""
    return (status & bit) != 0


def down(status: np.ndarray) -> np.ndarray:
    """Where a site is down."""
    return has(status, DOWN)


def slow(status: np.ndarray) -> np.ndarray:
    """Where a site is slow."""
    return has(status, SLOW)


def attested(facts: Facts, status: np.ndarray) -> np.ndarray:
    """[B, M, N]: whether an answer of the model from the site counts as verified, quorum permitting."""
    mode = facts.world.verification[:, :, None]
    enclave = (facts.world.tee == 1) & ~has(status, UNTRUSTED)
    return (mode != NO_PROOF) & ((mode != TEE) | enclave[:, None])
