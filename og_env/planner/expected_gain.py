"""What a fleet is worth under the nominal forecast: expected demand, today's outages, everything under way arrived.

The fleet is priced as it is, then with one change. Models do not share GPUs, so a change to one model leaves the
others' routing, and only its column of the losses, to redo.
"""

from __future__ import annotations

from og_env.dynamics.contingency import (
    bits_of,
    changed_bits,
    count_disks,
    count_role,
    count_roles,
    critical_part,
    list_critical,
    write_part,
)
from og_env.dynamics.gateways import gather
from og_env.dynamics.loading import count_fetches
from og_env.dynamics.memo import forget, survey
from og_env.dynamics.outages import notice_outages
from og_env.dynamics.replicas import list_placed
from og_env.dynamics.reward import latency_term, unserved_term
from og_env.dynamics.signals import read_signals
from og_env.dynamics.verification import NO_PROOF, quorum_of
from og_env.kernel.arrays import PLACES, ROLES, TERM, VERIFIER
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.simd import largest, load, splat, store, total
from og_env.kernel.views import LANES
from og_env.planner.expected_flow import flow, list_nominal

LOOKAHEAD, HORIZON, HEDGE, THRESHOLD, SHORTLIST, RISK = range(6)
"""positions in world.planner: see world.PLANNER"""


@kernel
def forecast(env, row):
    """Nominal demand [U, M]: the larger of the present rate and the one expected after the look-ahead."""
    day = env.world.diurnal.shape[0]
    now = (env.tape.start_step + row) % day
    then = (now + int(env.world.planner[LOOKAHEAD])) % day
    for region in range(env.scratch.demand.shape[0]):
        present = env.tape.regional[row, region]
        later = present * env.world.diurnal[then, region] / max(env.world.diurnal[now, region], 1e-3)
        factor = max(present, min(later, 4.0 * env.world.diurnal[then, region]))
        for model in range(env.scratch.demand.shape[1]):
            env.scratch.demand[region, model] = env.world.base_rps[region, model] * factor * env.tape.model[row, model]


@kernel
def service_cost(env, model, served, verified, latency_s):
    """Model m's part of the weighted latency and unverified terms, times total demand."""
    cost = env.world.weights[TERM.latency] * served * latency_term(latency_s, env.world.slo_s[model])
    if env.world.verification[model] != NO_PROOF:
        cost += env.world.weights[TERM.unverified] * (served - verified)
    return cost


@kernel
def priced(env, unserved_share):
    """Weighted unserved term."""
    return env.world.weights[TERM.unserved] * unserved_term(max(unserved_share, 0.0), env.world.convexity)


@kernel
def describe_domains(env):
    """Of every domain, the expected share of the horizon that it is broken for, as its signal has it (0 where it is not
    visible) and whether it is visible; the list of critical ones."""
    shared = env.world.fragile_rate.shape[0]
    horizon_h = env.world.planner[HORIZON] * env.world.step_ms / 3_600_000
    for domain in range(env.world.domain_size.shape[0]):
        rate = env.world.domain_rate[domain]
        if domain < shared:
            rate += env.scratch.alarm[domain] * max(env.world.fragile_rate[domain] - rate, 0.0)
        risk = rate * min(env.world.domain_mean_h[domain], horizon_h)
        env.scratch.domain_risk[domain] = min(risk, 1.0) if env.world.domain_visible[domain] else 0.0
        env.scratch.outside[domain] = 1
        env.scratch.visible[domain] = 1.0 if env.world.domain_visible[domain] else 0.0
    list_critical(env)


@kernel
def priced_losses(env, demand):
    """Weighted worst loss plus the hedge, the expected price of losing each visible domain soon; losses in requests/s
    stand in domain_lost."""
    nothing, one, per_demand = splat(0.0), splat(1.0), splat(1 / demand)
    worst, hedge = nothing, nothing
    for first in range(0, env.scratch.domain_lost.shape[0], LANES):
        loss = min(max(load(env.scratch.domain_lost, first) * per_demand, nothing), one)
        loss = loss * load(env.scratch.visible, first)
        worst = max(worst, loss)
        convex = one + splat(env.world.convexity) * loss
        hedge += load(env.scratch.domain_risk, first) * loss * convex
    hedged = env.world.weights[TERM.unserved] * total(hedge) / (1 + env.world.convexity)
    exposed = env.world.weights[TERM.exposure] * largest(worst)
    return env.world.planner[RISK] * (exposed + env.world.planner[HEDGE] * hedged)


@inlined
def verified_of(env, model, attested):
    """Requests/s verified of those served at trusted replicas."""
    verification = env.world.verification[model]
    quorate = env.memo.registered > 0 and env.memo.live[VERIFIER] >= quorum_of(env.memo.registered)
    return attested if quorate and verification != NO_PROOF else 0.0


@kernel
def evaluate(env, row):
    """Price the fleet as it is; fills the tables that `trial` builds on."""
    notice_outages(env)
    forecast(env, row)
    read_signals(env, row)
    if env.memo.dying:
        forget(env, PLACES | ROLES)
    survey(env)
    describe_domains(env)
    count_roles(env)
    count_disks(env)
    count_fetches(env)
    list_placed(env)
    gather(env, env.scratch.demand)
    demand, served = 1e-9, 0.0
    for domain in range(env.scratch.domain_base.shape[0]):
        env.scratch.domain_base[domain] = 0
    for model in range(env.state.phase.shape[0]):
        count = list_nominal(env, model)
        served_m, attested, latency_s, spare, spare_trusted = flow(env, model, count)
        verified = verified_of(env, model, attested)
        write_part(env, env.scratch.held, model, served_m, verified, spare, spare_trusted)
        for domain in range(env.scratch.domain_base.shape[0]):
            env.scratch.domain_plain[model, domain] = env.scratch.column_plain[domain]
            env.scratch.domain_part[model, domain] = env.scratch.column_part[domain]
            env.scratch.domain_base[domain] += env.scratch.column_part[domain]
        env.scratch.served[model] = served_m
        env.scratch.verified[model] = verified
        env.scratch.latency_s[model] = latency_s
        env.scratch.service[model] = service_cost(env, model, served_m, verified, latency_s)
        demand += env.scratch.asked[model]
        served += served_m
    env.scratch.base[0] = demand
    env.scratch.base[1] = served
    env.scratch.base[2] = priced(env, 1 - served / demand)
    for domain in range(env.scratch.domain_base.shape[0]):
        env.scratch.domain_lost[domain] = env.scratch.domain_base[domain]
    env.scratch.base[3] = priced_losses(env, demand)


@kernel
def begin_trials(env, model):
    """List model m's replicas, and the losses of all other models; returns the number of replicas."""
    for domain in range(env.scratch.domain_base.shape[0]):
        env.scratch.domain_others[domain] = env.scratch.domain_base[domain] - env.scratch.domain_part[model, domain]
    return list_nominal(env, model)


@kernel
def trial(env, model, count):
    """Nominal gain per step, in service and in resilience, of model m having the `count` replicas on the list."""
    demand = env.scratch.base[0]
    served, attested, latency_s, spare, spare_trusted = flow(env, model, count)
    verified = verified_of(env, model, attested)
    write_part(env, env.scratch.held, model, served, verified, spare, spare_trusted)
    for first in range(0, env.scratch.domain_lost.shape[0], LANES):
        lost = load(env.scratch.domain_others, first) + load(env.scratch.column_part, first)
        store(env.scratch.domain_lost, first, lost)
    all_served = env.scratch.base[1] - env.scratch.served[model] + served
    service = env.scratch.base[2] - priced(env, 1 - all_served / demand)
    service += (env.scratch.service[model] - service_cost(env, model, served, verified, latency_s)) / demand
    return service, env.scratch.base[3] - priced_losses(env, demand)


@kernel
def role_trial(env, role, site, change):
    """Nominal gain per step in resilience of one more (change 1) or one less (-1) running role at site s: that of the
    domains that become critical, or are no longer."""
    count_role(env, role, site, change)
    cost = env.scratch.base[3]
    if changed_bits(env, role):
        for domain in range(env.scratch.domain_base.shape[0]):
            bits, lost = bits_of(env, role, domain), env.scratch.domain_base[domain]
            if bits != env.memo.critical[domain]:
                lost = 0.0
                for model in range(env.scratch.served.shape[0]):
                    plain, served, verified = (
                        env.scratch.domain_plain[model, domain],
                        env.scratch.served[model],
                        env.scratch.verified[model],
                    )
                    lost += critical_part(env, domain, bits, model, plain, served, verified)
            env.scratch.domain_lost[domain] = lost
        cost = priced_losses(env, env.scratch.base[0])
    count_role(env, role, site, -change)
    return env.scratch.base[3] - cost
