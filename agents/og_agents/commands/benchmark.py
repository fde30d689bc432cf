"""Compare policies on the same held-out episodes: table, verdict, results.csv, summary.json and report.html.

og-env benchmark --scenario global-24 --policies all,runs/ppo --episodes 200
og-env benchmark --scenario one-cloud --policies static,greedy --episodes 50 --twin
og-env benchmark --scenario store-loss --policies all,planners --episodes 20 --headroom
og-env benchmark --policies all,runs/ppo --episodes 100 --clairvoyant 8
og-env benchmark --policies all,runs/ppo --episodes 2000 --engine ray --ray-address 10.0.0.5:6379
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from og_agents import heuristics, planners
from og_agents.evaluation import comparison, html_report, playing, results_table, scores, statistics, term_gains
from og_agents.evaluation.command_options import add_episode_options, add_split_option, settle_split
from og_agents.evaluation.episode_results import Episodes
from og_agents.evaluation.progress import Progress, add_progress_options, shown
from og_agents.load_policies import load_policies, make_planner, seeds_of_one_training
from og_agents.policy import Policy
from og_env import task_of
from og_env.errors import Parser, guarded, missing_extra
from og_env.scenario import loading
from og_env.scenario.overrides import changes_of
from og_env.scenario.specs import ScenarioSpec
from og_env.scenario.text_files import write_text

TWIN_POLICY = "greedy_blind"
Json = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    return guarded(lambda: start(options, shlex.join(["og-env", "benchmark", *arguments])))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(__doc__, prog="og-env benchmark")
    add_episode_options(parser, 100, "held-out episodes", changes=True)
    parser.add_argument(
        "--policies",
        default="all",
        metavar="all|planners|a,b,DIR,module:Class",
        help=f"folders of trained models, classes of your own, heuristics (all): {', '.join(heuristics.NAMES)}, and "
        f"planners (planners: those that decide fast): {', '.join(planners.NAMES)} (default: all)",
    )
    parser.add_argument("--out", metavar="DIR", help="where the files go (default: runs/benchmark/SCENARIO)")
    parser.add_argument("--twin", action="store_true", help="also measure what the correlation of failures costs")
    parser.add_argument("--headroom", action="store_true", help="also measure the gap to a planner that reads the tape")
    parser.add_argument(
        "--clairvoyant",
        type=int,
        default=0,
        metavar="N",
        help="score all policies between the best baseline and a planner that reads the tape, on the first N episodes",
    )
    add_split_option(parser, "test")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of the table")
    parser.add_argument("--engine", default="local", choices=("local", "ray"), help="where to play (default: local)")
    parser.add_argument(
        "--ray-address", metavar="ADDR", help="host:port of a Ray cluster (default: one of this machine)"
    )
    add_progress_options(parser)
    options = parser.parse_args(arguments)
    settle_split(parser, options)
    if not 0 <= options.clairvoyant <= options.episodes:
        parser.error(f"--clairvoyant is {options.clairvoyant}; it must be from 0 to --episodes, {options.episodes}")
    if options.ray_address is not None and options.engine != "ray":
        parser.error("--ray-address needs --engine ray")
    return options


def start(options: argparse.Namespace, command: str) -> int:
    """Run the command, with a Ray cluster at hand where one is asked for."""
    if options.engine == "local":
        return _run(options, command)
    from og_agents.cluster import ray_cluster

    with ray_cluster.connected(options.ray_address):
        return _run(options, command)


def _run(options: argparse.Namespace, command: str) -> int:
    task = task_of(options.env)
    spec = loading.override(loading.load(options.scenario), changes_of(options.set))
    if options.twin and spec.failures.process != "correlated":
        raise ValueError(f"--twin: failures of {spec.name} are not correlated but {spec.failures.process!r}")
    policies, learned = load_policies(options.policies.split(","), spec, task, seed=options.seed)
    for name in learned:
        if planner := getattr(policies[name], "meta", {}).get("plays_as"):
            words = f"learned on another fleet, with other weights of the reward: here it plays as {planner}"
            print(f"{name} {words}", file=sys.stderr)
    runs: list[Episodes] = []
    stopped = stopped_by_keyboard(lambda: play_all(policies, spec, task, options, runs), runs)
    policies = {run.policy: policies[run.policy] for run in runs}
    learned, trainings = [name for name in learned if name in policies], seeds_of_one_training(policies)
    summary = {
        "scenario": spec.name,
        "env": options.env,
        "split": options.split,
        "episodes": options.episodes,
        "seed": options.seed,
        **comparison.compare(runs, learned, seed=options.seed, references=planners.REFERENCES, trainings=trainings),
    }
    if stopped:
        summary["stopped"] = True
    if options.headroom and not stopped:
        summary["headroom"] = headroom(summary, runs, spec, task, options)
    best = next((run for run in runs if run.policy == summary["best_baseline"]), None)
    oracle = None if best is None or stopped else scored_by(runs, spec, task, options)
    scored = None if best is None or oracle is None else (best, oracle)
    summary["score"] = None if scored is None else scores.summary_of(runs, *scored, trainings, seed=options.seed)
    summary["terms"] = {} if best is None else term_gains.by_policy(runs, best, learned, trainings, spec.reward)
    if options.twin and not stopped:
        summary["twin"] = cost_of_correlation(spec, task, options)
    out = Path(options.out) if options.out else Path("runs") / "benchmark" / spec.name
    _write(out, summary, runs, spec, command)
    print(json.dumps(summary, indent=1, allow_nan=False) if options.json else _text(summary, out))
    if stopped:
        asked = options.policies
        print(f"stopped: {out} holds the {len(runs)} policies that were played, of {asked}", file=sys.stderr)
    return 130 if stopped else 0


def stopped_by_keyboard(play: Callable[[], Any], runs: Sequence[Episodes]) -> bool:
    """Whether Ctrl-C ended the play; it goes on to the caller where no policy has played to its end."""
    try:
        play()
    except KeyboardInterrupt:
        if not runs:
            raise
        return True
    return False


def play_all(
    policies: Mapping[str, Policy],
    spec: ScenarioSpec,
    task: str,
    options: argparse.Namespace,
    runs: list[Episodes] | None = None,
) -> list[Episodes]:
    """All episodes of every policy, which are added to `runs` as soon as a policy has played to its end."""
    runs = [] if runs is None else runs
    if options.engine == "ray":
        from og_agents.cluster import ray_evaluate

        runs += ray_evaluate.run_all(policies, spec, task, options.episodes, options.seed, split=options.split)
        return runs
    with shown(options, len(policies), "policies") as progress:
        for at, (name, policy) in enumerate(policies.items()):
            runs.append(play_here(policy, name, spec, task, options, progress, at))
    return runs


def play(policy: Policy, name: str, spec: ScenarioSpec, task: str, options: argparse.Namespace) -> Episodes:
    """All episodes of one policy."""
    return play_all({name: policy}, spec, task, options)[0]


def play_here(
    policy: Policy,
    name: str,
    spec: ScenarioSpec,
    task: str,
    options: argparse.Namespace,
    progress: Progress,
    before: int,
) -> Episodes:
    """All episodes of one policy on this machine, after `before` others, with a line on how it went."""
    episodes, begin = options.episodes, time.perf_counter()

    def tell(done: float) -> None:
        progress.at(before + done / episodes, name)

    result = playing.run(policy, spec, task, episodes, options.seed, split=options.split, name=name, progress=tell)
    seconds = time.perf_counter() - begin
    progress.tell(f"{name}: {result.returns.mean():.2f} over {episodes} episodes in {seconds:.1f} s")
    return result


def scored_by(runs: Sequence[Episodes], spec: ScenarioSpec, task: str, options: argparse.Namespace) -> Episodes | None:
    """Episodes of the planner that scores are relative to: the strongest that took part, or the quick one.

    None where none took part and --clairvoyant asks for none.
    """
    names, by_name = planners.SCORED_BY[task], {run.policy: run for run in runs}
    for name in names:
        if name in by_name:
            return by_name[name]
    if not options.clairvoyant:
        return None
    few = argparse.Namespace(**{**vars(options), "episodes": options.clairvoyant})
    return play(make_planner(names[-1], spec, task, seed=options.seed), names[-1], spec, task, few)


def headroom(
    summary: Json, runs: Sequence[Episodes], spec: ScenarioSpec, task: str, options: argparse.Namespace
) -> Json | None:
    """Gain of the clairvoyant planner on the best baseline, in percent of that one's return; None without a baseline.

    `closed` has the share of the gap that every other policy closes.
    """
    best = summary["best_baseline"]
    if best is None:
        return None
    by_name = {run.policy: run for run in runs}
    name = planners.ORACLES[0]
    oracle = by_name.get(name) or play(make_planner(name, spec, task, seed=options.seed), name, spec, task, options)
    return {
        "reference": name,
        "reference_mean": float(oracle.returns.mean()),
        "best_baseline": best,
        **comparison.headroom(oracle, by_name[best], runs, seed=options.seed),
    }


def cost_of_correlation(spec: ScenarioSpec, task: str, options: argparse.Namespace) -> Json:
    """Loss of a planner blind to shared failures because they are shared, in percent of its return."""
    twin = loading.override(spec, {"failures.process": "independent"})
    policy = heuristics.make(TWIN_POLICY, task=task, seed=options.seed)
    correlated, independent = (play(policy, TWIN_POLICY, world, task, options).returns for world in (spec, twin))
    cost = statistics.relative_change_percent(independent, correlated, seed=options.seed)
    return {
        "policy": TWIN_POLICY,
        "correlated_mean": float(correlated.mean()),
        "independent_mean": float(independent.mean()),
        "cost_percent": cost.value,
        "ci_low": cost.low,
        "ci_high": cost.high,
    }


def _text(summary: Json, out: Path) -> str:
    lines = [results_table.aligned(results_table.TABLE_HEADER, results_table.table_rows(summary))]
    played = results_table.episodes_text(summary)
    lines.append(f"* best baseline. {played}, the same for all; 95 % bootstrap intervals.")
    if "twin" in summary:
        twin = summary["twin"]
        lines.append(
            f"cost of correlation: {twin['cost_percent']:.1f} % {results_table.interval_text(twin, '.1f')} of the "
            f"return of {twin['policy']} ({twin['correlated_mean']:.2f} against {twin['independent_mean']:.2f} with "
            "independent failures)"
        )
    if summary.get("headroom"):
        room = summary["headroom"]
        lines.append(
            f"headroom: {room['percent']:.1f} % {results_table.interval_text(room, '.1f')} of the return of "
            f"{room['best_baseline']}, to {room['reference']} at {room['reference_mean']:.2f}, a planner that reads the "
            "tape (the optimum is at least as high)"
        )
    if summary["score"]:
        lines.append(scores.text(summary["score"]))
    for group in summary["seeds"]:
        lines.append(
            f"{len(group['policies'])} training seeds ({', '.join(group['policies'])}): median {group['median_diff']:+.2f}, "
            f"from {min(group['mean_diffs']):+.2f} to {max(group['mean_diffs']):+.2f}; mean {group['mean_diff']:+.2f} "
            f"{results_table.interval_text(group)} over seeds and episodes"
        )
    if (out / "report.html").is_file():
        lines.append(f"report: {out / 'report.html'}")
    return "\n".join([*lines, *results_table.verdict_lines(summary)])


def _write(out: Path, summary: Json, runs: Sequence[Episodes], spec: ScenarioSpec, command: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "summary.json", json.dumps(summary, indent=1, allow_nan=False) + "\n")
    write_text(out / "results.csv", results_table.csv_text(list(results_table.result_rows(runs))))
    last = summary["seed"] + summary["episodes"] - 1
    facts = {
        "scenario": f"{spec.name}: {spec.description}",
        "environment": f"{summary['env']}, {summary['split']} split, seeds {summary['seed']} to {last}",
        "command": command,
        "versions": ", ".join(f"{name} {_version(name)}" for name in ("og_env", "numpy", "numba", "gymnasium")),
    }
    if importlib.util.find_spec("matplotlib") is None:
        print(f"report.html is left out: {missing_extra(ModuleNotFoundError(name='matplotlib'))}", file=sys.stderr)
        return
    write_text(out / "report.html", html_report.page(summary, runs, spec.reward, spec.episode.step_s / 3600, facts))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
