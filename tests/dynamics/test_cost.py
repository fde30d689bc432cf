"""The bill on paper, and the reward that it is part of."""

from __future__ import annotations

import math

from og_env.dynamics.verification import TEE
from og_env.kernel.arrays import TERMS
from tests.cases.paper_world import Play, near, served_at_a_and_c


def test_the_bill_of_a_served_step(play: Play) -> None:
    done = play(served_at_a_and_c(verification=TEE))
    gpus, machines, storage = 2 * 2.0, 6 * 0.1, 3 * 10 * 0.001  # two replicas and a store hold the weights
    egress = 6 * 3600 * 1e-3 * 0.05
    assert done.metrics["usd_per_hour"] == near(gpus + machines + storage + egress)
    assert done.metrics["usd_per_1000_requests"] == near((gpus + machines + storage + egress) / 21.6)
    # answers take 2.010 and 2.110 s and vary by 1 s; three of ten wait, 2 / 0.7 s on average, and are late beyond 5 s
    late = [1 / (1 + math.exp(ahead_s * math.pi / math.sqrt(3))) for ahead_s in (2.99, 2.89)]
    waiting = [0.3 * math.exp(-ahead_s / (2 / 0.7)) for ahead_s in (2.99, 2.89)]
    expected = {
        "latency": sum(share + (1 - share) * wait for share, wait in zip(late, waiting, strict=True)) / 2,
        "cost": (gpus + machines + storage + egress) / 10,
        "unserved": 0,
        "unverified": 0,
        "exposure": 1,  # any domain takes one of the three votes that the quorum needs
        "churn": 0,
    }
    assert done.terms == near(expected)
    weights = dict(zip(TERMS, [0.5, 0.25, 1, 0.2, 0.3, 0.01], strict=True))
    assert done.output.reward[0] == near(-sum(weights[name] * expected[name] for name in TERMS))
