"""The planner's offers: every step the operations with the greatest expected gain.

Pricing every operation exactly would cost a trial for each model and site. Instead:

1. `expected_gain.price_fleet` prices the fleet as it is, under the forecast.
2. Sites are scored cheaply, and the best of them are the shortlist of a model's launches or of a role's additions.
3. Each entry of a shortlist, each retirement and each removal of a role is priced by a trial of its own.
4. The best additions and the best removals are the offers, in order of gain (`offer_list`).

What the operator's limits forbid is on no list.

The gain is reward per step, on average over the horizon: what the change brings from the moment when it is ready, minus
its rent, minus its one-off cost spread over the horizon. An offer changes one thing; no two of them are tried together.
"""

from __future__ import annotations

from og_env.dynamics.limits import write_limits
from og_env.dynamics.loading import fetch_rate_kb_per_s
from og_env.dynamics.operations import reachable, store_lives
from og_env.kernel.arrays import STORE, TERM, VERIFIER, Environment
from og_env.kernel.compile import kernel
from og_env.planner.expected_gain import begin_trials, price_fleet
from og_env.planner.gateway_trial import try_gateways
from og_env.planner.launches import propose_launches, propose_retirements
from og_env.planner.offer_list import clear_offers
from og_env.planner.role_changes import choose_gateways, propose_gateways, propose_role, weigh_users


@kernel
def propose(env: Environment) -> None:
    """Write the offers for an environment's next step to the output."""
    clear_offers(env)
    price_fleet(env, env.state.step)
    measure_paths(env)
    score_sites(env)
    write_limits(env)
    weigh_users(env)
    store_live, gateways = store_lives(env), choose_gateways(env)
    for model in range(env.state.phase.shape[0]):
        replicas = begin_trials(env, model)
        propose_launches(env, model, replicas, store_live)
        propose_retirements(env, model, replicas)
        try_gateways(env, model, replicas, gateways)
    propose_role(env, VERIFIER)
    propose_role(env, STORE)
    propose_gateways(env, gateways)


@kernel
def measure_paths(env: Environment) -> None:
    """Write the mean round trips between users and gateways, and between gateways and every site, by demand."""
    for site in range(env.state.status.shape[0]):
        env.scratch.gateway_path_ms[site] = 0
    env.scratch.entry_mean_ms = 0
    for slot in range(env.memo.slots):
        share, gateway = 0.0, env.memo.gateways[slot]
        for model in range(env.scratch.fleet_served_rps.shape[0]):
            env.scratch.entry_mean_ms += env.scratch.gateway_rps_ms[model, slot] / env.scratch.expected_demand_rps
            share += env.scratch.gateway_rps[model, slot] / env.scratch.expected_demand_rps
        for site in range(env.state.status.shape[0]):
            env.scratch.gateway_path_ms[site] += share * env.world.rtt_ms[gateway, site]


@kernel
def score_sites(env: Environment) -> None:
    """Write which sites can be told to change, kB/s of one more fetch to each, and its score as a place for more work.

    The score, reward per step and at most 0, is the price of the risk: the worst loss that a domain of the site brings
    by now, and the share of the horizon that the site is expected to be broken by its domains.
    """
    for site in range(env.state.status.shape[0]):
        env.scratch.can_change[site] = reachable(env, site)
        if not env.scratch.can_change[site]:
            continue
        env.scratch.fetch_kb_per_s[site] = fetch_rate_kb_per_s(env, site, 1)
        danger, worst = 0.0, 0.0
        for d in range(env.world.site_domain.shape[1]):
            domain = env.world.site_domain[site, d]
            if domain < 0:
                break
            if env.world.domain_visible[domain]:
                danger += env.scratch.broken_share[domain] * env.world.hit[site, d]
                worst = max(worst, min(env.scratch.fleet_lost_rps[domain] / env.scratch.expected_demand_rps, 1.0))
        price = env.world.weights[TERM.exposure] * worst + env.world.weights[TERM.unserved] * danger
        env.scratch.site_score[site] = -price
