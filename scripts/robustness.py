"""Where a trained policy stops winning: the same held-out episodes in changed worlds, beside the best baseline of each.

python scripts/robustness.py --scenario global-24 --policies all,greedy_tuned,spot_hedge,ppo
python scripts/robustness.py --scenario one-cloud --policies greedy,greedy_tuned,runs/ppo --incident aws-2025-10-20

Worlds: as it is; outage rate x0, x2, x4; the same outages but independent; 30 % more demand; a recorded incident on top.
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
from og_agents.evaluation.episode_results import Episodes
from og_agents.load_policies import load_policies
from og_agents.studies import robustness
from og_env import task_of
from og_env.errors import Parser, guarded
from og_env.scenario import loading
from og_env.scenario.overrides import changes_of
from og_env.scenario.text_files import write_text
from og_env.simulator import incident_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    return guarded(lambda: _run(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    add_episode_options(parser, 100, "test episodes a world", changes=True)
    parser.add_argument(
        "--policies",
        default="all,greedy_tuned,spot_hedge",
        metavar="A,B,DIR",
        help="as in og-env benchmark, with a trained one and a baseline (default: all,greedy_tuned,spot_hedge)",
    )
    parser.add_argument("--incident", metavar="ID", help="default: the recorded one that hits most sites")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: runs/robustness/SCENARIO")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of the table")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> None:
    task = task_of(options.env)
    spec = loading.override(loading.load(options.scenario), changes_of(options.set))
    incident = incident_of(options.incident, "--incident").id if options.incident else None
    worlds, left_out = robustness.changed_worlds(spec, incident)
    policies, learned = load_policies(options.policies.split(","), spec, task, seed=options.seed)
    robustness.check_lineup(policies, learned)
    summaries = []
    for world in worlds:

        def tell(episodes: Episodes, name: str = world.name) -> None:
            if sys.stderr.isatty():
                print(f"  {name}: {episodes.policy} {episodes.returns.mean():.2f}", file=sys.stderr)

        summaries.append(
            robustness.play(
                world, policies, learned, task=task, episodes=options.episodes, seed=options.seed, played=tell
            )
        )
    rows = robustness.records(summaries, learned)
    summary = {
        "scenario": spec.name,
        "env": options.env,
        "split": "test",
        "episodes": options.episodes,
        "seed": options.seed,
        "learned": learned,
        "rows": rows,
        "left_out": left_out,
        "worlds": summaries,
    }
    out = options.out or Path("runs") / "robustness" / spec.name
    _write(out, summary, robustness.table(rows))
    if options.json:
        print(json.dumps(summary, indent=1, allow_nan=False))
        return
    print(robustness.text(rows))
    print(
        f"{options.episodes} held-out episodes of {spec.name} in each world, the same for all policies; weights and "
        "constants as trained and tuned for the scenario as it is; paired differences with 95 % bootstrap intervals."
    )
    for world in worlds:
        if world.change:
            print(f"{world.name}: {world.change}")
    for line in left_out:
        print(f"left out: {line}")
    print(f"files: {out / 'summary.json'}, {out / 'table.csv'}")
    print("\n".join(robustness.verdict_lines(rows)))


def _write(out: Path, summary: robustness.Json, table: str) -> None:
    from og_agents.learning.checkpoint import write_json

    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "summary.json", summary)
    write_text(out / "table.csv", table)


if __name__ == "__main__":
    sys.exit(main())
