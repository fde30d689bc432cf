"""Say what to do next with a live fleet, and why; the fleet itself is not touched.

og-env decide --policy runs/ppo --state fleet.json
og-env decide --policy greedy --state fleet.json another.json --json
og-env decide --policy greedy --scenario fleet.toml --kubectl pods.json --prometheus load.json --names names.json
og-env decide --policy greedy --state fleet.json --shadow advice.jsonl
og-env decide --example global-24 > fleet.json
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import og_env
from og_agents import load_policies
from og_agents.advice import kubernetes_state, prometheus_state, short_state
from og_agents.advice.cluster_names import PARTS, Names, read_mapping, words_mapping
from og_agents.advice.decide import Adviser, Decision, example
from og_agents.advice.short_state import Completed
from og_env import IDS
from og_env.errors import Parser, guarded
from og_env.scenario import loading
from og_env.scenario.json_file import read_json
from og_env.simulator.live_state import LiveState


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__, prog="og-env decide")
    parser.prog = "og-env decide"
    parser.add_argument("--policy", metavar="DIR", help="a trained policy, or the name of a heuristic or a planner")
    parser.add_argument(
        "--state",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="JSON of live fleets of one scenario; a few lines are enough",
    )
    parser.add_argument("--env", metavar="ID", help="what a heuristic decides (default: og_env/Placement-v1)")
    parser.add_argument("--example", metavar="SCENARIO", help="print a state to look at, and decide nothing")
    parser.add_argument("--json", action="store_true", help="print decisions as JSON, one a line")
    parser.add_argument("--shadow", type=Path, metavar="LOG.jsonl", help="append the advice to a log")
    cluster = parser.add_argument_group("a state from a cluster", "in place of --state")
    cluster.add_argument("--scenario", metavar="S", help="of the fleet")
    cluster.add_argument("--kubectl", type=Path, metavar="FILE", help="output of kubectl get pods,nodes -o json")
    cluster.add_argument("--prometheus", type=Path, metavar="FILE", help="results of the HTTP API of Prometheus")
    cluster.add_argument(
        "--names", type=Path, metavar="FILE", help='JSON {"nodes": {NODE: SITE}, "models": {LABEL: MODEL}}'
    )
    cluster.add_argument(
        "--name", nargs="+", action="extend", default=[], metavar="NODE=SITE", help="or model:LABEL=MODEL"
    )
    options = parser.parse_args(arguments)
    measured = bool(options.kubectl or options.prometheus)
    if options.example is None and (options.policy is None or bool(options.state) == measured):
        parser.error("--policy and --state are needed, or --kubectl or --prometheus for it (or --example SCENARIO)")
    if measured and options.scenario is None:
        parser.error("--kubectl and --prometheus need --scenario")
    return guarded(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Print an example of a state, or the decisions for the states."""
    if options.example is not None:
        print(json.dumps(example(options.example), indent=1))
        return
    states = [(str(path), short_state.read(path)) for path in options.state or ()] or [from_cluster(options)]
    spec = loading.load(states[0][1].state.scenario)
    for where, one in states[1:]:
        if loading.load(one.state.scenario) != spec:
            raise ValueError(f"{where}: of another scenario than {states[0][0]}: ask for one at a time")
    task = task_of(options.policy, options.env)
    ((_, policy),) = load_policies.load_policies([options.policy], spec, task, option="--policy")[0].items()
    adviser = Adviser(policy, spec, task)
    adviser.decide(states[0][1].state, states[0][0])
    for where, one in states:
        begin = time.perf_counter()
        decision = adviser.decide(one.state, where)
        taken_ms = (time.perf_counter() - begin) * 1000
        if options.shadow is not None:
            append(options.shadow, options.policy, where, one, decision)
        if options.json:
            print(json.dumps({"state": where, **as_json(decision, one), "decided_in_ms": round(taken_ms, 3)}))
        else:
            assumed = f"\n  assumed: {'; '.join(one.assumed)}" if one.assumed else ""
            print(f"{where}: {decision.text()}{assumed}\n  decided in {taken_ms:.1f} ms")
    adviser.close()


def as_json(decision: Decision, one: Completed) -> dict[str, Any]:
    """The decision as plain tables, with what was assumed."""
    return {**decision._asdict(), "gain": decision.gain, "assumed": list(one.assumed)}


def from_cluster(options: argparse.Namespace) -> tuple[str, Completed]:
    """The state that Kubernetes and Prometheus show, and where it is from."""
    given = {part: dict[str, str]() for part in PARTS} if options.names is None else read_mapping(options.names)
    by_word = words_mapping(options.name)
    mapping = {part: {**given.get(part, {}), **by_word[part]} for part in PARTS}
    names = Names(loading.resolve(loading.load(options.scenario)), mapping)
    found: dict[str, Any] = {}
    if options.prometheus is not None:
        found = prometheus_state.state_of(read_json(options.prometheus), names, str(options.prometheus))
    placed: dict[str, Any] = {}
    if options.kubectl is not None:
        placed = kubernetes_state.state_of(read_json(options.kubectl), names, str(options.kubectl))
    where = " + ".join(str(path) for path in (options.kubectl, options.prometheus) if path is not None)
    state = kubernetes_state.merged(placed, found)
    if not state["replicas"]:
        unknown = f"; unknown: {', '.join(names.unknown)}" if names.unknown else ""
        raise ValueError(
            f"{where}: shows no replica of a model of {options.scenario}{unknown} (name them with --names)"
        )
    seen = state.pop("roles", [])
    whole = short_state.completed({"scenario": options.scenario, **state}, where)
    if seen:
        kinds = {role["role"] for role in seen}
        roles = [*seen, *(role.model_dump() for role in whole.state.roles if role.role not in kinds)]
        whole = whole._replace(state=LiveState.parse({**whole.state.model_dump(), "roles": roles}, where))
    left_out = (f"unknown and left out: {', '.join(names.unknown)}",) if names.unknown else ()
    return where, whole._replace(assumed=(*whole.assumed, *left_out))


def append(path: Path, policy: str, where: str, one: Completed, decision: Decision) -> None:
    """Append one advice to a log, with the time and a hash of the state, so that it can be held against what happened."""
    state = one.state.model_dump_json()
    line = {
        "time_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "state": where,
        "state_sha256": hashlib.sha256(state.encode()).hexdigest(),
        "policy": policy,
        **as_json(decision, one),
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def task_of(policy: str, env_id: str | None) -> str:
    """The task of a policy: the one that it was trained for, or for a heuristic that of `--env`."""
    asked = og_env.task_of(env_id or IDS["placement"])
    if os.sep in policy or Path(policy).exists():
        from og_agents.learning import checkpoint
        from og_agents.learning.router_beside import task_of_placer

        card = checkpoint.read_meta(policy)
        if env_id is None:
            return card["task"]
        if asked not in (card["task"], task_of_placer(card)):
            raise ValueError(f"{policy}: trained for {IDS[card['task']]}, not {env_id}")
    return asked


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: threads cost more than they bring here
    sys.exit(main())
