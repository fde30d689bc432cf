"""Which replica answers which request: user, nearest live gateway, then a softmax over the model's replicas.

Within a gateway the split does not depend on the user, and the score is a (gateway, site) term plus a (model, site)
term. So a step needs one exponential per gateway and hosting site and one per replica, never one per user, model and
site; at the router's default temperature the former come with the world. Of the flow between a gateway and a replica
only sums by replica are kept: requests/s and the first two moments of the milliseconds from user to replica.
"""

from __future__ import annotations

from og_env.dynamics.verification import MOST_TEMPERATURES, SLOW_CAPACITY, SLOW_MS, trusted
from og_env.kernel.arrays import DOWN, FETCHING, GATEWAY, LOADING, SLOW, UNTRUSTED, WARM
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.simd import exp, load, splat, store, total, where
from og_env.kernel.views import LANES


@kernel
def step_demand(env, row):
    """Demand [U, M] of a tape row, requests/s."""
    regions, models = env.scratch.demand.shape
    for region in range(regions):
        factor = env.tape.regional[row, region]
        for model in range(models):
            env.scratch.demand[region, model] = env.world.base_rps[region, model] * factor * env.tape.model[row, model]


@kernel
def find_gateways(env):
    """List the live gateways, and the nearest of them to every user region with the ms to it; a nearer dead one that
    the router does not know of yet adds its mean timeout."""
    slots = 0
    for site in range(env.state.status.shape[0]):
        if env.state.role_ms[GATEWAY, site] == 0 and not env.state.status[site] & DOWN:
            env.memo.gateways[slots] = site
            env.scratch.slot_of[site] = slots
            slots += 1
    env.memo.slots = slots
    for region in range(env.world.near_user.shape[0]):
        env.memo.gateway_of[region] = -1
        env.memo.gateway_ms[region] = 0
        late_ms = -1.0
        for position in range(env.world.near_user.shape[1]):
            site = env.world.near_user[region, position]
            if env.state.role_ms[GATEWAY, site] != 0:
                continue
            if env.state.status[site] & DOWN:
                if late_ms < 0 and env.scratch.dead_share[site] > 0:
                    late_ms = env.scratch.dead_share[site] * env.world.timeout_ms
                continue
            slow_ms = SLOW_MS if env.state.status[site] & SLOW else 0.0
            env.memo.gateway_of[region] = env.scratch.slot_of[site]
            env.memo.gateway_ms[region] = env.world.rtt_user_ms[region, site] + max(late_ms, 0.0) + slow_ms
            break


@kernel
def gather(env):
    """Demand by model and by gateway, with the demand-weighted moments of the ms between users and gateway."""
    regions, models = env.scratch.demand.shape
    for model in range(models):
        env.scratch.asked[model] = 0
    for slot in range(env.memo.slots):
        for model in range(models):
            env.scratch.gateway_rps[slot, model] = 0
            env.scratch.gateway_ms[slot, model] = 0
            env.scratch.gateway_ms2[slot, model] = 0
    for region in range(regions):
        slot, ms = env.memo.gateway_of[region], env.memo.gateway_ms[region]
        for model in range(models):
            env.scratch.asked[model] += env.scratch.demand[region, model]
        if slot >= 0:
            for model in range(models):
                demand = env.scratch.demand[region, model]
                env.scratch.gateway_rps[slot, model] += demand
                env.scratch.gateway_ms[slot, model] += demand * ms
                env.scratch.gateway_ms2[slot, model] += demand * ms * ms


@inlined
def alarm(env, row, domain):
    """The error-rate signal of a shared domain, clipped to 0 (calm) .. 1 (fragile)."""
    return min(max(env.tape.signal[row, domain] / 127.5 - 0.25, 0.0), 1.0)


@kernel
def carry(env):
    """Share of the served traffic that each domain carried in the last step."""
    for domain in range(env.scratch.domain_share.shape[0]):
        env.scratch.domain_share[domain] = 0
    for site in range(env.state.status.shape[0]):
        share = env.state.site_share[site]
        if share > 0:
            for d in range(env.world.site_domain.shape[1]):
                domain = env.world.site_domain[site, d]
                if domain < 0:
                    break
                env.scratch.domain_share[domain] += share


@kernel
def listen(env, row):
    """What the router goes by in this step: alarms of the visible shared domains and the traffic that each carries, as
    seen at the end of the last one; and which domains take trust away. No site's attraction or risk is worked out yet."""
    carry(env)
    for domain in range(env.world.fragile_rate.shape[0]):
        visible = env.world.domain_visible[domain] != 0
        env.scratch.alarm[domain] = alarm(env, row, domain) if visible else 0.0
        env.scratch.carried[domain] = env.scratch.domain_share[domain] if visible else 0.0
    for domain in range(env.world.domain_effect.shape[0]):
        env.scratch.untrusting[domain] = env.world.domain_effect[domain] == UNTRUSTED
    for site in range(env.state.status.shape[0]):
        env.scratch.hosting[site] = 0


@inlined
def host(env, site):
    """Milliseconds from every gateway to site s, the attraction that falls with them, and the site's dependency risk:
    alarms of its domains, by hit probability, plus the traffic share of the one that carries most. Once a step."""
    env.scratch.hosting[site] = 1
    slots, at = env.memo.slots, site * env.scratch.factor.shape[0]
    slow_ms = SLOW_MS if env.state.status[site] & SLOW else 0.0
    for slot in range(slots):
        env.scratch.net_ms[at + slot] = env.world.rtt_ms[env.memo.gateways[slot], site] + slow_ms
    if slow_ms == 0 and env.state.knobs[0] == env.world.knobs[0]:
        for slot in range(slots):
            env.scratch.attraction[at + slot] = env.world.attraction[site, env.memo.gateways[slot]]
    else:
        colder = splat(-1.0 / env.state.knobs[0])
        for first in range(at, at + slots, LANES):
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


@inlined
def add_replica(env, model, site, position, wait_ms, factor, seen):
    """Put a replica on the list of model m: what its weight before distance comes from, its capacity and speed.

    factor is the share of the step in which the router uses it; it stands below 1 only at dead sites, which serve
    nothing. seen: the status that the router goes by."""
    if env.scratch.hosting[site] == 0:
        host(env, site)
    whole, status = env.world.capacity_rps[model, site], env.state.status[site]
    env.scratch.replicas[position] = site
    env.scratch.factor[position] = factor
    env.scratch.replica_wait_s[position] = wait_ms * 0.001
    env.scratch.burden[position] = env.state.load_rps[model, site] / (whole * SLOW_CAPACITY if seen & SLOW else whole)
    env.scratch.risk[position] = env.scratch.site_risk[site] + (0.0 if trusted(env, model, site, seen) else 1.0)
    env.scratch.trust[position] = 1.0 if trusted(env, model, site, status) else 0.0
    stretch = 1 / SLOW_CAPACITY if status & SLOW else 1.0
    env.scratch.service_s[position] = env.world.service_s[model, site] * stretch
    env.scratch.queue_s[position] = (
        env.world.busy_s[model, site] * stretch * (env.world.queue_factor / env.world.streams[model])
    )
    capacity = 0.0 if status & DOWN else (whole * SLOW_CAPACITY if status & SLOW else whole)
    env.scratch.cap_rps[position] = capacity * (1 - wait_ms / env.world.step_ms) if wait_ms > 0 else capacity


@inlined
def weigh(env, start, count):
    """The weights before distance of the listed replicas from position `start`, a multiple of LANES, on."""
    colder, busier, riskier = splat(-env.state.knobs[1]), splat(-env.state.knobs[2]), splat(-env.state.knobs[3])
    for first in range(start, count, LANES):
        power = colder * load(env.scratch.replica_wait_s, first) + busier * load(env.scratch.burden, first)
        power += riskier * load(env.scratch.risk, first)
        store(env.scratch.weight, first, exp(power) * load(env.scratch.factor, first))


@kernel
def list_placed(env):
    """The sites that hold GPUs for each model."""
    models, sites = env.state.phase.shape
    for model in range(models):
        count = 0
        for site in range(sites):
            env.scratch.placed[model, count] = site  # the next one is written over it, unless it counts
            count += env.state.phase[model, site] >= FETCHING
        env.scratch.placed_count[model] = count


@kernel
def list_replicas(env, model):
    """List the replicas of model m that the router uses in this step; returns their number."""
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
        add_replica(env, model, site, count, wait_ms, factor, env.scratch.seen[site])
        count += 1
    weigh(env, 0, count)
    return count


@kernel
def split(env, model, count):
    """Divide model m's demand over its listed replicas: softmax, then overflow once over spare capacity.

    Fills total_rps, room_rps and the moments of the path; returns requests/s served, and those of them served after a
    timeout."""
    limit_share = splat(env.world.utilisation_limit)
    offer(env, model, count)
    nothing = splat(0.0)
    all_over, all_spare, all_direct = nothing, nothing, nothing
    for first in range(0, count, LANES):
        offered, limit = load(env.scratch.offered_rps, first), limit_share * load(env.scratch.cap_rps, first)
        direct, spare = min(offered, limit), max(limit - offered, nothing)
        store(env.scratch.spare_rps, first, spare)
        store(env.scratch.total_rps, first, direct)
        all_over += offered - direct
        all_spare += spare
        all_direct += direct
    over, spare_rps, moved, fill, late = total(all_over), total(all_spare), 0.0, 0.0, 0.0
    if over > 0:
        moved = min(over, spare_rps)
        move(env, model, count, moved / over, spare_rps)
    if moved > 0:
        fill = moved / spare_rps
        late = moved * dead_rps(env, count) / over if env.memo.dying else 0.0
    filled = splat(fill)
    for first in range(0, count, LANES):
        rps = load(env.scratch.total_rps, first) + filled * load(env.scratch.spare_rps, first)
        store(env.scratch.total_rps, first, rps)
        room_rps = max(limit_share * load(env.scratch.cap_rps, first) - rps, nothing)
        store(env.scratch.room_rps, first, where(load(env.scratch.replica_wait_s, first), nothing, room_rps))
    return total(all_direct) + moved, late


@inlined
def dead_rps(env, count):
    """What is offered to listed replicas at dead sites."""
    dead = 0.0
    for r in range(count):
        dead += env.scratch.offered_rps[r] if env.scratch.cap_rps[r] == 0 else 0.0
    return dead


@inlined
def divide(env, model, count):
    """What every gateway sends a listed replica: per pull (slot_soft), and in any case (slot_even)."""
    slots = env.memo.slots
    spread, width = env.state.knobs[4], env.scratch.factor.shape[0]
    factors = 0.0
    for r in range(count):
        factors += env.scratch.factor[r]
    even, soft, nothing = splat(1 / factors if factors > 0 else 0.0), splat(1 - spread), splat(0.0)
    for slot in range(slots):
        env.scratch.slot_rps[slot] = env.scratch.gateway_rps[slot, model]
    for slot in range(slots, -(-slots // LANES) * LANES):
        env.scratch.slot_rps[slot] = 0
    for first in range(0, slots, LANES):
        demand, whole = load(env.scratch.slot_rps, first), nothing
        for r in range(count):
            pull = load(env.scratch.attraction, env.scratch.replicas[r] * width + first) * splat(env.scratch.weight[r])
            store(env.scratch.pull, r * width + first, pull)
            whole += pull
        store(env.scratch.slot_soft, first, where(whole, demand * soft / whole, nothing))
        store(env.scratch.slot_even, first, where(whole, demand * splat(spread), demand) * even)


@inlined
def offer(env, model, count):
    """What the softmax and the even spread offer to every listed replica, with the moments of its path."""
    slots, width = env.memo.slots, env.scratch.factor.shape[0]
    divide(env, model, count)
    for slot in range(slots):
        env.scratch.slot_ms[slot] = env.scratch.gateway_ms[slot, model]
        env.scratch.slot_var[slot] = env.scratch.gateway_ms2[slot, model]
    nothing, one = splat(0.0), splat(1.0)
    for first in range(0, slots, LANES):
        demand = load(env.scratch.slot_rps, first)
        per_demand = where(demand, one / demand, nothing)
        mean = load(env.scratch.slot_ms, first) * per_demand
        store(env.scratch.slot_ms, first, mean)
        store(env.scratch.slot_var, first, load(env.scratch.slot_var, first) * per_demand - mean * mean)
    for r in range(count):
        place, at, factor = r * width, env.scratch.replicas[r] * width, splat(env.scratch.factor[r])
        offered, path_first, path_second = nothing, nothing, nothing
        for first in range(0, slots, LANES):
            soft = load(env.scratch.slot_soft, first) * load(env.scratch.pull, place + first)
            flow = soft + load(env.scratch.slot_even, first) * factor
            ms = load(env.scratch.slot_ms, first) + load(env.scratch.net_ms, at + first)
            flow_ms = flow * ms
            offered += flow
            path_first += flow_ms
            path_second += flow_ms * ms + flow * load(env.scratch.slot_var, first)
        env.scratch.offered_rps[r] = total(offered)
        env.scratch.path_first[r] = total(path_first)
        env.scratch.path_second[r] = total(path_second)
    for r in range(count, -(-count // LANES) * LANES):  # the rest of the last lanes takes part in nothing
        env.scratch.offered_rps[r] = 0
        env.scratch.path_first[r] = 0
        env.scratch.path_second[r] = 0
        env.scratch.cap_rps[r] = 0


@kernel
def move(env, model, count, moved_share, spare):
    """Take the overflow off the full replicas and add `moved_share` of it to the others, in proportion to their spare
    capacity, `spare` in all; only the moments of the paths change here."""
    slots = env.memo.slots
    width, nothing, one = env.scratch.factor.shape[0], splat(0.0), splat(1.0)
    for first in range(0, count, LANES):
        offered, direct = load(env.scratch.offered_rps, first), load(env.scratch.total_rps, first)
        store(env.scratch.kept, first, where(offered - direct, direct / offered, one))
    moves = splat(moved_share / spare if spare > 0 else 0.0)
    for first in range(0, slots, LANES):
        over, soft = nothing, load(env.scratch.slot_soft, first)
        even = load(env.scratch.slot_even, first)
        for r in range(count):
            flow = soft * load(env.scratch.pull, r * width + first) + even * splat(env.scratch.factor[r])
            over += flow * splat(1 - env.scratch.kept[r])
        store(env.scratch.slot_soft, first, over * moves)
    for r in range(count):
        at, kept, extra = env.scratch.replicas[r] * width, env.scratch.kept[r], env.scratch.spare_rps[r]
        env.scratch.path_first[r] *= kept
        env.scratch.path_second[r] *= kept
        if extra > 0:
            path_first, path_second = nothing, nothing
            for first in range(0, slots, LANES):
                ms = load(env.scratch.slot_ms, first) + load(env.scratch.net_ms, at + first)
                flow_ms = load(env.scratch.slot_soft, first) * ms
                path_first += flow_ms
                path_second += flow_ms * ms + load(env.scratch.slot_soft, first) * load(env.scratch.slot_var, first)
            env.scratch.path_first[r] += extra * total(path_first)
            env.scratch.path_second[r] += extra * total(path_second)


@inlined
def room(env, count):
    """What the listed replicas could serve more, requests/s: all of them, and those that are trusted."""
    more, attested = splat(0.0), splat(0.0)
    for first in range(0, count, LANES):
        room_rps = load(env.scratch.room_rps, first)
        more += room_rps
        attested += room_rps * load(env.scratch.trust, first)
    return total(more), total(attested)
