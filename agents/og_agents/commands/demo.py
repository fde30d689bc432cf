"""Play a policy against rules on a shipped scenario, and write the pages: a first result in about a minute.

og-env demo
og-env demo --scenario provider-blackout --out runs/demo --open
"""

from __future__ import annotations

import argparse
import sys
import time
import webbrowser
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from og_agents.commands import benchmark, replay
from og_agents.commands.json_output import Ended, add_json_option, answered, asked
from og_agents.evaluation.progress import add_progress_options
from og_agents.load_policies import shipped_recipes
from og_env.errors import Parser, guarded
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec

RULES = ("static", "nearest", "n1_reserve")
"""that the policy plays against"""
PLANNER = "greedy_tuned"
"""in the place of a trained policy where none comes with the scenario"""
PAGE = "outage.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__, prog="og-env demo")
    parser.add_argument("--scenario", default="one-cloud", metavar="S", help="name or file (default: one-cloud)")
    parser.add_argument("--episodes", type=int, default=20, metavar="N", help="held-out episodes (default: 20)")
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="where they go (default: demo)")
    parser.add_argument("--open", action="store_true", help="open the pages in a browser")
    add_json_option(parser)
    add_progress_options(parser)
    options = parser.parse_args(arguments)
    return guarded(lambda: answered(lambda: _run(options), options.json))


def _run(options: argparse.Namespace) -> Ended:
    begin = time.perf_counter()
    spec = loading.load(options.scenario)
    policy = next(iter(shipped_recipes(spec, "placement")), PLANNER)
    if policy == PLANNER:
        print(f"no trained policy comes with {spec.name} as it is: the planner {PLANNER} plays, made by hand\n")
    common = ["--scenario", options.scenario, *(["-q"] if options.quiet else ["-v"] if options.verbose else [])]
    words = [*common, "--policies", ",".join((policy, *RULES)), "--episodes", str(options.episodes)]
    compared = _done(benchmark.main, [*words, "--out", str(options.out)], options.json)
    if compared.code != 0:
        return compared
    pages = [options.out / "report.html", options.out / PAGE]
    words = [*common, *strike(spec), "--policy", RULES[0], "--policy", policy, "--episodes", "1"]
    print(f"\n{policy} and {RULES[0]} while the largest provider is down:\n")
    replayed = _done(replay.main, [*words, "--out", str(pages[1])], options.json)
    if replayed.code != 0:
        return replayed
    written, spent_s = [path for path in pages if path.is_file()], time.perf_counter() - begin
    print(f"\nin {spent_s:.0f} s; look at: {'  '.join(map(str, written))}")
    print(f"train your own: og-env train --scenario {options.scenario} --minutes 5 --out runs/mine")
    if options.open:
        for path in written:
            webbrowser.open(path.resolve().as_uri())
    figures = {"scenario": spec.name, "policy": policy, "pages": [str(path) for path in written], "seconds": spent_s}
    return Ended({**figures, "benchmark": compared.figures, "replay": replayed.figures})


def _done(command: Callable[[Sequence[str]], int], words: Sequence[str], as_json: bool) -> Ended:
    """A command that was run: with its figures, or told on standard output."""
    return asked(command, words) if as_json else Ended({}, command(words))


def strike(spec: ScenarioSpec) -> list[str]:
    """Words for `og-env replay`: the provider with the most sites is down for a sixth of the episode.

    It is a plain day where every episode has another fleet.
    """
    if spec.fleet == "random":
        return []
    [(provider, _)] = Counter(site.provider for site in loading.resolve(spec).sites).most_common(1)
    episode_h = spec.episode.steps * spec.episode.step_s / 3600
    return ["--outage", f"provider:{provider}@{episode_h / 4:.2f}+{episode_h / 6:.2f}"]


if __name__ == "__main__":
    sys.exit(main())
