"""The blindness table as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from og_agents.evaluation.beliefs import BELIEFS
from og_agents.evaluation.blindness import DIMENSIONS, Json
from og_env.scenario import loading
from og_env.scenario.json_file import read_json
from og_env.scenario.text_files import write_text

RECORD = loading.scenarios_folder().parent / "benchmarks" / "dimensions.json"
"""tables of the shipped scenarios by name, as measured last"""
KEYS = ("split", "episodes", "seed", "planner", "router", "return", "dimensions", "routers", "returns", "span")
"""what every table in a record has"""
SAME_PLAY = ("split", "episodes", "seed", "planner", "return")
"""what two tables of the same play have in common"""
ROUTED = ("router", "return_routing", "routers")
"""what a table has of the routers"""

BELIEVES = {name: belief.doc for name, belief in BELIEFS.items()} | {
    "condition": "router: all sites work at their nominal speed",
    "routing": "router: fixed knobs, the best on training episodes",
}
"""belief of who is blind to a dimension"""
GAINS = {
    "integral_over_knobs": "integral controller over the best fixed knobs",
    "true_speed_over_integral": "optimiser told the true speed over that one",
}
"""label of each gain of a router"""
SPANS = {
    "exposure": ("exposure", ".2f"),
    "n_eff": ("effective nodes", ".2f"),
    "latency_miss": ("served too late (latency term)", ".3f"),
    "usd_per_hour": ("usd per hour", ",.1f"),
}
"""label and format of each span"""


def text(table: Json) -> str:
    """Three tables: cost of blindness, gains of routers, lowest and highest figure over policies; and how it was measured."""
    lines = [
        f"{table['scenario']}: {table['episodes']} {table['split']} episodes from seed {table['seed']}, "
        f"return of {table['planner']} {table['return']:.2f}",
        "",
        f"{'blind to':<14}{'cost %':>8}  {'95 % interval':<18}believes",
    ]
    for name, cost in table["dimensions"].items():
        interval = f"[{cost['ci_low']:z.1f}, {cost['ci_high']:z.1f}]"
        lines.append(f"{name:<14}{cost['cost_pct']:>z8.1f}  {interval:<18}{BELIEVES[name]}")
    if table["routers"]:
        lines += ["", f"{'routers':<48}{'gain %':>8}  95 % interval"]
    for name, gain in table["routers"].items():
        interval = f"[{gain['ci_low']:z.1f}, {gain['ci_high']:z.1f}]"
        lines.append(f"{GAINS[name]:<48}{gain['gain_pct']:>z8.1f}  {interval}")
    lines += ["", f"{'over policies':<42}{'lowest':>10}{'highest':>10}"]
    for name, (label, form) in SPANS.items():
        low, high = table["span"][name]
        lines.append(f"{label:<42}{low:>10{form}}{high:>10{form}}")
    lines += [
        "",
        "Cost of blindness in % of the |return| of who sees, on the same tapes, with paired bootstrap intervals: offers",
        "are priced in the believed world and carried out in the true one.",
    ]
    if table["router"]:
        lines += [
            "Planners take all sites to work at nominal speed, so condition and routing are the router's, beside",
            f"{table['router']} (return {table['return_routing']:.2f}) on the placement of the built-in planner. Gains are in",
            "% of the |return| of the one that is surpassed.",
        ]
    return "\n".join([*lines, f"Policies: {', '.join(table['returns'])}."])


def read_record(path: Path = RECORD) -> dict[str, Json]:
    """Tables by scenario; ValueError in one line where the file holds something else."""
    record = read_json(path)
    for name, table in record.items():
        if (
            not isinstance(table, dict)
            or not set(KEYS) <= set(table)
            or not set(table["dimensions"]) <= set(DIMENSIONS)
        ):
            raise ValueError(f"{path}: no record of og-env dimensions: {name} is not complete")
    return record


def keep(table: Json, path: Path = RECORD) -> None:
    """Write a table to a record, in place of the one that the scenario had there.

    What was not played now is taken over from the earlier table, if that has the same planner and return on the same
    episodes: costs of other dimensions, and the routers.
    """
    record = read_record(path) if path.is_file() else {}
    record[table["scenario"]] = _with_earlier(_rounded(table), record.get(table["scenario"]))
    ordered = {name: _rounded(record[name]) for name in sorted(record)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(ordered, indent=1, allow_nan=False) + "\n")


def _with_earlier(table: Json, earlier: Json | None) -> Json:
    """The table with what an earlier one of the same play has besides."""
    if earlier is None or any(table[key] != earlier[key] for key in SAME_PLAY):
        return table
    costs = earlier["dimensions"] | table["dimensions"]
    routed = table if table["router"] else earlier
    routers = {key: routed[key] for key in ROUTED if key in routed}
    return table | {"dimensions": {name: costs[name] for name in DIMENSIONS if name in costs}} | routers


def _rounded(value: Any) -> Any:
    """The same with numbers to four digits behind the point, which is more than the intervals are narrow."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value
