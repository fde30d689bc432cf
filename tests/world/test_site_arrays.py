"""Speeds, prices and roles of sites, worked out on paper for toy-3."""

from __future__ import annotations

import math

import numpy as np
import pytest

from og_env.kernel.arrays import VERIFIER
from og_env.scenario import loading
from og_env.scenario.catalog import prefill_tokens_per_s
from og_env.world import compile_world
from tests.cases.compiled_worlds import compiled, running, toy


def test_toy_speeds_and_prices() -> None:
    arrays = compiled().arrays
    assert arrays.replica_gpus[0, 0].tolist() == [1, 1, 1]
    assert np.allclose(arrays.service_s[0, 0], 0.5)
    assert np.allclose(arrays.busy_s[0, 0], 0.5)
    assert np.allclose(arrays.capacity_rps[0, 0], 10)
    assert arrays.load_ms[0, 0].tolist() == [20_000] * 3
    assert (arrays.weights_mb[0, 0], arrays.weights_gb[0, 0]) == (10_000, 10)
    assert arrays.link_mb_per_s[0].tolist() == [1000] * 3
    assert (arrays.store_mb_per_s[0], arrays.store_streams[0]) == (1000, 1)
    assert arrays.queue_exponent[0, 0] == pytest.approx(1 + 1.17 * (math.sqrt(5) - 1))
    assert (arrays.queue_factor[0], arrays.service_cv[0]) == (1, 1)
    assert (arrays.verification[0, 0], arrays.tee[0].tolist()) == (1, [1, 1, 1])
    assert arrays.budget_usd_per_hour[0] == 4
    assert arrays.storage_usd_per_gb_hour[0] == pytest.approx(0.023 / 730)
    assert (arrays.step_ms[0], arrays.detect_ms[0], arrays.provision_ms[0]) == (60_000, 60_000, 120_000)
    assert arrays.timeout_ms[0] == 2000
    assert np.allclose(arrays.weights[0], [0.25, 0.25, 1, 0.25, 0.25, 0.01])
    assert np.allclose(arrays.knobs[0], [40, 0.1, 2, 0.5, 0.1])
    assert arrays.attack_budget[0] == 0


def test_speed_scales_with_the_gpus_of_a_replica() -> None:
    world = compiled("global-24")
    for m, model in enumerate(world.resolved.models):
        for s, site in enumerate(world.resolved.sites):
            gpu = world.resolved.gpus[site.gpu]
            need = math.ceil(model.memory_gb / gpu.memory_gb)
            if need > site.gpu_count:
                assert world.arrays.replica_gpus[0, m, s] == world.arrays.capacity_rps[0, m, s] == 0
                continue
            speed = 0.77 * need * gpu.bandwidth_gb_per_s / (model.active_weights_gb or model.weights_gb)
            answer_s = model.output_tokens / speed + 0.1 + model.input_tokens / prefill_tokens_per_s(model, gpu, need)
            assert world.arrays.replica_gpus[0, m, s] == need
            assert world.arrays.service_s[0, m, s] == pytest.approx(answer_s, rel=1e-5)
            assert world.arrays.capacity_rps[0, m, s] == pytest.approx(model.streams / answer_s, rel=1e-5)


def test_a_proof_holds_the_stream_only_where_one_is_asked_for() -> None:
    for verification, busy_s in (("zkml", 2.0), ("none", 0.5), ("tee", 0.5)):
        tables = loading.load("toy-3").model_dump()
        tables["models"] = ({**tables["models"][0], "verification": verification, "proof_multiplier": 4.0},)
        arrays = compile_world(loading.resolve(loading.load(tables))).arrays
        assert np.allclose(arrays.busy_s[0, 0], busy_s)
        assert np.allclose(arrays.service_s[0, 0], 0.5)
        assert np.allclose(arrays.capacity_rps[0, 0], 5 / busy_s)


def test_a_site_without_gpus_holds_only_roles() -> None:
    world = toy({"b": {"gpu": "", "gpu_count": 0}}, {})
    assert world.arrays.replica_gpus[0, 0].tolist() == [1, 0, 1]
    assert world.arrays.capacity_rps[0, 0, 1] == world.arrays.load_ms[0, 0, 1] == 0
    assert "b" in running(world, VERIFIER)
