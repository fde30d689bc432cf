"""Tune the constants of heuristics on training episodes; prints what goes into agents/heuristics.py.

python scripts/tune.py --scenario global-24 --policies autoscaler,greedy --episodes 64
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from agents import heuristics, tuning
from og_env.command_line import Parser, guarded


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    return guarded(lambda: run(options))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--scenario", default="global-24", metavar="S", help="name or file (default: global-24)")
    parser.add_argument("--policies", default="all", metavar="all|a,b", help="heuristics (default: all with constants)")
    parser.add_argument("--constants", metavar="a,b", help="tune only these (default: all)")
    parser.add_argument("--episodes", type=int, default=64, metavar="N", help="episodes for each trial (default: 64)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the first episode (default: 0)")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    names = heuristics.CONSTANTS if options.policies == "all" else options.policies.split(",")
    keys = options.constants.split(",") if options.constants else None
    for name in names:
        found = tuning.tune(name, options.scenario, keys=keys, episodes=options.episodes, seed=options.seed)
        gain = found.validation.difference
        values = ", ".join(f'"{key}": {value:g}' for key, value in found.constants.items())
        print(f'"{name}": {{{values}}},', flush=True)
        print(
            f"    # {found.trials} trials; validation {gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}] "
            "to the constants it started from",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
