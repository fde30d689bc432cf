"""Compare trained policies with every baseline on held-out episodes: two benchmarks of each scenario.

python scripts/learning_gains.py --runs runs/pretrained --out runs/learning_gains
python scripts/doc_tables.py

The first benchmark has every training seed of every recipe, the shipped policies and every policy that decides fast. The
second has fewer episodes, with the shipped policy that is best on validation and the planners that look ahead: a hundred
episodes of them take hours on two cores. The figures go into agents/og_agents/pretrained/learning_gains.json, beside those
of other training seeds on the same episodes.
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

from og_agents.pretrained import learning_gains
from og_agents.pretrained.learning_gains import AHEAD, FAST
from og_agents.pretrained.recipes import RUN
from og_env.errors import Parser, guarded

BENCHMARK = Path(__file__).resolve().parent / "benchmark.py"


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
    parser.add_argument(
        "--out", type=Path, default=Path("runs/learning_gains"), metavar="DIR", help="where summaries go"
    )
    parser.add_argument("--episodes", type=int, default=400, metavar="N", help="of the first benchmark (default: 400)")
    parser.add_argument("--ahead", type=int, default=100, metavar="N", help="of the second (default: 100); 0 for none")
    parser.add_argument(
        "--record", type=Path, default=learning_gains.RECORD, metavar="FILE", help="where what they say is added"
    )
    parser.add_argument("--side-by-side", type=int, default=2, metavar="N", help="benchmarks at a time (default: 2)")
    options = parser.parse_args(arguments)
    if options.episodes < 1 or options.ahead < 0 or options.side_by_side < 1:
        parser.error("--episodes and --side-by-side must be 1 or more, --ahead 0 or more")
    return options


def run(options: argparse.Namespace) -> None:
    """Play the benchmarks of all scenarios, add what they say to the record, and print the rows."""
    from og_agents import heuristics
    from og_agents.evaluation.results_table import aligned
    from og_agents.learning.checkpoint import write_json
    from og_agents.pretrained.policy_folders import folders_for
    from og_env.scenario import loading

    record = learning_gains.read(options.record) if options.record.exists() else {}
    runs, baselines = found(options.runs), ",".join((*heuristics.NAMES, "planners"))
    jobs: list[list[str]] = []
    for scenario, folders in runs.items():
        common = ["--scenario", scenario, "--json", "--out"]
        shipped = list(folders_for(loading.load(scenario)))
        fast = ",".join((baselines, *map(str, folders), *shipped))
        jobs.append(
            [*common, str(options.out / scenario / FAST), "--policies", fast, "--episodes", str(options.episodes)]
        )
        if options.ahead and shipped:
            ahead = ",".join((learning_gains.ROLLOUT, learning_gains.CLAIRVOYANT, shipped[0]))
            count = str(options.ahead)
            jobs.append([*common, str(options.out / scenario / AHEAD), "--policies", ahead, "--episodes", count])
    with ThreadPoolExecutor(options.side_by_side) as pool:
        codes = list(pool.map(benchmark, jobs))
    if any(codes):
        words = " ".join(jobs[next(index for index, code in enumerate(codes) if code)])
        raise ValueError(f"og-env benchmark {words} did not end well: see its message above")
    new = {name: made for name, made in learning_gains.measured(options.out).items() if name in runs}
    record = learning_gains.merged(record, new)
    write_json(options.record, record)
    print(aligned(*learning_gains.filled(learning_gains.rows_of({name: record[name] for name in new}))))


def found(folder: Path) -> dict[str, list[Path]]:
    """Run folders by scenario, in the order of recipes and seeds; ValueError where there is none."""
    runs: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = RUN.fullmatch(path.name)
        if match and (path / "policy.json").is_file():
            runs.setdefault(match["scenario"], []).append(path)
    if not runs:
        raise ValueError(
            f"{folder}: no folder SCENARIO-RECIPE-SEED with a trained policy in it: run scripts/pretrain.py"
        )
    return runs


def benchmark(arguments: list[str]) -> int:
    """Play one benchmark in a process of its own; returns its exit code."""
    command = [sys.executable, str(BENCHMARK), *arguments]
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
