"""What a fleet is worth under the nominal forecast: expected demand, today's outages, everything under way arrived.

The same routing, delay and contingency functions as in the step price the fleet as it is, then with one change. Models
do not share GPUs, so a change to one model leaves the others' routing, and only its column of the losses, to redo.
"""

from __future__ import annotations

from og_env.contingency import base_part, count_members, count_roles, lost_part, write_column, write_parts
from og_env.dynamics import TERM
from og_env.jit import kernel
from og_env.latency import finality, model_latency, write_delays
from og_env.layout import DOWN, FETCHING, scratch_of, state_of, tape_of, world_of
from og_env.placement import find_sources
from og_env.reward import latency_term, unserved_term
from og_env.routing import add_replica, alarm, gather, room, split, write_loads, write_risk
from og_env.status import NO_PROOF

LOOKAHEAD, HORIZON, HEDGE, THRESHOLD, SHORTLIST, RISK = range(6)
"""positions in world.planner: see world.PLANNER"""


@kernel
def forecast(t, b, c, row):
    """Nominal demand [U, M]: the larger of the present rate and the one expected after the look-ahead."""
    world, tape, scratch = world_of(t), tape_of(t), scratch_of(t)
    k = state_of(t).world[b]
    day = world.diurnal.shape[1]
    now = (tape.start_step[b] + row) % day
    then = (now + int(world.planner[k, LOOKAHEAD])) % day
    for u in range(scratch.demand.shape[1]):
        present = tape.regional[b, row, u]
        later = present * world.diurnal[k, then, u] / max(world.diurnal[k, now, u], 1e-3)
        factor = max(present, min(later, 4.0 * world.diurnal[k, then, u]))
        for m in range(scratch.demand.shape[2]):
            scratch.demand[c, u, m] = world.base_rps[k, u, m] * factor * tape.model[b, row, m]


@kernel
def list_nominal(t, b, c, m):
    """List the replicas of model m that are or will be warm at sites that are up; returns their number."""
    state, scratch = state_of(t), scratch_of(t)
    count = 0
    for s in range(state.status.shape[1]):
        if state.phase[b, m, s] >= FETCHING and not state.status[b, s] & DOWN:
            add_replica(t, b, c, m, s, count, 0, 1.0, scratch.seen[c, s])
            count += 1
    return count


@kernel
def service_cost(t, b, c, m, served, verified, latency_s):
    """Model m's part of the weighted latency and unverified terms, times total demand."""
    world = world_of(t)
    k = state_of(t).world[b]
    cost = world.weights[k, TERM.latency] * served * latency_term(latency_s, world.slo_s[k, m])
    if world.verification[k, m] != NO_PROOF:
        cost += world.weights[k, TERM.unverified] * (served - verified)
    return cost


@kernel
def priced(t, b, c, unserved_share):
    """Weighted unserved term."""
    world = world_of(t)
    k = state_of(t).world[b]
    return world.weights[k, TERM.unserved] * unserved_term(max(unserved_share, 0.0), world.convexity[k])


@kernel
def write_domain_risk(t, b, c, row):
    """Expected share of the horizon that each visible domain is broken for, as its signal has it."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    shared = world.fragile_rate.shape[1]
    horizon_h = world.planner[k, HORIZON] * world.step_ms[k] / 3_600_000
    for f in range(world.domain_size.shape[1]):
        rate = world.domain_rate[k, f]
        if f < shared:
            level = alarm(t, b, row, f)
            rate += level * max(world.fragile_rate[k, f] - rate, 0.0)
        risk = rate * min(world.domain_mean_h[k, f], horizon_h)
        scratch.domain_risk[c, f] = min(risk, 1.0) if world.domain_visible[k, f] else 0.0


@kernel
def resilience_cost(t, b, c, m, demand):
    """Weighted worst loss plus the hedge: the expected price of losing each domain soon.

    m is the model whose columns stand in column_load and column_spare with its figures in scratch.trial, -1 for none."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    worst, hedge = 0.0, 0.0
    for f in range(world.domain_size.shape[1]):
        if world.domain_size[k, f] == 0 or world.domain_visible[k, f] == 0:
            continue
        loss = scratch.domain_base[c, f]
        if m >= 0:
            part = lost_part(
                t,
                b,
                c,
                f,
                m,
                scratch.column_load[c, f],
                scratch.column_spare[c, f],
                scratch.trial[c, 0],
                scratch.trial[c, 1],
                scratch.trial[c, 2],
                scratch.trial[c, 3],
            )
            loss += (part - scratch.domain_part[c, f, m]) / demand
        loss = min(max(loss, 0.0), 1.0)
        worst = max(worst, loss)
        if scratch.domain_risk[c, f] > 0 and loss > 0:
            hedge += scratch.domain_risk[c, f] * priced(t, b, c, loss)
    planner = world.planner
    return planner[k, RISK] * (world.weights[k, TERM.exposure] * worst + planner[k, HEDGE] * hedge)


@kernel
def write_bases(t, b, c, demand):
    """Every domain's nominal loss from the parts of all models, to domain_base."""
    scratch = scratch_of(t)
    for f in range(scratch.domain_base.shape[1]):
        total = 0.0
        for m in range(scratch.served.shape[1]):
            total += scratch.domain_part[c, f, m]
        scratch.domain_base[c, f] = total / demand


@kernel
def evaluate(t, b, c, row):
    """Price the fleet as it is; fills the tables that `trial` builds on."""
    state, scratch = state_of(t), scratch_of(t)
    for s in range(state.status.shape[1]):
        scratch.dead_share[c, s] = 0
        scratch.seen[c, s] = state.status[b, s]
    forecast(t, b, c, row)
    find_sources(t, b, c)
    write_risk(t, b, c, row)
    write_domain_risk(t, b, c, row)
    scratch.final[c] = 1 if count_roles(t, b, c) else 0
    count_members(t, b, c)
    gather(t, b, c)
    demand, served = 1e-9, 0.0
    for m in range(state.phase.shape[1]):
        count = list_nominal(t, b, c, m)
        served_m, late = split(t, b, c, m, count)
        write_loads(t, b, c, m, count)
        write_delays(t, b, c, m, count)
        latency_s, _ = model_latency(t, b, c, m, count, served_m, late)
        verified, _ = finality(t, b, c, m, count, scratch.final[c] == 1)
        scratch.served[c, m] = served_m
        scratch.verified[c, m] = verified
        scratch.latency_s[c, m] = latency_s
        scratch.service[c, m] = service_cost(t, b, c, m, served_m, verified, latency_s)
        write_parts(t, b, c, m, count)
        demand += scratch.asked[c, m]
        served += served_m
    write_bases(t, b, c, demand)
    scratch.base[c, 0] = demand
    scratch.base[c, 1] = served
    scratch.base[c, 2] = priced(t, b, c, 1 - served / demand)
    scratch.base[c, 3] = resilience_cost(t, b, c, -1, demand)


@kernel
def trial(t, b, c, m, count):
    """Nominal gain per step, in service and in resilience, of model m having the `count` replicas on the list."""
    scratch = scratch_of(t)
    demand = scratch.base[c, 0]
    served, late = split(t, b, c, m, count)
    write_delays(t, b, c, m, count)
    latency_s, _ = model_latency(t, b, c, m, count, served, late)
    verified, _ = finality(t, b, c, m, count, scratch.final[c] == 1)
    write_column(t, b, c, m, count)
    scratch.trial[c, 0] = served
    scratch.trial[c, 1] = verified
    scratch.trial[c, 2], scratch.trial[c, 3] = room(t, b, c, m, count)
    all_served = scratch.base[c, 1] - scratch.served[c, m] + served
    service = scratch.base[c, 2] - priced(t, b, c, 1 - all_served / demand)
    service += (scratch.service[c, m] - service_cost(t, b, c, m, served, verified, latency_s)) / demand
    return service, scratch.base[c, 3] - resilience_cost(t, b, c, m, demand)


@kernel
def role_trial(t, b, c, role, s, change):
    """Nominal gain per step in resilience of one more (change 1) or one less (-1) running role at site s."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    demand = scratch.base[c, 0]
    count_role(t, b, c, role, s, change)
    worst, hedge = 0.0, 0.0
    for f in range(world.domain_size.shape[1]):
        if world.domain_size[k, f] == 0 or world.domain_visible[k, f] == 0:
            continue
        loss = 0.0
        for m in range(scratch.served.shape[1]):
            loss += base_part(t, b, c, f, m)
        loss = min(loss / demand, 1.0)
        worst = max(worst, loss)
        if scratch.domain_risk[c, f] > 0 and loss > 0:
            hedge += scratch.domain_risk[c, f] * priced(t, b, c, loss)
    count_role(t, b, c, role, s, -change)
    planner = world.planner
    cost = planner[k, RISK] * (world.weights[k, TERM.exposure] * worst + planner[k, HEDGE] * hedge)
    return scratch.base[c, 3] - cost


@kernel
def count_role(t, b, c, role, s, change):
    """Change the counts of live roles as if one more or one less ran at site s."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    scratch.live[c, role] += change
    if role == 0:
        scratch.registered[c] += change
    for d in range(world.site_domain.shape[2]):
        f = world.site_domain[k, s, d]
        if f < 0:
            break
        scratch.domain_role[c, f, role] += change
