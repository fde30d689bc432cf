"""RLlib's own PPO with its masked module on a single environment; needs the extra `rllib`, in a venv of its own.

python scripts/examples/rllib_ppo.py --scenario global-24 --iterations 20

The project's network on batches of environments instead: og-env train --engine rllib
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.tune.registry import register_env

from og_agents.cluster import ray_cluster
from og_env.env import NetworkEnv


class MaskBeside(gym.ObservationWrapper[Any, Any, Any]):
    """The mask beside the flat observation, by the names that RLlib's masked module reads."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        mask = gym.spaces.Box(0, 1, (int(env.action_space.n),), np.float32)  # type: ignore[attr-defined]
        self.observation_space = gym.spaces.Dict({"action_mask": mask, "observations": env.observation_space})

    def observation(self, observation: Any) -> Any:
        """The flat observation with the mask of this moment."""
        mask = self.env.unwrapped.action_masks()  # type: ignore[attr-defined]
        return {"action_mask": mask.astype(np.float32), "observations": observation}


def main(arguments: Sequence[str] | None = None) -> list[float]:
    """Train, and return the mean return of the episodes that ended by then, after every iteration."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--scenario", default="global-24")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--runners", type=int, default=2, help="worker processes; 0: all in this one")
    parser.add_argument("--short", action="store_true", help="one short iteration, to see that it runs")
    options = parser.parse_args(arguments)
    if options.short:
        options.iterations, options.runners = 1, 0

    register_env("og_env", lambda given: MaskBeside(NetworkEnv("placement", flatten=True, **given)))
    setup = (
        PPOConfig()
        .environment("og_env", env_config={"scenario": options.scenario})
        .env_runners(num_env_runners=options.runners, num_envs_per_env_runner=4)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule))
        .training(train_batch_size_per_learner=256 if options.short else 4096, minibatch_size=128, gamma=0.95, lr=3e-4)
        .debugging(log_level="ERROR", seed=0)
    )
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    means = []
    with ray_cluster.connected(None, options.runners):
        algorithm = setup.build_algo()
        for iteration in range(options.iterations):
            means.append(float(algorithm.train()["env_runners"]["episode_return_mean"]))
            print(f"iteration {iteration + 1}: mean return {means[-1]:.2f}")
        algorithm.stop()
    return means


if __name__ == "__main__":
    main()
