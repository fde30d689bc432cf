"""Requests that come in batches and clusters, on paper: who comes in a cluster waits for what is ahead of him in it.

A queue exponent of 200 lets nobody wait otherwise: 0.6^200 is 4e-45.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from og_env.kernel.arrays import LOADING, WARM
from og_env.scenario import loading
from og_env.world import compile_world
from tests.cases.paper_world import A, Play, near, paper, put, served_at_a_and_c

LOGISTIC = 1.8137994
"""pi / sqrt(3)"""
CLUSTERS = {"cluster_requests": 41, "cluster_rate": 5}


def held_s(rho: float, requests: float = 41, rate: float = 5) -> float:
    """The wait at 10 requests/s and one stream: the excess fills what is idle, and half of the rest waits for half."""
    excess = (requests - 1) * (1 - 1 / (rho * rate))
    over = excess - (1 - rho) ** (3 / rate)
    return over**2 / (2 * excess) / 10 if over > 0 else 0.0


def test_a_cluster_waits_for_itself(play: Play) -> None:
    world = paper(queue_exponent=200, **CLUSTERS)
    put(world, A, WARM)
    done = play(world)
    wait_s = held_s(0.6)
    assert wait_s == pytest.approx(1.2762, abs=1e-3)
    assert done.metrics["latency_mean_ms"] == near(1000 * (2.010 + wait_s))
    assert done.metrics["first_token_mean_ms"] == near(1000 * (0.510 + wait_s))
    # a wait from 0 to twice its mean, beside an answer that varies by half
    shape = math.log(1 + (1 + wait_s**2 / 3) / (2.010 + wait_s) ** 2)
    p50_ms = 1000 * (2.010 + wait_s) / math.exp(shape / 2)
    assert done.metrics["latency_p50_ms"] == near(p50_ms)
    assert done.metrics["latency_p95_ms"] == near(p50_ms * 19 ** (math.sqrt(shape) / LOGISTIC))
    assert done.state.in_flight[0, 0, A] == near(6 * (2 + wait_s))
    slope = LOGISTIC / math.sqrt(1 + wait_s**2 / 3)
    late = 1 / (1 + math.exp(slope * (5 - 2.010 - wait_s)))
    assert done.metrics["in_time_share"] == near(1 - late)


@pytest.mark.parametrize("changes", [{"cluster_requests": 1}, {"cluster_rate": 1}, {"cluster_requests": 1.5}])
def test_no_cluster_without_a_crowd_or_a_rush(play: Play, changes: dict[str, float]) -> None:
    settings: dict[str, Any] = CLUSTERS | changes
    world = paper(queue_exponent=200, **settings)
    put(world, A, WARM)
    assert play(world).metrics["latency_mean_ms"] == near(2010)


def test_a_cluster_at_two_replicas(play: Play) -> None:
    done = play(served_at_a_and_c(queue_exponent=200, **CLUSTERS))
    assert done.metrics["latency_mean_ms"] == near(1000 * ((0.010 + 0.110) / 2 + 2 + held_s(0.3)))


def test_a_batch_takes_streams_from_the_queue(play: Play) -> None:
    alone, batches = (paper(streams=8, queue_exponent=1, batch_requests=size) for size in (0, 4))
    for world in (alone, batches):
        put(world, A, WARM)
    rho, queue_s = 0.6, 2 / 0.4
    for world, streams in ((alone, 8), (batches, 2)):
        wait_s = rho ** (1 + 0.276 * (streams - 1) * (1 - rho)) * queue_s
        assert play(world).metrics["latency_mean_ms"] == near(1000 * (2.010 + wait_s))


@pytest.mark.parametrize("idle_relief", [0.5, 2])
def test_fewer_wait_at_low_load_where_arrivals_are_evenly_spaced(play: Play, idle_relief: float) -> None:
    for rho in (0.2, 0.6):
        world = paper(base_rps=10 * rho, idle_relief=idle_relief)
        put(world, A, WARM)
        wait_s = rho * math.exp(-idle_relief * (1 - rho) / rho) * 2 / (1 - rho)
        assert play(world).metrics["latency_mean_ms"] == near(1000 * (2.010 + wait_s))


def test_no_relief_leaves_every_bit(play: Play) -> None:
    """The smallest relief goes through the formula, none goes past it: a factor of 1 and no factor are the same."""
    found = []
    for idle_relief in (0, 1e-30):
        world = paper(base_rps=2, idle_relief=idle_relief)
        put(world, A, WARM)
        found.append(play(world).metrics)
    assert found[0] == found[1] and found[0]["latency_mean_ms"] == near(1000 * (2.010 + 0.2 * 2 / 0.8))


def test_the_relief_of_a_scenario_is_that_of_its_world() -> None:
    tables = loading.load("toy-3").model_dump()
    assert tables["demand"]["idle_relief"] == 0
    tables["demand"]["idle_relief"] = 0.25
    assert compile_world(loading.resolve(loading.load(tables))).arrays.idle_relief[0] == 0.25
    tables["demand"]["idle_relief"] = -0.1
    with pytest.raises(ValueError, match=r"demand\.idle_relief"):
        loading.load(tables)


def test_a_cluster_waits_also_where_a_replica_is_not_warm_yet(play: Play) -> None:
    world = paper(queue_exponent=200, patience_ms=60_000, **CLUSTERS)
    put(world, A, WARM)
    put(world, 1, LOADING, 30_000)
    done = play(world)
    assert done.metrics["latency_mean_ms"] > 1000 * (2.010 + held_s(0.3))
