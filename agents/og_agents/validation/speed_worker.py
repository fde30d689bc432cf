"""The process that times one checkout for `speed_comparison`, whatever its version.

With the argument `first` it prints the CPU seconds from the start of the process to the end of the first step ever. With
`serve SHRINK` it prints where og_env was found, then reads the name of a case from each line of its input and answers
with CPU seconds per environment step (or per reset). The timed code knows the project by its registered ids alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

import og_env

ENV_ID = max(name for name in gym.registry if name.startswith("og_env/Placement-v"))
"""the checkout's own version of the task; there are fewer than ten"""
ROUNDS = 16
"""resets of the vector environment in one repetition"""


class Size(NamedTuple):
    """The world of a case and its length."""

    scenario: str
    interface: str
    envs: int
    steps: int


CASES: Mapping[str, Size] = {
    "operations_24": Size("global-24", "operations", 256, 288),
    "operations_64": Size("global-64", "operations", 256, 288),
    "operations_512": Size("global-512", "operations", 32, 96),
    "proposals_24": Size("global-24", "proposals", 64, 48),
    "proposals_64": Size("global-64", "proposals", 32, 48),
    "proposals_512": Size("global-512", "proposals", 4, 24),
    "single_64": Size("global-64", "operations", 1, 4000),
    "reset_64": Size("global-64", "operations", 32, 0),
}
"""`single` is one environment without wrappers; a case of 0 steps times resets"""


def make_case(size: Size, shrink: int) -> tuple[Callable[[], Any], int]:
    """One repetition of a case, and the number of environment steps (or resets) in it."""
    options = {"scenario": size.scenario, "interface": size.interface, "flatten": True}
    steps = max(size.steps // shrink, 1)
    if size.envs == 1:
        single: Any = gym.make(ENV_ID, disable_env_checker=True, **options).unwrapped
        single.reset(seed=0)
        drawn = np.random.default_rng(0).integers(0, single.action_space.n, steps).tolist()
        return lambda: [single.reset() for action in drawn if single.step(action)[3]], steps
    env: Any = gym.make_vec(ENV_ID, size.envs, vectorization_mode="vector_entry_point", threads=1, **options)
    env.reset(seed=0)
    if size.steps == 0:
        rounds = max(ROUNDS // shrink, 1)
        return lambda: [env.reset(seed=seed) for seed in range(rounds)], rounds * size.envs
    actions = np.random.default_rng(0).integers(0, env.single_action_space.n, (steps, size.envs))
    return lambda: [env.step(row) for row in actions], steps * size.envs


def serve(shrink: int) -> None:
    """Time the cases that the input names, one a line; the first time that a case is named, it is played once before."""
    made: dict[str, tuple[Callable[[], Any], int]] = {}
    print(og_env.__file__, flush=True)
    for name in map(str.strip, sys.stdin):
        if name not in made:
            made[name] = make_case(CASES[name], shrink)
            made[name][0]()
        run, count = made[name]
        begin = time.process_time()
        run()
        print((time.process_time() - begin) / count, flush=True)


def first_step() -> None:
    """Take one step of a new environment, and print the CPU seconds of this process and its children."""
    env = gym.make(ENV_ID, scenario="global-24", interface="operations")
    env.reset(seed=0)
    env.step(0)
    print(sum(os.times()[:4]))


if __name__ == "__main__":
    if sys.argv[1] == "first":
        first_step()
    else:
        serve(int(sys.argv[2]))
