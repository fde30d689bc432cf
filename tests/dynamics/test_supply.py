"""Supply in the paper world: refused launches, withdrawals with and without notice, impaired machines, parts that are off."""

from __future__ import annotations

import pytest

from og_env.env import NetworkEnv
from og_env.kernel.arrays import (
    ABSENT,
    FETCHING,
    GATEWAY_OFF,
    IMPAIRED,
    LEAVING,
    LOADING,
    NO_LAUNCHES,
    ON_DISK,
    SCARCE,
    STORE_OFF,
    TAKEN,
    WARM,
)
from og_env.scenario import loading
from tests.cases.paper_world import ADD_VERIFIER, LAUNCH, A, B, C, Paper, by_kernel, near, paper, put


def now(world: Paper, site: int, bits: int) -> Paper:
    """The world with supply bits at a site, as they have been since the last step."""
    world.tape.supply[0, :, site] = bits
    world.state.supply[0, site] = bits
    return world


def test_a_launch_is_refused_where_capacity_is_scarce_and_not_tried_again(play):
    world = now(paper(), B, SCARCE)
    world.state.phase[0, 0, B] = ON_DISK
    hidden = by_kernel(world, 0)[1]
    assert hidden[LAUNCH + B], "nobody knows yet"
    outcome = play(world, LAUNCH + B)
    assert outcome.state.phase[0, 0, B] == ON_DISK and outcome.state.gpus_used[0, B] == 0
    assert (outcome.metrics["refused_launches"], outcome.metrics["impossible_operations"]) == (1, 1)
    assert outcome.metrics["operations"] == 0 and outcome.terms["churn"] == 0
    assert outcome.state.refused_ms[0].tolist() == [0, 900_000 - 300_000, 0]
    world.state.refused_ms[0, B] = 600_000
    again, mask = by_kernel(world, 0)
    assert not mask[LAUNCH + B] and mask[LAUNCH + A], "the one that refused is left alone"
    assert again.state.refused_ms[0, B] == 300_000


def test_announced_scarcity_is_in_the_mask(play):
    world = now(paper(announces=1), B, SCARCE)
    assert not by_kernel(world, 0)[1][LAUNCH + B]
    outcome = play(world, LAUNCH + B)
    assert (outcome.metrics["refused_launches"], outcome.metrics["impossible_operations"]) == (0, 1)


@pytest.mark.parametrize(("before", "lost"), [(LEAVING, 0.0), (0, 7.0)])
def test_what_is_withdrawn_leaves_its_gpus_and_keeps_its_disk(play, before, lost):
    world = paper(loses_answers=1)
    put(world, A, WARM)
    put(world, C, WARM)
    world.state.in_flight[0, 0, C] = 7
    now(world, C, before)
    world.tape.supply[0, 1:, C] = TAKEN
    outcome = play(world)
    assert outcome.state.phase[0, 0].tolist() == [WARM, ABSENT, ON_DISK]
    assert outcome.state.gpus_used[0].tolist() == [1, 0, 0]
    assert outcome.metrics["withdrawn"] == 1
    assert outcome.metrics["answers_lost"] == lost, "with notice, answers are finished"
    assert outcome.metrics["usd_per_hour"] < 4, "one GPU of $2 is held, not two"


def test_a_fetch_of_withdrawn_capacity_is_gone(play):
    world = paper()
    put(world, C, FETCHING, 4_000)
    world.tape.supply[0, 1:, C] = TAKEN
    outcome = play(world)
    assert outcome.state.phase[0, 0, C] == ABSENT and outcome.state.fetch_left_mb[0, 0, C] == 0


@pytest.mark.parametrize("bits", [LEAVING, TAKEN, NO_LAUNCHES])
def test_nothing_is_launched_where_everybody_knows_better(play, bits):
    world = now(paper(), C, bits)
    assert not by_kernel(world, 0)[1][LAUNCH + C]
    assert play(world, LAUNCH + C).metrics["impossible_operations"] == 1


def test_no_launches_bars_machines_too_and_leaves_what_runs(play):
    world = now(paper(), C, NO_LAUNCHES)
    world.state.role_ms[0, 0, C] = -1
    mask = by_kernel(world, 0)[1]
    assert not mask[ADD_VERIFIER + C]
    assert play(world, ADD_VERIFIER + C).state.role_ms[0, 0, C] == -1


@pytest.mark.parametrize(("bits", "left_ms", "role_ms"), [(0, 100_000, 300_000), (IMPAIRED, 250_000, 450_000)])
def test_impaired_machines_load_and_start_at_half_speed(play, bits, left_ms, role_ms):
    world = now(paper(), C, bits)
    put(world, C, LOADING, 400_000)
    world.state.role_ms[0, 1, C] = 600_000
    outcome = play(world)
    assert outcome.state.load_left_ms[0, 0, C] == left_ms
    assert outcome.state.role_ms[0, 1, C] == role_ms


def test_a_gateway_that_is_off_is_passed_over_and_a_store_that_is_off_feeds_nobody(play):
    world = paper()
    put(world, A, WARM)
    assert play(world).metrics["gateways_live"] == 2
    near_ms = play(world).metrics["first_token_mean_ms"]
    now(world, A, GATEWAY_OFF)
    outcome = play(world)
    assert outcome.metrics["gateways_live"] == 1
    # from A to the gateway at C and back to A: 110 + 100 ms instead of 10 ms
    assert outcome.metrics["first_token_mean_ms"] - near_ms == near(200)
    world = now(paper(), B, STORE_OFF)
    assert play(world).metrics["stores_live"] == 0
    assert not by_kernel(world, 0)[1][LAUNCH + A], "no store lives that weights could come from"


def test_weights_come_from_a_warm_peer_of_the_region_and_cost_nothing(play):
    def launched(**changes) -> tuple[float, float]:
        world = paper(**changes)
        put(world, A, WARM)
        outcome = play(world, LAUNCH + B)
        return float(outcome.state.load_rps[0, 0, B]), outcome.metrics["usd_per_hour"]

    # from the store 10 GB take 100 s and the load 30 s, more than the router's patience; from the peer they take 1 s
    slow_rps, slow_usd = launched(egress_usd_per_gb=1)
    fast_rps, fast_usd = launched(egress_usd_per_gb=1, peer_mb_per_s=10_000)
    assert slow_rps == 0 and fast_rps == near(3)
    assert slow_usd - fast_usd == near(10 * 12), "10 GB in a step of 5 minutes"
    elsewhere = paper(peer_mb_per_s=10_000)
    put(elsewhere, C, WARM)
    assert play(elsewhere, LAUNCH + B).state.load_rps[0, 0, B] == 0, "C is in another region"


def test_at_the_start_nothing_runs_on_withdrawn_capacity():
    outage = {"domain": "provider:P", "start_h": 0.0, "duration_h": 2.0, "effect": "WITHDRAWN"}
    env = NetworkEnv("placement", loading.override(loading.load("toy-3"), {"failures.outages": (outage,)}))
    env.reset(seed=1)
    state = env.simulator.state
    assert (state.supply[0] & TAKEN).tolist() == [TAKEN, TAKEN, 0]
    assert (state.phase[0, 0, :2] <= ON_DISK).all() and state.gpus_used[0, :2].tolist() == [0, 0]
