"""Prefill speeds agree with measured first tokens, and times of answers add up."""

from __future__ import annotations

import math
from typing import Any

import pytest

from og_env.scenario import catalog
from og_env.scenario.specs import GpuSpec, ModelSpec

# Time to the first token of a prompt, alone on the GPUs, as measured (milliseconds).
MEASURED: list[tuple[str, str, int, int, float]] = [
    ("llama-3.1-8b-bf16", "H100", 1, 4000, 114),  # aiconfigurator 0.12.0, vLLM
    ("llama-3.1-8b-bf16", "H200", 1, 4000, 116),
    ("llama-3.1-8b-bf16", "A100-80GB", 1, 4000, 278),
    ("llama-3.1-8b-bf16", "L40S", 1, 4000, 331),
    ("llama-3.1-8b-bf16", "B200", 1, 4000, 70),
    ("llama-3.1-70b-fp8", "H100", 4, 4000, 280),
    ("llama-3.1-70b-bf16", "A100-80GB", 4, 4000, 715),
    ("gpt-oss-120b-mxfp4", "H100", 1, 4000, 142),
    ("llama-3.1-8b-bf16", "H100", 1, 1024, 34),  # Qwen3-8B, silybench-data@93e4887, p95
    ("llama-3.1-8b-bf16", "H100", 1, 8192, 254),
    ("llama-3.1-8b-int4", "RTX-4090", 1, 4096, 778),  # GPU-Benchmarks-on-LLM-Inference@00dd2bd, llama.cpp
    ("llama-3.1-70b-int4", "RTX-4090", 2, 1000, 1100),
]


@pytest.mark.parametrize(("model", "gpu", "gpu_count", "tokens", "measured_ms"), MEASURED)
def test_prefill_is_within_a_quarter_of_what_was_measured(
    model: str, gpu: str, gpu_count: int, tokens: int, measured_ms: float
) -> None:
    speed = catalog.prefill_tokens_per_s(catalog.models()[model], catalog.gpus()[gpu], gpu_count)
    assert 1000 * tokens / speed == pytest.approx(measured_ms, rel=0.25)


def test_prefill_follows_peak_share_active_parameters_and_gpu_count() -> None:
    gpu = GpuSpec(name="g", memory_gb=10.0, bandwidth_gb_per_s=1000.0, tflops=100.0, prefill_share=0.4, usd_per_hour={})
    model = ModelSpec(name="m", weights_gb=4.0, memory_gb=5.0)  # 2 billion parameters of 16 bits
    assert catalog.prefill_tokens_per_s(model, gpu) == pytest.approx(0.4 * 100e12 / (2 * 2e9))
    assert catalog.prefill_tokens_per_s(model, gpu, 3) == pytest.approx(30_000)
    quantised = model.model_copy(update={"active_parameters_b": 8.0})
    assert catalog.prefill_tokens_per_s(quantised, gpu) == pytest.approx(2_500)
    sparse = model.model_copy(update={"active_weights_gb": 1.0})
    assert catalog.prefill_tokens_per_s(sparse, gpu) == pytest.approx(40_000)
    told = model.model_copy(update={"prefill_tokens_per_s": {"g": 50.0}})
    assert catalog.prefill_tokens_per_s(told, gpu, 4) == 50.0
    unknown = gpu.model_copy(update={"tflops": None})
    assert catalog.prefill_tokens_per_s(model, unknown) == pytest.approx(0.4 * 200e12 / 4e9)
    assert catalog.prefill_tokens_per_s(model, unknown.model_copy(update={"bandwidth_gb_per_s": 0.0})) == math.inf


def test_an_answer_is_prefill_and_decode_and_the_clock_stops_where_it_is_told_to() -> None:
    gpu = GpuSpec(name="g", memory_gb=10.0, bandwidth_gb_per_s=1000.0, usd_per_hour={})
    speeds: dict[str, Any] = {"tokens_per_s": {"g": 50.0}, "prefill_tokens_per_s": {"g": 2000.0}}
    model = ModelSpec(name="m", weights_gb=4.0, memory_gb=5.0, input_tokens=1000.0, output_tokens=100.0, **speeds)
    assert catalog.answer_times(model, gpu) == pytest.approx((0.6, 2.6, 0.6, 0, 8))
    assert catalog.answer_times(model.model_copy(update={"slo_clock": "answer"}), gpu).timed_s == pytest.approx(2.6)
    whole = model.model_copy(update={"streamed": False})
    assert catalog.answer_times(whole, gpu)[:3] == pytest.approx((2.6, 2.6, 2.6)), "the first token is the last"


def test_streams_turn_over_no_faster_than_their_inputs_are_read() -> None:
    gpu = GpuSpec(name="g", memory_gb=10.0, bandwidth_gb_per_s=1000.0, usd_per_hour={})
    speeds: dict[str, Any] = {"tokens_per_s": {"g": 50.0}, "prefill_tokens_per_s": {"g": 2000.0}}
    model = ModelSpec(name="m", weights_gb=4.0, memory_gb=5.0, input_tokens=1000.0, output_tokens=100.0, **speeds)
    for streams, together, busy_s in ((5, 1, 2.6), (6, 1, 3.0), (16, 1, 8.0), (16, 4, 2.6), (16, 16, 2.6)):
        changed = model.model_copy(update={"streams": streams, "parallel_prefills": together})
        assert catalog.answer_times(changed, gpu).busy_s == pytest.approx(busy_s)
    proven = model.model_copy(update={"verification": "zkml", "proof_multiplier": 10.0, "streams": 16})
    assert catalog.answer_times(proven, gpu)[3:] == pytest.approx((2.6 * 9, 26.0))


def test_objectives_and_clocks_of_the_catalogue() -> None:
    models = catalog.models()
    objectives = {
        "llama-3.1-8b-bf16": (0.5, "first_token"),
        "llama-3.1-70b-int4": (1.0, "first_token"),
        "gpt-oss-120b-mxfp4": (2.0, "first_token"),
        "llama-3.1-405b-fp8": (4.5, "first_token"),
        "sdxl-fp16": (10.0, "answer"),
        "whisper-large-v3-fp16": (1.0, "answer"),
    }
    assert {name: (models[name].slo_s, models[name].slo_clock) for name in objectives} == objectives
    assert {name for name, model in models.items() if not model.streamed} == {
        "sdxl-fp16", "flux.1-dev-bf16", "whisper-large-v3-fp16", "onnx-risk-zkml",
    }  # fmt: skip
    for name, model in models.items():
        reachable = [
            catalog.answer_times(model, gpu, catalog.gpus_per_replica(model, gpu)).timed_s
            for gpu in catalog.gpus().values()
        ]
        assert min(reachable) < model.slo_s, f"no GPU meets the objective of {name}"


def test_peaks_fit_the_parameters_of_models() -> None:
    assert {name: gpu.prefill_share for name, gpu in catalog.gpus().items() if gpu.prefill_share != 0.5} == {
        "L40S": 0.53, "A100-40GB": 0.74, "A100-80GB": 0.74, "H100": 0.57, "GH200": 0.57, "H200": 0.57, "B200": 0.4,
        "MI300X": 0.37,
    }  # fmt: skip
    for gpu in catalog.gpus().values():
        assert gpu.tflops is not None
        assert 0.01 <= gpu.tflops / gpu.bandwidth_gb_per_s <= 0.5, gpu.name
    for name, model in catalog.models().items():
        if name.endswith(("-bf16", "-fp16")) and model.active_parameters_b and name != "whisper-large-v3-fp16":
            active_gb = model.active_weights_gb or model.weights_gb
            assert model.active_parameters_b == pytest.approx(active_gb / 2, rel=0.03), name
