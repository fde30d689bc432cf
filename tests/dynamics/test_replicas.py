"""Which replicas the router uses on paper, and what each can serve."""

from __future__ import annotations

import math

from og_env.kernel.arrays import DOWN, LOADING, ON_DISK, SLOW, WARM
from tests.cases.paper_world import A, C, Paper, Play, near, paper, put, served_at_a_and_c, strikes


def test_a_replica_that_warms_up_within_patience_serves_late(play: Play) -> None:
    world = paper(base_rps=4)
    put(world, A, LOADING, 60_000)
    done = play(world)
    # 240 of 300 s at 10 requests/s; requests of the first minute wait 60^2 / (2 x 300) s on average over the step
    assert done.state.load_rps[0, 0, A] == near(4)
    assert done.metrics["cold_wait_s"] == near(6)
    latency_s = 0.010 + 2 + 0.5 * 4 + 6
    assert done.metrics["latency_mean_ms"] == near(1000 * latency_s)
    # of the 60 s all but the last 2.99 are too long, and half of the others wait, 4 s on average
    late = 1 / (1 + math.exp(2.99 * math.pi / math.sqrt(3)))
    late += (1 - late) * 0.5 * math.exp(-2.99 / 4)
    late += (1 - late) * 60 / 300 * (1 - 2.99 / 60)
    assert done.metrics["in_time_share"] == near(1 - late)
    assert (done.state.phase[0, 0, A], done.metrics["cold_starts"]) == (WARM, 1)
    put(world, A, LOADING, 60_001)
    assert play(world).metrics["served_rps"] == 0


def test_slow_sites_have_half_the_capacity_and_take_longer(play: Play) -> None:
    world = served_at_a_and_c()
    strikes(world, (0, 1, slice(None)), SLOW)
    done = play(world)
    # utilisation 3 of 5; 100 ms more to the gateway and 100 ms more to the replica, half of them 100 ms away
    assert done.state.load_rps[0, 0].tolist() == near([3, 0, 3])
    assert done.metrics["latency_mean_ms"] == near(1000 * (0.110 + 0.150 + 4 + 0.6 * 4 / 0.4))
    assert done.metrics["first_token_mean_ms"] == near(1000 * (0.110 + 0.150 + 1 + 0.6 * 4 / 0.4))


def test_a_dead_site_beyond_the_gateway_or_without_a_launched_replica_is_no_trap(
    play: Play, paper_world: Paper
) -> None:
    put(paper_world, A, WARM)
    put(paper_world, C, ON_DISK)
    strikes(paper_world, (0, 1, C), DOWN)
    done = play(paper_world)
    assert done.metrics["refused_share"] == 0
    assert done.metrics["latency_mean_ms"] == near(1000 * (0.010 + 2 + 0.6 * 5))
