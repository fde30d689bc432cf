"""The table of results: policies side by side, the verdict in words, the rows of results.csv, and how tables are written."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from og_agents.evaluation.episode_results import Episodes
from og_env.simulator import METRICS, TERMS

Json = dict[str, Any]

WORDS = {"win": "wins against", "loss": "loses against", "tie": "cannot be told apart from"}


def interval_text(pair: Json, form: str = "+.2f") -> str:
    """The interval of a difference or a mean as [low, high]."""
    return f"[{pair['ci_low']:{form}}, {pair['ci_high']:{form}}]"


def episodes_text(summary: Json) -> str:
    """How many episodes were played and of which split: "100 held-out episodes", "100 sealed episodes"."""
    kind = "held-out" if summary["split"] == "test" else summary["split"]
    return f"{summary['episodes']} {kind} episodes"


def verdict_of(pair: Json | None) -> str:
    """win, tie or loss by the interval of the difference; a tie with itself."""
    if pair is None or pair["ci_low"] <= 0 <= pair["ci_high"]:
        return "tie"
    return "win" if pair["ci_low"] > 0 else "loss"


def verdict_line(summary: Json) -> str:
    """The outcome in one line: who against whom, by how much, on how many pairs of episodes."""
    best, learned = summary["best_baseline"], summary["learned"]
    if learned is None:
        return f"No learned policy took part; the best heuristic is {best}."
    if best is None:
        return f"{learned} played alone: no heuristic to compare it with."
    pair = summary["paired"][learned]
    who = "PPO" if learned.lower() == "ppo" else learned
    return (
        f"{who} {WORDS[summary['verdict']]} {best}, the best baseline: "
        f"{pair['mean_diff']:+.2f} an episode {interval_text(pair)}, "
        f"better in {pair['wins']:.0%} of the episodes"
    )


def verdict_lines(summary: Json) -> list[str]:
    """The outcome in one line, and a line for every other learned policy."""
    others = {name: verdict for name, verdict in summary.get("verdicts", {}).items() if name != summary["learned"]}
    return [
        verdict_line(summary),
        *(verdict_line(summary | {"learned": name, "verdict": verdict}) for name, verdict in others.items()),
    ]


def ranked(summary: Json) -> list[str]:
    """Names of the policies, best mean return first."""
    return sorted(summary["policies"], key=lambda name: -summary["policies"][name]["return_mean"])


TABLE_HEADER = (
    "policy",
    "mean",
    "95 % interval",
    "IQM",
    "vs best",
    "95 % interval",
    "wins",
    "operations a day",
    "decisions/s",
)
"""operations a day is empty for results from before it was counted"""


def table_rows(summary: Json) -> list[tuple[str, ...]]:
    """Cells of the main table under TABLE_HEADER, best policy first; the best baseline is marked with *."""
    rows = []
    for name in ranked(summary):
        figures, pair = summary["policies"][name], summary["paired"].get(name)
        marked = f"{name} *" if name == summary["best_baseline"] else name
        versus = ("", "", "")
        if pair is not None:
            versus = (f"{pair['mean_diff']:+.2f}", interval_text(pair), f"{pair['wins']:.0%}")
        interval = interval_text(figures, ".2f")
        mean, middle = f"{figures['return_mean']:.2f}", f"{figures['return_iqm']:.2f}"
        daily = f"{figures['operations_per_day']:,.1f}" if "operations_per_day" in figures else ""
        rows.append((marked, mean, interval, middle, *versus, daily, f"{figures['decisions_per_s']:,.0f}"))
    return rows


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain-text table: first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in (header, *rows))


def result_rows(runs: Sequence[Episodes]) -> Iterator[Json]:
    """One row per policy and episode: seed, return, and the mean of each term and metric over the steps."""
    for run in runs:
        for at, seed in enumerate(run.seeds):
            yield {
                "policy": run.policy,
                "episode": at,
                "seed": int(seed),
                "return": float(run.returns[at]),
                **{f"term_{term}": float(value) for term, value in zip(TERMS, run.terms[at], strict=True)},
                **{metric: float(value) for metric, value in zip(METRICS, run.metrics[at], strict=True)},
            }


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def csv_text(rows: Sequence[Json], columns: Sequence[str] | None = None, line_end: str = "\r\n") -> str:
    """CSV of rows under `columns`, by default all keys in the order in which they first occur; empty where a row has none."""
    names = list(dict.fromkeys(key for row in rows for key in row)) if columns is None else columns
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, names, restval="", lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
