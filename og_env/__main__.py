"""The commands `og-env scenarios | show NAME | schema | incidents`, also as `python -m og_env`, which needs no og_agents."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import gymnasium
from gymnasium.spaces import Space

from og_env.errors import Parser, report_error, shielded
from og_env.render import world_text
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code: 0, or 2 after a one-line error."""
    parser = Parser("Scenarios of the environment.", prog="og-env")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("scenarios", help="list the shipped scenarios")
    show_parser = commands.add_parser("show", help="print the world of a scenario")
    show_parser.add_argument("scenario", help="name of a shipped scenario, or path of a TOML file")
    show_parser.add_argument("--fleet-seed", type=int, default=None, help="draw this fleet where sites are sampled")
    commands.add_parser("schema", help="print the JSON schema of a scenario file")
    commands.add_parser("incidents", help="list the recorded outages that can be replayed")
    chosen = parser.parse_args(arguments)
    shielded()
    try:
        print(_output(chosen))
        sys.stdout.flush()
    except ValueError as error:
        return report_error(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _output(chosen: argparse.Namespace) -> str:
    if chosen.command == "scenarios":
        return world_text.scenarios_table([loading.load(name) for name in loading.names()])
    if chosen.command == "schema":
        return json.dumps(ScenarioSpec.model_json_schema(), indent=2)
    if chosen.command == "incidents":
        return world_text.incidents_table()
    if chosen.fleet_seed is not None and chosen.fleet_seed < 0:
        raise ValueError(f"--fleet-seed: must be >= 0, not {chosen.fleet_seed}")
    spec = loading.load(chosen.scenario)
    world = world_text.world_text(loading.resolve(spec, chosen.fleet_seed))
    spaces = _spaces(spec)
    return f"{world}\n\n{world_text.spaces_text(spaces)}" if spaces else world


def _spaces(spec: ScenarioSpec) -> dict[str, tuple[Space[Any], Space[Any]]]:
    """Action and observation space of every registered environment of this package for the scenario."""
    spaces: dict[str, tuple[Space[Any], Space[Any]]] = {}
    for name in gymnasium.registry:
        if name.startswith("og_env/"):
            env = gymnasium.make(name, scenario=spec, disable_env_checker=True)
            spaces[name] = (env.action_space, env.observation_space)
            env.close()
    return spaces


if __name__ == "__main__":
    sys.exit(main())
