"""Replay a recorded incident, outages of your own, or a plain day, and see what it does to each policy.

og-env replay --incident aws-2025-10-20 --scenario one-cloud --policy static --policy greedy
og-env replay --all --scenario one-cloud --policy static --policy greedy --policy runs/ppo
og-env replay --outage facilitator:registry@6+4 --scenario opengradient --policy opengradient
og-env replay --scenario global-24 --policy static --policy greedy --episodes 1 --out day.html
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from og_env.errors import Parser, guarded

# isort: split
import numpy as np

from og_agents import heuristics
from og_agents.evaluation import results_table
from og_agents.evaluation.command_options import add_episode_options
from og_agents.evaluation.progress import add_progress_options, shown
from og_agents.evaluation.recording import Recording
from og_agents.load_policies import load_policies
from og_agents.policy import Policy
from og_agents.replay import incidents
from og_agents.replay.gif import MOST_FILMS, write_gif
from og_agents.replay.output_files import Many, films_of, write_folder, write_page
from og_agents.replay.page import Camera
from og_env import task_of
from og_env.scenario import catalog, loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import incident_of

Json = dict[str, Any]
OUTAGE = re.compile(r"(.+)@(\d+\.?\d*)\+(\d+\.?\d*)(?:=(\w+))?")
HEADER = (
    *("policy", "unserved", "unverified", "due to it", "worst-hour p95", "cost", "recovery"),
    *("exposure", "n_eff", "on hit sites"),
)
PLAIN = "plain day"
LEGEND = """Requests, delay and cost from the start of the outage to the
end of the episode. Due to it: lost beyond what the same policy loses in the same episode without it. Recovery: until
the share served as wanted is back at its level before, or at the twin's, within 1 % for half an hour. Exposure, n_eff
(effective independent nodes) and traffic on the sites hit: in the hour before."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: _run(options))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(__doc__, prog="og-env replay")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--incident", metavar="ID", help="a recorded one, see og-env incidents")
    what.add_argument("--all", action="store_true", help="every recorded incident that touches the scenario")
    what.add_argument(
        "--outage", action="append", metavar="KIND:NAME@START_H+HOURS[=EFFECT]", help="your own, e.g. provider:aws@6+4"
    )
    parser.add_argument(
        "--policy",
        action="append",
        metavar="NAME",
        help="a folder of a trained model, module:Class of your own, all, or one of "
        f"{', '.join(heuristics.NAMES)}; repeatable (default: all)",
    )
    add_episode_options(parser, 8, "demand seeds an incident", scenario="one-cloud")
    parser.add_argument(
        "--out",
        action="append",
        metavar="PATH",
        help="NAME.html: a page that shows the first episode; else a folder for replay.json, results.csv and steps.csv;"
        " repeatable",
    )
    parser.add_argument("--gif", metavar="NAME.gif", help="write the maps of the first episode as a moving picture")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_progress_options(parser)
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> None:
    for name, least in (("episodes", 1), ("seed", 0)):
        if getattr(options, name) < least:
            raise ValueError(f"--{name} must be at least {least}, not {getattr(options, name)}")
    paths = [Path(path) for path in options.out or ()]
    pages = [path for path in paths if path.suffix.lower() in (".html", ".htm")]
    if options.all and (pages or options.gif):
        raise ValueError(f"{pages[0] if pages else options.gif}: shows one replay: name it by --incident, not --all")
    spec = loading.load(options.scenario)
    task, words = task_of(options.env), options.policy or ["all"]
    policies, learned = load_policies(words, spec, task, seed=options.seed, option="--policy")
    if options.gif and len(policies) > MOST_FILMS:
        raise ValueError(f"--gif: {len(policies)} policies do not fit beside one another; name at most {MOST_FILMS}")
    cases = chosen(options, spec)
    cameras = {name: Camera(struck=bool(options.incident)) for name in policies} if pages or options.gif else {}
    played = play_all(options, spec, cases, policies, cameras)
    result: Json = {
        "scenario": spec.name,
        "env": options.env,
        "split": "test",
        "episodes": options.episodes,
        "seed": options.seed,
        "replays": {case: incidents.figures(case, by_policy, options.seed) for case, by_policy in played.items()},
    }
    if options.all:
        untouched = [name for name in catalog.incidents() if name not in played]
        result |= {"untouched": untouched, "comparison": incidents.contest(played, learned, options.seed)}
    for path in paths:
        if path in pages:
            write_page(path, result, first_lines(result, played), cases, played, cameras)
        else:
            write_folder(path, result, played)
    if options.gif:
        _write_gif(Path(options.gif), played, cameras)
    if options.json:
        print(json.dumps(result, indent=1, allow_nan=False))
    else:
        print(overview(result, played) if options.all else report(result, played))


def _write_gif(path: Path, played: Many, cameras: Mapping[str, Camera]) -> None:
    [by_policy] = played.values()
    try:
        write_gif(path, films_of(cameras, by_policy))
    except ImportError as error:
        raise ValueError(f"--gif: {error}") from None


def play_all(
    options: argparse.Namespace,
    spec: ScenarioSpec,
    cases: incidents.Cases,
    policies: Mapping[str, Policy],
    cameras: Mapping[str, Camera],
) -> Many:
    """Every replay with every policy; ValueError where nothing is touched."""
    task, count, seed = task_of(options.env), options.episodes, options.seed
    result: dict[str, dict[str, incidents.Played]] = {}
    with shown(options, len(policies), "policies") as progress:
        for at, (name, policy) in enumerate(policies.items()):

            def playing_on(share: float, at: int = at, name: str = name) -> None:
                progress.at(at + share, name)

            common: Json = {"task": task, "episodes": count, "seed": seed}
            played = incidents.play(policy, name, spec, cases, watch=cameras.get(name), playing_on=playing_on, **common)
            progress.tell(f"{name}: {len(played)} replays of {count} episodes")
            for case, one in played.items():
                result.setdefault(case, {})[name] = one
    if not result:
        raise ValueError(
            f"{'--all' if options.all else options.incident}: touches no site of {spec.name} in these episodes"
        )
    return result


def chosen(options: argparse.Namespace, spec: ScenarioSpec) -> incidents.Cases:
    """Reset options by the name of the replay."""
    if options.outage:
        outages = [outage_of(text) for text in options.outage]
        episode_h = spec.episode.steps * spec.episode.step_s / 3600
        if min(outage["start_h"] for outage in outages) >= episode_h:
            raise ValueError(f"--outage: nothing happens: it begins after the episode's {episode_h:g} h")
        return {" ".join(options.outage): {"outages": outages, "background": False}}
    if options.incident:
        incident = incident_of(options.incident, "--incident")
        return {incident.id: {"incident": incident.id}}
    return incidents.incident_cases(spec) if options.all else {PLAIN: {}}


def outage_of(text: str) -> Json:
    """An outage from the command line, as `reset` wants it."""
    found = OUTAGE.fullmatch(text)
    if found is None:
        raise ValueError(f"--outage: {text!r} is not KIND:NAME@START_H+HOURS[=EFFECT], e.g. provider:aws@6+4=FROZEN")
    outage = {"domain": found[1], "start_h": float(found[2]), "duration_h": float(found[3])}
    return outage | ({"effect": found[4]} if found[4] else {})


def report(result: Json, played: Many) -> str:
    """Description of one replay, and a table with a row for every policy."""
    [(case, one)] = result["replays"].items()
    recording = next(iter(played[case].values())).recording
    lines = describe(case, one["what"], recording) + phase_lines(recording)
    rows = [_figures_row(name, figures) for name, figures in one["policies"].items()]
    lines += ["", results_table.aligned(HEADER, rows)]
    lines.append(f"Means of {one['what']['episodes']} demand seeds, fewest lost requests first. {LEGEND}")
    return "\n".join(lines)


def first_lines(result: Json, played: Many) -> list[str]:
    """Description of the first episode of the one replay."""
    [(case, one)] = result["replays"].items()
    recording = next(iter(played[case].values())).recording
    return describe(case, one["what"], recording.chosen(np.arange(len(recording.seeds)) == 0))


def describe(case: str, what: Json, recording: Recording) -> list[str]:
    """Lines that describe a replay: the incident, the sites that it hits, the hours in the episode."""
    fleet = f"{len(recording.sites[0])} sites of {recording.scenario}"
    if case == PLAIN:
        struck = (recording.status != 0).any(axis=1).sum(axis=1)
        return [f"a plain day: {struck.mean():.1f} of {fleet} break in it on average; its twin is without that"]
    if not recording.incidents:
        struck = np.flatnonzero(recording.status[0].any(axis=0))
        return [f"{case}: hits {len(struck)} of {fleet}; nothing else breaks"]
    at = "no hour on record" if what["start_utc_h"] is None else f"{_clock(what['start_utc_h'])} UTC"
    cut = f"; {what['cut_h']:.1f} h of it come after the episode's end" if what["cut_h"] > 0 else ""
    sites = ", ".join(what["sites"][:6]) + (", ..." if len(what["sites"]) > 6 else "")
    hits = f"hits {len(what['sites'])} of {fleet}: {sites}"
    if len(set(recording.sites)) > 1:
        hits = (
            f"hits {what['hit_sites_mean']:.1f} of {fleet} on average, in the {what['episodes']} fleets that it touches"
        )
    return [
        f"{case}: {what['provider']}, {what['scope']}; {what['date']}, {at}, {what['duration_h']:g} h, {what['effect']}",
        what["summary"],
        hits,
        f"from hour {what['start_h']:.1f} to {what['stop_h']:.1f} of the episode{cut}; nothing else breaks",
    ]


def phase_lines(recording: Recording) -> list[str]:
    """A line for each phase of a replayed incident, as it falls on the first episode; none where there is one effect."""
    first_h, lines = float(recording.start_hour_utc[0]), []
    for phase in recording.incidents[0]["phases"] if recording.incidents else ():
        start, stop = (_clock((first_h + phase[key]) % 24) for key in ("start_h", "stop_h"))
        lines.append(
            f"  {start:>5} to {stop:>5} UTC  {phase['name']} ({phase['effect']}; sites: {len(phase['sites'])})"
        )
    return lines


def _clock(hour: float) -> str:
    hours, minutes = divmod(round(hour * 60), 60)
    return f"{hours}:{minutes:02d}"


def _figures_row(name: str, figures: Json) -> tuple[str, ...]:
    def text(key: str, form: str, scale: float = 1.0) -> str:
        return "-" if figures[key] is None else form.format(figures[key]["mean"] * scale)

    bound = "> " if figures["recovered"]["mean"] < 1 and figures["recover_min"] else ""
    return (
        name,
        text("unserved", "{:,.0f}"),
        text("unverified", "{:,.0f}"),
        text("due", "{:+,.0f}"),
        text("worst_hour_p95_ms", "{:.2f} s", 0.001),
        text("cost_usd", "${:,.0f}"),
        bound + text("recover_min", "{:,.0f} min"),
        text("exposure_before", "{:.0%}"),
        text("n_eff_before", "{:.1f}"),
        text("share_before", "{:.0%}"),
    )


def overview(result: Json, played: Many) -> str:
    """Tables of all incidents: the policies against one another, then a row for every incident."""
    contest = result["comparison"]
    header = (*results_table.TABLE_HEADER[:-1], "lost", "due to them")
    rows = [
        (
            *row[:-1],
            *(f"{contest['policies'][row[0].removesuffix(' *')][key]:.2%}" for key in ("lost_share", "due_share")),
        )
        for row in results_table.table_rows(contest)
    ]
    kinds = []
    for case, one in result["replays"].items():
        ranked = [(name, figures["lost"]["mean"]) for name, figures in one["policies"].items()]
        (best, least), (worst, most) = ranked[0], ranked[-1]
        hit = f"{one['what']['hit_sites_mean']:.3g}/{len(next(iter(played[case].values())).recording.sites[0])}"
        kinds.append((case, one["what"]["effect"], hit, best, f"{least:,.0f}", worst, f"{most:,.0f}"))
    count = sum(one["what"]["episodes"] for one in result["replays"].values())
    untouched = result["untouched"]
    return "\n".join(
        [
            results_table.aligned(header, rows),
            f"* best baseline. {len(kinds)} incidents, {count} episodes, the same for all; returns of whole episodes, "
            "95 % intervals over demand seeds, which no two incidents share.",
            "",
            results_table.aligned(
                ("incident", "effect", "hit", "lost least", "requests", "lost most", "requests"), kinds
            ),
            f"{len(untouched)} incidents touch no site of {result['scenario']}"
            + (f": {', '.join(untouched)}" if untouched else ""),
            *results_table.verdict_lines(contest),
        ]
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
