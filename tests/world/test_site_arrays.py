"""Speeds, prices and roles of sites, worked out on paper for toy-3."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from og_env.kernel.arrays import VERIFIER
from og_env.scenario import loading
from og_env.world import compile_world
from tests.cases.compiled_worlds import compiled, running, toy


def test_toy_speeds_and_prices() -> None:
    arrays = compiled().arrays
    assert arrays.replica_gpus[0, 0].tolist() == [1, 1, 1]
    assert np.allclose(arrays.prefill_s[0, 0], 0.2)
    assert np.allclose(arrays.service_s[0, 0], 0.5)
    assert np.allclose(arrays.timed_s[0, 0], 0.5)
    assert np.allclose(arrays.queue_s[0, 0], 0.5 / 5)  # 5 streams, both coefficients of variation 1
    assert np.allclose(arrays.capacity_rps[0, 0], 10)
    assert arrays.load_ms[0, 0].tolist() == [20_000] * 3
    assert (arrays.weights_mb[0, 0], arrays.weights_gb[0, 0]) == (10_000, 10)
    assert arrays.link_mb_per_s[0].tolist() == [1000] * 3
    assert (arrays.store_mb_per_s[0], arrays.store_streams[0]) == (1000, 1)
    assert arrays.queue_exponent[0, 0] == pytest.approx(1 + 1.17 * (math.sqrt(5) - 1))
    assert (arrays.arrivals_part[0], arrays.service_cv[0]) == (0.5, 1)
    assert (arrays.verification[0, 0], arrays.tee[0].tolist()) == (1, [1, 1, 1])
    assert arrays.budget_usd_per_hour[0] == 4
    assert arrays.storage_usd_per_gb_hour[0] == pytest.approx(0.023 / 730)
    assert (arrays.step_ms[0], arrays.detect_ms[0], arrays.provision_ms[0]) == (60_000, 60_000, 120_000)
    assert arrays.timeout_ms[0] == 2000
    assert arrays.usd_per_gpu_hour[0].tolist() == [1, 2, 1]
    assert not arrays.use_usd.any()
    assert np.allclose(arrays.answer_usd[0, 0], 1e-5 * 0.1, rtol=1e-6, atol=0)
    assert (arrays.round_trips[0], arrays.round_trips2[0], arrays.tries[0], arrays.loses_answers[0]) == (1, 1, 2, 1)
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
            peak = need * gpu.prefill_share * (gpu.tflops or 0.0) * 1e12
            active = 1e9 * (model.active_parameters_b or (model.active_weights_gb or model.weights_gb) / 2)
            prefill_s = model.input_tokens / (peak / (2 * active)) + 0.1
            answer_s = model.output_tokens / speed + prefill_s
            busy_s = max(answer_s, model.streams * (prefill_s - 0.1))
            first_s = prefill_s if model.streamed else answer_s
            assert world.arrays.prefill_s[0, m, s] == pytest.approx(first_s, rel=1e-5)
            assert world.arrays.timed_s[0, m, s] == world.arrays.prefill_s[0, m, s]
            assert world.arrays.replica_gpus[0, m, s] == need
            assert world.arrays.service_s[0, m, s] == pytest.approx(answer_s, rel=1e-5)
            assert world.arrays.capacity_rps[0, m, s] == pytest.approx(model.streams / busy_s, rel=1e-5)


def test_a_proof_holds_the_stream_only_where_one_is_asked_for() -> None:
    for verification, busy_s in (("zkml", 2.0), ("none", 0.5), ("tee", 0.5)):
        tables = loading.load("toy-3").model_dump()
        tables["models"] = ({**tables["models"][0], "verification": verification, "proof_multiplier": 4.0},)
        arrays = compile_world(loading.resolve(loading.load(tables))).arrays
        assert np.allclose(arrays.queue_s[0, 0], busy_s / 5)
        assert np.allclose(arrays.service_s[0, 0], 0.5)
        assert np.allclose(arrays.capacity_rps[0, 0], 5 / busy_s)


def test_a_site_without_gpus_holds_only_roles() -> None:
    world = toy({"b": {"gpu": "", "gpu_count": 0}}, {})
    assert world.arrays.replica_gpus[0, 0].tolist() == [1, 0, 1]
    assert world.arrays.capacity_rps[0, 0, 1] == world.arrays.load_ms[0, 0, 1] == 0
    assert "b" in running(world, VERIFIER)


def test_the_clock_of_the_objective_chooses_what_is_timed() -> None:
    for clock, timed_s in (("first_token", 0.2), ("answer", 0.5)):
        tables = loading.load("toy-3").model_dump()
        tables["models"] = ({**tables["models"][0], "slo_clock": clock, "slo_s": 0.25},)
        arrays = compile_world(loading.resolve(loading.load(tables))).arrays
        assert np.allclose(arrays.timed_s[0, 0], timed_s)
        assert arrays.slo_s[0, 0] == 0.25


def test_a_gpu_costs_a_share_while_held_and_more_while_used() -> None:
    world = toy({"c": {"use_usd_per_gpu_hour": 9.0}}, {"prices": {"rent_share": 0.65, "use_share": 0.75}})
    arrays = world.arrays
    assert np.allclose(arrays.usd_per_gpu_hour[0], [0.65, 1.3, 0.65])
    # an answer holds one of 5 streams for 0.5 s: 0.1 s of a GPU
    use_usd = np.array([0.75, 1.5, 9.0]) * 0.1 / 3600
    assert np.allclose(arrays.use_usd[0, 0], use_usd, rtol=1e-6, atol=0)
    assert np.allclose(arrays.answer_usd[0, 0], use_usd + 1e-5 * 0.1, rtol=1e-6, atol=0)
    full_usd_per_hour = arrays.usd_per_gpu_hour[0] + 3600 * arrays.capacity_rps[0, 0] * arrays.use_usd[0, 0]
    assert np.allclose(full_usd_per_hour, [1.4, 2.8, 9.65]), "a GPU in full use costs 1.4 times its on-demand price"
    assert arrays.budget_usd_per_hour[0] == 4, "the budget stays at on-demand prices"


def test_use_is_priced_by_gpus_and_by_the_time_of_a_proof() -> None:
    tables = loading.load("toy-3").model_dump()
    tables["models"] = ({**tables["models"][0], "memory_gb": 20.0, "verification": "zkml", "proof_multiplier": 4.0},)
    tables["sites"] = tuple(site | {"gpu_count": 2 if site["name"] == "a" else 1} for site in tables["sites"])
    tables["prices"] = {"use_share": 1.0}
    arrays = compile_world(loading.resolve(loading.load(tables))).arrays
    assert arrays.use_usd[0, 0] == pytest.approx([2 * 1.0 * 2.0 / 5 / 3600, 0, 0], rel=1e-6)
    assert arrays.answer_usd[0, 0, 1:].tolist() == [0, 0], "no answer comes from where the model does not fit"
    assert arrays.prefill_s[0, 0, 1:].tolist() == arrays.timed_s[0, 0, 1:].tolist() == [0, 0]


def test_disks_have_tiers_and_engines_start_from_snapshots() -> None:
    def load_ms(changes: dict[str, Any] | None = None, **site: Any) -> float:
        return float(toy({"a": site}, changes or {}).arrays.load_ms[0, 0, 0])

    assert load_ms() == 20_000  # 10 GB at 1 GB/s, and 10 s of engine start
    tiers = {"network": 0.3, "sata": 1.0, "nvme": 2.0, "nvme-raid": 4.0}
    for disk, speed in tiers.items():
        assert load_ms(disk=disk) == pytest.approx(10_000 / speed + 10_000, abs=1)
    assert load_ms(snapshots=True) == 10_000 + 0.18 * 10_000
    models = [{**model, "snapshot_start_s": 0.5} for model in loading.load("toy-3").model_dump()["models"]]
    assert load_ms({"models": models}, snapshots=True) == 10_500


def test_weights_come_from_no_peer_unless_the_network_says_so() -> None:
    assert compiled().arrays.peer_mb_per_s[0] == 0
    assert compiled(network__peer_gb_per_s=9.0).arrays.peer_mb_per_s[0] == 9000
