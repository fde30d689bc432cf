"""Weights as safetensors, everything else as JSON; nothing pickled unless asked for.

A run folder holds policy.safetensors, policy.json (what the policy is and was made for), optimizer.safetensors and
config.json (settings, scenario, versions, commit).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from agents.policy import Policy
from og_env import IDS, config
from og_env.specs import ScenarioSpec
from og_env.vector_env import NetworkVectorEnv

FORMAT = 1
IRRELEVANT = ("name", "description")
"""parts of a scenario that a policy does not depend on"""


class LearnedPolicy:
    """A trained model behind `predict`; it asks for the environment that it was trained in."""

    def __init__(self, network: Any, meta: dict[str, Any], name: str) -> None:
        self.network, self.meta, self.name = network, meta, name
        self.env_kwargs: dict[str, Any] = meta["env_kwargs"]
        self.overrides: dict[str, Any] = {}
        self._masked = meta["task"] != "routing"

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[np.ndarray, Any]:
        """Actions for a batch of flat observations [B, O]."""
        extra = {"action_masks": action_masks} if self._masked else {}
        actions, _ = self.network.predict(observation, deterministic=deterministic, **extra)
        return actions, state


def write_atomically(path: Path, write: Any) -> None:
    """Write beside the target, then put it in its place, so that no half-written file is ever seen."""
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1) + "\n"
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def save(model: Any, folder: Path, meta: dict[str, Any], *, resumable: bool = True) -> None:
    """Weights, description and (to go on later) the optimizer's state."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().contiguous().clone() for name, value in model.policy.state_dict().items()}
    write_atomically(folder / "policy.safetensors", lambda part: save_file(weights, str(part)))
    if resumable:
        tensors = {}
        for index, values in model.policy.optimizer.state_dict()["state"].items():
            for name, value in values.items():
                tensors[f"{index}.{name}"] = torch.as_tensor(value).detach().contiguous().clone()
        tensors["timesteps"] = torch.tensor(model.num_timesteps)
        write_atomically(folder / "optimizer.safetensors", lambda part: save_file(tensors, str(part)))
    write_json(folder / "policy.json", meta | {"format": FORMAT})


def read_meta(folder: Path) -> dict[str, Any]:
    """policy.json of a run folder; ValueError in one line where there is none or it is damaged."""
    path = folder / "policy.json"
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of a trained model")
    if not path.is_file():
        pickled = sorted(folder.glob("*.zip"))
        hint = f" ({pickled[0].name} is pickled and is not loaded)" if pickled else ""
        raise ValueError(f"{folder}: not a trained model: policy.json is missing{hint}")
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    missing = {"format", "task", "scenario", "env_kwargs", "algorithm", "policy_kwargs"} - set(meta)
    if missing:
        raise ValueError(f"{path}: damaged: {', '.join(sorted(missing))} missing")
    if meta["format"] != FORMAT:
        raise ValueError(f"{path}: format {meta['format']}, this version reads {FORMAT}")
    return meta


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(str(path))
    except FileNotFoundError:
        raise ValueError(f"{path}: missing") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: damaged: {error}") from None


def load_weights(model: Any, folder: Path) -> None:
    """Put a folder's weights into a model of the same shape."""
    weights = read_tensors(folder / "policy.safetensors")
    try:
        model.policy.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise ValueError(f"{folder}: weights of another shape: {first}") from None


def load_optimizer(model: Any, folder: Path) -> int:
    """Put the optimizer's state back; returns the timesteps done."""
    tensors = read_tensors(folder / "optimizer.safetensors")
    timesteps = int(tensors.pop("timesteps"))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = model.policy.optimizer.state_dict()["param_groups"]
    model.policy.optimizer.load_state_dict({"state": state, "param_groups": groups})
    return timesteps


def same_world(trained: ScenarioSpec, asked: ScenarioSpec) -> bool:
    """Whether two scenarios have the same spaces and physics, whatever they are called; a random fleet's policy is
    good for any fleet of its sizes."""
    if trained.fleet == "random" or asked.fleet == "random":
        return len(trained.models) == len(asked.models)
    left, right = trained.model_dump(mode="json"), asked.model_dump(mode="json")
    return all(left[key] == right[key] for key in left if key not in IRRELEVANT)


def load(folder: str | Path, scenario: Any = None, allow_pickle: bool = False) -> Policy:
    """A trained policy. ValueError in one line for a missing or damaged folder or, with `scenario`, another world.

    A pickled .zip of SB3 is only ever loaded with allow_pickle=True, since loading it runs code."""
    from agents import ppo

    path = Path(folder)
    if path.suffix == ".zip":
        if not allow_pickle:
            raise ValueError(f"{path}: pickled models run code when loaded; pass allow_pickle=True if you trust it")
        from sb3_contrib import MaskablePPO

        network = MaskablePPO.load(path)
        return LearnedPolicy(network, {"env_kwargs": {"flatten": True}, "task": "placement"}, path.stem)
    meta = read_meta(path)
    trained = config.load(meta["scenario"])
    if scenario is not None and not same_world(trained, config.load(scenario)):
        asked = config.load(scenario).name
        raise ValueError(f"{path}: trained on scenario {trained.name!r}, which differs from {asked!r}")
    env = NetworkVectorEnv(1, meta["task"], trained, threads=1, **meta["env_kwargs"])
    model = ppo.build(env, meta, seed=0)
    load_weights(model, path)
    model.policy.set_training_mode(False)
    return LearnedPolicy(model.policy, meta, path.resolve().name)


def environment_id(meta: dict[str, Any]) -> str:
    return IDS[meta["task"]]
