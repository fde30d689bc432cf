"""The replicas that the router uses: which they are, what each can serve, and what its weight rests on.

The score of a replica is a (gateway, site) term plus a (model, site) term. So a step needs one exponential per gateway
and hosting site and one per replica, never one per user, model and site; at the router's default temperature the former
come with the world.
"""

from __future__ import annotations

from og_env.dynamics.verification import trusted
from og_env.kernel.arrays import DOWN, FETCHING, KNOB, LOADING, SLOW, WARM, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import exp, load, splat, store

MOST_TEMPERATURES = 600.0
"""farther than so many temperatures, all sites attract alike: the exponential ends there"""
MOST_PENALTY = 50.0
"""smallest penalty on the list above which weights are scaled: else their products with the attraction could vanish"""
SLOW_MS = 100.0
"""what a slow site adds to every path to it"""
SLOW_CAPACITY = 0.5
"""share of its capacity that a slow site has; its answers take as many times longer"""


@kernel
def list_placed(env: Environment) -> None:
    """Write the sites that hold GPUs for each model to placed [M, L]; no site's paths are looked up yet.

    Writes their numbers to placed_count [M], and hosting [N] 0.
    """
    models, sites = env.state.phase.shape
    for site in range(sites):
        env.scratch.hosting[site] = 0
    for model in range(models):
        count = 0
        for site in range(sites):
            env.scratch.placed[model, count] = site  # the next one is written over it, unless it counts
            count += env.state.phase[model, site] >= FETCHING
        env.scratch.placed_count[model] = count


@inlined
def look_up_site(env: Environment, site: int) -> None:
    """Write what all replicas at a site share, once a step: net_ms and attraction by gateway, and site_risk.

    The risk adds up alarms of its domains, by hit probability, and the traffic share of the one that carries most.
    """
    env.scratch.hosting[site] = 1
    slots, start = env.memo.slots, site * env.scratch.factor.shape[0]
    slow_ms = SLOW_MS if env.state.status[site] & SLOW else 0.0
    for slot in range(slots):
        env.scratch.net_ms[start + slot] = env.world.rtt_ms[env.memo.gateways[slot], site] + slow_ms
    temperature_ms = env.state.knobs[KNOB.latency_temperature_ms]
    if slow_ms == 0 and temperature_ms == env.world.knobs[KNOB.latency_temperature_ms]:
        for slot in range(slots):
            env.scratch.attraction[start + slot] = env.world.attraction[site, env.memo.gateways[slot]]
    else:
        colder = splat(-1.0 / temperature_ms)
        for first in range(start, start + slots, LANES):
            power = max(load(env.scratch.net_ms, first) * colder, splat(-MOST_TEMPERATURES))
            store(env.scratch.attraction, first, exp(power))
    shared = env.world.fragile_rate.shape[0]
    alarms, carried = 0.0, 0.0
    for d in range(1, env.world.site_domain.shape[1]):
        domain = env.world.site_domain[site, d]
        if domain < 0:
            break
        if domain < shared:
            alarms += env.world.hit[site, d] * env.scratch.alarm[domain]
            carried = max(carried, env.scratch.carried[domain])
    env.scratch.site_risk[site] = alarms + carried


@kernel
def look_up_slot(env: Environment, site: int, slot: int) -> None:
    """Write net_ms and attraction of a site for one more slot, as `look_up_site` does for all of them."""
    at, gateway = site * env.scratch.factor.shape[0] + slot, env.memo.gateways[slot]
    slow_ms = SLOW_MS if env.state.status[site] & SLOW else 0.0
    env.scratch.net_ms[at] = env.world.rtt_ms[gateway, site] + slow_ms
    temperature_ms = env.state.knobs[KNOB.latency_temperature_ms]
    if slow_ms == 0 and temperature_ms == env.world.knobs[KNOB.latency_temperature_ms]:
        env.scratch.attraction[at] = env.world.attraction[site, gateway]
    else:
        env.scratch.attraction[at] = exp(max(-env.scratch.net_ms[at] / temperature_ms, -MOST_TEMPERATURES))


@inlined
def add_replica(
    env: Environment, model: int, site: int, position: int, wait_ms: int, factor: float, seen_status: int, speed: float
) -> None:
    """Put a replica at a position of the model's list: what its weight before distance comes from, capacity and speed.

    wait_ms: until it is warm. factor: share of the step in which the router uses it; below 1 only at dead sites, which
    serve nothing. seen_status: the status that the router goes by. speed: of the site, over its nominal one.
    """
    if env.scratch.hosting[site] == 0:
        look_up_site(env, site)
    whole_rps, status = env.world.capacity_rps[model, site], env.state.status[site]
    seen_rps = whole_rps * SLOW_CAPACITY if seen_status & SLOW else whole_rps
    env.scratch.replicas[position] = site
    env.scratch.factor[position] = factor
    env.scratch.replica_wait_s[position] = wait_ms * 0.001
    env.scratch.burden[position] = env.state.load_rps[model, site] / seen_rps
    unattested = 0.0 if trusted(env, model, site, seen_status) else 1.0
    env.scratch.risk[position] = env.scratch.site_risk[site] + unattested
    env.scratch.bias[position] = env.state.steer[site]
    env.scratch.trust[position] = 1.0 if trusted(env, model, site, status) else 0.0
    pace = SLOW_CAPACITY * speed if status & SLOW else speed
    stretch = 1 / pace
    env.scratch.service_s[position] = env.world.service_s[model, site] * stretch
    env.scratch.prefill_s[position] = env.world.prefill_s[model, site] * stretch
    env.scratch.timed_s[position] = env.world.timed_s[model, site] * stretch
    env.scratch.queue_s[position] = env.world.queue_s[model, site] * stretch
    env.scratch.payment_ms[position] = env.world.payment_ms[site]
    env.scratch.try_lost_ms[position] = env.world.timeout_ms if status & DOWN else 0.0
    capacity = 0.0 if status & DOWN else whole_rps * pace
    env.scratch.cap_rps[position] = capacity * (1 - wait_ms / env.world.step_ms) if wait_ms > 0 else capacity


@inlined
def scale_weights(env: Environment, count: int) -> None:
    """Choose the scale of the list's weights, for replicas that are appended later too: it changes no share of traffic.

    It is 1 as a rule. Where penalties are so large that every weight would vanish, the heaviest one becomes 1. What the
    router is told to hold for a site counts as a penalty below 0.
    """
    least = 0.0
    for position in range(count):
        penalty = env.state.knobs[KNOB.cold_penalty] * env.scratch.replica_wait_s[position]
        penalty += env.state.knobs[KNOB.load_penalty] * env.scratch.burden[position]
        penalty += env.state.knobs[KNOB.risk_aversion] * env.scratch.risk[position]
        penalty -= env.scratch.bias[position]
        least = penalty if position == 0 else min(least, penalty)
    env.scratch.weight_scale = -least if least > MOST_PENALTY else 0.0


@inlined
def weigh(env: Environment, start: int, count: int) -> None:
    """Write the weights before distance of the listed replicas from position `start`, a multiple of LANES, on.

    Their scale is that of `scale_weights`. The rest of the last lanes gets no capacity.
    """
    colder = splat(-env.state.knobs[KNOB.cold_penalty])
    busier = splat(-env.state.knobs[KNOB.load_penalty])
    riskier = splat(-env.state.knobs[KNOB.risk_aversion])
    scale = splat(env.scratch.weight_scale)
    for first in range(start, count, LANES):
        power = colder * load(env.scratch.replica_wait_s, first) + busier * load(env.scratch.burden, first)
        power += riskier * load(env.scratch.risk, first)
        power += load(env.scratch.bias, first)
        store(env.scratch.weight, first, exp(power - scale) * load(env.scratch.factor, first))
    for position in range(count, -(-count // LANES) * LANES):
        env.scratch.cap_rps[position] = 0


@kernel
def list_replicas(env: Environment, model: int) -> int:
    """List the replicas of a model that the router uses in this step; returns their number.

    They are warm, or will be within its patience, or are dead and it does not know yet.
    """
    longest_ms = min(env.world.patience_ms, env.world.step_ms - 1)
    count = 0
    for i in range(env.scratch.placed_count[model]):
        site = env.scratch.placed[model, i]
        phase, factor, wait_ms = env.state.phase[model, site], 1.0, 0
        if env.state.status[site] & DOWN:
            factor = env.scratch.dead_share[site]
            if phase < LOADING or factor == 0:
                continue
        elif phase != WARM:
            wait_ms = env.scratch.wait_ms[model, site]
            if wait_ms < 0 or wait_ms > longest_ms:
                continue
        add_replica(env, model, site, count, wait_ms, factor, env.scratch.seen[site], env.scratch.speed[site])
        count += 1
    scale_weights(env, count)
    weigh(env, 0, count)
    return count
