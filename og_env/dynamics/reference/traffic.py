"""Who answers whom, and how long it takes: the traffic of a step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from og_env.dynamics.reference.entry import Replicas, Users, enter, usable
from og_env.dynamics.reference.placement import Fetches
from og_env.dynamics.reference.rounds import Answered, answer, first_tries
from og_env.dynamics.reference.times import Times, late_rps, mean_s, times
from og_env.dynamics.reference.world_rows import Condition, Facts, ratio, slow
from og_env.dynamics.replicas import SLOW_MS
from og_env.kernel.arrays import State, Tape


class Traffic(NamedTuple):
    """The served traffic and its times."""

    users: Users
    replicas: Replicas
    answered: Answered
    times: Times
    load_rps: np.ndarray  # [B, M, N]
    served_rps: np.ndarray  # [B, M]
    late_rps: np.ndarray  # [B, M]: of the served, those that missed the objective
    latency_s: np.ndarray  # [B, M]: mean time of the answers
    first_token_s: np.ndarray  # [B, M]: mean time to the first token
    in_flight: np.ndarray  # [B, M, N]: answers in progress, by Little's law


def serve(
    facts: Facts, tape: Tape, state: State, seen: np.ndarray, fetch: Fetches, condition: Condition, reasked: np.ndarray
) -> Traffic:
    """The traffic of a step; seen [B, N] is the status at the end of the last one, reasked [B, M] what was lost."""
    users = enter(facts, tape, state, reasked)
    replicas = usable(facts, tape, state, seen, fetch, condition)
    network_ms = facts.world.rtt_ms + np.where(slow(state.status), SLOW_MS, 0)[:, None]  # [B, gateway, site]
    first = first_tries(state, users, replicas, network_ms)
    answered = answer(facts, first, users, replicas, network_ms)

    load = answered.direct.rps + answered.retried.rps
    time = times(facts, replicas, answered, condition)
    served = load.sum(axis=2)
    return Traffic(
        users=users,
        replicas=replicas,
        answered=answered,
        times=time,
        load_rps=load,
        served_rps=served,
        late_rps=late_rps(facts, answered, time, users.again_share),
        latency_s=mean_s(answered, time, time.service_s),
        first_token_s=mean_s(answered, time, time.prefill_s),
        in_flight=load * (time.service_s + time.delay_s),
    )


def site_share_of(traffic: Traffic) -> np.ndarray:
    """[B, N]: share of the served traffic by site."""
    return ratio(traffic.load_rps.sum(axis=1), traffic.served_rps.sum(axis=1)[:, None])
