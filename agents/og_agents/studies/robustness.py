"""Where a policy stops winning: the same held-out episodes in changed worlds, each policy as it was trained or tuned.

Weights and constants stay; what the environment itself says changes with the world: its offers and the risks that it
shows are those of the rates that hold there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from og_agents import planners
from og_agents.evaluation import comparison, playing, results_table
from og_agents.evaluation.episode_results import Episodes
from og_agents.policy import Policy
from og_env.scenario import catalog, loading
from og_env.scenario.specs import ScenarioSpec

Json = dict[str, Any]

OUTAGES = (0, 2, 4)
"""factors of the outage rate"""
DEMAND = 1.3
HEADER = ("world", "best baseline", "return", "learned", "return", "difference", "95 % interval", "verdict")
COLUMNS = (
    *("world", "change", "episodes", "best_baseline", "baseline_return", "learned", "learned_return"),
    *("mean_diff", "ci_low", "ci_high", "wins", "verdict"),
)
WORDS = {"win": "wins", "tie": "ties", "loss": "loses"}


class ChangedWorld(NamedTuple):
    """One row of the table."""

    name: str
    change: str
    """changed settings, in words"""
    spec: ScenarioSpec
    options: Json
    """options of every reset"""


def changed_worlds(spec: ScenarioSpec, incident: str | None = None) -> tuple[list[ChangedWorld], list[str]]:
    """The worlds of a scenario, itself first, and a line for each that it cannot have.

    `incident` is the recorded one to add; None takes the one that hits most sites (`widest_incident`). ValueError where
    it touches no site of a fixed fleet.
    """
    worlds, left_out = [ChangedWorld("as it is", "", spec, {})], []

    def add(name: str, changes: Json) -> None:
        words = (
            f"{key} = {value:g}" if isinstance(value, float) else f"{key} = {value}" for key, value in changes.items()
        )
        worlds.append(ChangedWorld(name, ", ".join(words), loading.override(spec, changes), {}))

    key, rate = outage_rate(spec)
    if rate > 0:
        for factor in OUTAGES:
            add(f"outages x{factor}", {key: rate * factor})
    else:
        rates = ", ".join(f"x{factor}" for factor in OUTAGES)
        left_out.append(f"outages {rates}: {spec.name} draws none{_scripted(spec)}, so there is no rate to change")
    if rate > 0 and spec.failures.process == "correlated":
        add("independent outages", {"failures.process": "independent"})
    else:
        left_out.append(f"independent outages: those of {spec.name} are not correlated but {spec.failures.process!r}")
    add(f"demand x{DEMAND:g}", {"demand.requests_per_s": spec.demand.requests_per_s * DEMAND})
    widest = widest_incident(spec)
    if incident and not sites_hit(incident, spec) and spec.fleet == "fixed":
        raise ValueError(
            f"--incident: {incident} touches no site of {spec.name}" + (f"; {widest} does" if widest else "")
        )
    incident = incident or widest
    if incident is None:
        left_out.append(f"incident: no recorded one touches a site of {spec.name}")
    else:
        hit, fleet = sites_hit(incident, spec), len(loading.sites_of(spec))
        change = f"{incident} on top: {catalog.incidents()[incident].effect} at {hit} of {fleet} sites"
        change += " of the first fleet" if spec.fleet == "random" else ""
        worlds.append(ChangedWorld("incident", change, spec, {"incident": incident, "background": True}))
    return worlds, left_out


def outage_rate(spec: ScenarioSpec) -> tuple[str, float]:
    """The setting that sets how often outages are drawn, and its value; 0 where none are drawn."""
    failures = spec.failures
    if failures.shocks_per_day is not None:
        key, rate = "failures.shocks_per_day", failures.shocks_per_day
    else:
        key, rate = "failures.intensity", failures.intensity
    return key, 0.0 if failures.process == "none" else float(rate)


def _scripted(spec: ScenarioSpec) -> str:
    return " and scripts its outages" if spec.failures.outages else ""


def widest_incident(spec: ScenarioSpec) -> str | None:
    """The recorded incident that hits most sites of the scenario; None where none touches it.

    Where fleets are random the first fleet counts. Of several incidents it is the longest, then the first recorded.
    """
    known = catalog.incidents()
    hits = {name: sites_hit(name, spec) for name in known}
    widest = max(known, key=lambda name: (hits[name], known[name].duration_h))
    return widest if hits[widest] else None


def sites_hit(incident: str, spec: ScenarioSpec) -> int:
    """Number of sites of the scenario's (first) fleet that a recorded incident would have hit."""
    return sum(catalog.matches(catalog.incidents()[incident], site) for site in loading.sites_of(spec))


def check_lineup(policies: Mapping[str, Policy], learned: Sequence[str]) -> None:
    """ValueError without a trained policy or without a baseline to hold it against."""
    if not learned:
        raise ValueError(
            "--policies names no trained policy: add a run folder, or ppo where one comes with the scenario"
        )
    if not set(policies) - {*learned, *planners.REFERENCES}:
        raise ValueError("--policies names no baseline: add greedy_tuned")


def play(
    world: ChangedWorld,
    policies: Mapping[str, Policy],
    learned: Sequence[str],
    *,
    task: str = "placement",
    episodes: int = 100,
    seed: int = 0,
    played: Callable[[Episodes], None] = lambda _: None,
) -> Json:
    """Returns of every policy in one world: a `comparison.compare` summary with the world's name and change.

    The best baseline is that of this world, on these episodes. `played` is called with each policy's episodes.
    """
    runs = []
    for name, policy in policies.items():
        runs.append(playing.run(policy, world.spec, task, episodes, seed, name=name, options=world.options))
        played(runs[-1])
    summary = comparison.compare(runs, learned, seed=seed, references=planners.REFERENCES)
    return {"world": world.name, "change": world.change, "episodes": episodes, **summary}


def records(summaries: Sequence[Json], learned: Sequence[str]) -> list[Json]:
    """A record by COLUMNS for every world and learned policy."""
    result = []
    for summary in summaries:
        best = summary["best_baseline"]
        for name in learned:
            pair = summary["paired"][name]
            record = {
                **{key: summary[key] for key in ("world", "change", "episodes", "best_baseline")},
                "baseline_return": summary["policies"][best]["return_mean"],
                "learned": name,
                "learned_return": summary["policies"][name]["return_mean"],
                **pair,
                "verdict": results_table.verdict_of(pair),
            }
            result.append({column: record[column] for column in COLUMNS})
    return result


def text(rows: Sequence[Json], first: str = HEADER[0]) -> str:
    """The table of `records`, as printed; `first` is what the worlds are called."""
    cells = [
        (
            row["world"],
            row["best_baseline"],
            f"{row['baseline_return']:.2f}",
            row["learned"],
            f"{row['learned_return']:.2f}",
            f"{row['mean_diff']:+.2f}",
            results_table.interval_text(row),
            row["verdict"],
        )
        for row in rows
    ]
    return results_table.aligned((first, *HEADER[1:]), cells)


def verdict_lines(rows: Sequence[Json]) -> list[str]:
    """For each learned policy, in how many worlds it wins, and where it does not."""
    lines = []
    for name in dict.fromkeys(row["learned"] for row in rows):
        own = [row for row in rows if row["learned"] == name]
        count = Counter(row["verdict"] for row in own)
        line = f"{name} wins in {count['win']} of {len(own)} worlds"
        for verdict in ("tie", "loss"):
            if count[verdict]:
                line += f"; {WORDS[verdict]} in {', '.join(row['world'] for row in own if row['verdict'] == verdict)}"
        lines.append(line)
    return lines


def table(rows: Sequence[Json]) -> str:
    """CSV of `records`."""
    return results_table.csv_text(rows, COLUMNS, "\n")
