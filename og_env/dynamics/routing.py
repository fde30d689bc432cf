"""Which replica answers which request: from its gateway, a softmax over the model's listed replicas, and bounded tries.

Within a gateway the split does not depend on the user. A full or dead replica refuses; the request then tries another
one, chosen by the same weights, as often as the scenario allows, and each try costs its time. Of the flow between a
gateway and a replica only sums by replica are kept: requests/s, and the first two moments of the milliseconds from user
to replica.
"""

from __future__ import annotations

from og_env.kernel.arrays import KNOB, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import load, splat, store, total, where

LEAST_CHANCE = 1e-9
"""where the other replicas have no larger share of a gateway's requests, a refused request has nowhere to go"""


@kernel
def route(env: Environment, model: int, count: int) -> tuple[float, float]:
    """Divide a model's demand over its `count` listed replicas, first tries first, then the tries of who was refused.

    Writes replica_rps, room_rps [L], the moments of the paths of first tries (path_rps_ms, path_rps_ms2 [L]) and of later
    ones (retried_* [L]). Returns requests/s served, and first tries refused.
    """
    limit_share, nothing = splat(env.world.utilisation_limit), splat(0.0)
    send(env, model, count)
    for first in range(0, count, LANES):
        store(env.scratch.left_rps, first, limit_share * load(env.scratch.cap_rps, first))
        store(env.scratch.replica_rps, first, nothing)
        store(env.scratch.retried_rps, first, nothing)
        store(env.scratch.retried_rps_ms, first, nothing)
        store(env.scratch.retried_rps_ms2, first, nothing)
    refused_rps = take_on(env, count)
    turned_away_rps = refused_rps
    complete_first_tries(env, count)
    if refused_rps > 0 and env.world.tries > 1:
        list_tries(env, model, count)
        for _ in range(1, env.world.tries):
            try_others(env, count)
            refused_rps = take_on(env, count)
            add_retried(env, count)
            if refused_rps <= 0:
                break
    served = nothing
    for first in range(0, count, LANES):
        rps = load(env.scratch.replica_rps, first)
        served += rps
        room_rps = max(load(env.scratch.left_rps, first), nothing)
        store(env.scratch.room_rps, first, where(load(env.scratch.replica_wait_s, first), nothing, room_rps))
    return total(served), turned_away_rps


@inlined
def take_on(env: Environment, count: int) -> float:
    """Let replicas take on what a round sends them (wanted_rps [L]), up to what their limits leave.

    Writes kept_share and left_rps, adds to replica_rps [L] and to the books of the sites; returns requests/s refused.
    """
    refused, nothing, one = splat(0.0), splat(0.0), splat(1.0)
    for first in range(0, count, LANES):
        wanted, left = load(env.scratch.wanted_rps, first), load(env.scratch.left_rps, first)
        kept = min(wanted, left)
        over = wanted - kept
        refused += over
        store(env.scratch.left_rps, first, left - kept)
        store(env.scratch.kept_share, first, where(over, kept / wanted, one))
        store(env.scratch.replica_rps, first, load(env.scratch.replica_rps, first) + kept)
    for position in range(count):
        site, wanted_rps = env.scratch.replicas[position], env.scratch.wanted_rps[position]
        env.scratch.site_tried_rps[site] += wanted_rps
        env.scratch.site_refused_rps[site] += wanted_rps * (1 - env.scratch.kept_share[position])
    return total(max(refused, nothing))


@inlined
def divide(env: Environment, model: int, count: int) -> None:
    """Write what every gateway sends a listed replica: rps_per_pull [L] (softmax) and rps_per_factor [L] (even spread)."""
    slots, width = env.memo.slots, env.scratch.factor.shape[0]
    spread = env.state.knobs[KNOB.spread]
    factors = 0.0
    for position in range(count):
        factors += env.scratch.factor[position]
    even, soft, nothing = splat(1 / factors if factors > 0 else 0.0), splat(1 - spread), splat(0.0)
    for first in range(0, slots, LANES):
        demand, whole = load(env.scratch.gateway_rps, (model, first)), nothing
        for position in range(count):
            attraction = load(env.scratch.attraction, env.scratch.replicas[position] * width + first)
            pull = attraction * splat(env.scratch.weight[position])
            store(env.scratch.pull, position * width + first, pull)
            whole += pull
        store(env.scratch.rps_per_pull, first, where(whole, demand * soft / whole, nothing))
        store(env.scratch.rps_per_factor, first, where(whole, demand * splat(spread), demand) * even)


@inlined
def send(env: Environment, model: int, count: int) -> None:
    """Write what the router sends to every listed replica at first, wanted_rps [L], with the moments of its path."""
    slots, width = env.memo.slots, env.scratch.factor.shape[0]
    divide(env, model, count)
    nothing, one = splat(0.0), splat(1.0)
    for first in range(0, slots, LANES):
        demand = load(env.scratch.gateway_rps, (model, first))
        per_demand = where(demand, one / demand, nothing)
        mean = load(env.scratch.gateway_rps_ms, (model, first)) * per_demand
        store(env.scratch.entry_ms, first, mean)
        variance = load(env.scratch.gateway_rps_ms2, (model, first)) * per_demand - mean * mean
        store(env.scratch.entry_var, first, max(variance, nothing))
    for position in range(count):
        pulls, paths = position * width, env.scratch.replicas[position] * width
        factor = splat(env.scratch.factor[position])
        wanted, path_rps_ms, path_rps_ms2 = nothing, nothing, nothing
        for first in range(0, slots, LANES):
            soft = load(env.scratch.rps_per_pull, first) * load(env.scratch.pull, pulls + first)
            flow = soft + load(env.scratch.rps_per_factor, first) * factor
            ms = load(env.scratch.entry_ms, first) + load(env.scratch.net_ms, paths + first)
            flow_ms = flow * ms
            wanted += flow
            path_rps_ms += flow_ms
            path_rps_ms2 += flow_ms * ms + flow * load(env.scratch.entry_var, first)
        env.scratch.wanted_rps[position] = total(wanted)
        env.scratch.path_rps_ms[position] = total(path_rps_ms)
        env.scratch.path_rps_ms2[position] = total(path_rps_ms2)
    for position in range(count, -(-count // LANES) * LANES):  # the rest of the last lanes takes part in nothing
        env.scratch.wanted_rps[position] = 0
        env.scratch.path_rps_ms[position] = 0
        env.scratch.path_rps_ms2[position] = 0


@inlined
def complete_first_tries(env: Environment, count: int) -> None:
    """Make the moments of one round trip those of all round trips and the payment, of the first tries that are kept."""
    trips, trips2, two = splat(env.world.round_trips), splat(env.world.round_trips2), splat(2.0)
    for first in range(0, count, LANES):
        kept, payment = load(env.scratch.kept_share, first), load(env.scratch.payment_ms, first)
        rps, once = load(env.scratch.wanted_rps, first), load(env.scratch.path_rps_ms, first)
        mean = trips * once + payment * rps
        second = trips2 * load(env.scratch.path_rps_ms2, first) + payment * (two * trips * once + payment * rps)
        store(env.scratch.path_rps_ms, first, mean * kept)
        store(env.scratch.path_rps_ms2, first, second * kept)


@kernel
def list_tries(env: Environment, model: int, count: int) -> None:
    """Write the first round's flows by replica and gateway to tried_rps [X], no time lost yet, and try_share [X]."""
    slots, width = env.memo.slots, env.scratch.factor.shape[0]
    nothing, one = splat(0.0), splat(1.0)
    for first in range(0, slots, LANES):
        demand = load(env.scratch.gateway_rps, (model, first))
        per_demand = where(demand, one / demand, nothing)
        soft, even = load(env.scratch.rps_per_pull, first), load(env.scratch.rps_per_factor, first)
        for position in range(count):
            at = position * width + first
            flow = soft * load(env.scratch.pull, at) + even * splat(env.scratch.factor[position])
            store(env.scratch.tried_rps, at, flow)
            store(env.scratch.tried_rps_ms, at, nothing)
            store(env.scratch.tried_rps_ms2, at, nothing)
            store(env.scratch.try_share, at, flow * per_demand)


@kernel
def try_others(env: Environment, count: int) -> None:
    """Send what a round refused to the other replicas: writes the next round's tried_* [X] and wanted_rps [L].

    A request leaves out the replica that refused it last. It has lost a round trip between gateway and replica, or the
    timeout of a dead one.
    """
    slots, width = env.memo.slots, env.scratch.factor.shape[0]
    nothing, one, two, least = splat(0.0), splat(1.0), splat(2.0), splat(LEAST_CHANCE)
    for first in range(0, slots, LANES):
        all_rps, all_ms, all_ms2 = nothing, nothing, nothing
        for position in range(count):
            at = position * width + first
            others = one - load(env.scratch.try_share, at)
            going = where(others - least, splat(1 - env.scratch.kept_share[position]) / others, nothing)
            timeout = splat(env.scratch.try_lost_ms[position])
            lost = where(timeout, timeout, load(env.scratch.net_ms, env.scratch.replicas[position] * width + first))
            rps, ms = load(env.scratch.tried_rps, at), load(env.scratch.tried_rps_ms, at)
            ms2 = load(env.scratch.tried_rps_ms2, at) + lost * (two * ms + lost * rps)
            rps, ms, ms2 = rps * going, (ms + lost * rps) * going, ms2 * going
            store(env.scratch.tried_rps, at, rps)
            store(env.scratch.tried_rps_ms, at, ms)
            store(env.scratch.tried_rps_ms2, at, ms2)
            all_rps += rps
            all_ms += ms
            all_ms2 += ms2
        for position in range(count):
            at = position * width + first
            share = load(env.scratch.try_share, at)
            rps = max(all_rps - load(env.scratch.tried_rps, at), nothing)
            ms = max(all_ms - load(env.scratch.tried_rps_ms, at), nothing)
            ms2 = max(all_ms2 - load(env.scratch.tried_rps_ms2, at), nothing)
            store(env.scratch.tried_rps, at, share * rps)
            store(env.scratch.tried_rps_ms, at, share * ms)
            store(env.scratch.tried_rps_ms2, at, share * ms2)
    for position in range(count):
        wanted = nothing
        for first in range(position * width, position * width + slots, LANES):
            wanted += load(env.scratch.tried_rps, first)
        env.scratch.wanted_rps[position] = total(wanted)


@kernel
def add_retried(env: Environment, count: int) -> None:
    """Add what a later round of tries brought every listed replica to retried_rps and to its moments (retried_* [L])."""
    slots, width = env.memo.slots, env.scratch.factor.shape[0]
    nothing, two = splat(0.0), splat(2.0)
    trips, trips2 = splat(env.world.round_trips), splat(env.world.round_trips2)
    for position in range(count):
        kept, payment = env.scratch.kept_share[position], splat(env.scratch.payment_ms[position])
        if kept * env.scratch.wanted_rps[position] <= 0:
            continue
        paths = env.scratch.replicas[position] * width
        rps_ms, rps_ms2 = nothing, nothing
        for first in range(0, slots, LANES):
            at = position * width + first
            rps, lost = load(env.scratch.tried_rps, at), load(env.scratch.tried_rps_ms, at)
            ms = load(env.scratch.entry_ms, first) + load(env.scratch.net_ms, paths + first)
            mean = trips * ms + payment
            square = trips2 * (ms * ms + load(env.scratch.entry_var, first)) + payment * (two * trips * ms + payment)
            rps_ms += rps * mean + lost
            rps_ms2 += rps * square + two * lost * mean + load(env.scratch.tried_rps_ms2, at)
        env.scratch.retried_rps[position] += kept * env.scratch.wanted_rps[position]
        env.scratch.retried_rps_ms[position] += kept * total(rps_ms)
        env.scratch.retried_rps_ms2[position] += kept * total(rps_ms2)


@inlined
def room(env: Environment, count: int) -> tuple[float, float]:
    """Requests/s that the listed replicas could serve more: all of them, and those that are trusted."""
    more, attested = splat(0.0), splat(0.0)
    for first in range(0, count, LANES):
        room_rps = load(env.scratch.room_rps, first)
        more += room_rps
        attested += room_rps * load(env.scratch.trust, first)
    return total(more), total(attested)
