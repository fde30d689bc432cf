"""How fast a model runs on a kind of GPU: GPUs of a replica, speeds of prefill and decode, and times without waiting."""

from __future__ import annotations

import math
from typing import NamedTuple

from og_env.scenario.specs import GpuSpec, ModelSpec

DECODE_EFFICIENCY = 0.77
"""share of the memory bandwidth that decoding one stream reaches; attention, activations and launches take the rest"""
OVERHEAD_S = 0.1
"""time before the first token beside that of reading the input: scheduling, tokenisation, the start of the stream"""
TFLOPS_PER_GB_PER_S = 0.2
"""peak over memory bandwidth of a GPU that gives no peak: about the median of the catalogue's (0.08 to 0.42)"""
GB_PER_BILLION = 2.0
"""size of a billion parameters of 16 bits"""


class AnswerTimes(NamedTuple):
    """Mean times of a request at a replica, without paths and waiting."""

    prefill_s: float
    """until the first token"""
    service_s: float
    """until the last one"""
    timed_s: float
    """until the event that the objective is about"""
    proof_s: float
    """from the answer to its proof"""
    busy_s: float
    """that a request holds one of the replica's streams when all of them are in use"""


def gpus_per_replica(model: ModelSpec, gpu: GpuSpec) -> int:
    """Fewest GPUs of this kind whose memory holds one replica. ValueError if the kind has no memory."""
    if gpu.memory_gb == 0:
        raise ValueError(f"{gpu.name} has no memory for {model.name}")
    return max(1, math.ceil(model.memory_gb / gpu.memory_gb - 1e-9))


def tokens_per_s(model: ModelSpec, gpu: GpuSpec, gpu_count: int = 1) -> float:
    """Decode speed of one stream of a replica that spans `gpu_count` GPUs in tensor parallel.

    The speed that the model itself names for the kind and a whole replica, or
    0.77 x gpu_count x bandwidth_gb_per_s / active weights in GB: each token reads the active weights once, shared by
    the GPUs. Communication between them is left out, so the figure is an upper bound beyond one machine.
    """
    if gpu.name in model.tokens_per_s:
        return model.tokens_per_s[gpu.name]
    return DECODE_EFFICIENCY * gpu_count * gpu.bandwidth_gb_per_s / _active_weights_gb(model)


def prefill_tokens_per_s(model: ModelSpec, gpu: GpuSpec, gpu_count: int = 1) -> float:
    """Speed at which a replica that spans `gpu_count` GPUs reads the input of one request.

    The speed that the model itself names for the kind and a whole replica, or
    gpu_count x prefill_share x tflops / (2 x active parameters): a token takes a multiplication and an addition with
    each of them. The peak is that of 16 bits, whatever the weights have: with 8 bits it is a lower bound. Infinite for a
    GPU with neither peak nor bandwidth: then reading takes no time beside OVERHEAD_S.
    """
    if gpu.name in model.prefill_tokens_per_s:
        return model.prefill_tokens_per_s[gpu.name]
    tflops = TFLOPS_PER_GB_PER_S * gpu.bandwidth_gb_per_s if gpu.tflops is None else gpu.tflops
    active_b = model.active_parameters_b or _active_weights_gb(model) / GB_PER_BILLION
    return gpu_count * gpu.prefill_share * tflops * 1000 / (2 * active_b) if tflops > 0 else math.inf


def answer_times(model: ModelSpec, gpu: GpuSpec, gpu_count: int = 1) -> AnswerTimes:
    """Mean times of a request at a replica that spans `gpu_count` GPUs, while nothing else slows it.

    A replica works on the answers of all its streams at once, but reads `parallel_prefills` inputs at a time: its streams
    cannot turn over faster than it reads their inputs.
    """
    reading_s = model.input_tokens / prefill_tokens_per_s(model, gpu, gpu_count)
    prefill_s = OVERHEAD_S + reading_s
    service_s = prefill_s + model.output_tokens / tokens_per_s(model, gpu, gpu_count)
    proof_s = service_s * (model.proof_multiplier - 1) if model.verification == "zkml" else 0.0
    first_s = prefill_s if model.streamed else service_s
    timed_s = first_s if model.slo_clock == "first_token" else service_s
    busy_s = max(service_s + proof_s, model.streams / model.parallel_prefills * reading_s)
    return AnswerTimes(first_s, service_s, timed_s, proof_s, busy_s)


def _active_weights_gb(model: ModelSpec) -> float:
    return model.active_weights_gb or model.weights_gb
