"""sb3-contrib: MaskablePPO places replicas, on all environments in one call a step; needs the extra `train`.

python scripts/examples/maskable_ppo.py --scenario global-24 --timesteps 200000
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sb3_contrib import MaskablePPO

from og_agents import heuristics
from og_agents.evaluation import playing, statistics
from og_agents.learning.networks import SharedScorerPolicy
from og_agents.sb3_adapter import make_sb3


def main(arguments: Sequence[str] | None = None) -> statistics.Paired:
    """Train, and return the difference to the greedy planner on the same held-out episodes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="global-24")
    parser.add_argument("--timesteps", type=int, default=200_000)
    parser.add_argument("--short", action="store_true", help="a few hundred steps, to see that it runs")
    options = parser.parse_args(arguments)
    timesteps, episodes = (512, 2) if options.short else (options.timesteps, 50)

    env = make_sb3("og_env/Placement-v1", 8, scenario=options.scenario, flatten=True)
    # "MlpPolicy" works too; the shared scorer starts from the planner's own ranking of its offers
    model = MaskablePPO(SharedScorerPolicy, env, n_steps=32, batch_size=128, gamma=0.98, seed=0)
    model.learn(timesteps)

    learned = playing.run(model, options.scenario, episodes=episodes, flatten=True, name="ppo")
    greedy = playing.run(heuristics.make("greedy"), options.scenario, episodes=episodes)
    pair = statistics.paired(learned.returns, greedy.returns)
    low, high = pair.difference.low, pair.difference.high
    print(f"ppo {learned.returns.mean():.2f}, greedy {greedy.returns.mean():.2f} on {episodes} held-out episodes: ")
    print(f"difference {pair.difference.value:+.2f} [{low:+.2f}, {high:+.2f}]")
    env.close()
    return pair


if __name__ == "__main__":
    main()
