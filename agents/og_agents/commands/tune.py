"""Tune the constants of baselines on training episodes, and print tables for the files in configs/planners.

og-env tune --scenario global-24 --policies nearest,cheapest --episodes 64
og-env tune --scenario one-cloud --policies planners --episodes 12
og-env tune --scenario one-cloud --policies tuned_knobs,site_prices --episodes 12
og-env tune --scenario grid-blackout --policies greedy_tuned --begin backlog=1 --begin arriving=0.8
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from og_agents import heuristics
from og_agents.evaluation.progress import add_progress_options, shown
from og_agents.heuristics.tuned_constants import PLANNERS
from og_agents.studies import tuning
from og_env.errors import Parser, guarded, nearest_valid
from og_env.scenario import loading
from og_env.scenario.overrides import changes_of

WHICH = f"heuristics (default: all with constants), planners and routers: {', '.join(PLANNERS)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parse(arguments)
    return guarded(lambda: run(options))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line, checked."""
    parser = Parser(__doc__, prog="og-env tune")
    parser.add_argument("--scenario", default="global-24", metavar="S", help="name or file (default: global-24)")
    parser.add_argument("--policies", default="all", metavar="all|planners|a,b", help=WHICH)
    parser.add_argument("--constants", metavar="a,b", help="tune only these (default: all)")
    parser.add_argument("--episodes", type=int, default=64, metavar="N", help="episodes for each trial (default: 64)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the first episode (default: 0)")
    parser.add_argument(
        "--population", type=int, default=12, metavar="N", help="trials of a planner's round (default: 12)"
    )
    parser.add_argument("--rounds", type=int, default=6, metavar="N", help="of a planner's search (default: 6)")
    parser.add_argument(
        "--begin",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a planner's search begins with this constant instead of the present one",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    add_progress_options(parser)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Search each policy's constants, and print its table."""
    groups = {"all": list(heuristics.TUNABLE), "planners": list(PLANNERS)}
    names = groups.get(options.policies) or options.policies.split(",")
    keys = options.constants.split(",") if options.constants else None
    search = {"population": options.population, "rounds": options.rounds, "begin": changes_of(options.begin)}
    every: dict[str, Any] = {}
    for name in names:
        if name not in PLANNERS and name not in heuristics.TUNABLE:
            hint = nearest_valid(name, (*groups, *heuristics.TUNABLE, *PLANNERS))
            raise ValueError(f"--policies: {name!r} is neither a heuristic nor a planner with constants{hint}")
    with shown(options, len(names), "policies") as progress:
        for at, name in enumerate(names):

            def tried(trial: int, most: int, at: int = at, name: str = name) -> None:
                progress.at(at + trial / most, f"{name}, trial {trial} of {most} at most")

            common: dict[str, Any] = {"episodes": options.episodes, "seed": options.seed, "tried": tried}
            if name in PLANNERS:
                found = tuning.tune_planner(name, options.scenario, **search, **common)
                file, table = f"{name}.toml", f"tuned.{loading.load(options.scenario).name}"
            else:
                found = tuning.tune(name, options.scenario, keys=keys, **common)
                file, table = "heuristics.toml", heuristics.RECIPES[name].constants
            progress.close()
            every[name] = {"file": file, "table": table, **as_json(found)}
            if not options.json:
                print(text(name, every[name]), flush=True)
    if options.json:
        print(json.dumps(every, indent=1))


def as_json(found: tuning.Tuned) -> dict[str, Any]:
    """The constants, the trials, and the gain on validation episodes to the constants that the search started from."""
    gain = found.validation.difference
    constants = {key: float(f"{value:g}") for key, value in found.constants.items()}
    return {
        "constants": constants,
        "trials": found.trials,
        "gain": {"mean_diff": gain.value, "ci_low": gain.low, "ci_high": gain.high},
    }


def text(name: str, found: dict[str, Any]) -> str:
    """A table for a file of constants, with a comment on what it brings."""
    gain = found["gain"]
    head = (
        f"# {found['file']}, {name}: {found['trials']} trials; validation {gain['mean_diff']:+.2f} "
        f"[{gain['ci_low']:+.2f}, {gain['ci_high']:+.2f}] to the constants it started from"
    )
    return "\n".join(
        [head, f"[{found['table']}]", *(f"{key} = {each!r}" for key, each in found["constants"].items()), ""]
    )


if __name__ == "__main__":
    sys.exit(main())
