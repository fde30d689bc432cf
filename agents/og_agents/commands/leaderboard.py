"""Put benchmarks on one page: their summary.json files as leaderboard.md.

og-env leaderboard runs/leaderboard --out runs/leaderboard.md
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from og_agents.evaluation import leaderboard
from og_env.errors import Parser, guarded
from og_env.scenario.text_files import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    return guarded(lambda: _run(options, shlex.join(["og-env", "leaderboard", *arguments])))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(__doc__, prog="og-env leaderboard")
    parser.add_argument(
        "paths", nargs="+", metavar="SUMMARY.json|DIR", help="of og-env benchmark; folders are searched"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("leaderboard.md"), metavar="FILE", help="default: leaderboard.md"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as well as writing the page")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, command: str) -> None:
    entries = leaderboard.read_entries(options.paths)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(options.out, leaderboard.page(entries, command))
    if options.json:
        print(json.dumps({entry.title: entry.summary for entry in entries}, indent=1))
        return
    print(f"{options.out}: {len(entries)} benchmarks of {len({entry.title for entry in entries})} scenarios")
    for entry in entries:
        print("  " + "  ".join(filter(None, leaderboard.overview(entry))).replace("*", ""))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
