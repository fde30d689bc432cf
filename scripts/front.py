"""The front of latency, cost and resilience that each policy reaches as the weights of the reward move.

python scripts/front.py --scenario global-24 --policies runs/any-weights,greedy_tuned,spot_hedge,greedy
python scripts/front.py --scenario one-cloud --policies greedy,greedy_tuned,offer_autoscaler --grid 3 --episodes 50

Train a policy that follows any preference by: og-env train --set reward.weights=random
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from og_agents.evaluation.command_options import add_episode_options
from og_agents.load_policies import load_policies
from og_agents.studies import pareto_front, robustness
from og_env import task_of
from og_env.errors import Parser, guarded
from og_env.scenario import loading
from og_env.scenario.overrides import changes_of
from og_env.scenario.text_files import write_atomically, write_text

MOST = 8
"""steps of a grid: 217 preferences"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    return guarded(lambda: _run(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    add_episode_options(parser, 100, "test episodes each", changes=True)
    parser.add_argument(
        "--policies",
        default="greedy_tuned,spot_hedge,greedy,offer_autoscaler",
        metavar="DIR,A,B",
        help="as in og-env benchmark (default: greedy_tuned,spot_hedge,greedy,offer_autoscaler)",
    )
    parser.add_argument(
        "--grid",
        type=int,
        default=2,
        metavar="G",
        help="steps from the scenario's own weights to reward.weights_range: 3 G (G + 1) + 1 preferences (default: 2)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: runs/front/SCENARIO")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of the tables")
    options = parser.parse_args(arguments)
    if not 1 <= options.grid <= MOST:
        parser.error(f"--grid is {options.grid}; it must be from 1 to {MOST}")
    return options


def _run(options: argparse.Namespace) -> None:
    task = task_of(options.env)
    spec = loading.override(loading.load(options.scenario), changes_of(options.set))
    if spec.reward.weights_range == 1:
        raise ValueError(f"reward.weights_range of {spec.name} is 1: its preferences are all one")
    policies, learned = load_policies(options.policies.split(","), spec, task, seed=options.seed)
    grid = pareto_front.grid_of(spec.reward.weights_range, options.grid)

    def tell(preference: pareto_front.Preference) -> None:
        if sys.stderr.isatty():
            print(f"  {grid.index(preference) + 1} of {len(grid)}: {preference.name}", file=sys.stderr)

    fronts, summaries = pareto_front.play(
        policies, learned, spec, grid, task=task, episodes=options.episodes, seed=options.seed, done=tell
    )
    result = pareto_front.compare(fronts, learned, seed=options.seed)
    rows = robustness.records(summaries, learned) if result["best_baseline"] else []
    summary = {
        "scenario": spec.name,
        "env": options.env,
        "split": "test",
        "episodes": options.episodes,
        "seed": options.seed,
        "weights_range": spec.reward.weights_range,
        "learned": learned,
        "notes": pareto_front.training_notes(policies, spec),
        **result,
        "preferences": [
            {"factors": preference._asdict(), **figures} for preference, figures in zip(grid, summaries, strict=True)
        ],
    }
    out = options.out or Path("runs") / "front" / spec.name
    _write(out, summary, pareto_front.table(fronts, grid), pareto_front.picture(fronts, learned))
    print(json.dumps(summary, indent=1, allow_nan=False) if options.json else _text(summary, rows, out))


def _text(summary: robustness.Json, rows: Sequence[robustness.Json], out: Path) -> str:
    parts = []
    if rows:
        parts += [robustness.text(rows, f"weights of {pareto_front.PREFERENCE}"), ""]
    reference = ", ".join(f"{name} {value:.4f}" for name, value in summary["reference"].items())
    parts += [
        pareto_front.text(summary),
        f"* best baseline. {len(summary['preferences'])} preferences up to x{summary['weights_range']:g}, "
        f"{summary['episodes']} held-out episodes each, the same for all policies; 95 % bootstrap intervals over episodes.",
        f"Points: those that no other of the policy's own dominates. Hypervolume: up to {reference}, in ranges of the "
        f"front that all policies have together ({(1 + pareto_front.MARGIN) ** 3:.3f} at most); it depends on who takes part.",
        *summary["notes"],
        f"files: {', '.join(str(out / name) for name in ('front.png', 'front.csv', 'summary.json'))}",
    ]
    if rows:
        parts += pareto_front.verdict_lines(summary, rows, summary["learned"])
    return "\n".join(parts)


def _write(out: Path, summary: robustness.Json, table: str, picture: bytes) -> None:
    from og_agents.learning.checkpoint import write_json

    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "summary.json", summary)
    write_text(out / "front.csv", table)
    write_atomically(out / "front.png", lambda part: part.write_bytes(picture))


if __name__ == "__main__":
    sys.exit(main())
