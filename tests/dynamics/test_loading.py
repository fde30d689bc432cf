"""Fetches and loads on paper."""

from __future__ import annotations

import pytest

from og_env.kernel.arrays import ABSENT, DOWN, FETCHING, LOADING, ON_DISK, STAGING, STORE, WARM
from tests.cases.paper_world import ADD_STORE, A, B, C, Paper, Play, near, paper, put, strikes


def test_two_fetches_share_a_store(play: Play) -> None:
    world = paper(load_ms=120_000)
    put(world, A, FETCHING, 60_000)
    put(world, C, STAGING, 10_000)
    done = play(world)
    # 100 MB/s halved: A gets 15 GB in the step, C is through after 200 s
    assert done.state.fetch_left_mb[0, 0].tolist() == [45_000, 0, 0]
    assert done.state.phase[0, 0].tolist() == [FETCHING, ABSENT, ON_DISK]
    assert done.metrics["fetch_gb"] == near(25)
    rent, egress = 2 + 6 * 0.1 + 10 * 0.001, 25 * 0.05 * 12
    assert done.metrics["usd_per_hour"] == near(rent + egress)


@pytest.mark.parametrize(
    ("load_ms", "phase", "left", "cold_starts"), [(120_000, LOADING, 20_000, 0), (100_000, WARM, 0, 1)]
)
def test_a_finished_fetch_loads_in_the_time_left(
    play: Play, load_ms: int, phase: int, left: int, cold_starts: int
) -> None:
    world = paper(load_ms=load_ms)
    put(world, A, FETCHING, 20_000)  # 200 s
    done = play(world)
    assert (done.state.phase[0, 0, A], done.state.load_left_ms[0, 0, A]) == (phase, left)
    assert done.state.fetch_left_mb[0, 0, A] == 0
    assert done.metrics["cold_starts"] == cold_starts


def test_without_a_live_store_nothing_is_fetched(play: Play, paper_world: Paper) -> None:
    put(paper_world, A, FETCHING, 20_000)
    strikes(paper_world, (0, 1, B), DOWN)
    done = play(paper_world, ADD_STORE + C)
    assert done.state.fetch_left_mb[0, 0, A] == 20_000
    assert done.state.role_ms[0, STORE, C] == 600_000  # a new store needs the weights as well
