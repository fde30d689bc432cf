"""Answers in progress on paper: how many there are by Little's law, and what an outage that loses them costs."""

from __future__ import annotations

import math
from typing import Any

from og_env.kernel.arrays import DOWN, LOADING
from tests.cases.paper_world import RETIRE, A, B, C, Outcome, Paper, Play, near, paper, put, served_at_a_and_c, strikes

LOGISTIC = 1.8137994
"""pi / sqrt(3)"""
AT_ONE = 3 * (2 + 0.3 * 2 / 0.7)
"""3 requests/s, each for 2 s and a wait of 2 / 0.7 s that three of ten have: 60/7"""


def two_steps(play: Play, world: Paper, operation: int = 0) -> Outcome:
    """The second step of a world; the operation is that of the first."""
    return play(world._replace(state=play(world, operation).state))


def fails_in_the_second_step(*sites: int, loses_answers: int = 1, **changes: Any) -> Paper:
    """3 requests/s at A and at C; an outage of some sites that is noticed at once."""
    world = served_at_a_and_c(loses_answers=loses_answers, detect_ms=0, **changes)
    strikes(world, (0, slice(2, None), list(sites)), DOWN)
    return world


def test_answers_in_progress_are_rate_times_time_at_the_replica(play: Play) -> None:
    done = play(served_at_a_and_c())
    assert done.state.in_flight[0, 0].tolist() == near([AT_ONE, 0, AT_ONE])  # the way does not count
    world = paper(base_rps=4, queue_exponent=200)
    put(world, A, LOADING, 60_000)
    assert play(world).state.in_flight[0, 0].tolist() == near([4 * (2 + 6), 0, 0])  # requests wait in a cold replica


def test_lost_answers_are_asked_again(play: Play) -> None:
    done = two_steps(play, fails_in_the_second_step(A))
    assert done.metrics["answers_lost"] == near(60 / 7)
    demand_rps = 6 + 60 / 7 / 300
    assert done.metrics["demand_rps"] == near(demand_rps)
    assert done.state.model_demand_rps[0, 0] == near(demand_rps)
    assert done.state.load_rps[0, 0].tolist() == near([0, 0, demand_rps])
    rho = demand_rps / 10
    assert done.state.in_flight[0, 0].tolist() == near([0, 0, demand_rps * (2 + rho * 2 / (1 - rho))])
    # users enter at C now, 110 ms away; who asks again has missed the objective
    late = 1 / (1 + math.exp((5 - 0.110 - 2) * LOGISTIC / 1))
    late += (1 - late) * rho * math.exp(-2.890 / (2 / (1 - rho)))
    late += (1 - late) * (60 / 7) / (1800 + 60 / 7)
    assert done.metrics["in_time_share"] == near(1 - late)
    assert done.terms["latency"] == near(late)


def test_answers_are_lost_once(play: Play) -> None:
    world = fails_in_the_second_step(A)
    world = world._replace(state=two_steps(play, world).state)
    world.state.in_flight[0, 0, A] = 5
    done = play(world)
    assert (done.metrics["sites_down"], done.metrics["answers_lost"]) == (1, 0)
    assert done.metrics["demand_rps"] == near(6)


def test_a_site_without_a_replica_loses_nothing_and_all_that_fail_lose_what_they_had(play: Play) -> None:
    assert two_steps(play, fails_in_the_second_step(B)).metrics["answers_lost"] == 0
    assert two_steps(play, fails_in_the_second_step(A, B)).metrics["answers_lost"] == near(60 / 7)
    assert two_steps(play, fails_in_the_second_step(A, C)).metrics["answers_lost"] == near(120 / 7)


def test_where_answers_survive_an_outage_nothing_is_asked_again(play: Play) -> None:
    done = two_steps(play, fails_in_the_second_step(A, loses_answers=0))
    assert done.metrics["answers_lost"] == 0
    assert done.metrics["demand_rps"] == near(6)


def test_without_demand_lost_answers_stay_lost(play: Play) -> None:
    world = fails_in_the_second_step(A)
    world.tape.regional[0, 2] = 0
    done = two_steps(play, world)
    assert done.metrics["answers_lost"] == near(60 / 7)
    assert (done.metrics["demand_rps"], done.metrics["served_rps"]) == (0, 0)


def test_a_replica_that_no_longer_serves_has_no_answers_to_lose(play: Play) -> None:
    world = fails_in_the_second_step(A)
    first = play(world, RETIRE + A)
    assert first.state.in_flight[0, 0, A] == 0
    assert play(world._replace(state=first.state)).metrics["answers_lost"] == 0


def test_an_attack_loses_answers_as_any_outage_does(play: Play) -> None:
    world = served_at_a_and_c(loses_answers=1)
    world.tape.attack[0, 2] = 1
    world.state.attacks_left[:] = 1
    assert two_steps(play, world).metrics["answers_lost"] == near(60 / 7)


def test_other_outages_lose_no_answers(play: Play) -> None:
    world = fails_in_the_second_step(A)
    strikes(world, (0, slice(2, None), A), 2 | 4 | 8)
    assert two_steps(play, world).metrics["answers_lost"] == 0
    world.state.in_flight[0, 0, C] = 5  # overwritten by what is really in progress there
    assert two_steps(play, world).metrics["answers_lost"] == 0
