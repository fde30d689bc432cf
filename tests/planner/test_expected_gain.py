"""Trials of one change against the step's own functions on the changed fleet, in worlds where everything can occur."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from og_env.dynamics.contingency import count_roles, critical_part, mark_critical, write_held, write_part
from og_env.dynamics.latency import finality, model_latency, write_delays
from og_env.dynamics.reference import possible
from og_env.dynamics.routing import add_replica, room, split, weigh
from og_env.kernel.arrays import DOWN, FETCHING, memo_of, scratch_of, state_of, world_of
from og_env.kernel.compile import njit
from og_env.kernel.views import bind, opened
from og_env.planner.expected_flow import add_nominal, flow, hold, release
from og_env.planner.expected_gain import (
    begin_trials,
    count_role,
    evaluate,
    priced_losses,
    role_trial,
    trial,
    verified_of,
)
from og_env.simulator import Settings, Simulator, compiled_step
from tests.cases.random_worlds import arrays_for_kernel, random_episodes, random_operations

PLANNER = (1, 6, 0.5, 0.002, 4, 1.0)
"""of random worlds, whose makers fill in none: a hedge of weight, so that small losses count"""


@njit
def by_trial(t, b, m, position, s, found):
    """Figures of model m's trial: without the replica at a position (-1: none), or with one at site s (-1: none)."""
    scratch = scratch_of(t)
    count = begin_trials(t, b, 0, m)
    changed = position
    if position >= 0:
        scratch.factor[0, position] = 0
        hold(t, b, 0, position, -1.0)
    elif s >= 0:
        changed = count
        add_nominal(t, b, 0, m, s, count)
        count += 1
    served, attested, latency_s, spare, spare_trusted = flow(t, b, 0, m, count)
    verified = verified_of(t, b, m, attested)
    write_part(t, b, 0, m, served, verified, spare, spare_trusted)
    write_figures(t, served, verified, latency_s, found)
    service, resilience = trial(t, b, 0, m, count)
    if changed >= 0:
        release(t, b, 0, changed)
        scratch.factor[0, changed] = 1 if position >= 0 else 0
    return service, resilience


@njit
def by_step(t, b, m, without, s, found):
    """The same with the step's functions: all replicas but the one at site `without`, and one more at site s."""
    state, scratch = state_of(t), scratch_of(t)
    count = 0
    for place in range(state.status.shape[1]):
        runs = state.phase[b, m, place] >= FETCHING and not state.status[b, place] & DOWN and place != without
        if runs or place == s:
            add_replica(t, b, 0, m, place, count, 0, 1.0, scratch.seen[0, place])
            count += 1
    weigh(t, b, 0, 0, count)
    served, late = split(t, b, 0, m, count)
    write_delays(t, b, 0, m, count)
    latency_s, _ = model_latency(t, b, 0, m, count, served, late)
    verified, _ = finality(t, b, 0, m, count)
    spare_total, spare_trusted = room(t, 0, count)
    write_held(t, b, 0, count)
    write_part(t, b, 0, m, served, verified, spare_total, spare_trusted)
    write_figures(t, served, verified, latency_s, found)


@njit
def write_figures(t, served, verified, latency_s, found):
    scratch, domains = scratch_of(t), world_of(t).domain_size.shape[1]
    found[0], found[1], found[2] = served, verified, latency_s
    for f in range(domains):
        found[3 + f] = scratch.column_part[0, f]
        found[3 + domains + f] = scratch.column_plain[0, f]


@njit
def compare(table, b, found, expected, gains):
    """Every trial of environment b: figures [trials, 3 + 2 F] by `trial` and by the step's functions; with the service
    and the resilience that it gains [trials, 2]. Returns how many there are."""
    t = opened(table)
    state, world = state_of(t), world_of(t)
    models, sites = state.phase.shape[1:]
    evaluate(t, b, 0, state.step[b])
    i = 0
    for m in range(models):
        position = 0
        for s in range(-1, sites):
            running = s >= 0 and state.phase[b, m, s] >= FETCHING
            if s >= 0 and (
                state.status[b, s] & DOWN or (not running and world.replica_gpus[state.world[b], m, s] == 0)
            ):
                continue
            out, more = (position, -1) if running else (-1, s)
            gains[i] = by_trial(t, b, m, out, more, found[i])
            by_step(t, b, m, s if running else -1, more, expected[i])
            position += running
            i += 1
    return i


def tables() -> Iterator[tuple[str, np.ndarray, int, int, int]]:
    """Name, table, environments, operations and domains of random worlds and of shipped scenarios in mid-episode; the
    arrays live as long as the caller's turn."""
    for seed in range(12):
        episodes = random_episodes(seed, 12)
        episodes.world.planner[:] = PLANNER
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
    """Served, verified, latency and every domain's loss; the case without a change gains nothing."""
    seen = dict.fromkeys(("trials", "overloaded", "unverified", "lost", "long lists"), 0)
    for name, table, batch, operations, domains in tables():
        found, expected = np.zeros((2, operations, 3 + 2 * domains))
        gains = np.zeros((operations, 2))
        for b in range(batch):
            number = compare(table, b, found, expected, gains)
            np.testing.assert_allclose(found[:number], expected[:number], rtol=1e-9, atol=1e-9, err_msg=name)
            served, verified, losses = expected[:number, 0], expected[:number, 1], expected[:number, 3:]
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
    t = opened(table)
    state, scratch, memo = state_of(t), scratch_of(t), memo_of(t)
    sites = state.status.shape[1]
    evaluate(t, b, 0, state.step[b])
    for role in range(3):
        for s in range(sites):
            change = -1 if state.role_ms[b, role, s] == 0 else 1
            if state.status[b, s] & DOWN:
                gains[role * sites + s] = 0, 0
                continue
            found = role_trial(t, b, 0, role, s, change)
            count_role(t, b, 0, role, s, change)
            mark_critical(t, b, 0)
            for f in range(memo.critical.shape[1]):
                lost = 0.0
                for m in range(scratch.served.shape[1]):
                    plain, served, verified = (
                        scratch.domain_plain[0, m, f],
                        scratch.served[0, m],
                        scratch.verified[0, m],
                    )
                    lost += critical_part(t, b, 0, f, memo.critical[b, f], m, plain, served, verified)
                scratch.domain_lost[0, f] = lost
            gains[role * sites + s] = found, scratch.base[0, 3] - priced_losses(t, b, 0, scratch.base[0, 0])
            count_roles(t, b, 0)
            mark_critical(t, b, 0)


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
