"""resume.safetensors: all that the next update of a run depends on, so that a run that was stopped goes on bit for bit.

A state is a flat dict of tensors, NumPy arrays and plain values: weights, optimizer, generators, environments, and what
the learner keeps. It is one file, which is replaced in one move, and nothing in it is pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file

from og_agents.learning.checkpoint import WEIGHTS as WEIGHTS_FILE
from og_agents.learning.checkpoint import plain_tensors, put_weights, read_tensors, write_whole

RESUME = "resume.safetensors"
FORMAT = 4
"""counts up when earlier states cannot be gone on with any more"""
WEIGHTS, OPTIMIZER, LEGACY, TORCH = "policy.", "optimizer.", "numpy_generator", "torch_generator"
"""names, or their beginnings, of what a state holds"""
RUNNERS = "env_runners"
"""name in a state of the number of RLlib's env runners; a run of another engine has none"""

State = dict[str, Any]


class Progress(NamedTuple):
    """The progress of a run that can go on."""

    timesteps: int
    """environment steps so far, or of rpi states"""
    elapsed_s: float
    best: float
    """mean validation return of the checkpoint that is kept"""
    due: float
    """share of the run from which on the next validation is due"""
    rows: int
    """rows of metrics.csv so far"""
    meta: dict[str, Any]
    """description of the policy, as in policy.json"""


def learned(policy: Any, optimizer: torch.optim.Optimizer) -> State:
    """The weights of a policy, and its optimizer."""
    slots = {
        f"{index}.{name}": torch.as_tensor(value)
        for index, row in optimizer.state_dict()["state"].items()
        for name, value in row.items()
    }
    return {**plain_tensors(policy.state_dict(), WEIGHTS), **plain_tensors(slots, OPTIMIZER)}


def put_learned(policy: Any, optimizer: torch.optim.Optimizer, state: State, where: Path) -> None:
    """Put weights and optimizer into those of a run with the same settings; ValueError in one line where they do not fit."""
    put_weights(policy, part_of(state, WEIGHTS), where)
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in part_of(state, OPTIMIZER).items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def part_of(state: Mapping[str, Any], prefix: str) -> State:
    """The entries of a state whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def generators() -> State:
    """The generators of NumPy and PyTorch that everything in the process shares."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - Stable-Baselines3 draws from it
    return {f"{LEGACY}.keys": keys, LEGACY: [kind, *rest], TORCH: torch.get_rng_state().numpy()}


def put_generators(state: State) -> None:
    """Put the shared generators of NumPy and PyTorch where they were."""
    kind, *rest = state[LEGACY]
    np.random.set_state((kind, state[f"{LEGACY}.keys"], *rest))  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(state[TORCH]))


def save(folder: Path, progress: Progress, state: State) -> None:
    """Write resume.safetensors, with which a run can go on."""
    tensors = {name: value.cpu() for name, value in state.items() if isinstance(value, torch.Tensor)}
    arrays = {name: np.ascontiguousarray(value) for name, value in state.items() if isinstance(value, np.ndarray)}
    layouts = {name: [value.dtype.str, state[name].shape] for name, value in arrays.items()}
    values = {name: value for name, value in state.items() if name not in tensors and name not in arrays}
    stored = {**tensors, **{name: torch.from_numpy(_bytes_of(array)) for name, array in arrays.items()}}
    header = {
        "format": str(FORMAT),
        "progress": json.dumps(progress._asdict()),
        "arrays": json.dumps(layouts),
        "values": json.dumps(values),
    }
    header["checksum"] = _checksum(header, stored)
    write_whole(folder / RESUME, lambda part: save_file(stored, str(part), header))


def read(folder: Path) -> tuple[State, Progress]:
    """State and progress that `save` wrote; ValueError in one line where they are missing, damaged or of another version."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such run folder")
    path = folder / RESUME
    if not path.is_file():
        begin = f"; --start {folder} begins anew with its policy" if (folder / WEIGHTS_FILE).is_file() else ""
        raise ValueError(f"{path}: missing, so nothing can go on{begin}")
    tensors, header = read_tensors(path)
    state: State = dict(tensors)
    if header.get("format", "1") != str(FORMAT):
        raise ValueError(
            f"{path}: format {header.get('format', '1')}, and this version reads {FORMAT}: begin anew from its policy "
            f"with --start {folder}"
        )
    if header.get("checksum") != _checksum({name: header[name] for name in header if name != "checksum"}, tensors):
        raise ValueError(f"{path}: damaged: its checksum is another one")
    try:
        for name, (kind, shape) in json.loads(header["arrays"]).items():
            state[name] = np.frombuffer(state[name].numpy().tobytes(), np.dtype(kind)).reshape(shape).copy()
        return {**state, **json.loads(header["values"])}, Progress(**json.loads(header["progress"]))
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: damaged: no progress in its header") from None


def _bytes_of(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(array.tobytes(), np.uint8).copy()


def _checksum(header: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """Of all that a file holds: states that were altered could make kernels read beyond their arrays."""
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(np.ascontiguousarray(tensors[name].numpy()).reshape(-1).view(np.uint8).data)
    return total.hexdigest()
