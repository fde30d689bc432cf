"""The tables of the record of `evidence`: scenario by scenario, over all scenarios, and what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from og_agents.evaluation.results_table import markdown_table
from og_agents.evaluation.term_gains import cell
from og_env.simulator import TERMS

Json = dict[str, Any]
HEADER = ("scenario", "task", "best baseline", "recipe", "seeds", "above best baseline", "score", "terms improved")
OVERALL = (
    "task",
    "recipe",
    "scenarios",
    "above, level, below",
    "score",
    "probability of improvement",
    "scores above 0.5",
)
NOTHING = "No sealed episodes have been played yet."


def markdown(record: Json) -> str:
    """All tables that the record fills, for the documentation; a sentence where it has no entry."""
    if not record["entries"]:
        return NOTHING
    parts = [episodes_line(record), markdown_table(HEADER, list(rows(record)))]
    parts.append(markdown_table(OVERALL, list(overall_rows(record))))
    return "\n\n".join(parts)


def learned(record: Json) -> str:
    """The table of what was learned, by term of the reward and by dimension, for the documentation."""
    return markdown_table(*learned_table(record)) if record["entries"] else NOTHING


def episodes_line(record: Json) -> str:
    """How many episodes were played, of which split."""
    asked = [made["asked"] for made in record["entries"].values()]
    counts, ahead = ({entry[key] for entry in asked} for key in ("episodes", "clairvoyant"))
    line = f"{_span(counts)} {asked[0]['split']} episodes of each policy"
    return f"{line}, and of the clairvoyant the first {_span(ahead)}." if max(ahead) else f"{line}."


def _span(counts: set[int]) -> str:
    return str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def named(made: Json) -> str:
    """The scenario, and where the policies were trained if elsewhere."""
    name = f"`{made['scenario']}`"
    return name if made["trained_on"] == made["scenario"] else f"{name}, trained on `{made['trained_on']}`"


def scored(found: Json | None) -> str:
    """A score with its interval; a dash without one."""
    return "-" if found is None else f"{found['value']:.2f} [{found['ci_low']:.2f}, {found['ci_high']:.2f}]"


def rows(record: Json) -> Iterator[tuple[str, ...]]:
    """Cells under HEADER, a row for every scenario, task and recipe."""
    for made in record["entries"].values():
        best = f"{made['best_baseline']} {made['best_mean']:.1f}"
        for recipe, of in made["recipes"].items():
            improved = ", ".join(of["improved"]) or "-"
            first = (named(made), made["task"], best, f"`{recipe}`", str(len(of["seeds"])))
            yield (*first, cell(of), scored(of["score"]), improved)


def overall_rows(record: Json) -> Iterator[tuple[str, ...]]:
    """Cells under OVERALL, a row for every task and recipe."""
    for task, recipes in record["overall"].items():
        for recipe, of in recipes.items():
            counts = f"{of['win']}, {of['tie']}, {of['loss']}"
            half = scored(of["profile"].get("0.5"))
            yield (
                task,
                f"`{recipe}`",
                str(of["scenarios"]),
                counts,
                scored(of["score"]),
                scored(of["improvement"]),
                half,
            )


def learned_table(record: Json) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of what was learned: the gain by term of the reward, and what training blind to a dimension loses.

    Dimensions that no policy was trained blind to have no column.
    """
    entries: Mapping[str, Json] = record["entries"]
    blind = [of for made in entries.values() for of in made["blind"].values()]
    dimensions = list(dict.fromkeys(name for of in blind for name in of))
    result = []
    for made in entries.values():
        for recipe, of in made["recipes"].items():
            without = made["blind"].get(recipe, {})
            lost = [cell(without[name]) if name in without else "-" for name in dimensions]
            terms = [cell(of["terms"][term]) for term in TERMS]
            result.append((named(made), made["task"], f"`{recipe}`", cell(of), *terms, *lost))
    return ("scenario", "task", "recipe", "return", *TERMS, *(f"blind to {name}" for name in dimensions)), result
