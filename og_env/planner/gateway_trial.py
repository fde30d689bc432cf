"""The price of one more or one less gateway: where users enter decides to which replicas they go, and which are full.

A router prefers replicas near its gateway. So a gateway that takes in users of others, or leaves them its own, moves
load between replicas, and with it what is refused, late and paid for. A trial routes the demand of all models anew.
"""

from __future__ import annotations

from og_env.dynamics.cost import S_PER_HOUR
from og_env.dynamics.gateways import gather
from og_env.dynamics.replicas import look_up_slot
from og_env.kernel.arrays import Environment
from og_env.kernel.compile import kernel
from og_env.planner.expected_flow import expected_flow, list_expected
from og_env.planner.expected_gain import price_service, price_unserved, rent_gain, verified_of
from og_env.planner.settled_load import TRIAL_ROUNDS, settle, take_settled


@kernel
def gateway_trial(env: Environment, site: int, change: int) -> float:
    """Gain in service, reward per step, of one more (change 1) or one less (-1) gateway at a site.

    The first gateway gains all demand, and the last one loses it.
    """
    slots = env.memo.slots
    if slots == 0:
        return price_unserved(env, 1.0) if change > 0 else 0.0
    if change < 0 and slots == 1:
        return env.scratch.unserved_price - price_unserved(env, 1.0)
    for region in range(env.world.near_user.shape[0]):
        env.scratch.kept_gateway_of[region] = env.memo.gateway_of[region]
        env.scratch.kept_gateway_ms[region] = env.memo.gateway_ms[region]
    if change > 0:
        open_gateway(env, site)
    else:
        close_gateway(env, site)
    gather(env, env.scratch.demand)
    gain = price_entry(env)
    env.memo.slots = slots
    for region in range(env.world.near_user.shape[0]):
        env.memo.gateway_of[region] = env.scratch.kept_gateway_of[region]
        env.memo.gateway_ms[region] = env.scratch.kept_gateway_ms[region]
    gather(env, env.scratch.demand)
    return gain


@kernel
def open_gateway(env: Environment, site: int) -> None:
    """Give a gateway at a site a slot of its own, and the user regions that are nearer to it than to theirs."""
    slot = env.memo.slots
    env.memo.gateways[slot] = site
    env.memo.slots = slot + 1
    for other in range(env.scratch.hosting.shape[0]):
        if env.scratch.hosting[other]:
            look_up_slot(env, other, slot)
    for region in range(env.world.near_user.shape[0]):
        ms = env.world.rtt_user_ms[region, site]
        if env.memo.gateway_of[region] >= 0 and ms < env.memo.gateway_ms[region]:
            env.memo.gateway_of[region] = slot
            env.memo.gateway_ms[region] = ms


@kernel
def close_gateway(env: Environment, site: int) -> None:
    """Leave the user regions of the gateway at a site to the nearest other one; its slot stays, without demand."""
    for region in range(env.world.near_user.shape[0]):
        slot = env.memo.gateway_of[region]
        if slot < 0 or env.memo.gateways[slot] != site:
            continue
        nearest = -1
        for other in range(env.memo.slots):
            if other == slot:
                continue
            ms = env.world.rtt_user_ms[region, env.memo.gateways[other]]
            if nearest < 0 or ms < env.memo.gateway_ms[region]:
                nearest = other
                env.memo.gateway_ms[region] = ms
        env.memo.gateway_of[region] = nearest


@kernel
def price_entry(env: Environment) -> float:
    """Gain in service of the fleet with users where `gather` has put them, over the fleet as it is."""
    demand_rps, served_rps, gain, usd = env.scratch.expected_demand_rps, 0.0, 0.0, 0.0
    for model in range(env.scratch.fleet_served_rps.shape[0]):
        replicas = list_expected(env, model)
        take_settled(env, model, replicas)
        settle(env, model, replicas, TRIAL_ROUNDS)
        flow = expected_flow(env, model, replicas)
        served_rps += flow.served_rps
        price = price_service(env, model, flow, verified_of(env, model, flow.attested_rps))
        gain += (env.scratch.fleet_service_price[model] - price) / demand_rps
        usd += env.scratch.fleet_answers_usd_per_s[model] - flow.answers_usd_per_s
    gain += env.scratch.unserved_price - price_unserved(env, 1 - served_rps / demand_rps)
    return gain + rent_gain(env, usd * S_PER_HOUR)
