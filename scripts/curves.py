"""Learning curves of runs as curves.png and curves.csv, with baselines as lines.

python scripts/curves.py runs/pretrained/one-cloud-ppo-0 runs/pretrained/one-cloud-ppo-1 --out runs/curves/one-cloud
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from og_env.errors import Parser, guarded
from og_env.scenario.text_files import write_atomically, write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    return guarded(lambda: _run(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders of one scenario")
    parser.add_argument(
        "--baselines", default="greedy,greedy_tuned", metavar="A,B", help="default: greedy,greedy_tuned"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/curves"), metavar="DIR", help="default: runs/curves")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> None:
    from og_agents.studies import learning_curves

    found = learning_curves.read(options.runs, [name for name in options.baselines.split(",") if name])
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / "curves.png", lambda part: part.write_bytes(learning_curves.picture(found)))
    write_text(options.out / "curves.csv", learning_curves.table(found))
    for curve in found.runs:
        best = max(row["validation/return"] for row in curve.rows)
        print(f"{curve.name}: {curve.rows[0]['validation/return']:.2f} at the start, best {best:.2f}")
    print(", ".join(f"{name} {value:.2f}" for name, value in found.baselines.items()))
    print(f"curves: {options.out / 'curves.png'}, {options.out / 'curves.csv'}")


if __name__ == "__main__":
    sys.exit(main())
