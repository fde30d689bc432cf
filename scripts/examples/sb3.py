"""Stable-Baselines3: PPO moves the router's knobs, through plain gymnasium.make; needs the extra `train`.

python scripts/examples/sb3.py --scenario global-16 --timesteps 100000
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

import og_env


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """Train, and return the mean return on held-out episodes and the standard deviation between them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="global-16")
    parser.add_argument("--timesteps", type=int, default=100_000)
    parser.add_argument("--short", action="store_true", help="a few hundred steps, to see that it runs")
    options = parser.parse_args(arguments)
    timesteps, episodes = (256, 1) if options.short else (options.timesteps, 20)

    env_kwargs = {"scenario": options.scenario, "flatten": True}
    env = make_vec_env(og_env.IDS["routing"], n_envs=4, seed=0, env_kwargs=env_kwargs)
    # Episodes are cut off and never over, so a constant in the reward teaches nothing; for speed see make_sb3 in
    # maskable_ppo.py, which steps all environments in one call.
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=128, seed=0, policy_kwargs={"log_std_init": -1.0})
    model.learn(timesteps)

    held_out = make_vec_env(og_env.IDS["routing"], n_envs=1, seed=1, env_kwargs=env_kwargs | {"split": "test"})
    mean, deviation = evaluate_policy(model, held_out, n_eval_episodes=episodes)
    print(f"return on {episodes} held-out episodes: {mean:.2f} +- {deviation:.2f} between episodes")
    env.close()
    held_out.close()
    return float(mean), float(deviation)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
