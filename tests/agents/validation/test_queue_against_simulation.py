"""The flow side is the environment's own step, and the errors are what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from og_agents.validation import queue_against_simulation
from og_agents.validation.queue_simulation import Waits
from og_env.scenario.demand_trace import Trace


def test_the_flow_side_is_the_step_of_the_environment() -> None:
    flow = queue_against_simulation.flow(1, (0.3, 0.85), arrival_cv=1.2, service_cv=0.6)
    factor = (1.2**2 + 0.6**2) / 2
    assert flow.service_s == pytest.approx(0.5) and flow.network_s == pytest.approx(0.0041)
    assert flow.wait_s == pytest.approx([0.5 * factor * rho / (1 - rho) for rho in (0.3, 0.85)], rel=1e-4)
    wait_if_any = 0.5 * factor / 0.15
    log_variance = math.log(1 + 0.3**2 / 0.5041**2)  # without waiting, log-logistic
    slope = math.pi / math.sqrt(3 * log_variance)
    later = 1 / (1 + math.exp(slope * (math.log(flow.p95_s[1] / 0.5041) + log_variance / 2)))
    later += (1 - later) * 0.85 * math.exp(-(flow.p95_s[1] - 0.5041) / wait_if_any)
    assert later == pytest.approx(0.05, abs=1e-3)  # bisections leave a little


def test_without_the_burstiness_term_the_factor_is_one() -> None:
    plain = queue_against_simulation.flow(4, [0.7], arrival_cv=3.0, service_cv=0.6, burstiness=False)
    usual = queue_against_simulation.flow(4, [0.7], arrival_cv=3.0, service_cv=0.6)
    assert usual.wait_s[0] / plain.wait_s[0] == pytest.approx((9 + 0.36) / 2, rel=1e-3)


def test_errors_are_relative_to_what_was_simulated_but_for_waits_that_nobody_notices() -> None:
    side = queue_against_simulation.Flow(2.0, 0.5, np.array([1.1, 0.003]), np.array([6.0, 6.0]))
    found = Waits(1.0, 0.0, 4.5, 0.0, 1)
    assert queue_against_simulation.errors_of(side, 0, found) == pytest.approx((0.1, 0.2))
    assert queue_against_simulation.errors_of(side, 1, found._replace(mean_s=0.001))[0] == pytest.approx(0.1)


def test_a_recorded_load_has_the_trace_s_clusters_and_answers() -> None:
    rng = np.random.default_rng(0)
    times = np.sort(np.repeat(rng.uniform(0, 6_000, 6_000), 2) + rng.uniform(0, 0.1, 12_000))
    out = rng.gamma(4.0, 25.0, 12_000)
    trace = Trace(0.0, times - times[0], np.zeros(12_000, np.int64), out, out, ("m",))
    load = queue_against_simulation.recorded(trace, "conversation", rng, runs=3)
    assert load.gap.mean() == pytest.approx(1) and load.service.mean() == pytest.approx(1)
    assert load.arrival_cv == pytest.approx(math.sqrt(2), rel=0.08) and load.service_cv == pytest.approx(0.5, rel=0.05)
    assert len(load.gap) == len(load.service)
