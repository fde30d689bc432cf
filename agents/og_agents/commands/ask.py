"""Answer a planner's question about a fleet in a few plain sentences, with the figures behind them.

og-env ask fleet.csv outage bigcloud --at 22:00 --for 4h
og-env ask global-24 prewarm sdxl-fp16 --in asia
og-env ask fleet.csv next-node --budget 60 --near tokyo
og-env ask global-24 redundant --json

The fleet is a scenario (a name or a TOML file) or a CSV with a row for each node, which is read as by
`og-env make-scenario` and takes the same options.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from og_env.errors import Parser, guarded

# isort: split
from og_agents.advice import next_node, outage, prewarm, redundant
from og_agents.advice.answer import Answer
from og_agents.advice.fleet_changes import Concrete, concrete
from og_agents.commands import make_scenario
from og_agents.commands.table_options import add_world_options, mapping_help, meanings, table_of
from og_agents.load_policies import load_policies
from og_agents.policy import Policy
from og_env.scenario.specs import Effect

POLICY = "greedy_tuned"
"""the planner that runs the fleet unless said"""
MOST_EPISODES = 1000
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".json")
CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::\d{2})?")
LENGTH = re.compile(r"(\d+\.?\d*)\s*(h|min|m|d)?")
HOURS = {"h": 1.0, "min": 1 / 60, "m": 1 / 60, "d": 24.0}


class Fleet(NamedTuple):
    """A fleet to ask about."""

    concrete: Concrete
    assumed: tuple[str, ...]
    """what the table of nodes left out, and was filled in"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: run(options))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command line."""
    parser = Parser(__doc__, prog="og-env ask")
    parser.add_argument("fleet", metavar="FLEET", help="a CSV of nodes, a scenario's name or its TOML file")
    words = "outage|prewarm|next-node|redundant"
    questions = parser.add_subparsers(dest="question", metavar=words, required=True, parser_class=Parser)
    one = questions.add_parser("outage", help="what the outage of something that nodes share does")
    one.add_argument(
        "name", metavar="NAME", help="a provider, grid, carrier, country, TEE vendor, region, city or node"
    )
    one.add_argument("--at", metavar="HH:MM", help="when it begins, UTC (default: the hour of most demand)")
    one.add_argument(
        "--for", dest="length", metavar="LENGTH", default="4h", help="how long, as 4h or 90min (default: 4h)"
    )
    one.add_argument("--effect", choices=get_args(Effect), help="default: DOWN, and UNTRUSTED of a TEE vendor")
    two = questions.add_parser("prewarm", help="whether a warm replica of a model pays in a place")
    two.add_argument("model", metavar="MODEL")
    two.add_argument("--in", dest="place", metavar="PLACE", required=True, help="a continent, country or user region")
    three = questions.add_parser("next-node", help="which node of the catalogue to add")
    three.add_argument("--budget", type=float, metavar="USD", help="most that the node may rent for, dollars a day")
    three.add_argument("--near", metavar="PLACE", help="a continent, country or user region")
    four = questions.add_parser("redundant", help="which nodes only add to the count")
    for question, default in ((one, outage), (two, prewarm), (three, next_node), (four, redundant)):
        _add_common(question, default.EPISODES)
    return parser.parse_args(arguments)


def _add_common(parser: argparse.ArgumentParser, episodes: int) -> None:
    parser.add_argument(
        "--episodes", type=int, default=episodes, metavar="N", help=f"days played (default: {episodes})"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the first day (default: 0)")
    parser.add_argument("--policy", default=POLICY, metavar="NAME", help=f"who runs the fleet (default: {POLICY})")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    table = parser.add_argument_group("where FLEET is a CSV", "as of og-env make-scenario")
    add_world_options(table)


def run(options: argparse.Namespace) -> None:
    """Print the answer; ValueError in one line for bad input."""
    if options.map == []:
        print(json.dumps({"meanings": meanings()}, indent=1) if options.json else mapping_help())
        return
    if not 1 <= options.episodes <= MOST_EPISODES:
        raise ValueError(f"--episodes is {options.episodes}; valid are 1 to {MOST_EPISODES:,}")
    if options.seed < 0:
        raise ValueError(f"--seed must be at least 0, not {options.seed}")
    fleet = read_fleet(options)
    ((_, policy),) = load_policies(
        [options.policy], fleet.concrete.spec, "placement", seed=options.seed, option="--policy"
    )[0].items()
    found = answer(fleet.concrete, policy, options)
    found = found._replace(assumed=(*fleet.assumed, *found.assumed))
    if options.json:
        print(json.dumps({"fleet": options.fleet, **found.json()}, indent=1, allow_nan=False))
    else:
        print(found.text())


def answer(fleet: Concrete, policy: Policy, options: argparse.Namespace) -> Answer:
    """The answer to the question of the command line."""
    common: Any = {"episodes": options.episodes, "seed": options.seed}
    match options.question:
        case "outage":
            at = None if options.at is None else clock_of(options.at)
            length = length_of(options.length)
            return outage.answer(
                fleet, policy, options.name, at_utc_h=at, for_h=length, effect=options.effect, **common
            )
        case "prewarm":
            return prewarm.answer(fleet, policy, options.model, options.place, **common)
        case "next-node":
            if options.budget is not None and not (math.isfinite(options.budget) and options.budget > 0):
                raise ValueError(f"--budget is {options.budget:g}; it must be above 0 dollars a day")
            return next_node.answer(fleet, policy, budget_usd_per_day=options.budget, near=options.near, **common)
        case _:
            return redundant.answer(fleet, policy, **common)


def read_fleet(options: argparse.Namespace) -> Fleet:
    """The fleet of a scenario, or of a table of nodes as `make_scenario` reads it."""
    path = Path(options.fleet)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        refuse_table_options(options)
        return Fleet(concrete(options.fleet), ())
    options.nodes, options.shocks_per_day = options.fleet, None
    table = table_of(options, options.fleet)
    tables, whole = make_scenario.scenario(options, path.stem, table)
    models = ", ".join(model.name for model in whole.models)
    assumed = [f"{tables['demand']['requests_per_s']:g} requests/s of {models} from {len(whole.regions)} cities"]
    if table.filled:
        assumed.append(
            "not in the table, so (nodes): " + ", ".join(f"{what} ({n})" for what, n in table.filled.items())
        )
    if table.unused:
        assumed.append(f"columns not used: {', '.join(table.unused)} (--map COLUMN=KIND)")
    return Fleet(concrete(tables), (*assumed, *table.notes))


def refuse_table_options(options: argparse.Namespace) -> None:
    """ValueError in one line for an option of a table of nodes, where the fleet is a scenario."""
    usual = argparse.ArgumentParser()
    add_world_options(usual)
    for name, value in vars(usual.parse_args([])).items():
        if getattr(options, name) != value:
            raise ValueError(
                f"--{name.replace('_', '-')} says how a table of nodes is read, and {options.fleet} is a scenario: "
                "name the CSV, or leave the option out"
            )


def clock_of(text: str) -> float:
    """Hour of the day of a clock time such as 22:00; ValueError for anything else."""
    found = CLOCK.fullmatch(text.strip())
    if found is None or int(found[1]) > 23 or int(found[2] or 0) > 59:
        raise ValueError(f"--at: {text!r} is no clock time such as 22:00 (UTC)")
    return int(found[1]) + int(found[2] or 0) / 60


def length_of(text: str) -> float:
    """Hours of a length such as 4h, 90min or 0.5d; ValueError for anything else."""
    found = LENGTH.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise ValueError(f"--for: {text!r} is no length such as 4h or 90min")
    return float(found[1]) * HOURS[found[2] or "h"]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
