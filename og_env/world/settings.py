"""Clocks, weights of the reward, the router's knobs and the planner's constants as arrays."""

from __future__ import annotations

import math

from og_env.kernel.arrays import KNOBS, PLANNER, TERMS, World
from og_env.scenario.loading import ResolvedScenario
from og_env.scenario.specs import FailureSpec, NetworkSpec, PaymentSpec
from og_env.trust.failure_correlation import HOURS_PER_YEAR
from og_env.world.distances import attraction
from og_env.world.site_arrays import LARGEST, MB_PER_S_PER_GBPS, whole

HOURS_PER_MONTH = HOURS_PER_YEAR / 12
PLANNER_DEFAULTS = type(PLANNER)(
    lookahead_steps=12.0,  # how far ahead demand is forecast
    horizon_steps=36.0,  # a change must be worth its one-off cost within this time
    hedge_weight=0.02,  # of the expected price of losing each domain within the horizon, beside the worst loss
    threshold=0.002,  # reward per step: the built-in autoscaler leaves an offer that gains no more
    shortlist=6.0,  # launches of each model that are priced by a trial, in every step
    risk_weight=1.0,  # of both prices of losses, against rent and service; an argument of the environment
)
"""The planner's constants by name, all set by hand."""


def fill_settings(world: World, resolved: ResolvedScenario, risk_weight: float) -> None:
    """Write the settings that are one number or one short list.

    `risk_weight` is the weight of shared failures in the planner's gains.
    """
    spec = resolved.spec
    network, failures, demand, reward = spec.network, spec.failures, spec.demand, spec.reward
    world.step_ms[0] = spec.episode.step_s * 1000
    world.operations_per_step[0] = spec.episode.operations_per_step
    world.timeout_ms[0] = network.timeout_s * 1000
    world.block_s[0] = network.block_s
    world.settle_s[0] = network.settle_s
    world.utilisation_limit[0] = network.utilisation_limit
    world.storage_usd_per_gb_hour[0] = network.storage_usd_per_gb_month / HOURS_PER_MONTH
    variation = demand.arrival_cv**2 + demand.service_cv**2
    world.arrivals_part[0] = demand.arrival_cv**2 / variation if variation > 0 else 0.0
    world.service_cv[0] = demand.service_cv
    world.batch_requests[0] = demand.batch_requests
    world.cluster_requests[0] = demand.cluster_requests
    world.cluster_rate[0] = demand.cluster_rate
    world.idle_relief[0] = demand.idle_relief
    world.weights[0] = [getattr(reward, term) for term in TERMS]
    world.convexity[0] = reward.unserved_convexity
    rent_usd_per_hour = sum(site.gpu_count * site.usd_per_gpu_hour for site in resolved.sites)
    # at on-demand prices, so that the cost term shows what is paid of them; a fleet for free has no scale of its own,
    # and its budget is one dollar an hour
    world.budget_usd_per_hour[0] = reward.budget_usd_per_hour or rent_usd_per_hour or 1.0
    world.knobs[0] = [getattr(spec.router, knob) for knob in KNOBS]
    world.attraction[0] = attraction(world.rtt_ms[0], world.knobs[0, 0])
    world.planner[0] = PLANNER_DEFAULTS._replace(risk_weight=risk_weight)
    _fill_requests(world, network, spec.payment, failures)
    _fill_clocks(world, network, failures, spec.episode.step_s / 3600)


def _fill_requests(world: World, network: NetworkSpec, payment: PaymentSpec, failures: FailureSpec) -> None:
    """Write the round trips and the tries of a request, and whether answers are lost with their site."""
    kept_alive = 1.0 if payment.mode == "prepaid" else 2.0  # x402: the challenge, and the request with its payment
    opened = kept_alive + network.new_connection_round_trips
    share = network.kept_alive_share
    world.round_trips[0] = share * kept_alive + (1 - share) * opened
    world.round_trips2[0] = share * kept_alive**2 + (1 - share) * opened**2
    world.tries[0] = 1 + network.retries
    world.loses_answers[0] = failures.lose_answers


def _fill_clocks(world: World, network: NetworkSpec, failures: FailureSpec, step_h: float) -> None:
    world.detect_ms[0] = whole(failures.detect_s * 1000, 0)
    world.provision_ms[0] = whole(network.provision_s * 1000, 0)
    world.patience_ms[0] = whole(network.patience_s * 1000, 0)
    world.store_streams[0] = min(network.store_streams, LARGEST)
    world.peer_mb_per_s[0] = whole(network.peer_gb_per_s * 1000, 0)
    world.store_mb_per_s[0] = whole(network.store_gbps * MB_PER_S_PER_GBPS, 1)
    opponent = failures.opponent
    world.attack_budget[0] = min(opponent.budget, LARGEST) if opponent.attacks_per_day > 0 else 0
    world.attack_cooldown[0] = whole(math.ceil(opponent.cooldown_h / step_h), 0)
    world.attack_steps[0] = whole(opponent.duration_h / step_h, 1)
