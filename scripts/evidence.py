"""The evidence of learning: trained policies beside all baselines and the clairvoyant, on episodes kept for this alone.

python scripts/evidence.py --runs runs/pretrained --episodes 20 --clairvoyant 2
python scripts/evidence.py --runs runs/pretrained --sealed
python scripts/evidence.py --runs runs/pretrained --sealed --scenarios random-24 --transfer random-24:global-64
python scripts/doc_tables.py

The first command rehearses on validation episodes. The second plays the sealed ones, for the published table. The record is
written after every scenario; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from og_agents.evaluation.command_options import SEALED, add_split_option, settle_split
from og_agents.evaluation.progress import add_progress_options, shown
from og_env.errors import Parser, guarded, nearest_valid
from og_env.scenario import loading


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parse(arguments)
    return guarded(lambda: run(options))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line, checked."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/pretrained"), metavar="DIR", help="SCENARIO-RECIPE-SEED folders"
    )
    parser.add_argument("--scenarios", metavar="A,B", help="only policies that were trained there (default: all)")
    parser.add_argument(
        "--transfer",
        action="append",
        default=[],
        metavar="A:B",
        help="also play the policies of scenario A in scenario B, as they are; repeatable",
    )
    parser.add_argument("--episodes", type=int, default=100, metavar="N", help="of each policy (default: 100)")
    parser.add_argument(
        "--clairvoyant", type=int, default=16, metavar="N", help="the first N also by the clairvoyant (default: 16)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the first episode (default: 0)")
    parser.add_argument("--baselines", metavar="A,B", help="default: all heuristics, quick planners and routers")
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="default: configs/benchmarks/evidence.json of sealed episodes, else runs/evidence/SPLIT.json",
    )
    parser.add_argument("--json", action="store_true", help="print the record as JSON instead of its tables")
    add_progress_options(parser)
    add_split_option(parser, "validation")
    options = parser.parse_args(arguments)
    settle_split(parser, options)
    if options.episodes < 2 or not 0 <= options.clairvoyant <= options.episodes or options.seed < 0:
        parser.error("--episodes must be 2 or more, --clairvoyant from 0 to --episodes, and --seed 0 or more")
    for words in options.transfer:
        if words.count(":") != 1:
            parser.error(f"--transfer is {words!r}; it must be TRAINED:PLAYED, such as random-24:global-64")
    return options


def run(options: argparse.Namespace) -> int:
    """Play what is asked for, keep the record, and print its tables."""
    from og_agents.evaluation.results_table import aligned
    from og_agents.studies import evidence, evidence_tables

    groups = chosen(evidence.found(options.runs), options)
    baselines = tuple(filter(None, (options.baselines or "").split(",")))
    asked = evidence.Asked(options.split, options.episodes, options.clairvoyant, options.seed, baselines)
    usual = evidence.RECORD if options.split == SEALED else Path("runs") / "evidence" / f"{options.split}.json"
    path, told = options.record or usual, print
    if options.json:
        told = partial(print, file=sys.stderr)
    try:
        with shown(options, sum(evidence.plays(group, asked) for group in groups), "plays") as progress:
            record = evidence.measure(groups, asked, path, told, progress.at)
    except KeyboardInterrupt:
        print(f"stopped: {path} holds the entries that were played to their end", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps(record, indent=1))
        return 0
    print(aligned(evidence_tables.HEADER, list(evidence_tables.rows(record))))
    print()
    print(aligned(evidence_tables.OVERALL, list(evidence_tables.overall_rows(record))))
    print(f"\n{path}: {evidence_tables.episodes_line(record)}")
    return 0


def chosen(groups: Sequence[Any], options: argparse.Namespace) -> list[Any]:
    """The groups that --scenarios names, and those that --transfer plays elsewhere; ValueError for an unknown scenario."""
    known = list(dict.fromkeys(group.trained_on for group in groups))
    named = known if options.scenarios is None else options.scenarios.split(",")
    pairs = [words.split(":") for words in options.transfer]
    for name in (*named, *(trained for trained, _ in pairs)):
        if name not in known:
            raise ValueError(f"{options.runs}: no trained policy of the scenario {name!r}{nearest_valid(name, known)}")
    result = [group for group in groups if group.trained_on in named]
    for trained, played in pairs:
        result += [group._replace(spec=loading.load(played)) for group in groups if group.trained_on == trained]
    return result


if __name__ == "__main__":
    sys.exit(main())
