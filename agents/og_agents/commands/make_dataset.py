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
from og_agents.commands.json_output import Ended, add_json_option, answered
from og_agents.evaluation.command_options import SEALED, add_episode_options
from og_agents.evaluation.progress import add_progress_options, shown
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
    add_json_option(parser)
    add_progress_options(parser)
    options = parser.parse_args(arguments)
    return guarded(lambda: answered(lambda: _run(options), options.json))


def _run(options: argparse.Namespace) -> Ended:
    task, spec = task_of(options.env), loading.load(options.scenario)
    policies, _ = load_policies(options.policies.split(","), spec, task, seed=options.seed)
    stage = recorded_episodes.stage_of(policies, spec, task, options.split)
    returns: dict[str, list[float]] = {name: [] for name in policies}
    flatten, dataset_id = not options.tables, options.id or f"og_env/{spec.name}-{task}-v0"
    episodes = chain.from_iterable(
        recorded_episodes.play(
            policy, name, stage, options.episodes, options.seed, flatten=flatten, noise=options.noise
        )
        for name, policy in policies.items()
    )
    about = ", ".join(policies) + (f", noise {options.noise:g}" if options.noise else "")
    with shown(options, len(policies) * options.episodes, "episodes") as progress:

        def watched(episode: recorded_episodes.Episode) -> recorded_episodes.Episode:
            mine = returns[episode.policy]
            mine.append(float(episode.rewards.sum()))
            progress.at(sum(map(len, returns.values())), episode.policy)
            if len(mine) == options.episodes:
                progress.tell(f"{episode.policy}: {len(mine)} episodes played")
            return episode

        written = map(watched, episodes)
        folder = minari_dataset.write(written, stage, dataset_id, options.out, flatten=flatten, about=about)
    means = {
        name: {"episodes": len(values), "mean_return": sum(values) / len(values)} for name, values in returns.items()
    }
    for name, one in means.items():
        print(f"  {name}: {one['episodes']} episodes, mean return {one['mean_return']:.2f}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"dataset: {folder} ({size / 1e6:.1f} MB)")
    where = f"{minari_dataset.ROOT}={options.out} " if options.out else ""
    print(f"read it: {where}python -c \"import minari; minari.load_dataset('{dataset_id}')\"")
    about_it = {"id": dataset_id, "folder": str(folder), "bytes": size, "scenario": spec.name, "env": options.env}
    played = {"split": options.split, "seed": options.seed, "noise": options.noise, "flat": flatten, "policies": means}
    return Ended(about_it | played)


if __name__ == "__main__":
    sys.exit(main())
