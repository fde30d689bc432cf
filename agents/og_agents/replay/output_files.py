"""Files that a replay writes: a folder of figures and steps, or a page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from og_agents.evaluation.results_table import csv_text
from og_agents.replay.incidents import Cases, Played, plain
from og_agents.replay.page import Camera, Film, page, payload
from og_env.scenario.text_files import write_text
from og_env.simulator import METRICS, TERMS

Json = dict[str, Any]
Many = Mapping[str, Mapping[str, Played]]
"""results by replay and policy"""


def write_folder(out: Path, result: Json, played: Many) -> None:
    """replay.json; results.csv with a row for every replay, policy and episode; steps.csv with those of the first."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "replay.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
    for name, rows in (("results.csv", result_rows(played)), ("steps.csv", step_rows(played))):
        write_text(out / name, csv_text(list(rows)))


def result_rows(played: Many) -> Iterator[Json]:
    """A row for every replay, policy and episode."""
    for case, by_policy in played.items():
        for name, (recording, impact, _) in by_policy.items():
            for e, seed in enumerate(recording.seeds):
                figures = {key: float(values[e]) for key, values in impact._asdict().items()}
                figures = {key: "" if math.isnan(value) else value for key, value in figures.items()}
                yield {"replay": case, "policy": name, "seed": int(seed), "return": recording.returns[e], **figures}


def step_rows(played: Many) -> Iterator[Json]:
    """A row for every step of the first episode of every replay and policy."""
    for case, by_policy in played.items():
        for name, (recording, *_) in by_policy.items():
            for step, values in enumerate(recording.metrics[0]):
                place = {"replay": case, "policy": name, "seed": int(recording.seeds[0])}
                yield place | {
                    "hour": (step + 1) * recording.step_h,
                    "reward": recording.rewards[0, step],
                    **{f"term_{name}": recording.term(name)[0, step] for name in TERMS},
                    **dict(zip(METRICS, values.tolist(), strict=True)),
                }


def write_page(
    path: Path, result: Json, lines: Sequence[str], cases: Cases, played: Many, cameras: Mapping[str, Camera]
) -> None:
    """The page of the first episode of the one replay, as each policy's camera filmed it; `lines` describe it."""
    [(case, one)] = result["replays"].items()
    options, by_policy = cases[case], played[case]
    films = films_of(cameras, by_policy)
    totals = {name: first_of(played_by) for name, played_by in by_policy.items()}
    likely = [outage["domain"] for outage in options.get("outages", ())]
    likely += [one["what"]["kind"]] if options.get("incident") else []
    scope = "Whole episode" if plain(options) else "From the outage to the end"
    data = payload(f"{result['scenario']}: {case}", lines, films, totals, likely, scope)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page(data))


def films_of(cameras: Mapping[str, Camera], by_policy: Mapping[str, Played]) -> dict[str, Film]:
    """Film of one replay from each policy's camera."""
    return {name: camera.film(by_policy[name].recording, by_policy[name].twin) for name, camera in cameras.items()}


def first_of(played: Played) -> dict[str, float]:
    """The figures of the first episode."""
    figures = {key: float(values[0]) for key, values in played.impact._asdict().items()}
    return figures | {"lost": float(played.impact.lost[0])}
