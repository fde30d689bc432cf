"""The traffic that a model's replicas would carry if all of them were warm: a step's routing, made for many trials.

The formulas are those of `dynamics.routing` and `dynamics.latency`: gateways divide demand among replicas by a softmax,
what exceeds a replica's limit overflows once to the others, and load makes requests queue. The list of replicas holds
what no trial of its model changes: pull, path and limit. A trial appends one replica, or takes one out (`present`).
Lanes run over replicas, so that flows need no sum across lanes.

No replica waits or is dead here. What one serves and what it could serve more therefore add up to its limit, however
demand is divided. So what a domain's replicas serve and could serve (`held`) is a sum of limits, and a trial changes it
in the domains of its own site alone.
"""

from __future__ import annotations

from typing import NamedTuple

from og_env.dynamics.latency import LEAST_LOAD, QUEUE_BEND, wait_probability
from og_env.dynamics.replicas import add_replica, scale_weights, weigh
from og_env.kernel.arrays import DOWN, KNOB, UNTRUSTED, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import load, splat, store, total

LEAST_RPS = 1e-300
"""stands for nothing where it divides"""


class Flow(NamedTuple):
    """The traffic of the listed replicas of one model."""

    served_rps: float
    attested_rps: float
    """served at replicas whose work counts as attested"""
    latency_s: float
    """mean of what is served: network, queue and service"""
    spare_rps: float
    """what all replicas could serve more"""
    spare_attested_rps: float
    """what the replicas whose work counts as attested could serve more"""


@kernel
def list_expected(env: Environment, model: int) -> int:
    """List the replicas of a model that are or will be warm, at sites that are up; returns their number."""
    replicas = 0
    for i in range(env.scratch.placed_count[model]):
        site = env.scratch.placed[model, i]
        if not env.state.status[site] & DOWN:
            add_replica(env, model, site, replicas, 0, 1.0, env.scratch.seen[site])
            replicas += 1
    scale_weights(env, replicas)
    weigh(env, 0, replicas)
    for domain in range(env.scratch.held.shape[0]):
        env.scratch.held[domain] = 0
    for position in range(replicas):
        complete_replica(env, model, position)
        hold_limit(env, position, 1.0)
    for position in range(replicas, min((replicas // LANES + 1) * LANES, env.scratch.factor.shape[0])):
        env.scratch.present[position] = 0  # the rest of the last lanes takes part in nothing
    for slot in range(env.memo.slots):
        demand = env.scratch.gateway_rps[model, slot]
        env.scratch.slot_ms[slot] = env.scratch.gateway_rps_ms[model, slot] / demand if demand > 0 else 0.0
    return replicas


@kernel
def append_expected(env: Environment, model: int, site: int, position: int) -> None:
    """Put a replica at a site on the list, at its end, and hold its limit."""
    add_replica(env, model, site, position, 0, 1.0, env.scratch.seen[site])
    weigh(env, position // LANES * LANES, position + 1)
    complete_replica(env, model, position)
    hold_limit(env, position, 1.0)


@kernel
def complete_replica(env: Environment, model: int, position: int) -> None:
    """Write the figures of a listed replica that only the planner needs: its limit, and pull and path by gateway."""
    site, width = env.scratch.replicas[position], env.scratch.factor.shape[0]
    capacity = env.scratch.cap_rps[position]
    env.scratch.present[position] = 1
    env.scratch.limit_rps[position] = env.world.utilisation_limit * capacity
    env.scratch.per_capacity[position] = 1 / capacity if capacity > 0 else 0.0
    weight = env.scratch.weight[position]
    for slot in range(env.memo.slots):
        env.scratch.slot_pull[slot * width + position] = env.scratch.attraction[site * width + slot] * weight
        env.scratch.slot_net_ms[slot * width + position] = env.scratch.net_ms[site * width + slot]


@kernel
def hold_limit(env: Environment, position: int, sign: float) -> None:
    """Add the limit of a listed replica to what its domains hold, or subtract it (sign -1); `restore_held` undoes it.

    Domains whose effect is UNTRUSTED count trusted replicas only.
    """
    site = env.scratch.replicas[position]
    limit = sign * env.scratch.limit_rps[position]
    for d in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        env.scratch.held_before[d] = env.scratch.held[domain]
        counts = env.scratch.trust[position] if env.world.domain_effect[domain] == UNTRUSTED else 1.0
        env.scratch.held[domain] += limit * counts


@kernel
def restore_held(env: Environment, position: int) -> None:
    """Put back what the domains of a listed replica held before `hold_limit`, to the bit: a sum could round."""
    site = env.scratch.replicas[position]
    for d in range(env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        env.scratch.held[domain] = env.scratch.held_before[d]


@kernel
def expected_flow(env: Environment, model: int, replicas: int) -> Flow:
    """Divide a model's demand over the first `replicas` of the list: softmax, then overflow once over spare capacity."""
    divide_demand(env, model, replicas)
    over_rps, spare_rps, path_rps_ms = send_demand(env, replicas)
    moved_rps = 0.0
    if over_rps > 0:
        moved_rps = min(over_rps, spare_rps)
        path_rps_ms = path_after_overflow(env, replicas, moved_rps / (over_rps * max(spare_rps, LEAST_RPS)))
    return serve_demand(env, model, replicas, moved_rps / spare_rps if moved_rps > 0 else 0.0, path_rps_ms)


@kernel
def divide_demand(env: Environment, model: int, replicas: int) -> None:
    """Write what every gateway sends to a replica: requests/s per pull to slot_soft, and in any case to slot_even."""
    slots = env.memo.slots
    spread, width = env.state.knobs[KNOB.spread], env.scratch.factor.shape[0]
    taking_part = 0.0
    for position in range(replicas):
        taking_part += env.scratch.present[position]
    per_replica = 1 / taking_part if taking_part > 0 else 0.0
    for first in range(0, slots, LANES):
        whole = splat(0.0)
        for position in range(replicas):
            pull = load(env.scratch.attraction, env.scratch.replicas[position] * width + first)
            whole += pull * splat(env.scratch.weight[position] * env.scratch.present[position])
        store(env.scratch.slot_soft, first, whole)  # for now: the sum of all pulls
    for slot in range(slots):
        demand, whole = env.scratch.gateway_rps[model, slot], env.scratch.slot_soft[slot]
        env.scratch.slot_soft[slot] = demand * (1 - spread) / whole if whole > 0 else 0.0
        env.scratch.slot_even[slot] = (demand * spread if whole > 0 else demand) * per_replica


@inlined
def send_demand(env: Environment, replicas: int) -> tuple[float, float, float]:
    """Send every replica its part before any overflow.

    Writes requests/s to offered_rps and the sum of flow x ms to path_first. Returns the requests/s above the limits and
    below them, and the sum of flow x ms of all replicas.
    """
    slots, width, nothing = env.memo.slots, env.scratch.factor.shape[0], splat(0.0)
    over, spare, path = nothing, nothing, nothing
    for first in range(0, replicas, LANES):
        present, offered, path_ms = load(env.scratch.present, first), nothing, nothing
        for slot in range(slots):
            at = slot * width + first
            sent = splat(env.scratch.slot_soft[slot]) * load(env.scratch.slot_pull, at)
            sent += splat(env.scratch.slot_even[slot])
            offered += sent
            path_ms += sent * (splat(env.scratch.slot_ms[slot]) + load(env.scratch.slot_net_ms, at))
        offered, limit = offered * present, load(env.scratch.limit_rps, first) * present
        direct = min(offered, limit)
        over += offered - direct
        spare += limit - direct
        path += path_ms * present
        store(env.scratch.offered_rps, first, offered)
        store(env.scratch.path_first, first, path_ms * present)
    return total(over), total(spare), total(path)


@inlined
def serve_demand(env: Environment, model: int, replicas: int, filled: float, path_rps_ms: float) -> Flow:
    """Serve what was sent, and the share `filled` of all spare capacity with what overflowed; queue by load."""
    nothing, one, least, fill = splat(0.0), splat(1.0), splat(LEAST_LOAD), splat(filled)
    exponent, bend = splat(env.world.queue_exponent[model]), splat(QUEUE_BEND * (env.world.streams[model] - 1))
    served, attested, held, held_attested, delay = nothing, nothing, nothing, nothing, nothing
    for first in range(0, replicas, LANES):
        trust = load(env.scratch.trust, first)
        offered = load(env.scratch.offered_rps, first)
        limit = load(env.scratch.limit_rps, first) * load(env.scratch.present, first)
        direct = min(offered, limit)
        load_rps = direct + fill * (limit - direct)
        served += load_rps
        attested += load_rps * trust
        held += limit
        held_attested += limit * trust
        rho = load_rps * load(env.scratch.per_capacity, first)
        idle = one - rho
        queue = wait_probability(max(rho, least), idle, exponent, bend) * (load(env.scratch.queue_s, first) / idle)
        delay += load_rps * (load(env.scratch.service_s, first) + queue)
    served_rps, attested_rps = total(served), total(attested)
    latency_s = (path_rps_ms * 0.001 + total(delay)) / served_rps if served_rps > 0 else 0.0
    return Flow(served_rps, attested_rps, latency_s, total(held) - served_rps, total(held_attested) - attested_rps)


@kernel
def path_after_overflow(env: Environment, replicas: int, moved_share: float) -> float:
    """Sum of flow x ms between users and replicas when the overflow has moved.

    moved_share: requests/s that move, of every request/s above the limits, for every request/s of spare capacity.
    """
    slots = env.memo.slots
    width, least, one, nothing = env.scratch.factor.shape[0], splat(LEAST_RPS), splat(1.0), splat(0.0)
    path = nothing
    for first in range(0, replicas, LANES):
        offered = load(env.scratch.offered_rps, first)
        limit = load(env.scratch.limit_rps, first) * load(env.scratch.present, first)
        kept = min(offered, limit) / max(offered, least)
        path += load(env.scratch.path_first, first) * kept
        store(env.scratch.over_share, first, (one - kept) * load(env.scratch.present, first))
        store(env.scratch.spare_rps, first, max(limit - offered, nothing))
    moved_ms = 0.0
    for slot in range(slots):
        over, extra_ms = nothing, nothing
        for first in range(0, replicas, LANES):
            at = slot * width + first
            sent = splat(env.scratch.slot_soft[slot]) * load(env.scratch.slot_pull, at)
            over += (sent + splat(env.scratch.slot_even[slot])) * load(env.scratch.over_share, first)
            ms = splat(env.scratch.slot_ms[slot]) + load(env.scratch.slot_net_ms, at)
            extra_ms += load(env.scratch.spare_rps, first) * ms
        moved_ms += total(over) * total(extra_ms)
    return total(path) + moved_share * moved_ms
