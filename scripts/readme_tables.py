"""Rewrite the generated tables of README.md from the code, and the benchmark table from a summary.

python scripts/readme_tables.py
python scripts/readme_tables.py --benchmark runs/demo/benchmark/summary.json
python scripts/readme_tables.py --picture
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from og_env import config
from og_env.command_line import Parser, guarded
from og_env.fields import ROWS, TABLES, column
from og_env.layout import METRICS

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / ".github" / "provider-blackout.png"
PICTURE_STEP = 114
"""hour 9.5: an hour and a half into the outage"""
DIMENSIONS = {"": "one row", "M": "models", "P": "proposals", "N": "sites", "U": "user regions", "F": "shared domains"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--benchmark", metavar="SUMMARY.json", help="fill the benchmark table from this file")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a table is not current")
    parser.add_argument("--picture", action="store_true", help=f"draw {PICTURE.relative_to(ROOT)} anew")
    options = parser.parse_args(arguments)
    return guarded(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    if options.picture:
        draw_picture()
    old = README.read_text(encoding="utf-8")
    new = rewritten(old, read_summary(options.benchmark) if options.benchmark else None)
    if options.check:
        print("current" if old == new else "not current: run python scripts/readme_tables.py")
        return int(old != new)
    README.write_text(new, encoding="utf-8")
    return 0


def rewritten(text: str, summary: Mapping[str, Any] | None = None) -> str:
    """The text with every generated block made anew; without a summary the benchmark block stays as it is."""
    blocks: dict[str, Callable[[], str]] = {
        "scenarios": scenarios,
        "actions": actions,
        "observation": observation,
        "metrics": metrics,
        "reward": reward,
    }
    if summary is not None:
        blocks["benchmark"] = lambda: benchmark(summary)
    for name, make in blocks.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"README.md: must have exactly one block <!-- {name} --> ... <!-- /{name} -->")
        body = make()
        text = pattern.sub(lambda found, body=body: f"{found[1]}{body}\n{found[2]}", text)
    return text


def scenarios() -> str:
    rows = []
    for name in config.names():
        spec = config.load(name)
        whole = config.resolve(spec)
        sizes = (len(whole.sites), len(whole.regions), len(whole.models))
        rows.append((f"`{name}`", *map(str, sizes), spec.fleet, spec.description))
    return table(("scenario", "sites", "regions", "models", "fleet", "what it poses"), rows)


def actions() -> str:
    import gymnasium

    import og_env  # noqa: F401 (registers the ids)

    rows = []
    for task, what in (
        ("Placement", "what to start, stop or fetch; a fixed router"),
        ("Routing", "the router's five knobs; a built-in autoscaler places"),
        ("Joint", "both in one step"),
    ):
        for interface in ("proposals", "operations"):
            if task == "Routing" and interface == "operations":
                continue
            env = gymnasium.make(f"og_env/{task}-v0", scenario="global-24", interface=interface)
            name = "" if task == "Routing" else f'`interface="{interface}"`'
            rows.append((f"`og_env/{task}-v0`", name, f"`{space_word(env.action_space)}`", what))
            env.close()
    return table(("id", "interface", "action space on global-24", "decides"), rows)


def space_word(space: Any) -> str:
    if hasattr(space, "nvec"):
        return f"MultiDiscrete({space.nvec.tolist()})"
    if hasattr(space, "n"):
        return f"Discrete({space.n})"
    return f"Box({space.low.min():g}, {space.high.max():g}, {list(space.shape)})"


def observation() -> str:
    parts = []
    for name, fields in TABLES.items():
        rows = ((f"`{field.name}`", field.doc) for field in fields)
        size = f"[{ROWS[name]}, {len(fields)}]" if ROWS[name] else f"[{len(fields)}]"
        title = f"<summary><code>{name}</code> {size}: {DIMENSIONS[ROWS[name]]} x {len(fields)} columns</summary>"
        parts.append(f"<details>{title}\n\n{table(('column', 'meaning'), rows)}\n\n</details>")
    return "\n".join(parts)


def metrics() -> str:
    return ", ".join(f"`{name}`" for name in METRICS)


def reward() -> str:
    weights = config.load("global-24").reward.model_dump()
    meaning = {
        "latency": "L / (L + objective), by served demand",
        "cost": "dollars an hour over the budget",
        "unserved": "u (1 + k u) / (1 + k) of the unserved share u, k = `unserved_convexity`",
        "unverified": "share of demand served without a valid proof",
        "exposure": "share of demand that the worst single shared dependency would take along now",
        "churn": "1 in a step that changes something",
    }
    rows = [(f"`{term}`", f"{weights[term]:g}", text) for term, text in meaning.items()]
    return table(("term", "weight in global-24", "what it is"), rows)


def benchmark(summary: Mapping[str, Any]) -> str:
    from agents.comparison import TABLE_HEADER, table_rows, verdict_line

    head = f"{summary['episodes']} held-out episodes of {summary['scenario']}."
    rows = table(TABLE_HEADER, table_rows(dict(summary)))
    return f"{head}\n\n{rows}\n\n{verdict_line(dict(summary))}."


def draw_picture() -> None:
    """The map of provider-blackout while its largest provider is down and the planner's best offers are taken."""
    import gymnasium
    from PIL import Image

    import og_env  # noqa: F401 (registers the ids)

    env = gymnasium.make("og_env/Placement-v0", scenario="provider-blackout", render_mode="rgb_array")
    gain = column("proposals", "gain")
    seen, _ = env.reset(seed=0)
    for _ in range(PICTURE_STEP):
        best = int(seen["proposals"][:, gain].argmax())
        seen, *_ = env.step(best + 1 if seen["proposals"][best, gain] > 0 else 0)
    PICTURE.parent.mkdir(exist_ok=True)
    Image.fromarray(np.asarray(env.render())).save(PICTURE, optimize=True)
    env.close()


def read_summary(path: str) -> Mapping[str, Any]:
    try:
        summary = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    missing = {"scenario", "episodes", "policies", "best_baseline", "learned", "paired", "verdict"} - set(summary)
    if missing:
        raise ValueError(f"{path}: no benchmark summary: {', '.join(sorted(missing))} missing")
    return summary


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
