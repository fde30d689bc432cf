"""The time to the first token on paper: round trips, payment, percentiles, and the share of requests in time.

A queue exponent of 200 lets nobody wait: 0.8^200 is 4e-20.
"""

from __future__ import annotations

import math

import pytest

from og_env.kernel.arrays import LOADING, WARM
from tests.cases.paper_world import A, Play, near, paper, put, served_at_a_and_c

LOGISTIC = 1.8137994
"""pi / sqrt(3)"""


def test_the_first_token_comes_before_the_answer(play: Play) -> None:
    world = paper(queue_exponent=200)
    put(world, A, WARM)
    done = play(world)
    assert done.metrics["first_token_mean_ms"] == near(1000 * (0.010 + 0.5))
    assert done.metrics["latency_mean_ms"] == near(1000 * (0.010 + 2))
    assert done.state.model_first_token_s[0, 0] == near(0.51)
    # the time of prefill varies by half; log-logistic with the variance of the lognormal's logarithm
    shape = math.log(1 + 0.25**2 / 0.51**2)
    p50_ms = 1000 * 0.51 / math.sqrt(1 + 0.25**2 / 0.51**2)
    assert done.metrics["first_token_p50_ms"] == near(p50_ms)
    assert done.metrics["first_token_p95_ms"] == near(p50_ms * 19 ** (math.sqrt(shape) / LOGISTIC))
    assert done.metrics["first_token_p99_ms"] == near(p50_ms * 99 ** (math.sqrt(shape) / LOGISTIC))


def test_every_round_trip_and_the_check_of_a_payment_delay_the_first_token(play: Play) -> None:
    world = served_at_a_and_c(queue_exponent=200, round_trips=3, round_trips2=10, payment_ms=[0, 0, 80])
    done = play(world)
    # 3 round trips of 10 ms to A; 3 of 110 ms to C and 80 ms more
    way_s = (0.030 + 0.410) / 2
    assert done.metrics["first_token_mean_ms"] == near(1000 * (way_s + 0.5))
    assert done.metrics["latency_mean_ms"] == near(1000 * (way_s + 2))
    # mean squares: 10 x 10 ms^2, and 10 x 110^2 + 2 x 80 x 330 + 80^2 ms^2
    second = (0.001 + 0.121 + 0.0528 + 0.0064) / 2
    relative = (second - way_s**2 + 0.25**2) / (way_s + 0.5) ** 2
    assert done.metrics["first_token_p50_ms"] == near(1000 * (way_s + 0.5) / math.sqrt(1 + relative))


def test_users_of_a_gateway_are_not_all_as_near(play: Play) -> None:
    changes = {"rtt_user_ms": [[10, 30, 110], [410, 30, 110]], "queue_exponent": 200}
    world = paper(regions=2, base_rps=3, round_trips=3, round_trips2=10, payment_ms=80, **changes)
    put(world, A, WARM)
    done = play(world)
    # half of them have round trips of 10 ms, half of 410; each trip is one for all round trips of a request
    way_s = 3 * 0.210 + 0.080
    second = 10 * (0.010**2 + 0.410**2) / 2 + 2 * 0.080 * 0.630 + 0.080**2
    relative = (second - way_s**2 + 0.25**2) / (way_s + 0.5) ** 2
    assert done.metrics["first_token_mean_ms"] == near(1000 * (way_s + 0.5))
    assert done.metrics["first_token_p50_ms"] == near(1000 * (way_s + 0.5) / math.sqrt(1 + relative))


@pytest.mark.parametrize("rps", [6, 1])
@pytest.mark.parametrize(("clock", "busy_s"), [("latency", 2), ("first_token", 0.5)])
@pytest.mark.parametrize(("name", "beyond"), [("p50", 0.5), ("p95", 0.05), ("p99", 0.01)])
def test_a_percentile_is_where_the_tail_of_those_who_wait_and_those_who_do_not_ends(
    play: Play, rps: float, clock: str, busy_s: float, name: str, beyond: float
) -> None:
    world = paper(base_rps=rps)
    put(world, A, WARM)
    found_s = play(world).metrics[f"{clock}_{name}_ms"] / 1000
    # at utilisation 0.6 six of ten wait, exponentially with mean 2 / 0.4 s
    waits, queue_s = rps / 10, 2 / (1 - rps / 10)
    mean = 0.010 + busy_s
    shape = math.log(1 + (busy_s / 2) ** 2 / mean**2)
    median, scale = mean * math.exp(-shape / 2), math.sqrt(shape) / LOGISTIC

    def exceeded(time_s: float) -> float:
        slow = 1 / (1 + (time_s / median) ** (1 / scale))
        return slow + (1 - slow) * waits * math.exp(-max(time_s - mean, 0) / queue_s)

    low = median * ((1 - beyond) / beyond) ** scale
    high = max(median * ((2 - beyond) / beyond) ** scale, mean + queue_s * math.log(2 * waits / beyond))
    accuracy_s = (high - low) / 2**7  # six bisections, then the middle
    assert exceeded(low) > beyond > exceeded(high)
    assert exceeded(found_s - 1.01 * accuracy_s) > beyond > exceeded(found_s + 1.01 * accuracy_s)


def test_percentiles_of_two_replicas_are_those_of_the_mixture(play: Play) -> None:
    done = play(served_at_a_and_c(queue_exponent=200, prefill_s=[0.5, 0, 1.5]))
    # 0.510 and 1.610 s on average, with standard deviations of 0.25 and 0.75 s
    mean = (0.510 + 1.610) / 2
    variance = 0.550**2 + (0.25**2 + 0.75**2) / 2
    assert done.metrics["first_token_mean_ms"] == near(1000 * mean)
    assert done.metrics["first_token_p50_ms"] == near(1000 * mean / math.sqrt(1 + variance / mean**2))


@pytest.mark.parametrize(("timed_s", "slo_s"), [(2, 5), (0.5, 1), (2, 1.5)])
def test_the_share_in_time_is_logistic(play: Play, timed_s: float, slo_s: float) -> None:
    world = paper(queue_exponent=200, timed_s=timed_s, slo_s=slo_s)
    put(world, A, WARM)
    done = play(world)
    late = 1 / (1 + math.exp((slo_s - 0.010 - timed_s) * LOGISTIC / (0.5 * timed_s)))
    assert done.metrics["in_time_share"] == near(1 - late)
    assert done.state.model_late_share[0, 0] == near(late)
    assert done.terms["latency"] == near(late)


def test_half_are_late_at_an_objective_of_the_mean_and_spread_of_the_way_counts(play: Play) -> None:
    world = paper(queue_exponent=200, slo_s=2 + 3 * 0.010)
    world.world.round_trips[:] = 3
    world.world.round_trips2[:] = 9 + 10_000  # a standard deviation of 100 round trips: 1 s
    put(world, A, WARM)
    assert play(world).metrics["in_time_share"] == near(0.5)
    world.world.slo_s[:] = 3.03
    late = 1 / (1 + math.exp(1 * LOGISTIC / math.sqrt(1 + 1)))
    assert play(world).metrics["in_time_share"] == near(1 - late)


def test_who_waits_for_a_stream_misses_the_objective_more_often(play: Play) -> None:
    world = paper()
    put(world, A, WARM)
    done = play(world)
    # 2.99 s of 5 are left to wait in; six of ten wait, 2 / 0.4 s on average
    late = 1 / (1 + math.exp(2.99 * LOGISTIC / 1))
    late += (1 - late) * 0.6 * math.exp(-2.99 / 5)
    assert done.metrics["in_time_share"] == near(1 - late)
    # beyond the objective already, all those miss it who wait
    world.world.slo_s[:] = 2
    late = 1 / (1 + math.exp(-0.01 * LOGISTIC / 1))
    assert play(world).metrics["in_time_share"] == near(1 - late - (1 - late) * 0.6)


def test_who_comes_before_a_replica_is_warm_misses_the_objective(play: Play) -> None:
    world = paper(base_rps=4, queue_exponent=200)
    put(world, A, LOADING, 60_000)
    done = play(world)
    # of the first 60 of 300 s, only the last 2.99 are in time
    late = 1 / (1 + math.exp(2.99 * LOGISTIC / 1))
    late += (1 - late) * 0.2 * (1 - 2.99 / 60)
    assert done.metrics["in_time_share"] == near(1 - late)
    # the wait of 60 s^2 / 600 s delays first tokens on average, and its variance spreads them
    variance = 0.25**2 + 60**3 / (3 * 300) - 6**2
    assert done.metrics["first_token_mean_ms"] == near(1000 * 6.510)
    assert done.metrics["first_token_p50_ms"] == near(1000 * 6.510 / math.sqrt(1 + variance / 6.510**2))


def test_a_network_that_serves_nothing_has_no_times(play: Play) -> None:
    done = play(paper())
    names = ("first_token_mean_ms", "first_token_p50_ms", "first_token_p99_ms", "in_time_share", "refused_share")
    assert [done.metrics[name] for name in names] == [0, 0, 0, 0, 0]
    assert done.terms["latency"] == 0
    assert (done.state.model_first_token_s[0, 0], done.state.model_late_share[0, 0]) == (0, 0)


def test_lateness_counts_by_demand(play: Play) -> None:
    world = paper(base_rps=16, queue_exponent=200, slo_s=2.010)
    put(world, A, WARM)
    done = play(world)
    # 8 of 16 requests/s are served, half of them late
    assert (done.metrics["in_time_share"], done.terms["latency"]) == near((0.5, 0.25))
