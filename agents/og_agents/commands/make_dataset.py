"""Write episodes of heuristics, planners and trained policies as a Minari dataset for offline learning.

og-env dataset --scenario global-24 --policies greedy,runs/ppo --episodes 100 --out runs/datasets
og-env dataset --scenario one-cloud --policies greedy --noise 0.2 --id one-cloud/noisy-v0
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from og_env.errors import Parser, guarded

# isort: split
from og_agents.evaluation.command_options import SEALED, add_episode_options
from og_agents.export import minari_dataset, recorded_episodes
from og_agents.load_policies import load_policies
from og_env import task_of
from og_env.scenario import loading
from og_env.simulator import SPLITS

LEARNABLE = tuple(split for split in SPLITS if split != SEALED)
"""splits that a dataset may hold: nobody learns from sealed episodes"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__, prog="og-env dataset")
    add_episode_options(parser, 100, "of each policy")
    parser.add_argument(
        "--policies", default="greedy", metavar="a,b,DIR", help="names, run folders or module:Class (default: greedy)"
    )
    parser.add_argument("--split", default="train", choices=LEARNABLE, help="of the episodes (default: train)")
    parser.add_argument("--noise", type=float, default=0.0, metavar="P", help="share of steps with a random action")
    parser.add_argument("--tables", action="store_true", help="keep observations by table (default: flat)")
    parser.add_argument("--id", metavar="ID", help="of the dataset (default: og_env/SCENARIO-TASK-v0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of datasets (default: where Minari looks)")
    options = parser.parse_args(arguments)
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    task, spec = task_of(options.env), loading.load(options.scenario)
    policies, _ = load_policies(options.policies.split(","), spec, task, seed=options.seed)
    stage = recorded_episodes.stage_of(policies, spec, task, options.split)
    returns: dict[str, list[float]] = {name: [] for name in policies}

    def watched(episode: recorded_episodes.Episode) -> recorded_episodes.Episode:
        returns[episode.policy].append(float(episode.rewards.sum()))
        return episode

    flatten = not options.tables
    episodes = chain.from_iterable(
        recorded_episodes.play(
            policy, name, stage, options.episodes, options.seed, flatten=flatten, noise=options.noise
        )
        for name, policy in policies.items()
    )
    dataset_id = options.id or f"og_env/{spec.name}-{task}-v0"
    about = ", ".join(policies) + (f", noise {options.noise:g}" if options.noise else "")
    folder = minari_dataset.write(map(watched, episodes), stage, dataset_id, options.out, flatten=flatten, about=about)
    for name, values in returns.items():
        print(f"  {name}: {len(values)} episodes, mean return {sum(values) / len(values):.2f}")
    size_mb = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    print(f"dataset: {folder} ({size_mb:.1f} MB)")
    where = f"{minari_dataset.ROOT}={options.out} " if options.out else ""
    print(f"read it: {where}python -c \"import minari; minari.load_dataset('{dataset_id}')\"")


if __name__ == "__main__":
    sys.exit(main())
