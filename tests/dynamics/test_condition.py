"""The condition of sites on paper: grey ones are slower than they seem, blind ones show nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from og_env.kernel.arrays import BLIND, CALM_SPEED, DOWN, SLOW, WARM
from tests.cases.paper_world import A, B, C, Paper, Play, near, paper, put, served_at_a_and_c, strikes

HALF_SPEED, DOUBLE_SPEED = CALM_SPEED - 24, CALM_SPEED + 24
WORD = 2**64 - 1
"""all bits of a word"""


def at_a(code: int, **changes: Any) -> Paper:
    """3 requests/s at A alone, in a condition; times of service do not vary unless service_cv is given."""
    world = paper(**{"base_rps": 3, "service_cv": 0} | changes)
    put(world, A, WARM)
    world.tape.condition[0, :, A] = code
    return world


def test_a_grey_site_takes_longer_and_serves_less(play: Play) -> None:
    done = play(at_a(HALF_SPEED))
    # 3 of 5 requests/s: six of ten wait 4 / 0.4 s
    assert done.metrics["latency_mean_ms"] == near(1000 * (0.010 + 4 + 6))
    assert done.metrics["first_token_mean_ms"] == near(1000 * (0.010 + 1 + 6))
    assert done.metrics["utilisation"] == near(0.6)
    assert done.metrics["sites_grey"] == 1
    assert done.state.in_flight[0, 0, A] == near(3 * 10)
    assert play(at_a(HALF_SPEED, base_rps=8)).metrics["served_rps"] == near(4)  # 0.8 of 5


def test_the_objective_runs_against_the_true_time(play: Play) -> None:
    done = play(at_a(HALF_SPEED, service_cv=0.5, queue_exponent=200))
    assert done.metrics["in_time_share"] == near(1 - 1 / (1 + math.exp((5 - 4.010) * 1.8137994 / 2)))


def test_what_is_measured_shows_the_condition(play: Play) -> None:
    done = play(at_a(HALF_SPEED))
    assert done.state.shown_slowness_log2[0].tolist() == near([1, 0, 0])
    assert done.state.shown_wait_s[0].tolist() == near([6, 0, 0])
    assert done.state.shown_load[0].tolist() == near([0.3, 0, 0])  # of the nominal 10 requests/s
    assert done.state.shown_refused[0].tolist() == [0, 0, 0]
    assert play(at_a(HALF_SPEED, base_rps=8)).state.shown_refused[0, A] == near(0.5)
    quick = play(at_a(DOUBLE_SPEED))
    assert quick.state.shown_slowness_log2[0, A] == near(-1)
    assert quick.metrics["latency_mean_ms"] == near(1000 * (0.010 + 1 + 0.15 * 1 / 0.85))


def test_slow_and_grey_multiply(play: Play) -> None:
    world = at_a(HALF_SPEED, base_rps=1)
    strikes(world, (0, 1, A), SLOW)
    done = play(world)
    # 1 of 2.5 requests/s, answers of 8 s; 100 ms more to the gateway and to the replica
    assert done.metrics["latency_mean_ms"] == near(1000 * (0.210 + 8 + 0.4 * 8 / 0.6))
    assert done.state.shown_slowness_log2[0, A] == near(2)
    assert done.state.shown_load[0, A] == near(0.1)


def noise_by_hand(seed: int, row: int, place: int) -> float:
    """Four uniform numbers of 16 bits out of a hash, added up; in whole numbers."""

    def mixed(word: int) -> int:
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & WORD
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB & WORD
        return word ^ (word >> 31)

    gamma = 0x9E3779B97F4A7C15
    word = mixed((seed + row * gamma + place * 0x94D049BB133111EB + gamma) & WORD)
    return (sum((word >> shift) & 0xFFFF for shift in (0, 16, 32, 48)) / 2**16 - 2) * math.sqrt(3)


def test_few_requests_measure_inexactly(play: Play) -> None:
    world = served_at_a_and_c(base_rps=0.08)
    world.tape.noise[:] = 2**63 + 12_345
    done = play(world)
    # 12 answers each in the step, which vary by half
    errors = [noise_by_hand(2**63 + 12_345, 1, site) * 0.5 / math.sqrt(12) / math.log(2) for site in (A, C)]
    assert abs(errors[0] - errors[1]) > 0.01
    assert done.state.shown_slowness_log2[0].tolist() == near([errors[0], 0, errors[1]])
    second = play(world._replace(state=done.state))
    error = noise_by_hand(2**63 + 12_345, 2, A) * 0.5 / math.sqrt(12)
    assert second.state.shown_slowness_log2[0, A] == near(math.log2(math.exp(error)))
    world.world.base_rps[:] = 0.002  # less than one answer a step counts as one
    done = play(world)
    assert done.state.shown_slowness_log2[0, A] == near(noise_by_hand(2**63 + 12_345, 1, A) * 0.5 / math.log(2))


def test_a_blind_site_shows_what_it_last_showed(play: Play) -> None:
    world = at_a(HALF_SPEED)
    world.tape.condition[0, 1, A] |= BLIND
    world.state.shown_slowness_log2[0, A] = 0.25
    world.state.shown_wait_s[0, A] = 7
    world.state.shown_refused[0, A] = 0.5
    world.state.shown_load[0, A] = 0.75
    done = play(world)
    assert done.metrics["sites_blind"] == 1
    assert done.state.blind[0].tolist() == [1, 0, 0]
    assert done.metrics["latency_mean_ms"] == near(1000 * 10.010)  # as slow as it is
    fields = ("shown_slowness_log2", "shown_wait_s", "shown_refused", "shown_load")
    assert [getattr(done.state, name)[0, A] for name in fields] == near([0.25, 7, 0.5, 0.75])
    seeing = play(world._replace(state=done.state))
    assert (seeing.metrics["sites_blind"], seeing.state.blind[0, A]) == (0, 0)
    assert [getattr(seeing.state, name)[0, A] for name in fields] == near([1, 6, 0, 0.3])


def test_a_site_that_serves_nothing_or_is_down_keeps_what_it_showed(play: Play) -> None:
    world = served_at_a_and_c()
    world.state.shown_slowness_log2[0] = [3, 4, 5]
    world.state.shown_refused[0] = world.state.shown_load[0] = [0.3, 0.4, 0.5]
    strikes(world, (0, 1, C), DOWN)
    done = play(world)
    assert done.state.shown_slowness_log2[0, [B, C]].tolist() == [4, 5]
    assert done.state.shown_refused[0].tolist() == near([0, 0.4, 0.5])
    assert done.state.shown_load[0].tolist() == near([0.6, 0.4, 0.5])  # A takes what C does not answer: 6 of 10


def test_the_router_knows_nothing_of_it(play: Play) -> None:
    world = served_at_a_and_c(base_rps=2)
    world.state.knobs[0] = [40, 0, 2, 0, 0]
    world.state.load_rps[0, 0] = [2, 0, 1]
    calm = play(world).state.load_rps[0, 0]
    world.tape.condition[0, :, A] = HALF_SPEED
    assert play(world).state.load_rps[0, 0].tolist() == near(calm.tolist())


@pytest.mark.parametrize(("code", "grey"), [(51, 1), (52, 0), (BLIND | 51, 1), (BLIND | CALM_SPEED, 0)])
def test_a_site_is_grey_below_seven_tenths_of_its_speed(play: Play, code: int, grey: int) -> None:
    # 2^(-13/24) = 0.687, 2^(-12/24) = 0.707
    world = at_a(code)
    assert play(world).metrics["sites_grey"] == grey
    strikes(world, (0, 1, A), DOWN)
    assert play(world).metrics["sites_grey"] == 0
