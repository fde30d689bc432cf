"""The fit of batches and clusters: its queue is right, its formula is the environment's, and it finds what is there."""

from __future__ import annotations

import numpy as np
import pytest

from og_agents.validation import cluster_fit, queue_against_simulation
from og_env.dynamics import latency
from og_env.world import site_arrays


def test_waits_of_a_few_requests_are_those_on_paper() -> None:
    # one stream: the second waits 1.5, the third 2.5; two streams: only the third waits, 0.5
    times, service = [0.0, 0.5, 1.5], [2.0, 2.0, 2.0]
    assert cluster_fit.mean_wait(times, service, 1) == pytest.approx((1.5 + 2.5) / 3)
    assert cluster_fit.mean_wait(times, service, 2) == pytest.approx(0.5 / 3)


def test_its_formula_is_that_of_the_environment() -> None:
    settings = {"arrival_cv": 1.2, "batch_requests": 3.0, "cluster_requests": 40.0, "cluster_rate": 2.5}
    for streams in (1, 4):
        side = queue_against_simulation.flow(streams, (0.3, 0.85), service_cv=0.6, **settings)  # type: ignore[arg-type]
        waits = cluster_fit.Waits(np.full(2, streams), np.array([0.3, 0.85]), np.ones(2))
        found = cluster_fit.model_wait(np.array([list(settings.values())]), waits, 0.6)[0]
        assert side.wait_s / side.service_s == pytest.approx(found, rel=1e-3)
    for name in ("QUEUE_BEND", "LEAST_QUEUE_STREAMS", "CLUSTER_IDLE"):
        assert getattr(cluster_fit, name) == getattr(latency, name)
    assert cluster_fit.WAIT_SLOPE == site_arrays.WAIT_SLOPE


@pytest.mark.parametrize(
    ("kind", "mean", "largest"), [("poisson", 0.05, 0.15), ("random", 0.10, 0.25), ("regular", 0.20, 0.35)]
)
def test_batches_are_described(kind: str, mean: float, largest: float) -> None:
    rng = np.random.default_rng(1)
    service = queue_against_simulation.answers(rng, 30_000)
    gap = rng.exponential(size=30_000)
    if kind != "poisson":
        gap = np.zeros(30_000)
        gap[9::10] = 10 if kind == "regular" else 10 * rng.exponential(size=3_000)
    found = cluster_fit.fit(gap, service)
    assert found.mean_error <= mean and found.max_error <= largest, found
    if kind != "poisson":
        assert cluster_fit.without(gap, service, 1.0)[0] > 2 * mean
