"""Many benchmarks as one page: who stands where on which scenario, from their summary.json files."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from og_agents import heuristics, planners
from og_agents.evaluation.command_options import SEALED
from og_agents.evaluation.results_table import (
    TABLE_HEADER,
    episodes_text,
    interval_text,
    markdown_table,
    table_rows,
    verdict_line,
    verdict_of,
)
from og_env.errors import printable
from og_env.scenario.json_file import read_json

Json = dict[str, Any]
NEEDED = frozenset({"scenario", "env", "split", "episodes", "seed", "policies", "best_baseline", "learned", "paired"})
FIGURES = frozenset({"return_mean", "return_iqm", "ci_low", "ci_high", "decisions_per_s"})
PAIR = frozenset({"mean_diff", "ci_low", "ci_high", "wins"})
SUMMARY = "summary.json"
FEW = 100
"""episodes below which an entry is marked: its interval is wide"""
TOLERANCE = 1e-6
"""relative difference of means that processors may make"""
VERDICTS = ("win", "tie", "loss")


class Entry(NamedTuple):
    """One benchmark."""

    path: str
    summary: Json

    @property
    def title(self) -> str:
        """Scenario and environment that were played."""
        return f"{self.summary['scenario']}, {self.summary['env']}"

    @property
    def best_mean(self) -> float:
        """Mean return of the best baseline."""
        return self.summary["policies"][self.summary["best_baseline"]]["return_mean"]


def read_summary(path: str | Path) -> Json:
    """A benchmark's summary; ValueError in one line where the file is none."""
    summary = read_json(Path(path))
    if missing := sorted((NEEDED | {"verdict"}) - set(summary)):
        raise ValueError(f"{path}: no benchmark summary: {', '.join(missing)} missing")
    for key, needed in (("policies", FIGURES), ("paired", PAIR)):
        for name, figures in summary[key].items():
            if missing := sorted(needed - set(figures)):
                raise ValueError(f"{path}: no benchmark summary: {key}.{name}: {', '.join(missing)} missing")
    for key in ("best_baseline", "learned"):
        if summary[key] not in (None, *summary["policies"]):
            raise ValueError(f"{path}: no benchmark summary: {key} {summary[key]!r} is not among the policies")
    return summary


def read_entries(paths: Iterable[str | Path]) -> list[Entry]:
    """The summaries that files and folders hold, by scenario.

    ValueError where there are none, where one has no baseline, or where two disagree on the same episodes.
    """
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        found = sorted(path.rglob(SUMMARY)) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"{path}: no {SUMMARY} in it: run og-env benchmark with --out {path / 'NAME'}")
        files |= dict.fromkeys(file.resolve() for file in found)
    entries = [Entry(str(file), read_summary(file)) for file in files]
    for path, summary in entries:
        if summary["best_baseline"] is None:
            raise ValueError(f"{path}: no heuristic took part: run the benchmark with --policies all,...")
    check_agreement(entries)
    return sorted(entries, key=lambda entry: (entry.title, -entry.summary["episodes"], entry.path))


def check_agreement(entries: Sequence[Entry]) -> None:
    """Heuristics and planners have one mean on the same episodes; ValueError for versions that played different worlds."""
    seen: dict[tuple[Any, ...], tuple[float, str]] = {}
    for entry in entries:
        summary = entry.summary
        for name in set(summary["policies"]) & {*heuristics.NAMES, *planners.NAMES}:
            key = (entry.title, summary["split"], summary["seed"], summary["episodes"], name)
            mean, path = seen.setdefault(key, (summary["policies"][name]["return_mean"], entry.path))
            if abs(mean - summary["policies"][name]["return_mean"]) > TOLERANCE * abs(mean):
                raise ValueError(
                    f"{entry.path}: {name} has another mean on {entry.title} than in {path}: they are of different "
                    "versions; run one of them anew"
                )


def page(entries: Sequence[Entry], command: str) -> str:
    """The leaderboard in Markdown; names stand in it as they are, whatever Markdown or HTML would make of them."""
    entries, command = [entry._replace(summary=escaped(entry.summary)) for entry in entries], printable(command)
    parts = [
        "# Leaderboard",
        f"Made by `{command}`. Returns are minus costs: higher is better. *Best baseline*: the heuristic or quick planner "
        "with the highest mean on the same episodes, marked \\* below; planners that look ahead (†) are references, not "
        "baselines. Differences are paired, with 95 % bootstrap intervals; a win or a loss is one whose interval leaves "
        "out 0.",
        "## Policies\n\n" + markdown_table(STANDING_HEADER, standings(entries)),
        "## Scenarios\n\n" + markdown_table(OVERVIEW_HEADER, [overview(entry) for entry in entries]),
        *(section(entry) for entry in entries),
    ]
    return "\n\n".join(parts) + "\n"


def escaped(value: Any) -> Any:
    """The value with all its words, keys included, written so that Markdown shows them as they are, in one cell."""
    if isinstance(value, dict):
        return {escaped(key): escaped(part) for key, part in value.items()}
    if isinstance(value, list):
        return [escaped(part) for part in value]
    if not isinstance(value, str):
        return value
    return re.sub(r"[\\`*\[\]|~]", r"\\\g<0>", html.escape(printable(value), quote=False))


STANDING_HEADER = (
    "policy",
    "benchmarks",
    "above, level, below the best baseline",
    "mean difference, % of its return",
    "operations a day",
)
"""operations a day are a mean over the benchmarks that counted them, and empty where none did"""


def standings(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """A row for every policy: how it does against the best baseline of each benchmark that it played; the best first.

    The best baseline itself counts as level with itself.
    """
    verdicts: dict[str, dict[str, int]] = {}
    differences: dict[str, list[float]] = {}
    daily: dict[str, list[float]] = {}
    for entry in entries:
        for name, figures in entry.summary["policies"].items():
            daily.setdefault(name, []).extend(figures[key] for key in ("operations_per_day",) if key in figures)
            pair = entry.summary["paired"].get(name)
            counts = verdicts.setdefault(name, dict.fromkeys(VERDICTS, 0))
            counts[verdict_of(pair)] += 1
            difference = 0.0 if pair is None else pair["mean_diff"]
            differences.setdefault(name, []).append(100 * difference / max(abs(entry.best_mean), 1e-9))
    learned = {entry.summary["learned"] for entry in entries}
    mean = {name: sum(values) / len(values) for name, values in differences.items()}
    return [
        (
            f"**{name}**" if name in learned else marked(name),
            str(len(differences[name])),
            ", ".join(str(verdicts[name][verdict]) for verdict in VERDICTS),
            f"{mean[name]:+.1f}",
            f"{sum(daily[name]) / len(daily[name]):,.1f}" if daily[name] else "",
        )
        for name in sorted(mean, key=lambda name: (-len(differences[name]), -mean[name]))
    ]


OVERVIEW_HEADER = (
    "scenario",
    "episodes",
    "best baseline",
    "its mean",
    "learned",
    "vs best",
    "95 % interval",
    "verdict",
)


def overview(entry: Entry) -> tuple[str, ...]:
    """Cells of one benchmark under OVERVIEW_HEADER."""
    summary = entry.summary
    few = " (few)" if summary["episodes"] < FEW else ""
    kept = {"test": "", SEALED: f" {SEALED}"}
    split = kept.get(summary["split"], f" of the {summary['split']} split")
    first = (entry.title, f"{summary['episodes']}{few}{split}", summary["best_baseline"], f"{entry.best_mean:.2f}")
    if summary["learned"] is None:
        return (*first, "", "", "", "")
    pair = summary["paired"][summary["learned"]]
    versus = (f"{pair['mean_diff']:+.2f}", interval_text(pair), verdict_of(pair))
    return (*first, f"**{summary['learned']}**", *versus)


def section(entry: Entry) -> str:
    """One benchmark: its table and its verdict."""
    summary = entry.summary
    last = summary["seed"] + summary["episodes"] - 1
    rows = [(marked(re.sub(r" \*$", r" \\*", row[0])), *row[1:]) for row in table_rows(summary)]
    lines = [
        f"## {entry.title}",
        f"{episodes_text(summary)}, seeds {summary['seed']} to {last}.",
        markdown_table(TABLE_HEADER, rows),
    ]
    if room := summary.get("headroom"):
        lines.append(f"Headroom to {room['reference']}: {room['percent']:.1f} % {interval_text(room, '.1f')}.")
    return "\n\n".join([*lines, verdict_line(summary).rstrip(".") + "."])


def marked(name: str) -> str:
    """Name of a policy, with a dagger where it looks ahead and is only a reference."""
    return f"{name} †" if name in planners.REFERENCES else name
