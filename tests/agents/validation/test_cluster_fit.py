"""The fit of batches and clusters: its queue is right, its formula is the environment's, and it finds what is there."""

from __future__ import annotations

import numpy as np
import pytest

from og_agents.validation import cluster_fit, queue_against_simulation
from og_env.dynamics import latency
from og_env.world import site_arrays


def test_waits_of_a_few_requests_are_those_on_paper() -> None:
    # one stream: the second waits 1.5, the third 2.5; two streams: only the third waits, 0.5
    times, service = np.array([0.0, 0.5, 1.5]), np.array([2.0, 2.0, 2.0])
    assert cluster_fit.mean_wait(times, service, 1) == pytest.approx((1.5 + 2.5) / 3)
    assert cluster_fit.mean_wait(times, service, 2) == pytest.approx(0.5 / 3)


def test_its_formula_is_that_of_the_environment() -> None:
    settings = {
        "arrival_cv": 1.2,
        "batch_requests": 3.0,
        "cluster_requests": 40.0,
        "cluster_rate": 2.5,
        "idle_relief": 0.7,
    }
    assert tuple(settings) == cluster_fit.NAMES
    for streams in (1, 4):
        side = queue_against_simulation.flow(streams, (0.3, 0.85), service_cv=0.6, **settings)  # type: ignore[arg-type]
        waits = cluster_fit.Waits(np.full(2, streams), np.array([0.3, 0.85]), np.ones(2), 0.6)
        found = cluster_fit.model_wait(np.array([list(settings.values())]), waits)[0]
        assert side.wait_s / side.service_s == pytest.approx(found, rel=1e-3)
    for name in ("QUEUE_BEND", "LEAST_QUEUE_STREAMS", "CLUSTER_IDLE"):
        assert getattr(cluster_fit, name) == getattr(latency, name)
    assert cluster_fit.WAIT_SLOPE == site_arrays.WAIT_SLOPE


@pytest.mark.parametrize(
    ("kind", "mean", "largest"), [("poisson", 0.05, 0.15), ("random", 0.10, 0.20), ("regular", 0.15, 0.20)]
)
def test_batches_are_described(kind: str, mean: float, largest: float) -> None:
    rng = np.random.default_rng(1)
    service = queue_against_simulation.answers(rng, 30_000)
    gap = rng.exponential(size=30_000)
    if kind != "poisson":
        gap = np.zeros(30_000)
        gap[9::10] = 10 if kind == "regular" else 10 * rng.exponential(size=3_000)
    waits = cluster_fit.played(gap, service)
    found = cluster_fit.fit(waits)
    assert found.mean_error <= mean and found.max_error <= largest, found
    if kind != "poisson":
        assert cluster_fit.without(waits, 1.0)[0] > 2 * mean


def test_no_relief_is_found_where_none_is_there() -> None:
    queues = [(c, rho) for c in cluster_fit.STREAMS for rho in cluster_fit.UTILISATIONS]
    streams, utilisation = np.array(queues).T
    waits = cluster_fit.Waits(streams, utilisation, np.ones(len(queues)), 0.8)
    plain = cluster_fit.model_wait(np.array([[1.3, 2.0, 1.0, 4.0, 0.0]]), waits)[0]
    found = cluster_fit.fit(waits._replace(wait=plain))
    assert found.max_error < 0.05 and found.idle_relief < 0.05
    assert found.settings() == {name: getattr(found, name) for name in cluster_fit.NAMES}


def test_the_settings_hold_in_other_orders_of_the_answers() -> None:
    rng = np.random.default_rng(3)
    service = queue_against_simulation.answers(rng, 20_000)
    gap = np.zeros(20_000)
    gap[9::10] = 10
    found = cluster_fit.fit(cluster_fit.played(gap, service))
    others = cluster_fit.played(gap, service, np.random.default_rng(4))
    settings = np.array([list(found.settings().values())])
    assert found.idle_relief > 1 and cluster_fit.errors(settings, others).max() <= 0.20
    settings[0, cluster_fit.NAMES.index("idle_relief")] = 0
    assert cluster_fit.errors(settings, others).max() > 0.40
