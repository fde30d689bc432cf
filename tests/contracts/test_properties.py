"""Invariants of every state, whatever the world, the outages and the actions: flow, memory, money, quorum, ranges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from og_env.kernel.arrays import DOWN, FETCHING, METRICS, SLOW, STORE, TERMS, VERIFIER, WARM
from og_env.scenario import loading
from og_env.simulator.simulator import Simulator
from og_env.vector_env import NetworkVectorEnv

SCENARIOS = ("global-16", "random-24", "near-but-cold", "opengradient", "store-loss", "tee-break")
ENVS = {
    name: NetworkVectorEnv(
        6,
        "joint",
        loading.override(loading.load(name), {"failures.intensity": 20.0, "episode.operations_per_step": 1}),
        interface="operations",
        threads=1,
    )
    for name in SCENARIOS
}


def metric(simulator: Simulator, name: str) -> np.ndarray:
    return simulator.output.metrics[:, METRICS.index(name)]


def play(name: str, seed: int, steps: int) -> Simulator:
    """A few steps of possible operations and random knobs; the metrics are those of the last."""
    env = ENVS[name]
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        masks = env.simulator.mask
        operations = [rng.choice(np.flatnonzero(mask)) for mask in masks]
        levels = rng.integers(0, 5, (env.num_envs, 5))
        env.step(np.column_stack([operations, levels]))
    return env.simulator


cases = given(st.sampled_from(SCENARIOS), st.integers(0, 10_000), st.integers(1, 40))
few = settings(max_examples=40, deadline=None, derandomize=True)


@few
@cases
def test_what_is_asked_is_served_or_not_and_only_by_those_who_can(name: str, seed: int, steps: int) -> None:
    simulator = play(name, seed, steps)
    state, world = simulator.state, simulator.world
    asked, served = state.model_demand_rps, state.model_served_rps
    assert (served >= 0).all() and (served <= asked * (1 + 1e-5)).all()
    assert np.allclose(state.load_rps.sum(axis=2), served, rtol=1e-4, atol=1e-5)
    limit = world.utilisation_limit[state.world][:, None, None] * world.capacity_rps[state.world]
    limit = np.where((state.status & SLOW)[:, None] > 0, limit / 2, limit)
    condition = simulator.tape.condition[np.arange(len(state.step)), state.step]
    limit = limit * 2.0 ** (((condition & 127) - 64.0) / 24)[:, None]
    assert (state.load_rps <= limit * (1 + 1e-5) + 1e-6).all()
    down = (state.status & DOWN)[:, None] > 0
    assert (state.load_rps[np.broadcast_to(down, state.load_rps.shape)] == 0).all()
    assert (state.load_rps[state.phase != WARM] == 0).all()  # patience is shorter than a step: who served is warm now
    assert np.allclose(metric(simulator, "served_rps"), served.sum(axis=1), rtol=1e-4, atol=1e-5)
    share = simulator.state.site_share.sum(axis=1)
    assert np.allclose(share, (served.sum(axis=1) > 0).astype(float), atol=1e-4)


@few
@cases
def test_gpus_are_counted_and_never_exceeded(name: str, seed: int, steps: int) -> None:
    simulator = play(name, seed, steps)
    state, world = simulator.state, simulator.world
    held = (world.replica_gpus[state.world] * (state.phase >= FETCHING)).sum(axis=1)
    assert np.array_equal(held, state.gpus_used)
    assert (held <= world.gpu_count[state.world]).all()
    assert (state.phase[world.replica_gpus[state.world] == 0] == 0).all()


@few
@cases
def test_money_is_at_least_the_rent_and_at_most_rent_and_egress(name: str, seed: int, steps: int) -> None:
    simulator = play(name, seed, steps)
    state, world, k = simulator.state, simulator.world, simulator.state.world
    up = (state.status & DOWN) == 0
    gpus = (up * state.gpus_used * world.usd_per_gpu_hour[k]).sum(axis=1)
    machines = (up[:, None] * (state.role_ms >= 0) * world.usd_per_vm_hour[k][:, None]).sum(axis=(1, 2))
    stores = (state.role_ms[:, STORE] >= 0).sum(axis=1) * world.weights_gb[k].sum(axis=1)
    most_disks = world.weights_gb[k].sum(axis=1) * state.status.shape[1]
    egress = world.egress_usd_per_gb[k].max(axis=1)
    hours = world.step_ms[k] / 3_600_000
    moved_gb = metric(simulator, "fetch_gb") / hours
    answers = metric(simulator, "served_rps") * 3600 * world.answer_usd[k].max(axis=(1, 2))
    storage = world.storage_usd_per_gb_hour[k]
    paid, least = metric(simulator, "usd_per_hour"), gpus + machines + stores * storage
    assert (paid >= least * (1 - 1e-4) - 1e-5).all()
    assert (paid <= (least + most_disks * storage + moved_gb * egress + answers) * (1 + 1e-4) + 1e-5).all()


@few
@cases
@example("store-loss", 23, 25)  # a sum of parts that exceeded the whole by one rounding
def test_quorum_shares_and_terms_stay_in_range(name: str, seed: int, steps: int) -> None:
    simulator = play(name, seed, steps)
    live, quorum = metric(simulator, "verifiers_live"), metric(simulator, "quorum")
    finality = metric(simulator, "finality_s")
    assert (finality[(live < quorum) | (quorum == 0)] == 0).all()
    running = (simulator.state.role_ms[:, VERIFIER] == 0).sum(axis=1)
    assert (quorum <= running).all()
    for share in (
        "served_share",
        "verified_share",
        "refused_share",
        "retried_share",
        "in_time_share",
        "utilisation",
        "exposure",
    ):
        assert (metric(simulator, share) >= 0).all() and (metric(simulator, share) <= 1 + 1e-5).all(), share
    terms = dict(zip(TERMS, simulator.output.terms.T, strict=True))
    for term in ("latency", "unserved", "unverified", "exposure", "churn"):
        assert (terms[term] >= 0).all() and (terms[term] <= 1 + 1e-5).all(), term
    weighted = (simulator.output.terms * simulator.world.weights[simulator.state.world]).sum(axis=1)
    assert simulator.output.reward == pytest.approx(-weighted, rel=1e-4)
    assert (metric(simulator, "n_eff") <= simulator.sizes["N"] * (1 + 1e-4)).all()
