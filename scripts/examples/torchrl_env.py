"""TorchRL: the environments as GymEnv with their specs checked, and a masked rollout; needs the extra `torchrl`.

python scripts/examples/torchrl_env.py --scenario global-24 --steps 288
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from tensordict import TensorDictBase
from torchrl.envs import GymEnv, GymWrapper, TransformedEnv, check_env_specs
from torchrl.envs.transforms import ActionMask

import og_env


class MaskSeen(gym.ObservationWrapper[Any, Any, Any]):
    """The mask as a table of the observation, which is where TorchRL's ActionMask reads it."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        space: Any = env.observation_space
        mask = gym.spaces.MultiBinary(int(env.action_space.n))  # type: ignore[attr-defined]
        self.observation_space = gym.spaces.Dict({**space.spaces, "action_mask": mask})

    def observation(self, observation: Any) -> Any:
        """The tables with the mask of this moment."""
        return {**observation, "action_mask": self.env.unwrapped.action_masks().astype("int8")}  # type: ignore[attr-defined]


def main(arguments: Sequence[str] | None = None) -> TensorDictBase:
    """Check the specs of every environment, and return a rollout [steps] of possible placements at random."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="global-24")
    parser.add_argument("--steps", type=int, default=288)
    parser.add_argument("--short", action="store_true", help="a few steps, to see that it runs")
    options = parser.parse_args(arguments)
    for env_id in og_env.IDS.values():
        env = GymEnv(env_id, scenario=options.scenario)
        check_env_specs(env)
        env.close()
        print(f"{env_id}: specs agree")

    placement = MaskSeen(gym.make(og_env.IDS["placement"], scenario=options.scenario))
    env = TransformedEnv(GymWrapper(placement, categorical_action_encoding=True), ActionMask())
    env.set_seed(0)
    rollout = env.rollout(8 if options.short else options.steps)
    print(f"return of {len(rollout)} random steps: {float(rollout['next', 'reward'].sum()):.2f}")
    env.close()
    return rollout


if __name__ == "__main__":
    main()
