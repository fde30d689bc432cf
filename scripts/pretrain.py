"""Train the policies that come with the package, and put the best of each scenario's seeds into agents/pretrained.

python scripts/pretrain.py
python scripts/pretrain.py --scenarios one-cloud,store-loss --minutes 5 --seeds 0,1,2 --out runs/pretrained

Without --minutes a run has the steps of configs/training/default.toml, and the same seed gives the same weights.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from og_env import config
from og_env.command_line import Parser, guarded

ROOT = Path(__file__).resolve().parents[1]
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
    options = parse(arguments)
    return guarded(lambda: run(options))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), metavar="A,B", help="default: the eight with one")
    parser.add_argument("--seeds", default="0,1,2", metavar="K,L", help="training seeds (default: 0,1,2)")
    parser.add_argument("--minutes", type=float, metavar="M", help="stop each run after so long")
    parser.add_argument("--side-by-side", type=int, default=2, metavar="N", help="runs at a time (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("runs/pretrained"), metavar="DIR", help="run folders")
    parser.add_argument("--only-pack", action="store_true", help="train nothing: pack the runs that DIR holds")
    options = parser.parse_args(arguments)
    if options.minutes is not None and not 0 < options.minutes < 1e6:
        parser.error(f"--minutes is {options.minutes:g}; it must be above 0")
    if options.side_by_side < 1:
        parser.error(f"--side-by-side is {options.side_by_side}; it must be 1 or more")
    if not all(seed.isdigit() for seed in options.seeds.split(",")):
        parser.error(f"--seeds is {options.seeds!r}; it must be whole numbers, such as 0,1,2")
    return options


def run(options: argparse.Namespace) -> None:
    from agents import pretrained

    scenarios, seeds = options.scenarios.split(","), options.seeds.split(",")
    for scenario in scenarios:
        config.load(scenario)
    if not options.only_pack:
        pairs = [(scenario, seed) for seed in seeds for scenario in scenarios]
        with ThreadPoolExecutor(options.side_by_side) as pool:
            codes = list(pool.map(lambda pair: train(pair[0], pair[1], options), pairs))
        if any(codes):
            scenario, seed = pairs[next(index for index, code in enumerate(codes) if code)]
            raise ValueError(f"training on {scenario} with seed {seed} did not end well: see its message above")
    for scenario in scenarios:
        best = pretrained.best_of([folder(scenario, seed, options) for seed in seeds])
        seed = best.name.rpartition("-")[2]
        print(f"{scenario}: seed {seed} into {pretrained.pack(best, command(scenario, seed, options))}")


def folder(scenario: str, seed: str, options: argparse.Namespace) -> Path:
    return options.out / f"{scenario}-{seed}"


def command(scenario: str, seed: str, options: argparse.Namespace) -> str:
    limit = "" if options.minutes is None else f" --minutes {options.minutes:g}"
    return f"python scripts/train.py --scenario {scenario} --seed {seed}{limit}"


def train(scenario: str, seed: str, options: argparse.Namespace) -> int:
    """One run in a process of its own; its exit code."""
    words = command(scenario, seed, options).split()[1:]
    out = folder(scenario, seed, options)
    return subprocess.run([sys.executable, str(ROOT / words[0]), *words[1:], "--out", str(out)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
