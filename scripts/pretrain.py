"""Train the policies that come with the package, and put the best seed of each into agents/og_agents/pretrained.

python scripts/pretrain.py
python scripts/pretrain.py --recipes ppo_routing --scenarios grey-failures,price-of-distance,far-and-full,global-24
python scripts/pretrain.py --scenarios one-cloud,store-loss --recipes rpi --minutes 5 --seeds 0,1 --out runs/pretrained

Without --minutes a run has the steps of its settings in configs/training, and the same seed gives the same weights. A
packed policy of the same training stays where no new seed is better on validation. Policies that were trained without a
dimension of the world are for scripts/evidence.py, and are not packed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from og_agents.evaluation.progress import add_progress_options, shown
from og_agents.pretrained.recipes import BLIND, RECIPES, USUAL, command, folder_of
from og_env.errors import Parser, guarded, nearest_valid
from og_env.scenario import loading

LOOK_S = 0.5
"""between two looks at the runs"""
TRAIN = Path(__file__).with_name("train.py")
SCENARIOS = (
    "global-24",
    "near-but-cold",
    "one-cloud",
    "provider-blackout",
    "grid-blackout",
    "tee-break",
    "flash-crowd",
    "store-loss",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parse(arguments)
    return guarded(lambda: run(options))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line, checked."""
    parser = Parser(__doc__)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), metavar="A,B", help="default: the eight with some")
    parser.add_argument(
        "--recipes",
        default=",".join(USUAL),
        metavar="A,B",
        help=f"of {', '.join(RECIPES)} (default: {','.join(USUAL)})",
    )
    parser.add_argument("--seeds", default="0,1,2", metavar="K,L", help="training seeds (default: 0,1,2)")
    parser.add_argument("--minutes", type=float, metavar="M", help="stop each run after so long")
    parser.add_argument("--side-by-side", type=int, default=2, metavar="N", help="runs at a time (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("runs/pretrained"), metavar="DIR", help="run folders")
    parser.add_argument(
        "--blind", default="", metavar="A,B", help="train each recipe without these dimensions of the world as well"
    )
    parser.add_argument("--only-pack", action="store_true", help="train nothing: pack the runs that DIR holds")
    add_progress_options(parser)
    options = parser.parse_args(arguments)
    if options.minutes is not None and not 0 < options.minutes < 1e6:
        parser.error(f"--minutes is {options.minutes:g}; it must be above 0")
    if options.side_by_side < 1:
        parser.error(f"--side-by-side is {options.side_by_side}; it must be 1 or more")
    if not all(seed.isdigit() for seed in options.seeds.split(",")):
        parser.error(f"--seeds is {options.seeds!r}; it must be whole numbers, such as 0,1,2")
    for recipe in options.recipes.split(","):
        if recipe not in RECIPES:
            parser.error(f"--recipes: unknown recipe {recipe!r}{nearest_valid(recipe, RECIPES)}")
    from og_agents.commands.train import BLIND as DIMENSIONS

    for dimension in filter(None, options.blind.split(",")):
        if dimension not in DIMENSIONS:
            parser.error(f"--blind: unknown dimension {dimension!r}{nearest_valid(dimension, DIMENSIONS)}")
    return options


def run(options: argparse.Namespace) -> None:
    """Train all runs, then pack the best seed of each recipe and scenario."""
    from og_agents.pretrained import policy_folders

    scenarios, seeds = options.scenarios.split(","), options.seeds.split(",")
    recipes = [recipe for recipe in RECIPES if recipe in options.recipes.split(",")]
    for scenario in scenarios:
        loading.load(scenario)
    if not options.only_pack:
        blind = [f"{recipe}{BLIND}{name}" for name in filter(None, options.blind.split(",")) for recipe in recipes]
        pairs = [(scenario, seed) for seed in seeds for scenario in scenarios]
        failed = train_pairs([*recipes, *blind], pairs, options)
        if any(failed):
            raise ValueError(f"{next(filter(None, failed))} did not end well: see its message above")
    for scenario in scenarios:
        for recipe in recipes:
            best = policy_folders.best_of([folder_of(options.out, scenario, recipe, seed) for seed in seeds])
            seed = best.name.rpartition("-")[2]
            if (kept := policy_folders.surpassing(best)) is not None:
                print(f"{scenario}: {recipe}, seed {seed} is best of these, no better than what {kept} holds")
                continue
            words = shlex.join(command(options.out, scenario, recipe, seed, options.minutes))
            print(f"{scenario}: {recipe}, seed {seed}, into {policy_folders.pack(best, words)}")


def train_pairs(
    recipes: Sequence[str], pairs: Sequence[tuple[str, str]], options: argparse.Namespace
) -> list[str | None]:
    """Train all recipes for each scenario and seed, some side by side, and show how far that is.

    Runs with --minutes count by the clock meanwhile.
    """
    ended: list[str] = []
    most = len(pairs) * len(recipes)
    with shown(options, most, "runs") as progress, ThreadPoolExecutor(options.side_by_side) as pool:
        began_s = time.monotonic()

        def note(words: str) -> None:
            ended.append(words)
            progress.tell(f"{words}: trained")

        going = [pool.submit(train_all, recipes, scenario, seed, options, note) for scenario, seed in pairs]
        while wait(going, LOOK_S).not_done:
            done = float(len(ended))
            if options.minutes is not None:
                by_clock = options.side_by_side * (time.monotonic() - began_s) / (60 * options.minutes)
                done = min(max(done, by_clock), done + options.side_by_side, most)
            progress.at(done)
    return [each.result() for each in going]


def train_all(
    recipes: Sequence[str], scenario: str, seed: str, options: argparse.Namespace, note: Callable[[str], None]
) -> str | None:
    """Train the recipes of a scenario and seed; returns the first that fails, in words. `note` hears of those that end.

    They run one after the other, since one may begin with another's policy.
    """
    for recipe in recipes:
        if train(scenario, recipe, seed, options) != 0:
            return f"training {recipe} on {scenario} with seed {seed}"
        note(f"{recipe} on {scenario} with seed {seed}")
    return None


def train(scenario: str, recipe: str, seed: str, options: argparse.Namespace) -> int:
    """Train one run in a process of its own; returns its exit code."""
    words = [*command(options.out, scenario, recipe, seed, options.minutes)[2:], "--quiet"]
    out = folder_of(options.out, scenario, recipe, seed)
    return subprocess.run([sys.executable, str(TRAIN), *words, "--out", str(out)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
