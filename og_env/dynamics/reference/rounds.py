"""Which replica takes which request: first tries, refusals, and further tries elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from og_env.dynamics.reference.entry import Replicas, Users
from og_env.dynamics.reference.world_rows import Facts, ratio
from og_env.kernel.arrays import KNOBS, State

NOBODY_ELSE = 1e-9
"""a replica that gets all but this share of a gateway's first tries is the only one"""
PASSES = 2
"""how often the tries are followed to find what replicas can take on"""


class Part(NamedTuple):
    """Some of the served requests [B, M, N], and the sums over them of the time on the way and of its square."""

    rps: np.ndarray
    rps_s: np.ndarray  # all round trips, the check of a payment, and what refused tries have cost
    rps_s2: np.ndarray


class Answered(NamedTuple):
    """The outcome of all rounds."""

    direct: Part  # by the replica that was tried first
    retried: Part
    offered_rps: np.ndarray  # [B, M, N]: tries, in all rounds
    refused_rps: np.ndarray  # [B, M, N]: those of them that were refused
    first_refused_rps: np.ndarray  # [B, M]: refused first tries


class Tries(NamedTuple):
    """The requests [B, M, gateway, N] on their way to a replica, and what earlier tries have cost them."""

    rps: np.ndarray
    lost: np.ndarray  # sum of the ms lost so far
    lost2: np.ndarray  # sum of its square


def first_tries(state: State, users: Users, replicas: Replicas, network_ms: np.ndarray) -> np.ndarray:
    """Requests/s [B, M, gateway, N] by the router's softmax and its even spread; network_ms [B, gateway, N]."""
    knobs = dict(zip(KNOBS, state.knobs.T[:, :, None, None, None], strict=True))
    factor = replicas.factor[:, :, None]
    score = replicas.score[:, :, None] + network_ms[:, None] / knobs["latency_temperature_ms"]
    score = np.where(factor > 0, score, np.inf)
    best = score.min(axis=3, keepdims=True)
    weight = factor * np.exp(-(score - np.where(np.isfinite(best), best, 0)))
    soft = ratio(weight, weight.sum(axis=3, keepdims=True))
    even = ratio(factor, factor.sum(axis=3, keepdims=True))
    return users.gateway_rps[..., None] * ((1 - knobs["spread"]) * soft + knobs["spread"] * even)


def answer(facts: Facts, first: np.ndarray, users: Users, replicas: Replicas, network_ms: np.ndarray) -> Answered:
    """Let the replicas accept what they can; who is refused tries another one, as often as the world allows."""
    world = facts.world
    chance = ratio(first, users.gateway_rps[..., None])
    per_other = np.where(1 - chance > NOBODY_ELSE, ratio(1, 1 - chance), 0)
    elsewhere = 1 - np.eye(first.shape[3])
    lost_ms = np.where(replicas.alive[:, :, None], network_ms[:, None], world.timeout_ms[:, None, None, None])

    def to_others(amount: np.ndarray) -> np.ndarray:
        """Spread what is refused at one replica over the others, by the chances of a first try."""
        return chance * ((amount * per_other) @ elsewhere)

    left = replicas.limit_rps.copy()
    share = take_share(world.tries, first.sum(axis=2), left)
    tries = Tries(first, np.zeros(first.shape), np.zeros(first.shape))
    parts, offers, refusals = [], [], []
    for number in range(1, world.tries.max() + 1):
        offered = tries.rps.sum(axis=2)
        last = (number >= world.tries)[:, None, None]
        accepted = np.minimum(np.where(last, offered, offered * share), left)
        left = left - accepted
        kept = np.where(offered > accepted, ratio(accepted, offered), 1)[:, :, None]
        offers.append(offered)
        refusals.append(offered - accepted)
        parts.append(_arrive(facts, Tries(*(values * kept for values in tries)), users, network_ms))
        one_more = (1 - kept) * (number < world.tries)[:, None, None, None]
        tries = Tries(
            to_others(tries.rps * one_more),
            to_others((tries.lost + tries.rps * lost_ms) * one_more),
            to_others((tries.lost2 + 2 * lost_ms * tries.lost + tries.rps * lost_ms**2) * one_more),
        )
    later = np.array([*parts[1:], np.zeros((3, *left.shape))])
    retried = Part(*later.sum(axis=0))
    return Answered(
        parts[0], retried, np.array(offers).sum(axis=0), np.array(refusals).sum(axis=0), refusals[0].sum(axis=2)
    )


def take_share(tries: np.ndarray, first: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Share [B, M, N] of all its tries that a replica takes on, whether they are first ones or not.

    tries [B]; first [B, M, N]: first tries of all gateways together; limit likewise. What comes in all depends on what is
    refused, so it is followed a few times, from what the first tries alone would leave.
    """
    chance = ratio(first, first.sum(axis=2, keepdims=True))
    everything = first
    for _ in range(PASSES):
        refuse = 1 - np.minimum(1, np.where(everything > 0, ratio(limit, everything), 1))
        coming = everything = first
        for number in range(1, tries.max()):
            going = np.where(1 - chance > NOBODY_ELSE, ratio(coming * refuse, 1 - chance), 0)
            coming = chance * (going.sum(axis=2, keepdims=True) - going) * (number < tries)[:, None, None]
            everything = everything + coming
    return np.minimum(1, np.where(everything > 0, ratio(limit, everything), 1))


def _arrive(facts: Facts, tries: Tries, users: Users, network_ms: np.ndarray) -> Part:
    """The accepted tries by replica, with the moments of the time on the way: R round trips, payment, lost time."""
    world = facts.world
    trips, trips2 = (values[:, None, None, None] for values in (world.round_trips, world.round_trips2))
    pay = world.payment_ms[:, None, None]
    trip = users.gateway_ms[..., None] + network_ms[:, None]
    trip2 = trip**2 + users.gateway_var[..., None]
    lossless = trips * trip + pay
    lossless2 = trips2 * trip2 + 2 * pay * trips * trip + pay**2
    rps_ms = tries.rps * lossless + tries.lost
    rps_ms2 = tries.rps * lossless2 + 2 * tries.lost * lossless + tries.lost2
    return Part(tries.rps.sum(axis=2), rps_ms.sum(axis=2) / 1000, rps_ms2.sum(axis=2) / 1e6)
