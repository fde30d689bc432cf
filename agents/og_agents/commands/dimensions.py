"""Which dimensions of a scenario decide: what a planner loses that is blind to each of them, and how far policies differ.

og-env dimensions --scenario global-24
og-env dimensions --scenario one-cloud --episodes 100 --split test --json
og-env dimensions --scenario one-cloud --episodes 100 --split test --record configs/benchmarks/dimensions.json
og-env dimensions --scenario scarcity --episodes 100 --split test --dimensions condition,routing --record FILE.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from og_agents.evaluation import blindness, blindness_table
from og_agents.evaluation.command_options import add_split_option, settle_split
from og_agents.evaluation.progress import add_progress_options, shown
from og_agents.load_policies import load_policies
from og_env.errors import Parser, guarded
from og_env.scenario import loading
from og_env.scenario.overrides import changes_of
from og_env.simulator import SPLITS

POLICIES = "all,planners"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    return guarded(lambda: _run(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__, prog="og-env dimensions")
    parser.add_argument("--scenario", default="global-24", metavar="S", help="name or file (default: global-24)")
    text = "change the scenario, such as failures.intensity=2"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=text)
    text = "the one that is made blind (default: greedy_tuned where the scenario has constants for it, else greedy)"
    parser.add_argument("--planner", choices=blindness.PLANNERS, help=text)
    text = f"whose span is shown, as in og-env benchmark (default: {POLICIES})"
    parser.add_argument("--policies", default=POLICIES, metavar="A,B", help=text)
    text = f"only these, of {', '.join(blindness.DIMENSIONS)} (default: all); the last two are slow, as routers play"
    parser.add_argument("--dimensions", default=",".join(blindness.DIMENSIONS), metavar="A,B", help=text)
    parser.add_argument("--episodes", type=int, default=48, metavar="N", help="of each policy (default: 48)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the first episode (default: 0)")
    add_split_option(parser, "validation", SPLITS[1:])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    text = "also keep the table in this file, beside those of other scenarios and what the same play had before"
    parser.add_argument("--record", type=Path, metavar="FILE", help=text)
    add_progress_options(parser)
    options = parser.parse_args(arguments)
    settle_split(parser, options)
    return options


def _run(options: argparse.Namespace) -> None:
    if options.episodes < 1 or options.seed < 0:
        raise ValueError("--episodes must be at least 1 and --seed at least 0")
    spec = loading.override(loading.load(options.scenario), changes_of(options.set))
    if options.record and options.record.is_file():
        blindness_table.read_record(options.record)  # a mistake there is told before hours of play
    policies, _ = load_policies(options.policies.split(","), spec, "placement", seed=options.seed)
    dimensions = options.dimensions.split(",")
    with shown(options, blindness.plays(policies, dimensions), "plays") as progress:
        table = blindness.blindness(
            spec,
            blindness.planner_of(spec, options.planner),
            policies,
            episodes=options.episodes,
            seed=options.seed,
            split=options.split,
            dimensions=dimensions,
            played=progress.tell,
            playing_on=progress.at,
        )
    if options.record:
        blindness_table.keep(table, options.record)
    print(json.dumps(table, allow_nan=False) if options.json else blindness_table.text(table))


if __name__ == "__main__":
    sys.exit(main())
