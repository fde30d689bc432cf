"""Refusals on paper: who tries again where, what that costs, and what is left unserved."""

from __future__ import annotations

import math
from typing import Any

from og_env.kernel.arrays import DOWN, LOADING, SLOW, WARM
from tests.cases.paper_world import A, B, C, Paper, Play, near, paper, put, served_at_a_and_c, strikes

LOGISTIC = 1.8137994
"""pi / sqrt(3)"""


def test_with_one_try_what_is_refused_is_unserved(play: Play) -> None:
    done = play(served_at_a_and_c(base_rps=16, capacity_rps=[20, 10, 5], tries=1))
    # 8 each; C takes no more than 4
    assert done.state.load_rps[0, 0].tolist() == near([8, 0, 4])
    assert (done.metrics["served_share"], done.metrics["refused_share"]) == near((12 / 16, 4 / 16))
    assert done.metrics["retried_share"] == 0
    assert done.state.model_refused_share[0, 0] == near(4 / 16)


def test_a_second_try_costs_the_way_to_the_first(play: Play) -> None:
    done = play(served_at_a_and_c(base_rps=16, capacity_rps=[20, 10, 5]))
    assert done.state.load_rps[0, 0].tolist() == near([12, 0, 4])
    assert (done.metrics["refused_share"], done.metrics["retried_share"]) == near((4 / 16, 4 / 16))
    # at utilisations of 0.6 and 0.8 waits last 2 / 0.4 and 2 / 0.2 s
    waits_s = 12 * 0.6 * 5 + 4 * 0.8 * 10
    ways_s = 8 * 0.010 + 4 * 0.110 + 4 * (0.010 + 0.100)
    assert done.metrics["latency_mean_ms"] == near(1000 * (2 + (waits_s + ways_s) / 16))
    assert done.metrics["first_token_mean_ms"] == near(1000 * (0.5 + (waits_s + ways_s) / 16))


def test_a_refusal_is_one_round_trip_however_many_the_answer_takes(play: Play) -> None:
    done = play(
        served_at_a_and_c(
            base_rps=16, capacity_rps=[20, 10, 5], queue_exponent=200, round_trips=3, round_trips2=9, payment_ms=40
        )
    )
    ways_s = 8 * 0.070 + 4 * 0.370 + 4 * (0.070 + 0.100)
    assert done.metrics["first_token_mean_ms"] == near(1000 * (0.5 + ways_s / 16))


def test_a_slow_site_refuses_slowly(play: Play) -> None:
    world = served_at_a_and_c(base_rps=16, capacity_rps=[20, 10, 10], queue_exponent=200)
    strikes(world, (0, 1, C), SLOW)
    done = play(world)
    # C has half of its capacity and takes 4 of 8; 100 ms more there, whether it answers or refuses
    assert done.state.load_rps[0, 0].tolist() == near([12, 0, 4])
    ways_s = 8 * 0.010 + 4 * 0.210 + 4 * (0.010 + 0.200)
    assert done.metrics["first_token_mean_ms"] == near(1000 * (ways_s + 12 * 0.5 + 4 * 1.0) / 16)


def three_replicas(**changes: Any) -> Paper:
    """6 requests/s to each of A, B and C at first; they accept 10, 4 and 2. Nobody waits: 0.8^200 is 4e-20."""
    world = paper(**{"base_rps": 18, "capacity_rps": [12.5, 5, 2.5], "queue_exponent": 200} | changes)
    for site in (A, B, C):
        put(world, site, WARM)
    return world


def test_two_tries_of_three_replicas(play: Play) -> None:
    done = play(three_replicas())
    # First tries alone would let B take 4 of 6 and C 2 of 6. Half of the 2 and of the 4 go to each other one, so that 9, 8
    # and 7 come in all. If B takes 4 of 8 and C 2 of 7, they refuse 3 and 30/7, and 6 + 15/7 and 6 + 3/2 come in all.
    b, c = 4 / (57 / 7), 2 / 7.5
    refused_b, refused_c = 6 * (1 - b), 6 * (1 - c)
    assert (refused_b, refused_c) == near((3.05263158, 4.4))
    to_a = (refused_b + refused_c) / 2
    assert done.state.load_rps[0, 0].tolist() == near([6 + to_a, 4, 2])
    assert done.metrics["served_share"] == near((12 + to_a) / 18)
    again_b, again_c = 4 - 6 * b, 2 - 6 * c
    assert done.metrics["refused_share"] == near((refused_b + refused_c) / 18)
    assert done.metrics["retried_share"] == near((to_a + again_b + again_c) / (12 + to_a))
    ways_s = (6 + to_a) * 0.010 + 4 * 0.030 + 2 * 0.110
    lost_s = refused_b / 2 * 0.020 + refused_c / 2 * 0.100 + again_b * 0.100 + again_c * 0.020
    assert done.metrics["first_token_mean_ms"] == near(1000 * (0.5 + (ways_s + lost_s) / (12 + to_a)))
    tried_b, tried_c = 6 + refused_c / 2, 6 + refused_b / 2
    assert done.state.shown_refused[0].tolist() == near([0, 1 - 4 / tried_b, 1 - 2 / tried_c])


def test_three_tries_of_three_replicas(play: Play) -> None:
    done = play(three_replicas(tries=3, timed_s=0.5, slo_s=0.6, capacity_rps=[50, 5, 5]))
    # B and C take on 4 each, A what comes. If they refuse a share x, 6 + 3 x + 1.5 x^2 come to B in all: a half of what C
    # refuses, and a quarter of what B and then C refuse.
    x = 1 - 4 / (6 + 3 / 3 + 1.5 / 9)  # first tries alone: x = 1 / 3
    x = 1 - 4 / (6 + 3 * x + 1.5 * x**2)
    first, once = 6 * (1 - x), 6 * x
    second = once / 2 * (1 - x)
    twice, third = once / 2 * x, 4 - first - second
    assert 0 < third < twice / 2, "the rest of the last tries is refused for good"
    at_a = 6 + once + twice
    served = at_a + 8
    assert done.state.load_rps[0, 0].tolist() == near([at_a, 4, 4])
    assert done.metrics["refused_share"] == near(2 * once / 18)
    assert done.metrics["retried_share"] == near((once + twice + 2 * second + 2 * third) / served)
    tried = 6 + once / 2 + twice / 2
    assert done.state.shown_refused[0].tolist() == near([0, 1 - 4 / tried, 1 - 4 / tried])
    parts = [  # requests/s and their way, of those that are timed together
        [(6, 0.010)],
        [(first, 0.030)],
        [(first, 0.110)],
        [(once / 2, 0.030), (once / 2, 0.110), (twice, 0.130)],
        [(second, 0.130), (third, 0.150)],
        [(second, 0.130), (third, 0.230)],
    ]
    late, mean, square = 0.0, 0.0, 0.0
    for part in parts:
        rps, way = sum(flow for flow, _ in part), sum(flow * way for flow, way in part)
        way2 = sum(flow * way**2 for flow, way in part)
        sd = math.sqrt(way2 / rps - (way / rps) ** 2 + 0.25**2)
        late += rps / (1 + math.exp((0.6 - 0.5 - way / rps) * LOGISTIC / sd))
        mean, square = mean + way / served, square + way2 / served
    assert done.metrics["first_token_mean_ms"] == near(1000 * (0.5 + mean))
    relative = (square - mean**2 + 0.25**2) / (0.5 + mean) ** 2
    assert done.metrics["first_token_p50_ms"] == near(1000 * (0.5 + mean) / math.sqrt(1 + relative))
    assert done.metrics["in_time_share"] == near(1 - late / served)
    assert done.terms["latency"] == near(late / 18)


def test_a_limit_that_refuses_lets_an_even_stream_through(play: Play) -> None:
    # C takes 4 of the 8 that come, A serves 12 of 16: both wait as before, but of C's waits only the part of service stays
    done = play(served_at_a_and_c(base_rps=16, capacity_rps=[20, 10, 5], arrivals_part=0.5))
    left = 0.5 + 0.5 * 0.5**10
    ways_s = 8 * 0.010 + 4 * 0.110 + 4 * (0.010 + 0.100)
    waits_s = 12 * 0.6 * 5 + 4 * (0.8 * left**0.2) * (10 * left**0.8)
    assert done.metrics["first_token_mean_ms"] == near(1000 * (0.5 + (waits_s + ways_s) / 16))
    assert done.state.shown_wait_s[0, C] == near(0.8 * 10 * left)


def test_chances_of_a_second_try_are_those_of_the_first_without_the_refuser(play: Play) -> None:
    world = three_replicas(base_rps=9, capacity_rps=[5, 50, 50])
    world.state.knobs[0] = [40, 0, 0, 0, 0]
    a, b, c = 1, math.exp(-20 / 40), math.exp(-100 / 40)
    refused = 9 * a / (a + b + c) - 4  # A takes 4
    assert refused > 1
    done = play(world)
    to_b, to_c = 9 * b / (a + b + c) + refused * b / (b + c), 9 * c / (a + b + c) + refused * c / (b + c)
    assert done.state.load_rps[0, 0].tolist() == near([4, to_b, to_c])


def test_a_gateway_tries_again_by_its_own_chances(play: Play) -> None:
    # users of A prefer A as e^2.5 to 1 to C, those of C the other way round; each gateway has half of 12 requests/s
    world = paper(
        regions=2,
        rtt_user_ms=[[10, 30, 110], [110, 110, 10]],
        near_user=[[A, B, C], [C, A, B]],
        capacity_rps=[2.5, 50, 50],
        queue_exponent=200,
    )
    put(world, A, WARM)
    put(world, C, WARM)
    world.state.knobs[0] = [40, 0, 0, 0, 0]
    near_share = 1 / (1 + math.exp(-100 / 40))
    done = play(world)
    # A is offered 6 in all and takes 2: two thirds of each gateway's tries go on to C, the other one
    assert done.state.load_rps[0, 0].tolist() == near([2, 0, 10])
    from_a, from_c = 6 * near_share * 2 / 3, 6 * (1 - near_share) * 2 / 3
    assert done.metrics["retried_share"] == near((from_a + from_c) / 12)
    # all of them pay their way to A first: nothing from A, 100 ms from C
    direct_ms = 6 * near_share * (10 / 3 + 10) + 6 * (1 - near_share) * (110 / 3 + 110)
    retried_ms = from_a * 110 + from_c * (10 + 100)
    assert done.metrics["first_token_mean_ms"] == near(500 + (direct_ms + retried_ms) / 12)


def test_who_is_refused_by_the_only_replica_has_nowhere_to_go(play: Play) -> None:
    world = paper(base_rps=10)
    put(world, A, WARM)
    done = play(world)
    assert done.state.load_rps[0, 0].tolist() == near([8, 0, 0])
    assert (done.metrics["refused_share"], done.metrics["retried_share"]) == near((0.2, 0))
    assert done.metrics["served_share"] == near(0.8)


def test_a_dead_site_that_nobody_has_noticed_costs_a_timeout_and_then_the_way(play: Play) -> None:
    world = served_at_a_and_c(base_rps=5, queue_exponent=200, tries=3)
    put(world, B, LOADING, 1)
    strikes(world, (0, 1, B), DOWN)
    done = play(world)
    # for a fifth of the step B is used: 0.2 / 2.2 of the requests, which A and C then share
    assert done.metrics["refused_share"] == near(1 / 11)
    assert done.metrics["retried_share"] == near(1 / 11)
    assert done.state.load_rps[0, 0].tolist() == near([2.5, 0, 2.5])
    assert done.metrics["first_token_mean_ms"] == near(1000 * (0.5 + 0.060 + 2 / 11))
    assert done.metrics["served_share"] == near(1)
    assert done.state.shown_refused[0].tolist() == [0, 0, 0]
