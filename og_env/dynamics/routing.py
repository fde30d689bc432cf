"""Which replica answers which request: from its gateway, a softmax over the model's listed replicas, and bounded tries.

Within a gateway the split does not depend on the user. A full or dead replica refuses; the request then tries another
one, chosen by the same weights, as often as the scenario allows, and each try costs its time. Of the flow between a
gateway and a replica only sums by replica are kept: requests/s, and the first two moments of the milliseconds from user
to replica.
"""

from __future__ import annotations

from typing import Any

from og_env.kernel.arrays import KNOB, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import load, splat, store, total, where

LEAST_CHANCE = 1e-9
"""where the other replicas have no larger share of a gateway's requests, a refused request has nowhere to go"""
LEAST_RPS = 1e-300
"""stands for nothing where it divides"""
PASSES = 2
"""how often `compete` follows the tries: fitted to a request-level simulation of 2 to 5 replicas and 1 to 3 tries, where
1 pass finds 8 points too few first tries refused at worst, 2 find 3, and 8 (near the fixed point) 8 too many"""


@kernel
def route(env: Environment, model: int, count: int) -> tuple[float, float]:
    """Divide a model's demand over its `count` listed replicas in rounds: first tries, then those of who was refused.

    Writes replica_rps, room_rps [L], the moments of the paths of first tries (path_rps_ms, path_rps_ms2 [L]) and of later
    ones (retried_* [L]). Returns requests/s served, and first tries refused.
    """
    limit_share, nothing, tries = splat(env.world.utilisation_limit), splat(0.0), env.world.tries
    over = nothing
    send(env, model, count)
    for first in range(0, count, LANES):
        limit = limit_share * load(env.scratch.cap_rps, first)
        over += max(load(env.scratch.wanted_rps, first) - limit, nothing)
        store(env.scratch.left_rps, first, limit)
        store(env.scratch.replica_rps, first, nothing)
        store(env.scratch.tries_rps, first, nothing)
        store(env.scratch.retried_rps, first, nothing)
        store(env.scratch.retried_rps_ms, first, nothing)
        store(env.scratch.retried_rps_ms2, first, nothing)
    crowded = tries > 1 and total(over) > 0
    if crowded:
        compete(env, count, tries, env.scratch.wanted_rps, env.scratch.left_rps)
    refused_rps = take_on(env, count, crowded)
    turned_away_rps = refused_rps
    complete_first_tries(env, count)
    for done in range(1, tries):
        if refused_rps <= 0:
            break
        try_others(env, count, done == 1, done + 1 < tries)
        refused_rps = take_on(env, count, done + 1 < tries)
        for first in range(0, count, LANES):
            kept = load(env.scratch.kept_share, first)
            add(env.scratch.retried_rps, first, load(env.scratch.wanted_rps, first) * kept)
            add(env.scratch.retried_rps_ms, first, load(env.scratch.again_rps_ms, first) * kept)
            add(env.scratch.retried_rps_ms2, first, load(env.scratch.again_rps_ms2, first) * kept)
    served = nothing
    for first in range(0, count, LANES):
        rps = load(env.scratch.replica_rps, first)
        served += rps
        room_rps = max(load(env.scratch.left_rps, first), nothing)
        store(env.scratch.room_rps, first, where(load(env.scratch.replica_wait_s, first), nothing, room_rps))
    return total(served), turned_away_rps


@inlined
def compete(env: Environment, count: int, tries: int, first_rps: Any, limit_rps: Any) -> None:
    """Write take_share [L], the share of its tries that each of `count` listed replicas can take on up to its limit.

    A replica does not know whether a request has been refused elsewhere, so first tries and later ones have the same
    chance at it. Who comes in all depends in turn on who is refused: this follows the tries PASSES times, with all
    gateways taken together. first_rps and limit_rps are fields [L].
    """
    nothing, one, tiny, least = splat(0.0), splat(1.0), splat(LEAST_RPS), splat(LEAST_CHANCE)
    whole = nothing
    for first in range(0, count, LANES):
        rps = load(first_rps, first)
        whole += rps
        store(env.scratch.all_competing_rps, first, rps)
    per_whole = splat(1 / max(total(whole), LEAST_RPS))
    for _ in range(PASSES):
        for first in range(0, count, LANES):
            rps = load(first_rps, first)
            take = min(one, load(limit_rps, first) / max(load(env.scratch.all_competing_rps, first), tiny))
            store(env.scratch.take_share, first, take)
            store(env.scratch.all_competing_rps, first, rps)
            store(env.scratch.competing_rps, first, rps)
        for _ in range(1, tries):
            refused = nothing
            for first in range(0, count, LANES):
                others = one - load(first_rps, first) * per_whole
                over = load(env.scratch.competing_rps, first) * (one - load(env.scratch.take_share, first))
                going = where(others - least, over / others, nothing)
                store(env.scratch.competing_refused_rps, first, going)
                refused += going
            all_refused = splat(total(refused))
            for first in range(0, count, LANES):
                going = max(all_refused - load(env.scratch.competing_refused_rps, first), nothing)
                again = load(first_rps, first) * per_whole * going
                store(env.scratch.competing_rps, first, again)
                add(env.scratch.all_competing_rps, first, again)
    for first in range(0, count, LANES):
        take = min(one, load(limit_rps, first) / max(load(env.scratch.all_competing_rps, first), tiny))
        store(env.scratch.take_share, first, take)


@inlined
def take_on(env: Environment, count: int, others_follow: bool) -> float:
    """Let replicas take on what a round sends them (wanted_rps [L]), up to what their limits leave.

    others_follow: later tries compete for the rest, so only take_share [L] of these are taken on. Writes kept_share and
    left_rps, adds to replica_rps and tries_rps [L] and to the books of the sites; returns requests/s refused.
    """
    refused, nothing, one = splat(0.0), splat(0.0), splat(1.0)
    for first in range(0, count, LANES):
        wanted, left = load(env.scratch.wanted_rps, first), load(env.scratch.left_rps, first)
        kept = min(wanted, left)
        if others_follow:
            kept = min(wanted * load(env.scratch.take_share, first), left)
        add(env.scratch.tries_rps, first, wanted)
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
        store(env.scratch.per_gateway_rps, first, per_demand)
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


@inlined
def add(field: Any, first: int, lanes: Any) -> None:
    """Add lanes to the elements of a field from an index on."""
    store(field, first, load(field, first) + lanes)


@kernel
def try_others(env: Environment, count: int, first_time: bool, more: bool) -> None:
    """Send what a round refused to the other replicas, and write wanted_rps [L] and the moments of its paths, again_* [L].

    A request leaves out the replica that refused it last. It has lost a round trip between gateway and replica, or the
    timeout of a dead one. first_time: the round was that of first tries. more: keep flows in tried_* [X] for another one.
    """
    for position in range(-(-count // LANES) * LANES):  # the rest of the last lanes takes part in nothing
        env.scratch.wanted_rps[position] = 0
        env.scratch.again_rps_ms[position] = 0
        env.scratch.again_rps_ms2[position] = 0
    for first in range(0, env.memo.slots, LANES):
        gather_refused(env, count, first, first_time)
        send_refused(env, count, first, more)


@inlined
def gather_refused(env: Environment, count: int, first: int, first_time: bool) -> None:
    """Add up what replicas refused of the gateways from slot `first` on, over the others' share: refused_slot_* [L].

    Writes each refusing replica's part to tried_* [X].
    """
    width = env.scratch.factor.shape[0]
    nothing, one, two, least = splat(0.0), splat(1.0), splat(2.0), splat(LEAST_CHANCE)
    soft, even = load(env.scratch.rps_per_pull, first), load(env.scratch.rps_per_factor, first)
    per_demand = load(env.scratch.per_gateway_rps, first)
    all_rps, all_ms, all_ms2 = nothing, nothing, nothing
    for position in range(count):
        refused = 1 - env.scratch.kept_share[position]
        if refused <= 0:
            continue
        at = position * width + first
        flow = soft * load(env.scratch.pull, at) + even * splat(env.scratch.factor[position])
        others = one - flow * per_demand
        going = where(others - least, splat(refused) / others, nothing)
        timeout = splat(env.scratch.try_lost_ms[position])
        lost = where(timeout, timeout, load(env.scratch.net_ms, env.scratch.replicas[position] * width + first))
        rps, ms, ms2 = flow, nothing, nothing
        if not first_time:
            rps, ms = load(env.scratch.tried_rps, at), load(env.scratch.tried_rps_ms, at)
            ms2 = load(env.scratch.tried_rps_ms2, at)
        ms2 = (ms2 + lost * (two * ms + lost * rps)) * going
        ms, rps = (ms + lost * rps) * going, rps * going
        store(env.scratch.tried_rps, at, rps)
        store(env.scratch.tried_rps_ms, at, ms)
        store(env.scratch.tried_rps_ms2, at, ms2)
        all_rps += rps
        all_ms += ms
        all_ms2 += ms2
    store(env.scratch.refused_slot_rps, first, all_rps)
    store(env.scratch.refused_slot_ms, first, all_ms)
    store(env.scratch.refused_slot_ms2, first, all_ms2)


@inlined
def send_refused(env: Environment, count: int, first: int, more: bool) -> None:
    """Send what `gather_refused` has added up to every listed replica but the one that refused it."""
    width, nothing, two = env.scratch.factor.shape[0], splat(0.0), splat(2.0)
    trips, trips2 = splat(env.world.round_trips), splat(env.world.round_trips2)
    soft, even = load(env.scratch.rps_per_pull, first), load(env.scratch.rps_per_factor, first)
    per_demand, entry = load(env.scratch.per_gateway_rps, first), load(env.scratch.entry_ms, first)
    for position in range(count):
        at = position * width + first
        flow = soft * load(env.scratch.pull, at) + even * splat(env.scratch.factor[position])
        share = flow * per_demand
        rps, lost = load(env.scratch.refused_slot_rps, first), load(env.scratch.refused_slot_ms, first)
        lost2 = load(env.scratch.refused_slot_ms2, first)
        if env.scratch.kept_share[position] < 1:
            rps = max(rps - load(env.scratch.tried_rps, at), nothing)
            lost = max(lost - load(env.scratch.tried_rps_ms, at), nothing)
            lost2 = max(lost2 - load(env.scratch.tried_rps_ms2, at), nothing)
        rps, lost, lost2 = share * rps, share * lost, share * lost2
        env.scratch.wanted_rps[position] += total(rps)
        if more:
            store(env.scratch.tried_rps, at, rps)
            store(env.scratch.tried_rps_ms, at, lost)
            store(env.scratch.tried_rps_ms2, at, lost2)
        if env.scratch.left_rps[position] > 0:
            payment = splat(env.scratch.payment_ms[position])
            ms = entry + load(env.scratch.net_ms, env.scratch.replicas[position] * width + first)
            mean = trips * ms + payment
            square = trips2 * (ms * ms + load(env.scratch.entry_var, first)) + payment * (two * trips * ms + payment)
            env.scratch.again_rps_ms[position] += total(rps * mean + lost)
            env.scratch.again_rps_ms2[position] += total(rps * square + two * lost * mean + lost2)


@inlined
def room(env: Environment, count: int) -> tuple[float, float]:
    """Requests/s that the listed replicas could serve more: all of them, and those that are trusted."""
    more, attested = splat(0.0), splat(0.0)
    for first in range(0, count, LANES):
        room_rps = load(env.scratch.room_rps, first)
        more += room_rps
        attested += room_rps * load(env.scratch.trust, first)
    return total(more), total(attested)
