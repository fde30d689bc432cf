"""Where users enter on paper: at their nearest live gateway."""

from __future__ import annotations

from og_env.kernel.arrays import DOWN, GATEWAY, WARM
from tests.cases.paper_world import A, C, Paper, Play, near, put, strikes


def test_users_enter_at_the_nearest_gateway(play: Play, paper_world: Paper) -> None:
    put(paper_world, A, WARM)
    served_s = 2 + 0.6 * 2 / 0.4  # an answer, and the wait for one at utilisation 0.6
    assert play(paper_world).metrics["latency_mean_ms"] == near(1000 * (0.010 + served_s))
    paper_world.state.role_ms[0, GATEWAY, A] = 1  # rented, and not yet running
    done = play(paper_world)
    assert done.metrics["gateways_live"] == 1
    assert done.metrics["latency_mean_ms"] == near(1000 * (0.110 + 0.100 + served_s))


def test_without_a_gateway_nothing_is_served(play: Play, paper_world: Paper) -> None:
    put(paper_world, A, WARM)
    paper_world.state.role_ms[0, GATEWAY] = -1
    done = play(paper_world)
    assert (done.metrics["demand_rps"], done.metrics["served_rps"], done.terms["unserved"]) == near((6, 0, 1))


def test_a_gateway_that_is_known_to_be_dead_costs_no_time(play: Play, paper_world: Paper) -> None:
    put(paper_world, C, WARM)
    strikes(paper_world, (0, slice(None), A), DOWN)
    paper_world.state.status[0, A] = DOWN
    assert play(paper_world).metrics["latency_mean_ms"] == near(1000 * (0.110 + 2 + 0.6 * 2 / 0.4))
