"""The load at which a model's replicas come to rest: routers shun busy replicas, so every step's load moves the next's.

The load of the last step is what the router goes by in the next one. A replica that has just been launched has none,
and draws requests until it is as busy as the others; a fleet that has just changed swings for some steps. The planner
prices what stays: the loads that bring themselves about, found by some damped steps of the router.
"""

from __future__ import annotations

from typing import Any

from og_env.dynamics.routing import compete
from og_env.kernel.arrays import KNOB, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import exp, load, splat, store, total, where
from og_env.planner.expected_flow import PLANNED_TRIES, divide_demand

ROUNDS = 5
"""steps of the router from the loads of the last step; set by hand: 12 foretell no better, nor do more of them in trials"""
DAMPING = 0.5
"""share of the way that a burden moves in a round: whole steps would swing about where busy replicas rest"""
MOST_PENALTY = 20.0
"""penalty of load above which loads never come to rest, and are left as they are"""


@inlined
def rests(env: Environment) -> bool:
    """Whether loads come to rest, and not where they are without any penalty."""
    return 0 < env.state.knobs[KNOB.load_penalty] <= MOST_PENALTY


@kernel
def take_settled(env: Environment, model: int, replicas: int) -> None:
    """Give the first `replicas` of the list the burdens of `settled`, where loads rest."""
    if not rests(env):
        return
    for position in range(replicas):
        env.scratch.next_burden[position] = env.scratch.settled[model, env.scratch.replicas[position]]
    for position in range(replicas, -(-replicas // LANES) * LANES):  # the rest of the last lanes stays as it is
        env.scratch.next_burden[position] = env.scratch.burden[position]
    for first in range(0, replicas, LANES):
        shift(env, first, load(env.scratch.next_burden, first))


@kernel
def start_burden(env: Environment, position: int) -> None:
    """Give the last replica on the list, which is on trial, the mean burden of all by capacity, where loads rest."""
    if not rests(env):
        return
    load_rps, capacity_rps = 0.0, env.scratch.cap_rps[position]
    for other in range(position):
        load_rps += env.scratch.burden[other] * env.scratch.cap_rps[other]
        capacity_rps += env.scratch.cap_rps[other]
    burden = load_rps / capacity_rps if capacity_rps > 0 else 0.0
    times = exp(-env.state.knobs[KNOB.load_penalty] * (burden - env.scratch.burden[position]))
    env.scratch.burden[position] = burden
    env.scratch.weight[position] *= times
    for slot in range(env.memo.slots):
        env.scratch.slot_pull[slot * env.scratch.factor.shape[0] + position] *= times


@kernel
def settle_fleet(env: Environment, model: int, replicas: int) -> None:
    """Move the burdens of a model's listed replicas to where they rest, and remember them for trials: settled [M, N]."""
    damping = splat(DAMPING)
    for _ in range(ROUNDS if rests(env) else 0):
        divide_demand(env, model, replicas)
        crowded = offer_demand(env, replicas) > 0 and env.world.tries > 1
        if crowded:
            compete(env, replicas, PLANNED_TRIES, env.scratch.offered_rps, env.scratch.limit_rps)
        for first in range(0, replicas, LANES):
            asked = load(env.scratch.offered_rps, first)
            if crowded:
                asked = load(env.scratch.all_competing_rps, first)
            rps, burden = min(asked, load(env.scratch.limit_rps, first)), load(env.scratch.burden, first)
            more = where(
                load(env.scratch.present, first), rps * load(env.scratch.per_capacity, first) - burden, splat(0.0)
            )
            shift(env, first, burden + damping * more)
    for position in range(replicas):
        env.scratch.settled[model, env.scratch.replicas[position]] = env.scratch.burden[position]


@inlined
def offer_demand(env: Environment, replicas: int) -> float:
    """Write the first tries at every replica, requests/s, to offered_rps; returns how many are beyond limits."""
    width, over = env.scratch.factor.shape[0], splat(0.0)
    for first in range(0, replicas, LANES):
        present, offered = load(env.scratch.present, first), splat(0.0)
        for slot in range(env.memo.slots):
            soft, even = splat(env.scratch.slot_soft[slot]), splat(env.scratch.slot_even[slot])
            offered += soft * load(env.scratch.slot_pull, slot * width + first) + even
        offered = where(present, offered, splat(0.0))  # what does not take part may have any pull
        over += max(offered - load(env.scratch.limit_rps, first) * present, splat(0.0))
        store(env.scratch.offered_rps, first, offered)
    return total(over)


@inlined
def shift(env: Environment, first: int, burden: Any) -> None:
    """Give LANES listed replicas their burdens from now on, with the weights and pulls that follow from them."""
    width = env.scratch.factor.shape[0]
    more = burden - load(env.scratch.burden, first)
    times = exp(splat(-env.state.knobs[KNOB.load_penalty]) * more)
    store(env.scratch.burden, first, burden)
    store(env.scratch.weight, first, load(env.scratch.weight, first) * times)
    for slot in range(env.memo.slots):
        at = slot * width + first
        store(env.scratch.slot_pull, at, load(env.scratch.slot_pull, at) * times)
