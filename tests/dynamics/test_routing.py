"""Where requests go on paper: the softmax of the router, and what is refused."""

from __future__ import annotations

import math

from og_env.kernel.arrays import LOADING, WARM
from tests.cases.paper_world import A, B, C, Play, near, put, served_at_a_and_c


def test_what_one_replica_refuses_another_takes_as_far_as_it_can(play: Play) -> None:
    # A takes up to 16, C up to 4; of 8 each, C refuses 4, which A takes
    done = play(served_at_a_and_c(base_rps=16, capacity_rps=[20, 10, 5]))
    assert done.state.load_rps[0, 0].tolist() == near([12, 0, 4])
    assert done.terms["unserved"] == 0
    # of 15 each, C takes 4, and A one of the 11 others; a third of the demand is left
    done = play(served_at_a_and_c(base_rps=30, capacity_rps=[20, 10, 5]))
    assert done.state.load_rps[0, 0].tolist() == near([16, 0, 4])
    assert done.metrics["served_share"] == near(2 / 3)
    assert done.terms["unserved"] == near((1 / 3) * (1 + 5 / 3) / 6)
    assert done.metrics["utilisation"] == near(20 / 25)


def test_softmax_weighs_network_cold_wait_load_and_risk(play: Play) -> None:
    world = served_at_a_and_c(base_rps=1)
    world.state.knobs[0] = [40, 0.1, 2, 0.5, 0.2]
    world.state.load_rps[0, 0] = [5, 0, 0]
    world.state.site_share[0] = [0.4, 0, 0.6]
    world.tape.signal[0, 0, 0] = 127  # alarm 127 / 127.5 - 0.25
    put(world, C, LOADING, 60_000)
    load = play(world).state.load_rps[0, 0]
    score_a = 2 * 0.5 + 0.5 * (127 / 127.5 - 0.25 + 0.4)
    score_c = 0.1 * 60 + 100 / 40
    soft = math.exp(-score_a) / (math.exp(-score_a) + math.exp(-score_c))
    assert load[A] == near(0.8 * soft + 0.2 * 0.5)


def test_penalties_that_would_let_every_weight_vanish_still_weigh_replicas_against_each_other(play: Play) -> None:
    world = served_at_a_and_c(base_rps=1)
    world.state.knobs[0] = [40, 0, 500, 0, 0]
    world.state.load_rps[0, 0] = [14.3125, 0, 14.25]  # penalties of 715.625 and 712.5, and 2.5 more on the way to C
    load = play(world).state.load_rps[0, 0]
    assert load[A] == near(1 / (1 + math.exp(715.625 - 712.5 - 100 / 40)))
    assert load.sum() == near(1)


def test_a_steered_site_gets_that_many_times_the_traffic(play: Play) -> None:
    world = served_at_a_and_c(base_rps=4, rtt_ms=0)
    world.state.knobs[0] = [40, 0, 0, 0, 0]
    assert play(world).state.load_rps[0, 0].tolist() == near([2, 0, 2])
    world.state.steer[0, C] = math.log(3)
    done = play(world)
    assert done.state.load_rps[0, 0].tolist() == near([1, 0, 3])
    assert done.state.steer[0].tolist() == near([0, 0, math.log(3)]), "it stays in force"
    put(world, B, WARM)
    world.state.steer[0] = [0, -math.log(2), math.log(2)]
    assert play(world).state.load_rps[0, 0].tolist() == near([4 / 3.5, 2 / 3.5, 8 / 3.5])
    world.state.knobs[0, 4] = 0.5  # half of the traffic is spread evenly, whatever is steered
    assert play(world).state.load_rps[0, 0].tolist() == near([(4 / 3 + part / 3.5) / 2 for part in (4, 2, 8)])


def test_steering_counts_where_penalties_would_let_every_weight_vanish(play: Play) -> None:
    world = served_at_a_and_c(base_rps=1, rtt_ms=0)
    world.state.knobs[0] = [40, 0, 500, 0, 0]
    world.state.load_rps[0, 0] = [15, 0, 15]  # penalties of 750
    world.state.steer[0] = [4, 0, -4]
    assert play(world).state.load_rps[0, 0, A] == near(1 / (1 + math.exp(-8)))
