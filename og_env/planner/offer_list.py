"""The two lists of a step: the shortlist of sites that an addition could go to, and the offers in order of gain.

The first `additions_of` places of the offers are for additions, the rest for removals, so that neither crowds out the
other. The built-in autoscaler takes the best offer of all.
"""

from __future__ import annotations

from og_env.kernel.arrays import GAIN, PLANNER, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.planner.expected_gain import horizon_ms

REMOVALS = 0.4
"""share of the offers kept for removals; set by hand"""
ADDS, REMOVES = False, True
"""whether an operation counts among the removals"""
TAKEN = -1e30
"""score of a site that has been taken off the shortlist, below all others"""


@inlined
def additions_of(offers: int) -> int:
    """How many places of so many offers are for additions; the others are for removals."""
    return offers - int(offers * REMOVALS)


@inlined
def next_site(env: Environment, candidates: int) -> int:
    """Take the site of the highest score, the first among equals, off the shortlist of so many candidates."""
    best = 0
    for i in range(1, candidates):
        best = i if env.scratch.candidate_score[i] > env.scratch.candidate_score[best] else best
    env.scratch.candidate_score[best] = TAKEN
    return env.scratch.candidate_site[best]


@inlined
def useful_share(env: Environment, ready_s: float) -> float:
    """Share of the horizon in which a change is of use that is ready after some seconds."""
    return max(1 - ready_s / (horizon_ms(env) / 1000), 0.0)


@kernel
def clear_offers(env: Environment) -> None:
    """Empty the list of offers."""
    for i in range(env.output.offer.shape[0]):
        env.output.offer[i] = 0
        env.output.offer_ready_s[i] = 0
        for part in range(len(GAIN)):
            env.output.offer_gain[i, part] = 0


@kernel
def insert_offer(
    env: Environment,
    operation: int,
    removal: bool,
    service: float,
    resilience: float,
    rent: float,
    once: float,
    ready_s: float,
) -> None:
    """Put an operation into the ordered list of additions or of removals, if it is among the best.

    `service` and `resilience` are gains per step once the change is ready; until then, a share of the horizon, they are
    nothing. `rent` is the gain per step from rent saved, below 0 for rent added. `once` is reward lost once, by churn and
    egress; it is spread over the horizon.
    """
    useful = useful_share(env, ready_s)
    service *= useful
    resilience *= useful
    cost = rent - once / env.world.planner[PLANNER.horizon_steps]
    gain = service + cost + resilience
    size = env.output.offer.shape[0]
    first = additions_of(size) if removal else 0
    last = size if removal else additions_of(size)
    place = last
    while place > first and (env.output.offer[place - 1] == 0 or env.output.offer_gain[place - 1, GAIN.total] < gain):
        place -= 1
    if place == last:
        return
    for i in range(last - 1, place, -1):
        env.output.offer[i] = env.output.offer[i - 1]
        env.output.offer_ready_s[i] = env.output.offer_ready_s[i - 1]
        for part in range(len(GAIN)):
            env.output.offer_gain[i, part] = env.output.offer_gain[i - 1, part]
    env.output.offer[place] = operation
    env.output.offer_ready_s[place] = ready_s
    env.output.offer_gain[place, GAIN.total] = gain
    env.output.offer_gain[place, GAIN.service] = service
    env.output.offer_gain[place, GAIN.cost] = cost
    env.output.offer_gain[place, GAIN.resilience] = resilience


@kernel
def autoscale(env: Environment) -> int:
    """The built-in autoscaler: the best offer where it gains more than the threshold, else 0 (nothing)."""
    best, gain = 0, env.world.planner[PLANNER.threshold]
    for i in range(env.output.offer.shape[0]):
        if env.output.offer[i] != 0 and env.output.offer_gain[i, GAIN.total] > gain:
            best, gain = env.output.offer[i], env.output.offer_gain[i, GAIN.total]
    return best
