"""Rewrite the generated tables of the documentation from the code and its records, and the benchmark table from a summary.

python scripts/doc_tables.py
python scripts/doc_tables.py --benchmark runs/demo/benchmark/summary.json
python scripts/doc_tables.py --picture

The table of real fleets needs their files (see FLEETS); where they are absent it stays as it is.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from og_agents.commands import validate
from og_agents.evaluation import blindness, blindness_table
from og_agents.evaluation.leaderboard import read_summary
from og_agents.evaluation.results_table import markdown_table as table
from og_agents.studies import evidence, evidence_tables
from og_env import IDS
from og_env.env import NetworkEnv
from og_env.errors import Parser, guarded
from og_env.fields import ROWS, SCARCITY_TABLES, TABLES
from og_env.render.glossary import INFO_MEANINGS, KNOB_MEANINGS, METRIC_MEANINGS, OPERATION_MEANINGS, TERM_MEANINGS
from og_env.scenario import loading
from og_env.simulator import KNOB_RANGE

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / ".github" / "docs"
PAGES = {
    "environments.md": ("actions",),
    "scenarios.md": ("scenarios",),
    "fields.md": ("observation", "reward", "info", "metrics", "operations", "knobs"),
    "howto/audit.md": ("fleets", "audit"),
    "results/benchmark.md": ("benchmark",),
    "results/blindness.md": ("dimensions",),
    "results/learned.md": ("evidence", "learned_terms"),
    "results/validation.md": ("round_trips",),
    "changelog.md": ("versions",),
}
"""generated blocks of each page, from the top down"""
FLEETS = ROOT.parent / "shared" / "data" / "fleets"
"""measured fleets, not part of the project"""
ROUND_TRIPS = ROOT.parent / "shared" / "data" / "rtt" / "cloud_interregion_rtt.csv"
"""measured round trips, not part of the project; without them their table stays as it is"""
FLEET_FILES = {
    "ethereum_cl_2025-11.csv": ("Ethereum, consensus layer, November 2025", ()),
    "internet_computer_nodes_2025-10.csv": ("Internet Computer, October 2025", ("--map", "dc_owner=provider")),
    "filecoin_2025-11.csv": ("Filecoin, November 2025", ()),
}
FLEET_PICTURE = ROOT / ".github" / "audit-ethereum.png"
AUDITED = ("--scenario", "global-512", "--top", "3")
DIMENSIONS = {"": "one row", "M": "models", "P": "proposals", "N": "sites", "U": "user regions", "F": "shared domains"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__)
    parser.add_argument("--benchmark", metavar="SUMMARY.json", help="fill the benchmark table from this file")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a table is not current")
    parser.add_argument("--picture", action="store_true", help=f"draw {FLEET_PICTURE.name} anew")
    parser.add_argument("--fleets", metavar="DIR", type=Path, default=FLEETS, help="measured fleets, for their table")
    options = parser.parse_args(arguments)
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    has_fleets = all((options.fleets / name).is_file() for name in FLEET_FILES)
    if not has_fleets:
        print(f"the table and the picture of real fleets stay as they are: {options.fleets} has not got them")
    if options.picture and has_fleets:
        draw_fleet_picture(options.fleets)
    summary = read_summary(options.benchmark) if options.benchmark else None
    stale = []
    for page in PAGES:
        old = (DOCS / page).read_text(encoding="utf-8")
        new = rewritten(page, old, summary, options.fleets if has_fleets else None)
        if old != new:
            stale.append(page)
            if not options.check:
                (DOCS / page).write_text(new, encoding="utf-8")
    if options.check:
        print(f"not current: {', '.join(stale)}: run python scripts/doc_tables.py" if stale else "current")
        return int(bool(stale))
    return 0


def rewritten(page: str, text: str, summary: Mapping[str, Any] | None = None, fleets: Path | None = None) -> str:
    """The page's text with every generated block made anew; benchmark and fleets stay without their files."""
    blocks = dict(BLOCKS)
    if ROUND_TRIPS.is_file():
        blocks["round_trips"] = _round_trips
    if fleets is not None:
        blocks["fleets"] = lambda: fleet_table(fleets)
    if summary is not None:
        blocks["benchmark"] = lambda: _benchmark(summary)
    for name in PAGES[page]:
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"{page}: must have exactly one block <!-- {name} --> ... <!-- /{name} -->")
        if name in blocks:
            body = blocks[name]()
            text = pattern.sub(lambda found, body=body: f"{found[1]}{body}\n{found[2]}", text)
    return text


def _round_trips() -> str:
    found = validate.round_trips(ROUND_TRIPS)
    return "" if found is None else table(*validate.rtt_rows(found))


def _scenarios() -> str:
    rows = []
    for name in loading.names():
        spec = loading.load(name)
        whole = loading.resolve(spec)
        sizes = (len(whole.sites), len(whole.regions), len(whole.models))
        rows.append((f"`{name}`", *map(str, sizes), spec.fleet, spec.description))
    return table(("scenario", "sites", "regions", "models", "fleet", "what it poses"), rows)


ACTIONS = (
    ("Placement", "interface", "proposals", "what to start, stop or fetch; a fixed router"),
    ("Placement", "interface", "operations", "what to start, stop or fetch; a fixed router"),
    ("Routing", "interface", "knobs", "the router's five knobs; a built-in autoscaler places"),
    ("Routing", "interface", "sites", "how much the router is for or against each site; a built-in autoscaler places"),
    ("Joint", "interface", "proposals", "placement and the router's knobs in one step"),
    ("Joint", "interface", "operations", "placement and the router's knobs in one step"),
    ("Joint", "steering", "sites", "placement, and how much the router is for or against each site"),
    (
        "Joint",
        "steering",
        "domains",
        "placement, and how much the router is for or against each provider of two sites or more",
    ),
)
"""task, argument and its value, and what is decided; the first of a task is the default"""


def _actions() -> str:
    import gymnasium

    import og_env  # noqa: F401 (registers the ids)

    rows = []
    for task, argument, value, what in ACTIONS:
        chosen: dict[str, Any] = {argument: value}
        env = gymnasium.make(f"og_env/{task}-v1", scenario="global-24", **chosen)
        rows.append((f"`og_env/{task}-v1`", f'`{argument}="{value}"`', f"`{_space_word(env.action_space)}`", what))
        env.close()
    return table(("id", "argument", "action space on global-24", "decides"), rows)


def _space_word(space: Any) -> str:
    if hasattr(space, "nvec"):
        first, *rest = space.nvec.tolist()
        return f"MultiDiscrete([{first}] + [{rest[0]}] * {len(rest)})"
    if hasattr(space, "n"):
        return f"Discrete({space.n})"
    return f"Box({space.low.min():g}, {space.high.max():g}, {list(space.shape)})"


def _observation() -> str:
    parts = []
    for name, fields in (TABLES | SCARCITY_TABLES).items():
        rows = ((f"`{field.name}`", field.doc) for field in fields)
        size = f"[{ROWS[name]}, {len(fields)}]" if ROWS[name] else f"[{len(fields)}]"
        title = f"<code>{name}</code> {size}: {DIMENSIONS[ROWS[name]]} x {len(fields)} columns"
        title += ", where capacity is scarce" if name in SCARCITY_TABLES else ""
        parts.append(folded(title, table(("column", "meaning"), rows)))
    return "\n".join(parts)


def folded(title: str, text: str) -> str:
    """Text that opens on a click."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def _operations() -> str:
    rows = [(f"`{name}`", meaning) for name, meaning in OPERATION_MEANINGS.items()]
    return folded(
        "The operations, in the order of their numbers; 0 does nothing", table(("operation", "what it does"), rows)
    )


def _knobs() -> str:
    usual = loading.load("global-24").router
    rows = [(f"`{name}`", f"{getattr(usual, name):g}", text) for name, text in KNOB_MEANINGS.items()]
    levels = f"0 is the scenario's own setting, -1 and 1 are 1/{KNOB_RANGE:g} and {KNOB_RANGE:g} times it"
    title = f"The router's knobs: {levels} (spread: 0 and 1)"
    return folded(title, table(("knob", "usual", "what it is"), rows))


def _metrics() -> str:
    rows = ((f"`{name}`", meaning) for name, meaning in METRIC_MEANINGS.items())
    return folded(f"The {len(METRIC_MEANINGS)} metrics of a step", table(("key", "meaning"), rows))


def _info() -> str:
    return table(("key", "what it holds"), ((f"`{name}`", meaning) for name, meaning in INFO_MEANINGS.items()))


def _reward() -> str:
    weights = loading.load("global-24").reward.model_dump()
    rows = [(f"`{term}`", f"{weights[term]:g}", meaning) for term, meaning in TERM_MEANINGS.items()]
    return table(("term", "weight in global-24", "what it is"), rows)


def versions() -> str:
    """A row for every id and version, newest first, from the environment's docstring."""
    doc = inspect.cleandoc(NetworkEnv.__doc__ or "")
    history = doc.split("## Version History\n")[1].split("\n## ")[0]
    what = dict(re.findall(r"^(v\d+): (.*?)(?=\nv\d+: |\Z)", history, re.DOTALL | re.MULTILINE))
    rows = []
    for task, env_id in IDS.items():
        newest = env_id.rpartition("-")[2]
        if newest not in what:
            raise ValueError(f"og_env/env.py: the version history of NetworkEnv lacks {newest} of {env_id}")
        for version in sorted(what, reverse=True):
            rows.append((f"`{env_id.rpartition('-')[0]}-{version}`", task, " ".join(what[version].split())))
    return table(("id", "task", "what it is, or what changed"), rows)


def _benchmark(summary: Mapping[str, Any]) -> str:
    from og_agents.evaluation.results_table import TABLE_HEADER, episodes_text, table_rows, verdict_line

    head = f"{episodes_text(dict(summary))} of {summary['scenario']}."
    rows = table(TABLE_HEADER, table_rows(dict(summary)))
    return f"{head}\n\n{rows}\n\n{verdict_line(dict(summary))}."


def sealed_evidence() -> Mapping[str, Any]:
    """The record of the sealed episodes; one without entries where none were played."""
    return evidence.read(evidence.RECORD) if evidence.RECORD.exists() else {part: {} for part in evidence.PARTS}


def dimensions() -> str:
    """A row for every measured scenario: cost of blindness, and gains of routers, with half the width of the interval."""

    def shown(entry: Mapping[str, float] | None, key: str) -> str:
        if entry is None:
            return "-"
        text = f"{entry[key]:z.1f} +- {(entry['ci_high'] - entry['ci_low']) / 2:.1f}"
        return f"**{text}**" if entry["ci_low"] > 0 else text

    record, rows = blindness_table.read_record(), []
    for name in filter(record.__contains__, loading.names()):
        costs = [shown(record[name]["dimensions"].get(dimension), "cost_pct") for dimension in blindness.DIMENSIONS]
        gains = [shown(record[name]["routers"].get(gain), "gain_pct") for gain in blindness_table.GAINS]
        rows.append((f"`{name}`", *costs, *gains))
    return table(("scenario", *blindness.DIMENSIONS, "integral over knobs", "true speed over integral"), rows)


def run_audit(*arguments: str) -> str:
    """Output of og-env audit."""
    command = [sys.executable, "-m", "og_agents.commands.main", "audit", *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'agents'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"og-env audit {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@functools.cache
def audit() -> str:
    """The first table of a shipped fleet's audit and the nodes that only add to the count."""
    tables = run_audit(*AUDITED).strip().split("\n\n")
    shown = [tables[0], *(part for part in tables if part.startswith("adds to the count"))]
    command = f"```sh\nog-env audit {' '.join(AUDITED)}\n```"
    return "\n\n".join([command, "```text\n" + "\n\n".join(shown) + "\n```"])


@functools.cache
def fleet_table(folder: Path) -> str:
    """A row for each measured fleet."""
    rows = []
    for name, (title, options) in FLEET_FILES.items():
        found = json.loads(run_audit(str(folder / name), *options, "--json"))
        quorum, best, largest = found["quorum"], found["growth"]["greedy_best"], found["kinds"]["provider"]["top"][0]
        pair = " and ".join(f"{domain['kind']} {domain['name']}" for domain in quorum["worst_pair"])
        verdict = "survives" if quorum["n2_survives"] else "is lost"
        rows.append(
            (
                title,
                f"{found['nodes']:,}",
                f"{found['apparent']['countries']}, {found['apparent']['cities']:,}",
                f"{found['n_eff']:.1f}",
                f"{best['nodes']:,}: {best['n_eff']:.1f}",
                f"{largest['name']} {largest['share']:.1%}",
                str(found["kinds"]["provider"]["nakamoto"]["1/3"]),
                f"{quorum['worst']['kind']} {quorum['worst']['name']} {quorum['worst']['share']:.1%}",
                f"{verdict}: {pair}",
                f"{found['count_only']['share']:.0%}",
            )
        )
    header = ("fleet", "nodes", "countries, cities", "behaves like", "best part", "largest provider", "Nakamoto 1/3")
    return table((*header, "worst dependency", "quorum without the worst pair", "count only"), rows)


def draw_fleet_picture(folder: Path) -> None:
    """The picture that `og-env audit` makes of the first fleet, in 128 colours."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as out:
        run_audit(str(folder / next(iter(FLEET_FILES))), "--out", out)
        with Image.open(Path(out) / "audit.png") as picture:
            picture.convert("RGB").quantize(128).save(FLEET_PICTURE, optimize=True)


BLOCKS: Mapping[str, Callable[[], str]] = {
    "scenarios": _scenarios,
    "actions": _actions,
    "operations": _operations,
    "knobs": _knobs,
    "observation": _observation,
    "reward": _reward,
    "metrics": _metrics,
    "info": _info,
    "versions": versions,
    "audit": audit,
    "evidence": lambda: evidence_tables.markdown(dict(sealed_evidence())),
    "learned_terms": lambda: evidence_tables.learned(dict(sealed_evidence())),
    "dimensions": dimensions,
}
"""blocks that need no other files"""


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
