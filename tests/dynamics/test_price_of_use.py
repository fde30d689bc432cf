"""The price of answers on paper: egress and a price of use, by model and site."""

from __future__ import annotations

from og_env.kernel.arrays import WARM
from tests.cases.paper_world import A, Play, near, paper, put, served_at_a_and_c

RENT_USD_PER_HOUR = 2 * 2 + 6 * 0.1 + 3 * 10 * 0.001
"""two GPUs, six machines, and three copies of the weights on disks"""


def test_every_answer_costs_its_price(play: Play) -> None:
    done = play(served_at_a_and_c(answer_usd=[2e-4, 0, 5e-4], use_usd=[1.5e-4, 0, 5e-4]))
    # 3 answers/s each
    answers_usd = 3 * 3600 * (2e-4 + 5e-4)
    assert done.metrics["usd_per_hour"] == near(RENT_USD_PER_HOUR + answers_usd)
    assert done.metrics["use_usd_per_hour"] == near(3 * 3600 * (1.5e-4 + 5e-4))
    assert done.metrics["usd_per_1000_requests"] == near((RENT_USD_PER_HOUR + answers_usd) / 21.6)
    assert done.terms["cost"] == near((RENT_USD_PER_HOUR + answers_usd) / 10)


def test_only_what_is_served_is_paid_for(play: Play) -> None:
    world = paper(base_rps=20, answer_usd=1e-4, use_usd=1e-4)
    idle = play(world)
    assert (idle.metrics["served_rps"], idle.metrics["use_usd_per_hour"]) == (0, 0)
    put(world, A, WARM)
    done = play(world)
    # 8 of 20 requests/s; one GPU and one more copy than before
    assert done.metrics["use_usd_per_hour"] == near(8 * 3600 * 1e-4)
    assert done.metrics["usd_per_hour"] == near(idle.metrics["usd_per_hour"] + 2 + 0.01 + 8 * 3600 * 1e-4)


def test_without_a_price_of_use_answers_cost_their_egress(play: Play) -> None:
    done = play(served_at_a_and_c())
    assert done.metrics["use_usd_per_hour"] == 0
    assert done.metrics["usd_per_hour"] == near(RENT_USD_PER_HOUR + 6 * 3600 * 1e-3 * 0.05)
