"""What a fleet is worth under the nominal forecast: expected demand, today's outages, everything under way arrived.

The fleet is priced as it is, then with one change. Models do not share GPUs, so a change to one model leaves the
others' routing, and only its column of the losses, to redo.
"""

from __future__ import annotations

from og_env.binding import LANES
from og_env.contingency import (
    bits_of,
    changed_bits,
    count_disks,
    count_roles,
    critical_part,
    list_critical,
    write_part,
)
from og_env.dynamics import TERM
from og_env.jit import inlined, kernel
from og_env.lanes import largest, load, splat, store, total
from og_env.layout import VERIFIER, memo_of, scratch_of, state_of, tape_of, world_of
from og_env.nominal_flow import flow, list_nominal
from og_env.placement import count_fetches
from og_env.reward import latency_term, unserved_term
from og_env.routing import gather, list_placed, listen
from og_env.status import NO_PROOF, quorum_of
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
def describe_domains(t, b, c):
    """Of every domain, the expected share of the horizon that it is broken for, as its signal has it (0 where it is not
    visible) and whether it is visible; the list of critical ones."""
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
        scratch.outside[c, f] = 1
        scratch.visible[c, f] = 1.0 if world.domain_visible[k, f] else 0.0
    list_critical(t, b, c)


@kernel
def priced_losses(t, b, c, demand):
    """Weighted worst loss plus the hedge, the expected price of losing each visible domain soon; losses in requests/s
    stand in domain_lost."""
    world, scratch = world_of(t), scratch_of(t)
    k = state_of(t).world[b]
    nothing, one, per_demand = splat(0.0), splat(1.0), splat(1 / demand)
    worst, hedge = nothing, nothing
    for first in range(0, scratch.domain_lost.shape[1], LANES):
        loss = min(max(load(scratch.domain_lost, (c, first)) * per_demand, nothing), one)
        loss = loss * load(scratch.visible, (c, first))
        worst = max(worst, loss)
        convex = one + splat(world.convexity[k]) * loss
        hedge += load(scratch.domain_risk, (c, first)) * loss * convex
    hedged = world.weights[k, TERM.unserved] * total(hedge) / (1 + world.convexity[k])
    exposed = world.weights[k, TERM.exposure] * largest(worst)
    return world.planner[k, RISK] * (exposed + world.planner[k, HEDGE] * hedged)


@inlined
def verified_of(t, b, m, attested):
    """Requests/s verified of those served at trusted replicas."""
    memo, verification = memo_of(t), world_of(t).verification[state_of(t).world[b], m]
    quorate = memo.registered[b] > 0 and memo.live[b, VERIFIER] >= quorum_of(memo.registered[b])
    return attested if quorate and verification != NO_PROOF else 0.0


@kernel
def evaluate(t, b, c, row):
    """Price the fleet as it is; fills the tables that `trial` builds on."""
    state, scratch, memo = state_of(t), scratch_of(t), memo_of(t)
    for s in range(state.status.shape[1]):
        scratch.dead_share[c, s] = 0
        scratch.seen[c, s] = state.status[b, s]
    forecast(t, b, c, row)
    listen(t, b, c, row)
    if memo.dying[b]:
        memo.known[b] = 0
    survey(t, b, c)
    describe_domains(t, b, c)
    count_roles(t, b, c)
    count_disks(t, b, c)
    count_fetches(t, b, c)
    list_placed(t, b, c)
    gather(t, b, c)
    demand, served = 1e-9, 0.0
    for f in range(scratch.domain_base.shape[1]):
        scratch.domain_base[c, f] = 0
    for m in range(state.phase.shape[1]):
        count = list_nominal(t, b, c, m)
        served_m, attested, latency_s, spare, spare_trusted = flow(t, b, c, m, count)
        verified = verified_of(t, b, m, attested)
        write_part(t, b, c, m, served_m, verified, spare, spare_trusted)
        for f in range(scratch.domain_base.shape[1]):
            scratch.domain_plain[c, m, f] = scratch.column_plain[c, f]
            scratch.domain_part[c, m, f] = scratch.column_part[c, f]
            scratch.domain_base[c, f] += scratch.column_part[c, f]
        scratch.served[c, m] = served_m
        scratch.verified[c, m] = verified
        scratch.latency_s[c, m] = latency_s
        scratch.service[c, m] = service_cost(t, b, c, m, served_m, verified, latency_s)
        demand += scratch.asked[c, m]
        served += served_m
    scratch.base[c, 0] = demand
    scratch.base[c, 1] = served
    scratch.base[c, 2] = priced(t, b, c, 1 - served / demand)
    for f in range(scratch.domain_base.shape[1]):
        scratch.domain_lost[c, f] = scratch.domain_base[c, f]
    scratch.base[c, 3] = priced_losses(t, b, c, demand)


@kernel
def begin_trials(t, b, c, m):
    """List model m's replicas, and the losses of all other models; returns the number of replicas."""
    scratch = scratch_of(t)
    for f in range(scratch.domain_base.shape[1]):
        scratch.domain_others[c, f] = scratch.domain_base[c, f] - scratch.domain_part[c, m, f]
    return list_nominal(t, b, c, m)


@kernel
def trial(t, b, c, m, count):
    """Nominal gain per step, in service and in resilience, of model m having the `count` replicas on the list."""
    scratch = scratch_of(t)
    demand = scratch.base[c, 0]
    served, attested, latency_s, spare, spare_trusted = flow(t, b, c, m, count)
    verified = verified_of(t, b, m, attested)
    write_part(t, b, c, m, served, verified, spare, spare_trusted)
    for first in range(0, scratch.domain_lost.shape[1], LANES):
        lost = load(scratch.domain_others, (c, first)) + load(scratch.column_part, (c, first))
        store(scratch.domain_lost, (c, first), lost)
    all_served = scratch.base[c, 1] - scratch.served[c, m] + served
    service = scratch.base[c, 2] - priced(t, b, c, 1 - all_served / demand)
    service += (scratch.service[c, m] - service_cost(t, b, c, m, served, verified, latency_s)) / demand
    return service, scratch.base[c, 3] - priced_losses(t, b, c, demand)


@kernel
def role_trial(t, b, c, role, s, change):
    """Nominal gain per step in resilience of one more (change 1) or one less (-1) running role at site s: that of the
    domains that become critical, or are no longer."""
    scratch, memo = scratch_of(t), memo_of(t)
    count_role(t, b, c, role, s, change)
    cost = scratch.base[c, 3]
    if changed_bits(t, b, c, role):
        for f in range(scratch.domain_base.shape[1]):
            bits, lost = bits_of(t, b, c, role, f), scratch.domain_base[c, f]
            if bits != memo.critical[b, f]:
                lost = 0.0
                for m in range(scratch.served.shape[1]):
                    plain, served, verified = (
                        scratch.domain_plain[c, m, f],
                        scratch.served[c, m],
                        scratch.verified[c, m],
                    )
                    lost += critical_part(t, b, c, f, bits, m, plain, served, verified)
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
        scratch.domain_role[c, role, f] += change
