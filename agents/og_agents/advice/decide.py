"""The decision of a policy for a live fleet, with its reasons.

og-env decide --policy runs/ppo --state fleet.json
og-env decide --policy greedy --state fleet.json another.json --json
og-env decide --example global-24 > fleet.json

The state is the JSON of `og_env.simulator.live_state`, whose documentation names every field. In Python a policy is loaded
once and decides often:

    adviser = Adviser(checkpoint.load("runs/ppo"), "global-24", "placement")
    decision = adviser.decide(og_env.simulator.live_state.LiveState.read(Path("fleet.json")))
    print(decision.text())
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from og_agents import heuristics, load_policies
from og_agents.evaluation import playing
from og_agents.policy import Policy, attach
from og_env import IDS, TASKS
from og_env.errors import Parser, guarded, nearest_valid
from og_env.scenario import loading
from og_env.simulator import (
    AUTOSCALED,
    GAIN,
    KNOBS,
    OPERATIONS,
    TERMS,
    Copies,
    describe_operation,
    idle,
    outlook,
    split_actions,
)
from og_env.simulator.live_state import LiveState, describe, place

AHEAD = 24
"""steps over which a decision is compared with doing nothing"""
OTHERS = 3
"""number of offers that are named beside the one that is taken"""
EXAMPLE_STEPS = 36
"""steps into an episode after which an example of a state is taken: three hours"""


class Decision(NamedTuple):
    """A decision and its reasons. Gains are reward per step; above 0 is better."""

    operation: str
    """the operation in words"""
    knobs: dict[str, float]
    """values of the router's knobs by name; empty where the policy does not set them"""
    planned: dict[str, float]
    """the planner's estimate for the offer that is taken: gain, its parts service, cost and resilience, and the seconds
    until it is useful; empty where nothing is done or there are no offers"""
    by_term: dict[str, float]
    """weighted gain of each reward term over doing nothing (autoscaled: over the scenario's knobs), as the mean of the
    next `ahead_h` hours of the forecast"""
    ahead_h: float
    """hours over which `by_term` compares"""
    others: tuple[tuple[str, float], ...]
    """the best other offers and their planned gains"""
    autoscaled: bool = False
    """whether the operation is the built-in autoscaler's, and only what the router is told is the policy's"""
    steer: dict[str, float] = {}
    """logarithm of what the policy lets the router multiply the weight of a site by, where that is not 0"""

    def numbers(self) -> list[float]:
        """All numbers of the decision."""
        tables = (self.knobs, self.planned, self.by_term, self.steer)
        return [value for table in tables for value in table.values()] + [gain for _, gain in self.others]

    def text(self) -> str:
        """The decision in a few lines."""
        lines = [f"the autoscaler will {self.operation}" if self.autoscaled else self.operation]
        if self.knobs:
            lines.append("  router: " + ", ".join(f"{name} {value:.4g}" for name, value in self.knobs.items()))
        if self.steer:
            lines.append(
                "  steered: " + ", ".join(f"{site} x{math.exp(value):.3g}" for site, value in self.steer.items())
            )
        if self.planned:
            parts = ", ".join(f"{name} {self.planned[name]:+.4f}" for name in ("service", "cost", "resilience"))
            useful = f"; useful in {self.planned['ready_s'] / 60:.0f} min" if self.planned["ready_s"] > 0 else ""
            lines.append(f"  planned gain {self.planned['gain']:+.4f} a step: {parts}{useful}")
        terms = ", ".join(f"{name} {value:+.4f}" for name, value in self.by_term.items() if abs(value) > 5e-5)
        total = sum(self.by_term.values())
        other = "the scenario's router" if self.autoscaled else "doing nothing"
        lines.append(f"  next {self.ahead_h:g} h against {other} {total:+.4f} a step: {terms or 'no difference'}")
        if self.others:
            lines.append("  instead of: " + "; ".join(f"{words} ({gain:+.4f})" for words, gain in self.others))
        return "\n".join(lines)


class Adviser:
    """A policy beside a live fleet of one scenario; its memory goes on from one decision to the next."""

    def __init__(self, policy: Policy, scenario: Any, task: str = "placement") -> None:
        self.policy = policy
        self.env = playing.stage(policy, scenario, task, 1)
        self.env.reset(seed=0)
        attach(policy, self.env)
        self.simulator = self.env.simulator
        self.copies = Copies(self.simulator, 1, 2, AHEAD)
        resolved = self.simulator.world_of(0).resolved
        self._start, self._memory = np.ones(1, np.bool_), None
        self._sites = [site.name for site in resolved.sites]
        self._models = [model.name for model in resolved.models]

    def decide(self, state: LiveState | dict[str, Any], where: str = "state") -> Decision:
        """The policy's decision; ValueError in one line for a state that the scenario does not know."""
        simulator = self.simulator
        simulator.renew()
        place(simulator, LiveState.parse(state, where), 0, where)
        seen: Any = simulator.observation
        observation = seen if simulator.settings.flatten else simulator.tables(seen)
        masks = self.env.action_masks() if simulator.mask.shape[1] else None
        start, self._start = self._start, np.zeros(1, np.bool_)
        action, self._memory = self.policy.predict(
            observation, self._memory, start, deterministic=True, action_masks=masks
        )
        space = self.env.single_action_space
        parts = split_actions(np.asarray(action), simulator, space, np.zeros(1, np.int64))
        decision = self._explain(int(parts.chosen[0]), parts.levels, parts.site_levels)
        if not all(map(math.isfinite, decision.numbers())):
            raise ValueError(f"{where}: its numbers are so far apart that no gain can be worked out")
        return decision

    def _explain(self, chosen: int, levels: np.ndarray | None, site_levels: np.ndarray | None) -> Decision:
        simulator, copies = self.simulator, self.copies
        output = simulator.output
        offers, gains, ready_s = output.offer[0], output.offer_gain[0], output.offer_ready_s[0]
        copies.load(np.zeros(1, np.int64))
        follow = idle
        if simulator.mode == OPERATIONS:
            operation, first = chosen, copies.try_operations(np.array([chosen, 0]))
            taken = -1
        else:
            if simulator.mode == AUTOSCALED:
                follow = copies.greedy
                chosen = int(copies.greedy(copies.output.offer, copies.output.offer_gain)[0])
            taken, first = chosen - 1, np.array([chosen, chosen if follow is not idle else 0])
            operation = int(offers[taken]) if taken >= 0 else 0
        both = (None if each is None else np.concatenate([each, np.zeros_like(each)]) for each in (levels, site_levels))
        ahead = outlook(copies, first, follow, *both)
        steps = min(AHEAD, int(simulator.tape.attack.shape[1] - 1 - simulator.state.step[0]))
        terms = ahead.terms[:, : max(steps, 1)].mean(axis=1)
        weighted = (terms[1] - terms[0]) * self.env.reward_weights
        ranked = [i for i in np.argsort(-gains[:, GAIN.total], kind="stable") if offers[i] != 0 and i != taken]
        planned: dict[str, float] = {}
        if taken >= 0:
            names = ("gain", "service", "cost", "resilience", "ready_s")
            planned.update(zip(names, [*gains[taken].tolist(), float(ready_s[taken])], strict=True))
        return Decision(
            operation=self.words(operation),
            knobs={} if levels is None else dict(zip(KNOBS, copies.state.knobs[0].tolist(), strict=True)),
            planned=planned,
            by_term=dict(zip(TERMS, weighted.tolist(), strict=True)),
            ahead_h=max(steps, 1) * simulator.spec.episode.step_s / 3600,
            others=tuple((self.words(int(offers[i])), float(gains[i, GAIN.total])) for i in ranked[:OTHERS]),
            autoscaled=simulator.mode == AUTOSCALED,
            steer={} if site_levels is None else self._steered(copies.state.steer[0]),
        )

    def _steered(self, steer: np.ndarray) -> dict[str, float]:
        return {site: float(value) for site, value in zip(self._sites, steer, strict=False) if value != 0}

    def words(self, operation: int) -> str:
        """An operation in words."""
        return describe_operation(operation, self._sites, self._models)

    def close(self) -> None:
        """Close the environment that decisions are compared in."""
        self.env.close()


def example(scenario: Any, seed: int = 0, steps: int = EXAMPLE_STEPS) -> dict[str, Any]:
    """A live state as an example: `steps` steps into a validation episode that the greedy planner plays."""
    policy = heuristics.make("greedy")
    env = playing.stage(policy, scenario, "placement", 1, split="validation")
    observation, info = env.reset(seed=seed)
    while env.simulator.state.step[0] < min(steps, env.simulator.spec.episode.steps - 1):
        action, _ = policy.predict(observation, action_masks=info["action_mask"].astype(np.bool_))
        observation, *_, info = env.step(action)
    result = describe(env.simulator)
    env.close()
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__)
    parser.prog = "og-env decide"
    parser.add_argument("--policy", metavar="DIR", help="a trained policy, or the name of a heuristic or a planner")
    parser.add_argument("--state", type=Path, nargs="+", metavar="FILE", help="JSON of live fleets of one scenario")
    parser.add_argument("--env", metavar="ID", help="what a heuristic decides (default: og_env/Placement-v1)")
    parser.add_argument("--example", metavar="SCENARIO", help="print a state to look at, and decide nothing")
    parser.add_argument("--json", action="store_true", help="print decisions as JSON, one a line")
    options = parser.parse_args(arguments)
    if options.example is None and (options.policy is None or not options.state):
        parser.error("--policy and --state are needed (or --example SCENARIO)")
    return guarded(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Print an example of a state, or the decisions for the states."""
    if options.example is not None:
        print(json.dumps(example(options.example), indent=1))
        return
    states = [(path, LiveState.read(path)) for path in options.state]
    spec = loading.load(states[0][1].scenario)
    for path, state in states[1:]:
        if loading.load(state.scenario) != spec:
            raise ValueError(f"{path}: of another scenario than {states[0][0]}: ask for one at a time")
    task = task_of(options.policy, options.env)
    ((_, policy),) = load_policies.load_policies([options.policy], spec, task, option="--policy")[0].items()
    adviser = Adviser(policy, spec, task)
    adviser.decide(states[0][1], str(states[0][0]))
    for path, state in states:
        begin = time.perf_counter()
        decision = adviser.decide(state, str(path))
        taken_ms = (time.perf_counter() - begin) * 1000
        if options.json:
            print(json.dumps({"state": str(path), **decision._asdict(), "decided_in_ms": round(taken_ms, 3)}))
        else:
            print(f"{path}: {decision.text()}\n  decided in {taken_ms:.1f} ms")
    adviser.close()


def task_of(policy: str, env_id: str | None) -> str:
    """The task of a policy: the one that it was trained for, or for a heuristic that of `--env`."""
    if env_id is not None and env_id not in TASKS:
        raise ValueError(f"unknown environment {env_id!r}{nearest_valid(env_id, TASKS)}")
    if os.sep in policy or Path(policy).exists():
        from og_agents.learning import checkpoint

        task = checkpoint.read_meta(policy)["task"]
        if env_id is not None and TASKS[env_id] != task:
            raise ValueError(f"{policy}: trained for {IDS[task]}, not {env_id}")
        return task
    return TASKS[env_id or IDS["placement"]]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: threads cost more than they bring here
    sys.exit(main())
