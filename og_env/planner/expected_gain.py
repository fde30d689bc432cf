"""The expected gain of a change of the fleet: reward per step with it, less reward per step without it.

Expected means: the demand that the forecast has, outages as they are now, and everything under way has arrived. The
planner is a local search as facility location knows it: which sites to open for which model, one change a step.

- A gain has three parts. Service is what is saved on requests that nobody serves, on late ones and on answers without
  proof, less the price of use. Resilience is what is saved on losses that an outage would bring. Cost, the rent, is
  priced by the callers.
- The price of losses is the worst loss by any one fault domain that the agent is told of, weighted as exposure, plus the
  hedge: the sum over these domains of the share of the horizon that each is expected to be broken, times the price of
  what would then not be served.
- A trial is the exact price of one add or drop. Models share no GPUs, so a change to one model leaves the traffic of
  the others as it is: only this model's demand is routed anew, and only its part of every domain's loss worked out.

`price_fleet` prices the fleet as it is, to the fields fleet_* of the scratch; `trial` and `role_trial` stand on them.
"""

from __future__ import annotations

from og_env.dynamics.alarm_signals import HOUR_MS, read_signals
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
from og_env.dynamics.cost import S_PER_HOUR
from og_env.dynamics.fleet_memo import forget, survey
from og_env.dynamics.gateways import gather
from og_env.dynamics.loading import MS_PER_S, count_fetches
from og_env.dynamics.outages import notice_outages
from og_env.dynamics.replicas import list_placed
from og_env.dynamics.reward import unserved_term
from og_env.dynamics.verification import NO_PROOF, quorum_of
from og_env.kernel.arrays import PLACES, PLANNER, ROLES, TERM, VERIFIER, Environment
from og_env.kernel.compile import inlined, kernel
from og_env.kernel.memory import LANES
from og_env.kernel.simd import largest, load, splat, store, total
from og_env.planner.entry_pressure import add_pressure, clear_pressure
from og_env.planner.expected_flow import Flow, expected_flow, list_expected, serve_demand
from og_env.planner.settled_load import settle_fleet, take_settled

LEAST_DEMAND_RPS = 1e-9
"""added to a demand that divides, so that none is no division by zero"""
LEAST_CURVE = 1e-3
"""the daily curve is taken for no lower than this where a rate is divided by it"""
SLOPE_MS = 10.0
"""milliseconds over which the late share of the present fleet is taken for a line"""
MOST_FORECAST = 4.0
"""a forecast is at most this many times the mean demand of its time: a surge may be over by then; set by hand"""


@kernel
def forecast_demand(env: Environment, row: int) -> None:
    """Write demand [U, M]: the larger of the present rate and the one expected after the look-ahead."""
    day = env.world.diurnal.shape[0]
    now = (env.tape.start_step + row) % day
    then = (now + int(env.world.planner[PLANNER.lookahead_steps])) % day
    for region in range(env.scratch.demand.shape[0]):
        present = env.tape.regional[row, region]
        later = present * env.world.diurnal[then, region] / max(env.world.diurnal[now, region], LEAST_CURVE)
        factor = max(present, min(later, MOST_FORECAST * env.world.diurnal[then, region]))
        for model in range(env.scratch.demand.shape[1]):
            env.scratch.demand[region, model] = env.world.base_rps[region, model] * factor * env.tape.model[row, model]


@inlined
def horizon_ms(env: Environment) -> float:
    """Time within which a change must be worth its price."""
    return env.world.planner[PLANNER.horizon_steps] * env.world.step_ms


@kernel
def rent_gain(env: Environment, usd_per_hour: float) -> float:
    """Reward per step of not paying so much rent."""
    return env.world.weights[TERM.cost] * usd_per_hour / env.world.budget_usd_per_hour


@kernel
def price_service(env: Environment, model: int, flow: Flow, verified_rps: float) -> float:
    """A model's part of the weighted latency and unverified terms, times the requests/s of all demand."""
    price = env.world.weights[TERM.latency] * flow.late_rps
    if env.world.verification[model] != NO_PROOF:
        price += env.world.weights[TERM.unverified] * (flow.served_rps - verified_rps)
    return price


@kernel
def price_unserved(env: Environment, unserved_share: float) -> float:
    """The weighted unserved term of a share of all demand, reward per step."""
    return env.world.weights[TERM.unserved] * unserved_term(max(unserved_share, 0.0), env.world.convexity)


@kernel
def price_losses(env: Environment, demand_rps: float) -> float:
    """Price of the losses trial_lost_rps, reward per step: the worst one as exposure, and the hedge."""
    nothing, one, per_demand = splat(0.0), splat(1.0), splat(1 / demand_rps)
    worst, hedge = nothing, nothing
    for first in range(0, env.scratch.trial_lost_rps.shape[0], LANES):
        loss = min(max(load(env.scratch.trial_lost_rps, first) * per_demand, nothing), one)
        loss = loss * load(env.scratch.shown, first)
        worst = max(worst, loss)
        convex = one + splat(env.world.convexity) * loss
        hedge += load(env.scratch.broken_share, first) * loss * convex
    hedged = env.world.weights[TERM.unserved] * total(hedge) / (1 + env.world.convexity)
    exposed = env.world.weights[TERM.exposure] * largest(worst)
    return env.world.planner[PLANNER.risk_weight] * (exposed + env.world.planner[PLANNER.hedge_weight] * hedged)


@kernel
def describe_domains(env: Environment) -> None:
    """Write of every domain whether the agent is told of it, and the share of the horizon that it will be broken.

    Shocks come as often as on average and, as far as a domain's signal alarms, as often as in a fragile span. The share
    is 0 where the agent is not told of the domain. Lists the critical domains too.
    """
    shared = env.world.fragile_rate.shape[0]
    horizon_h = horizon_ms(env) / HOUR_MS
    for domain in range(env.world.domain_size.shape[0]):
        per_hour = env.world.domain_rate[domain]
        if domain < shared:
            per_hour += env.scratch.alarm[domain] * max(env.world.fragile_rate[domain] - per_hour, 0.0)
        broken = min(per_hour * min(env.world.domain_mean_h[domain], horizon_h), 1.0)
        env.scratch.broken_share[domain] = broken if env.world.domain_visible[domain] else 0.0
        env.scratch.shown[domain] = 1.0 if env.world.domain_visible[domain] else 0.0
        env.scratch.elsewhere[domain] = 1
    list_critical(env)


@inlined
def verified_of(env: Environment, model: int, attested_rps: float) -> float:
    """Requests/s that get a proof, of those served at trusted replicas."""
    verification = env.world.verification[model]
    quorate = env.memo.registered > 0 and env.memo.live[VERIFIER] >= quorum_of(env.memo.registered)
    return attested_rps if quorate and verification != NO_PROOF else 0.0


@kernel
def price_fleet(env: Environment, row: int) -> None:
    """Price the fleet as it is, with what row `row` of the tape shows; writes all that trials stand on."""
    notice_outages(env)
    forecast_demand(env, row)
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
    clear_pressure(env)
    demand_rps, served_rps = LEAST_DEMAND_RPS, 0.0
    for domain in range(env.scratch.fleet_lost_rps.shape[0]):
        env.scratch.fleet_lost_rps[domain] = 0
    for model in range(env.state.phase.shape[0]):
        served_rps += price_model(env, model)
        demand_rps += env.scratch.asked[model]
    env.scratch.expected_demand_rps = demand_rps
    env.scratch.expected_served_rps = served_rps
    env.scratch.unserved_price = price_unserved(env, 1 - served_rps / demand_rps)
    for domain in range(env.scratch.fleet_lost_rps.shape[0]):
        env.scratch.trial_lost_rps[domain] = env.scratch.fleet_lost_rps[domain]
    env.scratch.resilience_price = price_losses(env, demand_rps)


@kernel
def price_model(env: Environment, model: int) -> float:
    """Write a model's figures in the fleet as it is, and add its losses to the fleet's; returns requests/s served."""
    replicas = list_expected(env, model)
    settle_fleet(env, model, replicas)
    flow = expected_flow(env, model, replicas)
    verified_rps = verified_of(env, model, flow.attested_rps)
    write_part(env, env.scratch.held, model, flow.served_rps, verified_rps, flow.spare_rps, flow.spare_attested_rps)
    for domain in range(env.scratch.fleet_lost_rps.shape[0]):
        env.scratch.fleet_plain_rps[model, domain] = env.scratch.column_plain[domain]
        env.scratch.fleet_part_rps[model, domain] = env.scratch.column_part[domain]
        env.scratch.fleet_lost_rps[domain] += env.scratch.column_part[domain]
    if flow.crowded:
        add_pressure(env, model, replicas, flow)
    env.scratch.fleet_served_rps[model] = flow.served_rps
    env.scratch.fleet_verified_rps[model] = verified_rps
    env.scratch.fleet_answers_usd_per_s[model] = flow.answers_usd_per_s
    slower = serve_demand(env, model, replicas, flow.crowded, env.world.slo_s[model] - SLOPE_MS / MS_PER_S)
    env.scratch.fleet_late_per_ms[model] = (slower.late_rps - flow.late_rps) / SLOPE_MS
    env.scratch.fleet_service_price[model] = price_service(env, model, flow, verified_rps)
    return flow.served_rps


@kernel
def begin_trials(env: Environment, model: int) -> int:
    """List a model's replicas and write the losses of all other models; returns the number of replicas."""
    for domain in range(env.scratch.fleet_lost_rps.shape[0]):
        env.scratch.other_lost_rps[domain] = (
            env.scratch.fleet_lost_rps[domain] - env.scratch.fleet_part_rps[model, domain]
        )
    replicas = list_expected(env, model)
    take_settled(env, model, replicas)
    return replicas


@kernel
def trial(env: Environment, model: int, replicas: int) -> tuple[float, float]:
    """Gains in service and in resilience, reward per step, if a model had the first `replicas` of the list."""
    demand_rps = env.scratch.expected_demand_rps
    flow = expected_flow(env, model, replicas)
    verified_rps = verified_of(env, model, flow.attested_rps)
    write_part(env, env.scratch.held, model, flow.served_rps, verified_rps, flow.spare_rps, flow.spare_attested_rps)
    for first in range(0, env.scratch.trial_lost_rps.shape[0], LANES):
        lost_rps = load(env.scratch.other_lost_rps, first) + load(env.scratch.column_part, first)
        store(env.scratch.trial_lost_rps, first, lost_rps)
    all_served_rps = env.scratch.expected_served_rps - env.scratch.fleet_served_rps[model] + flow.served_rps
    service = env.scratch.unserved_price - price_unserved(env, 1 - all_served_rps / demand_rps)
    service += (env.scratch.fleet_service_price[model] - price_service(env, model, flow, verified_rps)) / demand_rps
    service += rent_gain(env, (env.scratch.fleet_answers_usd_per_s[model] - flow.answers_usd_per_s) * S_PER_HOUR)
    return service, env.scratch.resilience_price - price_losses(env, demand_rps)


@kernel
def role_trial(env: Environment, role: int, site: int, change: int) -> float:
    """Gain in resilience, reward per step, of one more (change 1) or one less (-1) running role at a site.

    It comes from domains that become critical, so that a role does not survive them, or no longer are.
    """
    count_role(env, role, site, change)
    price = env.scratch.resilience_price
    if changed_bits(env, role):
        for domain in range(env.scratch.fleet_lost_rps.shape[0]):
            bits, lost_rps = bits_of(env, role, domain), env.scratch.fleet_lost_rps[domain]
            if bits != env.memo.critical[domain]:
                lost_rps = 0.0
                for model in range(env.scratch.fleet_served_rps.shape[0]):
                    plain_rps = env.scratch.fleet_plain_rps[model, domain]
                    served_rps, verified_rps = (
                        env.scratch.fleet_served_rps[model],
                        env.scratch.fleet_verified_rps[model],
                    )
                    lost_rps += critical_part(env, domain, bits, model, plain_rps, served_rps, verified_rps)
            env.scratch.trial_lost_rps[domain] = lost_rps
        price = price_losses(env, env.scratch.expected_demand_rps)
    count_role(env, role, site, -change)
    return env.scratch.resilience_price - price
