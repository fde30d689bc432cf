"""The table of a study: every variant on the same held-out episodes, beside the best baseline and the full recipe."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from og_agents import heuristics, planners
from og_agents.evaluation import comparison, playing, results_table
from og_agents.evaluation.episode_results import Episodes
from og_agents.load_policies import load_policies
from og_agents.studies.ablation_runs import facts_of, lacking, words_of
from og_agents.studies.ablations import AS_IS, FULL, VARIANTS, Study, against_full
from og_env import IDS
from og_env.scenario.specs import ScenarioSpec

Json = dict[str, Any]
Stage = tuple[str, str]
"""the world that a variant is tested in, and its task"""
Played = Mapping[Stage, tuple[Json, Mapping[str, Episodes]]]
"""comparison and episodes by policy of each stage"""
SPLIT = "test"
FEW_SEEDS = 3


def baselines(spec: ScenarioSpec, task: str) -> list[str]:
    """Heuristics and quick planners that have decisions in a task; static placements need a fixed fleet."""
    static = task == "placement" and spec.fleet == "fixed"
    return [*heuristics.NAMES, *(name for name in planners.QUICK if static or name not in planners.PLACEMENTS)]


def measure(study: Study, episodes: int, say: Callable[[str], None] = print) -> Json:
    """Play all complete runs of a study and its baselines on test episodes 0, 1, ..., and compare them.

    `rows` has one entry for every variant of the table; one without a complete run says why under `left_out`. `tests`
    has the comparison of everything that was played in one world and task. `say` gets a line before each of these.
    """
    missing = {
        name: {seed: reason for seed in study.seeds if (reason := lacking(study, name, seed)) is not None}
        for name in study.shown()
        if study.obstacle(name) is None
    }
    seeds = {name: [seed for seed in study.seeds if seed not in lacks] for name, lacks in missing.items()}
    played = dict(_play(study, {name: some for name, some in seeds.items() if some}, episodes, say))
    return {
        "scenario": study.spec.name,
        "split": SPLIT,
        "episodes": episodes,
        "timesteps": study.timesteps,
        "states": study.states,
        "rows": [_row(study, name, seeds.get(name, []), missing.get(name, {}), played) for name in study.shown()],
        "tests": {f"{place(study, world)}, {IDS[task]}": summary for (world, task), (summary, _) in played.items()},
    }


def _play(
    study: Study, seeds: Mapping[str, Sequence[int]], episodes: int, say: Callable[[str], None]
) -> Iterator[tuple[Stage, tuple[Json, dict[str, Episodes]]]]:
    """Everything that is tested in one world and task, on the same episodes; `seeds` has the complete runs by variant."""
    for stage in dict.fromkeys(_stage(name) for name in seeds):
        world, task = stage
        spec = study.world(world)
        groups = {name: some for name, some in seeds.items() if _stage(name) == stage}
        folders = [study.folder(name, seed) for name, some in groups.items() for seed in some]
        say(f"test in {place(study, world)}, {IDS[task]}: {len(folders)} trained policies and the baselines")
        words = [*baselines(spec, task), *(str(path.resolve()) for path in folders)]
        policies, learned = load_policies(words, spec, task, option="--variants")
        runs = [playing.run(policy, spec, task, episodes, split=SPLIT, name=name) for name, policy in policies.items()]
        trainings = [[study.folder(name, seed).name for seed in some] for name, some in groups.items()]
        summary = comparison.compare(runs, learned, trainings=trainings)
        yield stage, (summary, {run.policy: run for run in runs})


def _stage(variant: str) -> Stage:
    return VARIANTS[variant].tested_in, VARIANTS[variant].task


def place(study: Study, world: str) -> str:
    """A world as the table calls it."""
    return study.spec.name if world == AS_IS else world


def _row(study: Study, name: str, seeds: Sequence[int], missing: Mapping[int, str], played: Played) -> Json:
    what = VARIANTS[name]
    row: Json = {
        "variant": name,
        "what": what.doc,
        "trained_in": place(study, what.trained_in),
        "tested_in": place(study, what.tested_in),
        "env": IDS[what.task],
        "left_out": study.obstacle(name) or (None if seeds else next(iter(missing.values()))),
        "missing_seeds": {str(seed): reason for seed, reason in missing.items()},
        "seeds": list(seeds),
    }
    if not seeds:
        return row
    summary, by_name = played[_stage(name)]
    names, best = [study.folder(name, seed).name for seed in seeds], summary["best_baseline"]
    runs = [by_name[policy] for policy in names]
    return row | {
        "best_baseline": best,
        "best_baseline_mean": summary["policies"][best]["return_mean"],
        "to_best": comparison.over_seeds(runs, [by_name[best]] * len(runs)),
        "to_full": _to_full(study, seeds, runs, played) if against_full(name) else None,
        "runs": {
            str(seed): {"command": shlex.join(["og-env", "train", *words_of(study, name, seed)])}
            | facts_of(study, name, seed)
            for seed in seeds
        },
    }


def _to_full(study: Study, seeds: Sequence[int], runs: Sequence[Episodes], played: Played) -> Json | None:
    """Differences to the full recipe with the same training seeds on the same episodes; None without such a run."""
    full = played.get(_stage(FULL), ({}, {}))[1]
    pairs = [
        (run, full[policy])
        for seed, run in zip(seeds, runs, strict=True)
        if (policy := study.folder(FULL, seed).name) in full
    ]
    return comparison.over_seeds(*zip(*pairs, strict=True)) if pairs else None


HEADER = ("variant", "trained in", "tested in", "best baseline", "to it, each seed", "all seeds, 95 %", "to full, 95 %")


def cells(row: Json) -> tuple[str, ...]:
    """A row under HEADER."""
    first = (row["variant"], row["trained_in"], row["tested_in"])
    if row["left_out"] is not None:
        return (*first, f"left out: {row['left_out']}", "", "", "")
    each = ", ".join(f"{value:+.2f}" for value in row["to_best"]["mean_diffs"])
    best = f"{row['best_baseline']} {row['best_baseline_mean']:.2f}"
    return (*first, best, each, _interval(row["to_best"]), _interval(row["to_full"]))


def _interval(group: Json | None) -> str:
    return "" if group is None else f"{group['mean_diff']:+.2f} {results_table.interval_text(group)}"


def text(summary: Json) -> str:
    """The table and what must be known to read it."""
    rows = summary["rows"]
    parts = [results_table.aligned(HEADER, [cells(row) for row in rows])]
    parts += [
        f"{row['variant']}: seed {seed} is not in it: {reason}"
        for row in rows
        if row["left_out"] is None
        for seed, reason in row["missing_seeds"].items()
    ]
    parts.append(
        f"Differences in the return of an episode, paired over {summary['episodes']} held-out episodes; 95 % bootstrap "
        "intervals over training seeds and episodes, to full over pairs of the same seed."
    )
    if max(len(row["seeds"]) for row in rows) < FEW_SEEDS:
        parts.append(f"With fewer than {FEW_SEEDS} training seeds the intervals say little about other seeds.")
    if any(row["left_out"] is None and row["tested_in"] != summary["scenario"] for row in rows):
        parts.append("In a changed world the planners keep the constants that were tuned in the scenario as it is.")
    return "\n".join(parts)


def table_csv(summary: Json) -> str:
    """The rows with their figures in columns of their own; empty where there is none."""
    return results_table.csv_text([_flat(row) for row in summary["rows"]])


def _flat(row: Json) -> Json:
    line = {key: row[key] for key in ("variant", "trained_in", "tested_in", "env")}
    line |= {"left_out": row["left_out"] or "", "seeds": " ".join(map(str, row["seeds"]))}
    if row["left_out"] is not None:
        return line
    line |= {key: row[key] for key in ("best_baseline", "best_baseline_mean")}
    for key in ("to_best", "to_full"):
        group = row[key] or {}
        line[f"{key}_each_seed"] = " ".join(map(str, group.get("mean_diffs", ())))
        line |= {f"{key}_{name}": group.get(name, "") for name in ("mean_diff", "ci_low", "ci_high")}
    line["training_s"] = " ".join(str(run["training_s"]) for run in row["runs"].values())
    return line | {"command": "; ".join(run["command"] for run in row["runs"].values())}
