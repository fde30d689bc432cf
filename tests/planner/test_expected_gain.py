"""Trials of one change against the step's own functions on the changed fleet, in worlds where everything can occur."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from og_env.dynamics.contingency import count_role, count_roles, critical_part, mark_critical, write_held, write_part
from og_env.dynamics.latency import time_answers
from og_env.dynamics.reference import possible
from og_env.dynamics.replicas import add_replica, weigh
from og_env.dynamics.routing import room, route
from og_env.dynamics.supply_bits import stays
from og_env.dynamics.verification import finality
from og_env.kernel.arrays import DOWN, FETCHING, PLANNER, environment
from og_env.kernel.compile import njit
from og_env.kernel.memory import bind
from og_env.kernel.views import opened
from og_env.planner.expected_flow import append_expected, expected_flow, hold_limit, restore_held
from og_env.planner.expected_gain import begin_trials, price_fleet, price_losses, role_trial, trial, verified_of
from og_env.simulator import Settings, Simulator, compiled_step
from tests.cases.random_worlds import arrays_for_kernel, random_episodes, random_operations

CONSTANTS = PLANNER._replace(
    lookahead_steps=1, horizon_steps=6, hedge_weight=0.5, threshold=0.002, shortlist=4, risk_weight=1.0
)
"""of random worlds, whose makers fill in none: a hedge of weight, so that small losses count"""


@njit
def by_trial(env, model, position, site, found):
    """Figures of a model's trial: without the replica at a position (-1: none), or with one at a site (-1: none)."""
    replicas = begin_trials(env, model)
    changed = position
    if position >= 0:
        env.scratch.present[position] = 0
        hold_limit(env, position, -1.0)
    elif site >= 0:
        changed = replicas
        append_expected(env, model, site, replicas)
        replicas += 1
    flow = expected_flow(env, model, replicas)
    verified = verified_of(env, model, flow.attested_rps)
    write_part(env, env.scratch.held, model, flow.served_rps, verified, flow.spare_rps, flow.spare_attested_rps)
    write_figures(env, flow.served_rps, verified, flow.late_rps, flow.answers_usd_per_s, found)
    service, resilience = trial(env, model, replicas)
    if changed >= 0:
        restore_held(env, changed)
        env.scratch.present[changed] = 1 if position >= 0 else 0
    return service, resilience


@njit
def by_step(env, model, without, more, found):
    """The same with the step's functions: all replicas but the one at site `without`, and one more at site `more`.

    The loads that the router goes by are those at which the planner says that the fleet comes to rest.
    """
    count = 0
    for site in range(env.state.status.shape[0]):
        runs = env.state.phase[model, site] >= FETCHING and stays(env, site) and site != without
        if runs or site == more:
            add_replica(env, model, site, count, 0, 1.0, env.scratch.seen[site], 1.0)
            if runs:
                env.scratch.burden[count] = env.scratch.settled[model, site]
            count += 1
    weigh(env, 0, count)
    served, _ = route(env, model, count)
    time_answers(env, model, count)
    late, usd = 0.0, 0.0
    for position in range(count):
        again = env.scratch.retried_rps[position]
        late += (env.scratch.replica_rps[position] - again) * env.scratch.late_share[position]
        late += again * env.scratch.late_again_share[position] if again > 0 else 0.0
        usd += env.scratch.replica_rps[position] * env.world.answer_usd[model, env.scratch.replicas[position]]
    verified, _ = finality(env, model, count)
    spare_total, spare_trusted = room(env, count)
    write_held(env, count)
    write_part(env, env.scratch.held_rps, model, served, verified, spare_total, spare_trusted)
    write_figures(env, served, verified, late, usd, found)


@njit
def write_figures(env, served, verified, late, usd, found):
    domains = env.world.domain_size.shape[0]
    found[0], found[1], found[2], found[3] = served, verified, late, usd
    for domain in range(domains):
        found[4 + domain] = env.scratch.column_part[domain]
        found[4 + domains + domain] = env.scratch.column_plain[domain]


@njit
def compare(table, b, found, expected, gains):
    """Every trial of environment b: figures [trials, 4 + 2 F] by `trial` and by the step's functions; with the service
    and the resilience that it gains [trials, 2]. Returns how many there are."""
    env = environment(opened(table), b, 0)
    models, sites = env.state.phase.shape
    price_fleet(env, env.state.step)
    i = 0
    for model in range(models):
        position = 0
        for site in range(-1, sites):
            running = site >= 0 and env.state.phase[model, site] >= FETCHING
            if site >= 0 and (not stays(env, site) or (not running and env.world.replica_gpus[model, site] == 0)):
                continue  # what will be withdrawn, or is down, is no part of the fleet that the planner expects
            out, more = (position, -1) if running else (-1, site)
            gains[i] = by_trial(env, model, out, more, found[i])
            by_step(env, model, site if running else -1, more, expected[i])
            position += running
            i += 1
    return i


def tables() -> Iterator[tuple[str, np.ndarray, int, int, int]]:
    """Name, table, environments, operations and domains of random worlds and of shipped scenarios in mid-episode; the
    arrays live as long as the caller's turn."""
    for seed in range(12):
        episodes = random_episodes(seed, 12)
        episodes.world.planner[:] = CONSTANTS
        episodes.world.tries[:] = np.minimum(episodes.world.tries, 2)  # the planner leaves out further ones
        arrays = arrays_for_kernel(episodes)
        table = bind(episodes.sizes, *episodes[1:], *arrays)
        yield f"seed {seed}", table, 12, episodes.sizes["V"], episodes.sizes["F"]
    for scenario in ("global-24", "tee-break"):
        simulator = Simulator(scenario, 12, Settings("placement", "operations", False, 10, "train", 1.0))
        rng = np.random.default_rng(3)
        for b in range(12):
            simulator.load_episode(b, simulator.tape_seed(rng))
        simulator.start(np.arange(12))
        for _ in range(60):
            simulator.advance(random_operations(rng, possible(simulator.world, simulator.state)))
        yield scenario, simulator.table, 12, simulator.sizes["V"], simulator.sizes["F"]


def test_a_trial_is_the_step_of_the_changed_fleet() -> None:
    """Served, verified, late, price of answers and every domain's loss; the case without a change gains nothing."""
    seen = dict.fromkeys(("trials", "overloaded", "unverified", "lost", "long lists"), 0)
    for name, table, batch, operations, domains in tables():
        found, expected = np.zeros((2, operations, 4 + 2 * domains))
        gains = np.zeros((operations, 2))
        for b in range(batch):
            number = compare(table, b, found, expected, gains)
            np.testing.assert_allclose(found[:number], expected[:number], rtol=1e-9, atol=1e-9, err_msg=name)
            served, verified, losses = expected[:number, 0], expected[:number, 1], expected[:number, 4:]
            seen["trials"] += number
            seen["overloaded"] += ((served > 0) & (np.ptp(served) > 1e-6)).sum()
            seen["unverified"] += ((verified > 0) & (verified < served * 0.999)).sum()
            seen["lost"] += ((losses > 0).any(axis=1) & (losses.max(axis=1) < served)).sum()
            seen["long lists"] += number > 40
            assert np.abs(gains[0]).max() < 1e-12, name
    assert min(seen.values()) >= 20, seen
    assert seen["trials"] > 2000


@njit
def compare_roles(table, b, gains):
    """Gains in resilience [3 N, 2] of role changes: by `role_trial`, and with every domain's loss worked out anew."""
    env = environment(opened(table), b, 0)
    sites = env.state.status.shape[0]
    price_fleet(env, env.state.step)
    for role in range(3):
        for site in range(sites):
            change = -1 if env.state.role_ms[role, site] == 0 else 1
            if env.state.status[site] & DOWN:
                gains[role * sites + site] = 0, 0
                continue
            found = role_trial(env, role, site, change)
            count_role(env, role, site, change)
            mark_critical(env)
            for domain in range(env.memo.critical.shape[0]):
                lost, bits = 0.0, env.memo.critical[domain]
                for model in range(env.scratch.fleet_served_rps.shape[0]):
                    plain = env.scratch.fleet_plain_rps[model, domain]
                    served, verified = env.scratch.fleet_served_rps[model], env.scratch.fleet_verified_rps[model]
                    lost += critical_part(env, domain, bits, model, plain, served, verified)
                env.scratch.trial_lost_rps[domain] = lost
            price = price_losses(env, env.scratch.expected_demand_rps)
            gains[role * sites + site] = found, env.scratch.resilience_price - price
            count_roles(env)
            mark_critical(env)


def test_a_role_trial_is_what_all_domains_say() -> None:
    gained = 0
    for name, table, batch, operations, _ in tables():
        gains = np.zeros((operations, 2))
        for b in range(batch):
            compare_roles(table, b, gains)
            np.testing.assert_allclose(gains[:, 0], gains[:, 1], rtol=1e-9, atol=1e-12, err_msg=name)
            gained += (np.abs(gains[:, 1]) > 1e-9).sum()
    assert gained >= 100


@pytest.mark.parametrize("scenario", ["global-24"])
def test_trials_leave_no_trace(scenario: str) -> None:
    """Offers are the same bits when they are looked for twice, and whichever environment came before."""
    simulator = Simulator(scenario, 6, Settings("placement", "proposals", False, 10, "train", 1.0))
    rng = np.random.default_rng(5)
    for b in range(6):
        simulator.load_episode(b, simulator.tape_seed(rng))
    simulator.start(np.arange(6))
    for _ in range(30):
        simulator.advance(rng.integers(0, 11, 6))
    first = simulator.output.offer_gain.copy()
    look = np.full(6, compiled_step.LOOK, np.int64)
    for b in reversed(range(6)):
        simulator.advance_slice(b, b + 1, 0, look, simulator.no_levels)
    np.testing.assert_array_equal(simulator.output.offer_gain, first)
