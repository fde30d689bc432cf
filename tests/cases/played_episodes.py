"""Environments of every kind in the middle of an episode, and what they give when they are played on by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv

SHORT = {"episode.steps": 12}
BEFORE, AFTER = 5, 20
"""steps before a copy is made, and after it: beyond the end of an episode"""


def short(name: str) -> Any:
    return loading.override(loading.load(name), SHORT)


def threaded() -> NetworkVectorEnv:
    env = NetworkVectorEnv(5, scenario=short("toy-3"), threads=2)
    env.simulator.threaded_cells = 0
    return env


def sb3() -> Any:
    from og_agents.sb3_adapter import make_sb3

    return make_sb3("placement", 3, scenario=short("toy-3"), flatten=True)


def wrapped() -> gym.Env[Any, Any]:
    return gym.wrappers.RecordEpisodeStatistics(gym.make("og_env/Joint-v1", scenario=short("toy-3"), flatten=True))


def wrapped_batch() -> Any:
    env = gym.make_vec("og_env/Placement-v1", 3, vectorization_mode="vector_entry_point", scenario=short("toy-3"))
    return gym.wrappers.vector.RecordEpisodeStatistics(env)


MAKE: dict[str, Callable[[], Any]] = {
    "placement": lambda: NetworkEnv(scenario=short("toy-3")),
    "operations": lambda: NetworkEnv(scenario=short("toy-3"), interface="operations", flatten=True),
    "routing": lambda: NetworkEnv("routing", short("toy-3")),
    "joint": lambda: NetworkEnv("joint", short("toy-3"), steering="sites", reward="vector"),
    "random": lambda: NetworkEnv(scenario=short("random-24"), proposals=4),
    "hidden": lambda: NetworkEnv(scenario=short("hidden-facility")),
    "wrapped": wrapped,
    "vector": threaded,
    "random vector": lambda: NetworkVectorEnv(2, "joint", short("random-24"), flatten=True),
    "wrapped vector": wrapped_batch,
    "sb3": sb3,
}
"""how every kind of environment is made"""
SINGLE = ("placement", "operations", "routing", "joint", "random", "hidden", "wrapped")


def begun(kind: str, seed: int = 3) -> Any:
    """An environment in the middle of an episode."""
    env = MAKE[kind]()
    if kind == "sb3":
        env.seed(seed)
        env.reset()
    else:
        env.reset(seed=seed)
    play(env, BEFORE, seed)
    return env


def play(env: Any, steps: int, seed: int) -> str:
    """Hash of all that some steps give, by actions that a seed draws; a single environment is reset where it ends."""
    generator, total = np.random.default_rng(seed), hashlib.sha256()
    for _ in range(steps):
        result = env.step(_action(env, generator))
        _add(total, result[:-1])
        if isinstance(env, gym.Env) and result[3]:
            _add(total, env.reset()[0])
    return total.hexdigest()


def play_both(first: Any, second: Any, steps: int, seeds: tuple[int, int]) -> list[str]:
    """As `play`, in two environments in turn; the hashes of either."""
    generators, totals = [np.random.default_rng(seed) for seed in seeds], ["", ""]
    for _ in range(steps):
        for place, env in enumerate((first, second)):
            totals[place] += play(env, 1, int(generators[place].integers(1 << 30)))
    return totals


def _action(env: Any, generator: np.random.Generator) -> Any:
    batch = () if isinstance(env, gym.Env) else (env.num_envs,)
    space = env.single_action_space if isinstance(env, gym.vector.VectorEnv) else env.action_space
    if isinstance(space, gym.spaces.Discrete):
        return generator.integers(space.n, size=batch or None)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return generator.integers(space.nvec, size=(*batch, *space.shape))
    shape: Any = space.shape
    return generator.uniform(-1, 1, (*batch, *shape)).astype(np.float32)


def _add(total: Any, value: Any) -> None:
    if isinstance(value, dict):
        for name in sorted(value):
            _add(total, value[name])
    elif isinstance(value, tuple | list):
        for each in value:
            _add(total, each)
    else:
        total.update(np.ascontiguousarray(value).data)


def send(connection: Any, env: Any) -> None:
    """Play an environment that came from another process, and send what it gives."""
    connection.send(play(env, AFTER, 1))
    connection.close()


def send_state(connection: Any, kind: str, state: Any) -> None:
    """Play on from a saved state in an environment that is made here."""
    env = MAKE[kind]()
    env.set_state(state)
    send(connection, env)
