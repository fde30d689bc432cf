"""What a fleet is worth under the nominal forecast: expected demand, today's outages, everything under way arrived.

The same routing, delay and contingency functions as in the step price the fleet as it is, then with one change. Models
do not share GPUs, so a change to one model leaves the others' routing, and only its column of the losses, to redo.
"""

from __future__ import annotations

from og_env.contingency import count_disks, count_roles, critical_part, mark_critical, write_column, write_part
from og_env.dynamics import TERM
from og_env.jit import kernel
from og_env.latency import finality, model_latency, write_delays
from og_env.layout import DOWN, FETCHING, VERIFIER, memo_of, scratch_of, state_of, tape_of, world_of
from og_env.placement import count_fetches
from og_env.reward import latency_term, unserved_term
from og_env.routing import add_replica, gather, listen, room, split, weigh
from og_env.status import NO_PROOF
from og_env.survey import survey

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
    weigh(t, c, count)
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
def write_domain_risk(t, b, c):
    """Expected share of the horizon that each visible domain is broken for, as its signal has it."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    shared = world.fragile_rate.shape[1]
    horizon_h = world.planner[k, HORIZON] * world.step_ms[k] / 3_600_000
    for f in range(world.domain_size.shape[1]):
        rate = world.domain_rate[k, f]
        if f < shared:
            rate += scratch.alarm[c, f] * max(world.fragile_rate[k, f] - rate, 0.0)
        risk = rate * min(world.domain_mean_h[k, f], horizon_h)
        scratch.domain_risk[c, f] = min(risk, 1.0) if world.domain_visible[k, f] else 0.0


@kernel
def priced_losses(t, b, c, demand):
    """Weighted worst loss plus the hedge, the expected price of losing each visible domain soon; losses in requests/s
    stand in domain_lost."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    unserved, convexity = world.weights[k, TERM.unserved], world.convexity[k]
    worst, hedge, per_demand = 0.0, 0.0, 1 / demand
    for f in range(world.domain_size.shape[1]):
        loss = min(max(scratch.domain_lost[c, f] * per_demand, 0.0), 1.0) if world.domain_visible[k, f] else 0.0
        worst = max(worst, loss)
        hedge += scratch.domain_risk[c, f] * unserved_term(loss, convexity)
    planner = world.planner
    return planner[k, RISK] * (world.weights[k, TERM.exposure] * worst + planner[k, HEDGE] * unserved * hedge)


@kernel
def evaluate(t, b, c, row):
    """Price the fleet as it is; fills the tables that `trial` builds on."""
    state, scratch, memo = state_of(t), scratch_of(t), memo_of(t)
    for s in range(state.status.shape[1]):
        scratch.dead_share[c, s] = 0
        scratch.seen[c, s] = state.status[b, s]
    forecast(t, b, c, row)
    listen(t, b, c, row)
    write_domain_risk(t, b, c)
    if memo.dying[b]:
        memo.known[b] = 0
    survey(t, b, c)
    count_roles(t, b, c)
    count_disks(t, b, c)
    count_fetches(t, b, c)
    gather(t, b, c)
    demand, served = 1e-9, 0.0
    for f in range(scratch.domain_base.shape[1]):
        scratch.domain_base[c, f] = 0
        scratch.base_plain[c, f] = 0
    for m in range(state.phase.shape[1]):
        count = list_nominal(t, b, c, m)
        served_m, late = split(t, b, c, m, count)
        write_delays(t, b, c, m, count)
        latency_s, _ = model_latency(t, b, c, m, count, served_m, late)
        verified, _ = finality(t, b, c, m, count)
        scratch.served[c, m] = served_m
        scratch.verified[c, m] = verified
        scratch.latency_s[c, m] = latency_s
        scratch.service[c, m] = service_cost(t, b, c, m, served_m, verified, latency_s)
        keep_columns(t, b, c, m, count)
        demand += scratch.asked[c, m]
        served += served_m
    scratch.base[c, 0] = demand
    scratch.base[c, 1] = served
    scratch.base[c, 2] = priced(t, b, c, 1 - served / demand)
    for f in range(scratch.domain_base.shape[1]):
        scratch.domain_lost[c, f] = scratch.domain_base[c, f]
    scratch.base[c, 3] = priced_losses(t, b, c, demand)


@kernel
def keep_columns(t, b, c, m, count):
    """Model m's part of every domain's loss, of its replicas alone and in all, to the tables."""
    scratch = scratch_of(t)
    spare_total, spare_trusted = room(t, b, c, m, count)
    write_column(t, b, c, m, count)
    write_part(t, b, c, m, scratch.served[c, m], scratch.verified[c, m], spare_total, spare_trusted)
    for f in range(scratch.domain_base.shape[1]):
        scratch.domain_plain[c, m, f] = scratch.column_plain[c, f]
        scratch.domain_part[c, m, f] = scratch.column_part[c, f]
        scratch.domain_base[c, f] += scratch.column_part[c, f]
        scratch.base_plain[c, f] += scratch.column_plain[c, f]


@kernel
def trial(t, b, c, m, count):
    """Nominal gain per step, in service and in resilience, of model m having the `count` replicas on the list."""
    scratch = scratch_of(t)
    demand = scratch.base[c, 0]
    served, late = split(t, b, c, m, count)
    write_delays(t, b, c, m, count)
    latency_s, _ = model_latency(t, b, c, m, count, served, late)
    verified, _ = finality(t, b, c, m, count)
    spare_total, spare_trusted = room(t, b, c, m, count)
    write_column(t, b, c, m, count)
    write_part(t, b, c, m, served, verified, spare_total, spare_trusted)
    for f in range(scratch.domain_base.shape[1]):
        others = scratch.domain_base[c, f] - scratch.domain_part[c, m, f]
        scratch.domain_lost[c, f] = others + scratch.column_part[c, f]
    all_served = scratch.base[c, 1] - scratch.served[c, m] + served
    service = scratch.base[c, 2] - priced(t, b, c, 1 - all_served / demand)
    service += (scratch.service[c, m] - service_cost(t, b, c, m, served, verified, latency_s)) / demand
    return service, scratch.base[c, 3] - priced_losses(t, b, c, demand)


@kernel
def role_trial(t, b, c, role, s, change):
    """Nominal gain per step in resilience of one more (change 1) or one less (-1) running role at site s."""
    scratch, memo = scratch_of(t), memo_of(t)
    models = scratch.served.shape[1]
    count_role(t, b, c, role, s, change)
    for f in range(scratch.domain_base.shape[1]):
        scratch.domain_lost[c, f] = scratch.base_plain[c, f]
    if memo.criticals[b]:
        for f in range(scratch.domain_base.shape[1]):
            if memo.critical[b, f]:
                lost = 0.0
                for m in range(models):
                    plain, served, verified = (
                        scratch.domain_plain[c, m, f],
                        scratch.served[c, m],
                        scratch.verified[c, m],
                    )
                    lost += critical_part(t, b, c, f, m, plain, served, verified)
                scratch.domain_lost[c, f] = lost
    cost = priced_losses(t, b, c, scratch.base[c, 0])
    count_role(t, b, c, role, s, -change)
    return scratch.base[c, 3] - cost


@kernel
def count_role(t, b, c, role, s, change):
    """Change the counts of live roles as if one more or one less ran at site s."""
    world, scratch, memo = world_of(t), scratch_of(t), memo_of(t)
    k = state_of(t).world[b]
    memo.live[b, role] += change
    if role == VERIFIER:
        memo.registered[b] += change
    for d in range(world.site_domain.shape[2]):
        f = world.site_domain[k, s, d]
        if f < 0:
            break
        scratch.domain_role[c, f, role] += change
    mark_critical(t, b, c)
