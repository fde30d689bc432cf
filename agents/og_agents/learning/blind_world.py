"""Environments of training, true or without one dimension of the world: a policy may train blind and play the true world.

Blind training happens in the world that a blind planner believes in (`evaluation.beliefs`), with a tape to match. So the
policy never sees, and is never paid for, what the dimension does. Validation is in the true world.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from og_agents.evaluation.beliefs import BELIEFS
from og_agents.learning.train_settings import TrainSettings
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import CALM_SPEED, UNTRUSTED, Simulator, World
from og_env.vector_env import NetworkVectorEnv


class Without(NamedTuple):
    """Takes a dimension out of the episode that was drawn into an environment."""

    dimension: str

    def __call__(self, simulator: Simulator, row: int) -> None:
        """Change the world of environment `row`, where it has one of its own, and its tape."""
        if simulator.own_worlds:
            self.change_worlds(World(*(values[row : row + 1] for values in simulator.world)))
        tape = simulator.tape
        if self.dimension == "condition":
            tape.condition[row] = CALM_SPEED
        if self.dimension == "verification":
            status = tape.status_at(row, np.arange(tape.attack.shape[1]))
            tape.write_status(status & ~np.uint8(UNTRUSTED), slice(row, row + 1))

    def change_worlds(self, world: World) -> None:
        """Change worlds, for all of their leading index."""
        if self.dimension in BELIEFS:
            BELIEFS[self.dimension].change_worlds(world)


def training_worlds(
    spec: ScenarioSpec, meta: dict[str, Any], settings: TrainSettings, threads: int | None = None
) -> NetworkVectorEnv:
    """The environments of a training on the training split, without the dimension that the settings are blind to.

    `threads` are those of NetworkVectorEnv.
    """
    blind = settings.blind
    if blind == "dependencies" and spec.failures.process == "correlated":
        spec = loading.override(spec, {"failures.process": "independent"})
    env = NetworkVectorEnv(settings.n_envs, meta["task"], spec, split="train", threads=threads, **meta["env_kwargs"])
    if blind != "none":
        without = Without(blind)
        env.simulator.after_load = without
        if not env.simulator.own_worlds:
            without.change_worlds(env.simulator.world)
    return env
