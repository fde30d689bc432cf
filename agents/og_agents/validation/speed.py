"""How fast the environment steps: every figure from interleaved repetitions in one process, as medians.

Actions are drawn uniformly from the whole action space, with a fixed seed, impossible ones included. An episode of the
vector environment ends within each of its repetitions, so drawing the next tapes counts.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from og_env.dynamics.reference import step as oracle_step
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.scenario.specs import SampledSites, ScenarioSpec
from og_env.simulator import Interface
from og_env.vector_env import NetworkVectorEnv

FIRST_STEP = """
import time
begin = time.perf_counter()
import og_env
import gymnasium
env = gymnasium.make("og_env/Placement-v1", scenario="global-24", interface="operations")
env.reset(seed=0)
env.step(0)
print(time.perf_counter() - begin)
"""


class Case(NamedTuple):
    """One thing to time: `run` takes `steps` environment steps."""

    name: str
    run: Callable[[], Any]
    steps: int


def time_cases(cases: list[Case], repetitions: int) -> dict[str, float]:
    """Median seconds per environment step by name; the cases take turns. The first round only warms up."""
    taken: dict[str, list[float]] = {case.name: [] for case in cases}
    for repetition in range(repetitions + 1):
        for case in cases:
            begin = time.perf_counter()
            case.run()
            if repetition:
                taken[case.name].append((time.perf_counter() - begin) / case.steps)
    return {name: statistics.median(values) for name, values in taken.items()}


def cartpole_case(steps: int) -> Case:
    """CartPole-v1 as Gymnasium ships it, without wrappers."""
    env: Any = gym.make("CartPole-v1").unwrapped
    return Case("cartpole", _player(env, 2, steps), steps)


def cartpole_vector_case(steps: int, envs: int = 64) -> Case:
    """CartPole-v1's own vector environment."""
    env = gym.make_vec("CartPole-v1", num_envs=envs, vectorization_mode="vector_entry_point")
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 2, (steps, envs))

    def run() -> None:
        env.reset(seed=0)
        for row in actions:
            env.step(row)

    return Case(f"cartpole x{envs}", run, steps * envs)


def single_case(name: str, scenario: Any, steps: int, *, flatten: bool = False) -> Case:
    """The single environment through the Gymnasium API."""
    env = NetworkEnv(scenario=scenario, interface="operations", flatten=flatten)
    return Case(name, _player(env, env.simulator.sizes["V"], steps), steps)


def _player(env: Any, choices: int, steps: int) -> Callable[[], None]:
    actions = [int(action) for action in np.random.default_rng(0).integers(0, choices, steps)]

    def run() -> None:
        env.reset(seed=0)
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return run


def vector_case(
    name: str, scenario: Any, envs: int, steps: int, *, threads: int = 1, interface: Interface = "operations"
) -> Case:
    """The vector environment, flat observations and masks included."""
    env = NetworkVectorEnv(envs, scenario=scenario, interface=interface, flatten=True, threads=threads)
    space: Any = env.single_action_space
    actions = np.random.default_rng(0).integers(0, space.n, (steps, envs))
    env.reset(seed=0)

    def run() -> None:
        for row in actions:
            env.step(row)

    return Case(name, run, steps * envs)


def oracle_case(name: str, scenario: Any, envs: int, steps: int) -> Case:
    """The vectorised NumPy reference: the same step, without observations."""
    env = NetworkVectorEnv(envs, scenario=scenario, interface="operations", flatten=True, threads=1)
    env.reset(seed=0)
    simulator = env.simulator
    actions = np.random.default_rng(0).integers(0, simulator.sizes["V"], (steps, envs))
    start = simulator.state

    def run() -> None:
        state = start
        for row in actions:
            state, _ = oracle_step(simulator.world, simulator.tape, state, row)

    return Case(name, run, steps * envs)


def with_sites(scenario: str, count: int) -> ScenarioSpec:
    """A scenario with another number of sampled sites, all other sizes kept."""
    spec = loading.load(scenario)
    if not isinstance(spec.sites, SampledSites):
        raise ValueError(f"{scenario} has listed sites, not sampled ones")
    return spec.model_copy(update={"sites": spec.sites.model_copy(update={"count": count})})


def exponent(seconds_by_size: dict[int, float]) -> float:
    """Slope of log time over log size, by least squares."""
    sizes, seconds = zip(*seconds_by_size.items(), strict=True)
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def bytes_per_env(scenario: str) -> dict[str, int]:
    """Bytes of one environment: all that a step changes with the flat observation, its mask, and the tape."""
    simulator = NetworkEnv(scenario=scenario, interface="operations", flatten=True).simulator
    groups = (simulator.state, simulator.output, simulator.memo)
    changing = sum(array[0].nbytes for group in groups for array in group)
    return {
        "state": changing + simulator.observation[0].nbytes,
        "mask": simulator.mask[0].nbytes,
        "tape": sum(array[0].nbytes for array in simulator.tape),
    }


def first_step_s(*, compiled: bool) -> float:
    """Seconds from the import of og_env to the end of the first step in a new process.

    compiled: whether the cache of kernels is full. Python's own cache of modules always is, as from anyone's second
    start on.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        command = [sys.executable, "-c", FIRST_STEP]
        subprocess.run(command, env=environment, capture_output=True, check=True)
        if not compiled:
            environment["NUMBA_CACHE_DIR"] = folder
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def ppo_figures(scenario: str, envs: int, updates: int, rollout: int = 32) -> dict[str, float]:
    """Training MaskablePPO with a plain MLP: steps/s, and the share of the time that the environment takes."""
    import torch
    from sb3_contrib import MaskablePPO

    from og_agents.sb3_adapter import SB3VecEnv

    torch.set_num_threads(1)
    inner = NetworkVectorEnv(envs, scenario=scenario, interface="operations", flatten=True, threads=1)
    env = SB3VecEnv(inner)
    spent = 0.0
    inner_step = inner.step

    def timed(actions: Any) -> Any:
        nonlocal spent
        begin = time.perf_counter()
        result = inner_step(actions)
        spent += time.perf_counter() - begin
        return result

    inner.step = timed  # type: ignore[method-assign]
    model = MaskablePPO("MlpPolicy", env, n_steps=rollout, batch_size=512, n_epochs=4, seed=0, device="cpu")
    model.learn(envs * rollout)
    spent, begin = 0.0, time.perf_counter()
    model.learn(envs * rollout * updates, reset_num_timesteps=True)
    total = time.perf_counter() - begin
    return {"ppo_env_share": spent / total, "ppo_steps_per_s": envs * rollout * updates / total}


def processor() -> str:
    """Name of the processor, as far as the system tells it."""
    source = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", source.read_text(encoding="utf-8")) if source.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()
