"""The price of one more or one less gateway: where users enter decides to which replicas they go, and which are full.

A router prefers replicas near its gateway. So a gateway that takes in users of others, or leaves them its own, moves
load between replicas, and with it what is refused, late and paid for. A trial routes the demand of all models anew, one
model at a time, while its replicas stand on the list of `expected_flow`.
"""

from __future__ import annotations

from og_env.dynamics.cost import S_PER_HOUR
from og_env.dynamics.gateways import gather_model
from og_env.dynamics.replicas import look_up_slot
from og_env.kernel.arrays import Environment
from og_env.kernel.compile import kernel
from og_env.planner.expected_flow import enter_demand, expected_flow, list_slot
from og_env.planner.expected_gain import price_service, price_unserved, rent_gain, verified_of

GATEWAY_TRIALS = 3
"""gateways that are priced in every step: two additions and one removal"""


@kernel
def begin_gateway_trial(env: Environment, trial: int, site: int, change: int) -> None:
    """Set up a trial of one more (change 1) or one less (-1) gateway at a site: where every user region would enter."""
    env.scratch.trial_gateway[trial] = site
    env.scratch.trial_change[trial] = change
    env.scratch.trial_price[trial] = 0
    env.scratch.trial_served_rps[trial] = 0
    for region in range(env.world.near_user.shape[0]):
        slot, ms = env.memo.gateway_of[region], float(env.memo.gateway_ms[region])
        if change > 0:
            new_ms = env.world.rtt_user_ms[region, site]
            if slot >= 0 and new_ms < ms:
                slot, ms = env.memo.slots, new_ms
        elif slot >= 0 and env.memo.gateways[slot] == site:
            slot = next_slot(env, region, slot)
            ms = env.world.rtt_user_ms[region, env.memo.gateways[slot]] if slot >= 0 else 0.0
        env.scratch.trial_slot_of[trial, region] = slot
        env.scratch.trial_ms[trial, region] = ms


@kernel
def next_slot(env: Environment, region: int, slot: int) -> int:
    """The slot of the gateway nearest to a user region beside the given one; -1 where there is no other."""
    nearest, nearest_ms = -1, 0.0
    for other in range(env.memo.slots):
        ms = env.world.rtt_user_ms[region, env.memo.gateways[other]]
        if other != slot and (nearest < 0 or ms < nearest_ms):
            nearest, nearest_ms = other, ms
    return nearest


@kernel
def try_gateways(env: Environment, model: int, replicas: int, trials: int) -> None:
    """Add a model's part to the price of the first `trials` gateways: `replicas` of it stand on the list, as settled."""
    slots = env.memo.slots
    if slots == 0:
        return
    for trial in range(trials):
        if env.scratch.trial_change[trial] > 0:
            env.memo.gateways[slots] = env.scratch.trial_gateway[trial]
            env.memo.slots = slots + 1
            for position in range(replicas):
                look_up_slot(env, env.scratch.replicas[position], slots)
                list_slot(env, position, slots)
        for region in range(env.world.near_user.shape[0]):
            env.scratch.entry_slot_of[region] = env.scratch.trial_slot_of[trial, region]
            env.scratch.entry_region_ms[region] = env.scratch.trial_ms[trial, region]
        gather_model(env, model, env.scratch.demand, env.scratch.entry_slot_of, env.scratch.entry_region_ms)
        enter_demand(env, model)
        flow = expected_flow(env, model, replicas)
        env.memo.slots = slots
        price = price_service(env, model, flow, verified_of(env, model, flow.attested_rps))
        usd_per_s = flow.answers_usd_per_s - env.scratch.fleet_answers_usd_per_s[model]
        more = (price - env.scratch.fleet_service_price[model]) / env.scratch.expected_demand_rps
        env.scratch.trial_price[trial] += more + rent_gain(env, usd_per_s * S_PER_HOUR)
        env.scratch.trial_served_rps[trial] += flow.served_rps
    gather_model(env, model, env.scratch.demand, env.memo.gateway_of, env.memo.gateway_ms)


@kernel
def gateway_gain(env: Environment, trial: int) -> float:
    """Gain in service, reward per step, of a trial of which all models have their part.

    The first gateway gains all demand, and the last one loses it.
    """
    change, none_served = env.scratch.trial_change[trial], price_unserved(env, 1.0)
    if env.memo.slots == 0:
        return none_served if change > 0 else 0.0
    if env.memo.slots + change == 0:
        return env.scratch.unserved_price - none_served
    unserved = 1 - env.scratch.trial_served_rps[trial] / env.scratch.expected_demand_rps
    return env.scratch.unserved_price - price_unserved(env, unserved) - env.scratch.trial_price[trial]
