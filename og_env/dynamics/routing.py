"""Which replica answers which request: from its gateway, a softmax over the model's listed replicas.

Within a gateway the split does not depend on the user. Of the flow between a gateway and a replica only sums by replica
are kept: requests/s, and the first two moments of the milliseconds from user to replica.
"""

from __future__ import annotations

from og_env.kernel.arrays import KNOB, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import load, splat, store, total, where


@kernel
def route(env: Environment, model: int, count: int) -> tuple[float, float]:
    """Divide a model's demand over its `count` listed replicas: softmax, then overflow once over spare capacity.

    Writes replica_rps and room_rps [L] and the moments of the paths (path_rps_ms, path_rps_ms2 [L]). Returns requests/s
    served, and those of them that were served after a timeout.
    """
    limit_share = splat(env.world.utilisation_limit)
    send(env, model, count)
    nothing = splat(0.0)
    all_over, all_unused, all_direct = nothing, nothing, nothing
    for first in range(0, count, LANES):
        wanted, limit = load(env.scratch.wanted_rps, first), limit_share * load(env.scratch.cap_rps, first)
        direct, unused = min(wanted, limit), max(limit - wanted, nothing)
        store(env.scratch.unused_rps, first, unused)
        store(env.scratch.direct_rps, first, direct)
        all_over += wanted - direct
        all_unused += unused
        all_direct += direct
    over_rps, unused_rps, moved_rps, fill, late_rps = total(all_over), total(all_unused), 0.0, 0.0, 0.0
    if over_rps > 0:
        moved_rps = min(over_rps, unused_rps)
        retry(env, count, moved_rps / over_rps, unused_rps)
    if moved_rps > 0:
        fill = moved_rps / unused_rps
        late_rps = moved_rps * dead_rps(env, count) / over_rps if env.memo.dying else 0.0
    filled = splat(fill)
    for first in range(0, count, LANES):
        rps = load(env.scratch.direct_rps, first) + filled * load(env.scratch.unused_rps, first)
        store(env.scratch.replica_rps, first, rps)
        room_rps = max(limit_share * load(env.scratch.cap_rps, first) - rps, nothing)
        store(env.scratch.room_rps, first, where(load(env.scratch.replica_wait_s, first), nothing, room_rps))
    return total(all_direct) + moved_rps, late_rps


@inlined
def dead_rps(env: Environment, count: int) -> float:
    """Requests/s that the router sends to listed replicas at dead sites."""
    dead = 0.0
    for position in range(count):
        dead += env.scratch.wanted_rps[position] if env.scratch.cap_rps[position] == 0 else 0.0
    return dead


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
        store(env.scratch.entry_var, first, variance)
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


@kernel
def retry(env: Environment, count: int, moved_share: float, unused_rps: float) -> None:
    """Take the overflow off the full replicas' paths and put `moved_share` of it on the others, once.

    They get it in proportion to what their limits leave, unused_rps in all; only the moments of the paths change here.
    """
    slots = env.memo.slots
    width, nothing, one = env.scratch.factor.shape[0], splat(0.0), splat(1.0)
    for first in range(0, count, LANES):
        wanted, direct = load(env.scratch.wanted_rps, first), load(env.scratch.direct_rps, first)
        store(env.scratch.kept_share, first, where(wanted - direct, direct / wanted, one))
    moves = splat(moved_share / unused_rps if unused_rps > 0 else 0.0)
    for first in range(0, slots, LANES):
        over, soft = nothing, load(env.scratch.rps_per_pull, first)
        even = load(env.scratch.rps_per_factor, first)
        for position in range(count):
            flow = soft * load(env.scratch.pull, position * width + first) + even * splat(env.scratch.factor[position])
            over += flow * splat(1 - env.scratch.kept_share[position])
        store(env.scratch.retried_per_spare, first, over * moves)
    for position in range(count):
        paths, kept = env.scratch.replicas[position] * width, env.scratch.kept_share[position]
        extra_rps = env.scratch.unused_rps[position]
        env.scratch.path_rps_ms[position] *= kept
        env.scratch.path_rps_ms2[position] *= kept
        if extra_rps > 0:
            path_rps_ms, path_rps_ms2 = nothing, nothing
            for first in range(0, slots, LANES):
                ms = load(env.scratch.entry_ms, first) + load(env.scratch.net_ms, paths + first)
                retried = load(env.scratch.retried_per_spare, first)
                flow_ms = retried * ms
                path_rps_ms += flow_ms
                path_rps_ms2 += flow_ms * ms + retried * load(env.scratch.entry_var, first)
            env.scratch.path_rps_ms[position] += extra_rps * total(path_rps_ms)
            env.scratch.path_rps_ms2[position] += extra_rps * total(path_rps_ms2)


@inlined
def room(env: Environment, count: int) -> tuple[float, float]:
    """Requests/s that the listed replicas could serve more: all of them, and those that are trusted."""
    more, attested = splat(0.0), splat(0.0)
    for first in range(0, count, LANES):
        room_rps = load(env.scratch.room_rps, first)
        more += room_rps
        attested += room_rps * load(env.scratch.trust, first)
    return total(more), total(attested)
