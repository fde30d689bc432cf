"""Hold trained policies against everything, on held-out episodes of every scenario: two benchmarks of each.

python scripts/evidence.py --runs runs/pretrained --out runs/evidence
python scripts/readme_tables.py --evidence runs/evidence

The first benchmark has every training seed of every recipe and every policy that decides fast; the second, on fewer
episodes, the run of each recipe that is best on validation, the planners that look ahead and the headroom (a hundred of
them take hours on two cores).
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

from agents.evidence import AHEAD, FAST, filled, rows_of
from agents.recipes import RUN
from og_env.command_line import Parser, guarded

BENCHMARK = Path(__file__).resolve().parent / "benchmark.py"


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    return guarded(lambda: run(options))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/pretrained"), metavar="DIR", help="SCENARIO-RECIPE-SEED folders"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"), metavar="DIR", help="where summaries go")
    parser.add_argument("--episodes", type=int, default=400, metavar="N", help="of the first benchmark (default: 400)")
    parser.add_argument("--ahead", type=int, default=100, metavar="N", help="of the second (default: 100); 0 for none")
    parser.add_argument("--side-by-side", type=int, default=2, metavar="N", help="benchmarks at a time (default: 2)")
    options = parser.parse_args(arguments)
    if options.episodes < 1 or options.ahead < 0 or options.side_by_side < 1:
        parser.error("--episodes and --side-by-side must be 1 or more, --ahead 0 or more")
    return options


def run(options: argparse.Namespace) -> None:
    from agents import heuristics
    from agents.comparison import aligned
    from agents.pretrained import best_of, by_validation

    runs, baselines = found(options.runs), ",".join((*heuristics.NAMES, "planners"))
    jobs: list[list[str]] = []
    for scenario, recipes in runs.items():
        common = ["--scenario", scenario, "--json", "--out"]
        names = ",".join(str(folder) for folders in recipes.values() for folder in folders)
        fast = ["--policies", f"{baselines},{names}", "--episodes", str(options.episodes)]
        jobs.append([*common, str(options.out / scenario / FAST), *fast])
        if options.ahead:
            best = ",".join(map(str, by_validation(best_of(folders) for folders in recipes.values())))
            ahead = ["--policies", f"{baselines},rollout,{best}", "--episodes", str(options.ahead)]
            jobs.append([*common, str(options.out / scenario / AHEAD), *ahead, "--headroom"])
    with ThreadPoolExecutor(options.side_by_side) as pool:
        codes = list(pool.map(benchmark, jobs))
    if any(codes):
        words = " ".join(jobs[next(index for index, code in enumerate(codes) if code)])
        raise ValueError(f"scripts/benchmark.py {words} did not end well: see its message above")
    print(aligned(*filled(rows_of(options.out))))


def found(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """Run folders by scenario and recipe, in the order of their seeds; ValueError where there is none."""
    runs: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = RUN.fullmatch(path.name)
        if match and (path / "policy.json").is_file():
            runs.setdefault(match["scenario"], {}).setdefault(match["recipe"], []).append(path)
    if not runs:
        raise ValueError(
            f"{folder}: no folder SCENARIO-RECIPE-SEED with a trained policy in it: run scripts/pretrain.py"
        )
    return runs


def benchmark(arguments: list[str]) -> int:
    """One benchmark in a process of its own; its exit code."""
    command = [sys.executable, str(BENCHMARK), *arguments]
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
