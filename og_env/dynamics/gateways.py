"""Where requests enter: the nearest live gateway of every user region, and the demand that each gateway gets.

Gateways in use have slots: numbers from 0 on, in the order of their sites.
"""

from __future__ import annotations

from typing import Any

from og_env.dynamics.replicas import SLOW_MS
from og_env.dynamics.supply_bits import role_up
from og_env.kernel.arrays import DOWN, GATEWAY, SLOW, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES


@kernel
def write_demand(env: Environment, row: int) -> None:
    """Write the demand of a tape row to demand_rps [U, M]."""
    regions, models = env.scratch.demand_rps.shape
    for region in range(regions):
        factor = env.tape.regional[row, region]
        for model in range(models):
            rps = env.world.base_rps[region, model] * factor * env.tape.model[row, model]
            env.scratch.demand_rps[region, model] = rps


@kernel
def ask_again(env: Environment) -> None:
    """Add the answers lost in this step, asked_again [M], to demand_rps [U, M] of those who ask for the model.

    Writes again_share [M], the share of a model's demand that is asked again.
    """
    regions, models = env.scratch.demand_rps.shape
    step_s = env.world.step_ms / 1000
    for model in range(models):
        env.scratch.again_share[model] = 0
        lost = env.scratch.asked_again[model]
        if lost <= 0:
            continue
        demand_rps = 0.0
        for region in range(regions):
            demand_rps += env.scratch.demand_rps[region, model]
        if demand_rps <= 0:
            continue
        more = lost / (demand_rps * step_s)
        env.scratch.again_share[model] = more / (1 + more)
        for region in range(regions):
            env.scratch.demand_rps[region, model] *= 1 + more


@kernel
def find_gateways(env: Environment) -> None:
    """List the live gateways (slots, gateways), and write to every user region the nearest one and the time to it.

    Writes gateway_of and gateway_ms [U]. A nearer dead one that the router does not know of yet adds its mean timeout.
    """
    slots = 0
    for site in range(env.state.status.shape[0]):
        if env.state.role_ms[GATEWAY, site] == 0 and role_up(env, GATEWAY, site):
            env.memo.gateways[slots] = site
            env.scratch.slot_of[site] = slots
            slots += 1
    env.memo.slots = slots
    for region in range(env.world.near_user.shape[0]):
        env.memo.gateway_of[region] = -1
        env.memo.gateway_ms[region] = 0
        late_ms = -1.0  # until a dead one is met
        for position in range(env.world.near_user.shape[1]):
            site = env.world.near_user[region, position]
            if env.state.role_ms[GATEWAY, site] != 0:
                continue
            if env.state.status[site] & DOWN:
                if late_ms < 0 and env.scratch.dead_share[site] > 0:
                    late_ms = env.scratch.dead_share[site] * env.world.timeout_ms
                continue
            if not role_up(env, GATEWAY, site):
                continue
            slow_ms = SLOW_MS if env.state.status[site] & SLOW else 0.0
            env.memo.gateway_of[region] = env.scratch.slot_of[site]
            env.memo.gateway_ms[region] = env.world.rtt_user_ms[region, site] + max(late_ms, 0.0) + slow_ms
            break


@kernel
def gather(env: Environment, demand_rps: Any) -> None:
    """Add up a field of demand [U, M] by model (asked [M]) and by model and slot (gateway_rps [M, L]).

    Writes the first two moments of the ms between users and gateway to gateway_rps_ms and gateway_rps_ms2 [M, L].
    """
    regions, models = demand_rps.shape
    for model in range(models):
        env.scratch.asked[model] = 0
        for region in range(regions):
            env.scratch.asked[model] += demand_rps[region, model]
        gather_model(env, model, demand_rps, env.memo.gateway_of, env.memo.gateway_ms)


@inlined
def gather_model(env: Environment, model: int, demand_rps: Any, slot_of: Any, ms_of: Any) -> None:
    """Add up a field of demand [U, M] of a model by slot, as `gather`, if users enter at slot_of after ms_of [U]."""
    for slot in range(-(-env.memo.slots // LANES) * LANES):  # the rest of the last lanes has no demand
        env.scratch.gateway_rps[model, slot] = 0
        env.scratch.gateway_rps_ms[model, slot] = 0
        env.scratch.gateway_rps_ms2[model, slot] = 0
    for region in range(demand_rps.shape[0]):
        slot, ms = slot_of[region], ms_of[region]
        if slot >= 0:
            demand = demand_rps[region, model]
            env.scratch.gateway_rps[model, slot] += demand
            env.scratch.gateway_rps_ms[model, slot] += demand * ms
            env.scratch.gateway_rps_ms2[model, slot] += demand * ms * ms
