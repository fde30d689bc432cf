"""Where a network learns: on the processor, or on a GPU.

Policies of rollout policy iteration and of PPO on branches always play on the processor, for a step asks for some dozens
of rows and a small network answers before a GPU has been told. What `--device cuda` moves is the learning from them. A
plain PPO of Stable-Baselines3 plays on its device as well. Validation is on the processor everywhere.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from og_agents.learning.train_settings import Device

CPU = "cpu"


def chosen(device: Device) -> str:
    """The device of a word; `auto` is the processor, whose numbers are equal on every machine.

    ValueError in one line for a GPU where PyTorch finds none.
    """
    if device == "auto":
        return CPU
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device cuda: PyTorch {torch.__version__} finds no GPU of CUDA here; take cpu or auto")
    return device


def of(policy: Any) -> torch.device:
    """The device that holds a policy's parameters."""
    return next(policy.parameters()).device


def on_processor(policy: Any) -> Any:
    """A policy as it plays on the processor: itself where it is there, else a copy."""
    return policy if of(policy).type == CPU else copy.deepcopy(policy).to(CPU)
