"""Outages and attacks on paper, and how long the router does not know of them."""

from __future__ import annotations

import math

from og_env.dynamics.verification import TEE
from og_env.kernel.arrays import DOWN, LOADING
from tests.cases.paper_world import A, Play, near, served_at_a_and_c, strikes


def test_an_outage_with_an_undetected_dead_site(play: Play) -> None:
    world = served_at_a_and_c(verification=TEE)
    strikes(world, (0, 1, A), DOWN)
    done = play(world)
    # for 60 of 300 s the router still uses A: it gets 0.2 / 1.2 of 6 requests/s, which time out and go to C
    assert done.state.load_rps[0, 0].tolist() == near([0, 0, 6])
    assert (done.metrics["refused_share"], done.metrics["retried_share"]) == near((1 / 6, 1 / 6))
    # utilisation 0.6, a wait lasts 2 / 0.4 s; users try gateway A for a fifth of the step, then go to C
    latency_s = 0.110 + 0.2 * 2 + 2 + 0.6 * 5 + 2 / 6
    assert done.metrics["latency_mean_ms"] == near(1000 * latency_s)
    # of 5 s, 2.49 are left to wait in, or 0.49 after a timeout
    late = [1 / (1 + math.exp(ahead_s * math.pi / math.sqrt(3))) for ahead_s in (2.49, 0.49)]
    late = [late[0] + (1 - late[0]) * 0.6 * math.exp(-2.49 / 5), late[1] + (1 - late[1]) * 0.6 * math.exp(-0.49 / 5)]
    assert done.metrics["in_time_share"] == near(1 - late[0] * 5 / 6 - late[1] / 6)
    assert (done.metrics["sites_down"], done.metrics["verifiers_live"], done.metrics["gateways_live"]) == (1, 2, 1)
    assert (done.terms["unverified"], done.metrics["finality_s"]) == (1, 0)
    # a struck replica loads anew; down machines are not billed, what lies on disk is
    assert (done.state.phase[0, 0, A], done.state.load_left_ms[0, 0, A]) == (LOADING, 30_000)
    assert done.state.undetected_ms[0].tolist() == [0, 0, 0]
    assert done.metrics["usd_per_hour"] == near(2 + 4 * 0.1 + 3 * 10 * 0.001 + 6 * 3600 * 1e-3 * 0.05)


def test_a_detected_dead_site_gets_nothing_and_a_long_detection_lasts(play: Play) -> None:
    world = served_at_a_and_c(detect_ms=700_000)
    strikes(world, (0, slice(None), A), DOWN)
    first = play(world)
    assert first.state.undetected_ms[0, A] == 400_000
    assert first.metrics["retried_share"] == near(1 / 2)
    third = play(world._replace(state=play(world._replace(state=first.state)).state))
    assert third.metrics["retried_share"] == near((1 / 3) / (4 / 3))  # 100 of 300 s
    assert third.state.undetected_ms[0, A] == 0


def test_the_opponent_breaks_the_domain_with_most_traffic(play: Play) -> None:
    world = served_at_a_and_c()
    world.tape.attack[:] = 1
    world.state.attacks_left[:] = 1
    world.state.site_share[0] = [0.1, 0, 0.9]  # only shared domains are attacked
    done = play(world)
    assert done.state.status[0].tolist() == [DOWN, DOWN, 0]
    assert done.metrics["active_outages"] == 1
    assert [int(x[0]) for x in done.state[-4:]] == [0, 2, 4, 0]  # domain, last step, ready again, attacks left
    second = play(world._replace(state=done.state))
    third = play(world._replace(state=second.state))
    assert second.state.status[0].tolist() == [DOWN, DOWN, 0]
    assert (third.state.status[0].tolist(), third.metrics["active_outages"]) == ([0, 0, 0], 0)
