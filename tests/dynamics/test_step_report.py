"""A step's report on paper: latency, finality and the effective number of nodes."""

from __future__ import annotations

import math

import pytest

from og_env.dynamics.verification import TEE
from tests.cases.paper_world import Play, near, served_at_a_and_c


def test_a_served_step(play: Play) -> None:
    done = play(served_at_a_and_c(verification=TEE, queue_exponent=200))
    latency_s = 0.010 + 0.050 + 2  # half of the answers come from C, 100 ms away; nobody waits
    variance = 0.050**2 + (0.5 * 2) ** 2
    assert done.state.load_rps[0, 0].tolist() == [3, 0, 3]
    assert done.metrics["served_share"] == 1
    assert done.metrics["latency_mean_ms"] == near(1000 * latency_s)
    sigma2 = math.log(1 + variance / latency_s**2)
    assert done.metrics["latency_p50_ms"] == near(1000 * latency_s * math.exp(-sigma2 / 2))
    late = 99 ** (math.sqrt(sigma2) / 1.8137994)  # log-logistic
    assert done.metrics["latency_p99_ms"] == near(done.metrics["latency_p50_ms"] * late)
    # the third and last vote is 100 ms away from A as from C
    assert (done.metrics["quorum"], done.metrics["verified_share"]) == (3, 1)
    assert done.metrics["finality_s"] == near(latency_s + 0.1 + 1 + 10)
    assert done.metrics["n_eff"] == near(2)


@pytest.mark.parametrize("queue_s", [2, 4])
def test_waiting_for_a_stream_delays_answers(play: Play, queue_s: float) -> None:
    done = play(served_at_a_and_c(queue_s=queue_s))
    # 3 requests/s each: utilisation 0.3 is also the waiting probability, and a wait lasts 2 / 0.7 s, or twice that
    assert done.metrics["latency_mean_ms"] == near(1000 * (0.010 + 0.050 + 2 + 0.3 * queue_s / 0.7))
