"""Fuzzed folders of trained policies: a card of JSON and weights as safetensors."""

from __future__ import annotations

import copy
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from og_agents.learning import checkpoint
from og_agents.learning.networks import policy_class
from og_agents.learning.policy_compatibility import spaces_of
from og_env.env import NetworkEnv
from og_env.scenario import loading
from tests.cases.fuzzing.states import changed
from tests.cases.fuzzing.text import damaged
from tests.cases.fuzzing.values import HUGE

NUMBERS = (0.0, 1e38, -1e38, 3e38, 1e300, float("inf"), float("nan"))


@functools.cache
def original() -> Path:
    """A folder with a small policy, made once."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-policy-"))
    env = NetworkEnv("placement", "toy-3", flatten=True)
    kwargs: dict[str, Any] = {"net_arch": [8]}
    policy = policy_class("mlp", masked=True)(*spaces_of(env), lambda _: 0.0, **kwargs)
    meta = {
        "task": "placement",
        "scenario": loading.load("toy-3").model_dump(mode="json"),
        "env_kwargs": {"flatten": True},
        "policy": "mlp",
        "policy_kwargs": kwargs,
    }
    env.close()
    return checkpoint.save(policy, folder, meta)


def case(seed: int) -> None:
    """Load a fuzzed policy, and let it act where that works."""
    rng = np.random.default_rng(seed)
    bad = float(rng.choice([0.0, 0.05, 0.4]))
    folder = Path(tempfile.mkdtemp(prefix="fuzz-")) / "policy"
    try:
        shutil.copytree(original(), folder)
        card = json.loads((folder / checkpoint.CARD).read_text(encoding="utf-8"))
        if rng.random() < 0.6:
            card = changed(rng, copy.deepcopy(card), 0.02, bad)
            numbers = [value for value in HUGE if isinstance(value, int)] + [0, -1, 1e9, 4096, 10**5]
            if rng.random() < 0.5:
                odd = numbers[rng.integers(len(numbers))]
                key, value = (("policy_kwargs", {"net_arch": [odd, odd]}), ("observation_space", {"box": [odd]}))[
                    rng.integers(2)
                ]
                card[key] = value
        (folder / checkpoint.CARD).write_bytes(damaged(rng, json.dumps(card).encode(), bad / 3))
        _damage_weights(rng, folder / checkpoint.WEIGHTS, bad)
        act(rng, folder)
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)


def _damage_weights(rng: np.random.Generator, path: Path, bad: float) -> None:
    draw = rng.random()
    if draw < 0.5:
        weights = load_file(path)
        name = list(weights)[rng.integers(len(weights))]
        wide = weights[name].to(torch.float64 if rng.random() < 0.7 else torch.float32)
        number = NUMBERS[rng.integers(len(NUMBERS))]
        wide.flatten()[0] = number if wide.dtype is torch.float64 else float(np.clip(number, -3e38, 3e38))
        save_file(weights | {name: wide}, path)
    elif draw < 0.7:
        path.write_bytes(damaged(rng, path.read_bytes(), bad))
    elif draw < 0.75:
        path.unlink()


def act(rng: np.random.Generator, folder: Path) -> None:
    """Load a policy and ask it for an action."""
    env = NetworkEnv("placement", "toy-3", flatten=True)
    try:
        policy = checkpoint.load(folder, env, "toy-3" if rng.random() < 0.7 else None)
        broken = [name for name, value in policy.network.state_dict().items() if not torch.isfinite(value).all()]
        assert not broken, f"weights not finite: {broken}"
        observation, info = env.reset(seed=0)
        action, _ = policy.predict(observation, action_masks=info["action_mask"].astype(bool), deterministic=True)
        assert env.action_space.contains(np.int64(np.asarray(action).item())), f"action {action}"
    finally:
        env.close()


def warm() -> None:
    """Make the policy."""
    act(np.random.default_rng(0), original())
