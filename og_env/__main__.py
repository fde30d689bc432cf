"""The commands `og-env scenarios | show NAME | schema | incidents`, also as `python -m og_env`, which needs no og_agents."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import gymnasium
from gymnasium.spaces import Space

from og_env import FLAT_IDS
from og_env.errors import Parser, report_error, shielded
from og_env.render import world_text
from og_env.scenario import catalog, loading
from og_env.scenario.specs import ScenarioSpec


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code: 0, or 2 after a one-line error."""
    parser = Parser("Scenarios of the environment.", prog="og-env")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    scenarios_parser = commands.add_parser("scenarios", help="list the shipped scenarios")
    show_parser = commands.add_parser("show", help="print the world of a scenario")
    show_parser.add_argument("scenario", help="name of a shipped scenario, or path of a TOML file")
    show_parser.add_argument("--fleet-seed", type=int, default=None, help="draw this fleet where sites are sampled")
    commands.add_parser("schema", help="print the JSON schema of a scenario file")
    incidents_parser = commands.add_parser("incidents", help="list the recorded outages that can be replayed")
    for each in (scenarios_parser, show_parser, incidents_parser):
        each.add_argument("--json", action="store_true", help="print JSON instead of text")
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
        specs = [loading.load(name) for name in loading.names()]
        return _json([scenario_facts(spec) for spec in specs]) if chosen.json else world_text.scenarios_table(specs)
    if chosen.command == "schema":
        return json.dumps(ScenarioSpec.model_json_schema(), indent=2)
    if chosen.command == "incidents":
        return _json(catalog.incidents()) if chosen.json else world_text.incidents_table()
    if chosen.fleet_seed is not None and chosen.fleet_seed < 0:
        raise ValueError(f"--fleet-seed: must be >= 0, not {chosen.fleet_seed}")
    spec = loading.load(chosen.scenario)
    whole = loading.resolve(spec, chosen.fleet_seed)
    if chosen.json:
        return _json(whole._asdict())
    world = world_text.world_text(whole)
    spaces = _spaces(spec)
    return f"{world}\n\n{world_text.spaces_text(spaces)}" if spaces else world


def scenario_facts(spec: ScenarioSpec) -> dict[str, Any]:
    """The row of a scenario in the list, by name."""
    whole = loading.resolve(spec)
    return {
        "name": spec.name,
        "description": spec.description,
        "sites": len(whole.sites),
        "regions": len(whole.regions),
        "models": len(whole.models),
        "fleet": spec.fleet,
        "steps": spec.episode.steps,
        "step_s": spec.episode.step_s,
    }


def _json(value: Any) -> str:
    """A value as JSON: specifications by their fields, and what has no form there as text."""
    return json.dumps(
        value, indent=1, default=lambda part: getattr(part, "model_dump", lambda **_: str(part))(mode="json")
    )


def _spaces(spec: ScenarioSpec) -> dict[str, tuple[Space[Any], Space[Any]]]:
    """Action and observation space of every registered environment of this package for the scenario."""
    spaces: dict[str, tuple[Space[Any], Space[Any]]] = {}
    for name in gymnasium.registry:
        if name.startswith("og_env/") and name not in FLAT_IDS.values():
            env = gymnasium.make(name, scenario=spec, disable_env_checker=True)
            spaces[name] = (env.action_space, env.observation_space)
            env.close()
    return spaces


if __name__ == "__main__":
    sys.exit(main())
