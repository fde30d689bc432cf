"""Baselines that an operations researcher would ask for, and the references above them, behind the policies' protocol.

Five are quick, of which three place statically; `rollout` looks ahead and is slow; `clairvoyant` does so on the tape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from og_agents.planners import local_search, offer_rules, p_median
from og_agents.planners.offer_rules import OfferPolicy
from og_agents.planners.rollout import Rollout
from og_agents.planners.static_placement import StaticPlacement, Target
from og_agents.planners.tuned_constants import START, constants_of
from og_agents.policy import Policy
from og_env.errors import nearest_valid
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec

LEVELS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5)
"""multiples of the expected demand that the programmes are solved for; training episodes choose"""
FITTING_EPISODES = 6


def _best_static(spec: ScenarioSpec) -> Target:
    return local_search.best_static(spec, episodes=FITTING_EPISODES)


def _p_median(spec: ScenarioSpec, robust: bool) -> Target:
    """The programme's placement at the level of demand that earns most on training episodes."""
    placements = [p_median.p_median(spec, robust=robust, level=level) for level in LEVELS]
    returns = local_search.Pricing(spec, FITTING_EPISODES, 0).returns(placements)
    return placements[int(np.argmax(returns))]


PLACEMENTS: Mapping[str, tuple[Callable[[ScenarioSpec], Target], str]] = {
    "static_best": (_best_static, "the best fixed placement by local search on training episodes"),
    "p_median": (functools.partial(_p_median, robust=False), "fixed placement by mixed-integer programme"),
    "robust_p_median": (functools.partial(_p_median, robust=True), "the same under the worst loss of one dependency"),
}
LOOKING_AHEAD: Mapping[str, str] = {
    "rollout": "looks 36 steps ahead on the forecast: strong and slow",
    "clairvoyant": "looks 72 steps ahead on the tape, with a trained policy where one comes along: a reference",
}
DOCS: Mapping[str, str] = {
    **{name: doc for name, (_, doc) in offer_rules.RULES.items()},
    **{name: doc for name, (_, doc) in PLACEMENTS.items()},
    **LOOKING_AHEAD,
}
NAMES = tuple(DOCS)
QUICK = tuple(name for name in NAMES if name not in LOOKING_AHEAD)
ORACLES = ("clairvoyant",)
"""read the tape"""
REFERENCES = tuple(LOOKING_AHEAD)
"""are never the best baseline: they read the tape, or decide a thousand times more slowly than what they stand beside"""
CLAIRVOYANT: Mapping[str, Any] = {"truth": True, "horizon": 72, "candidates": 11, "every": 1}
"""every offer, twice as far as `rollout`: over the best baseline it gains 9.9 % in grid-blackout and 6.0 % in global-24 as
first set, where 8 candidates, 36 steps and a planner in every other one gain 7.8 % and 2.1 %, and 11, 36 and every one
9.0 % and 5.2 % (12 validation episodes each)"""
TASKS = ("placement", "joint")


def make(
    name: str,
    scenario: str | ScenarioSpec,
    task: str = "placement",
    *,
    seed: int = 0,
    constants: Mapping[str, float] | None = None,
    follow: Policy | None = None,
) -> Policy:
    """A planner by name, fitted to a scenario; static placements are searched for here (seconds).

    `follow` is the policy with which `clairvoyant` goes on after a candidate; None is the tuned greedy planner.

    Raises ValueError for an unknown name or constant, a task that it does not know, or a scenario whose fleet changes
    under a static placement.
    """
    if name not in NAMES:
        raise ValueError(f"unknown planner {name!r}{nearest_valid(name, NAMES)}")
    tasks = TASKS[:1] if name in PLACEMENTS else TASKS
    if task not in tasks:
        raise ValueError(f"{name} has no decisions in the task {task!r}; valid are {', '.join(tasks)}")
    spec = loading.load(scenario)
    if constants and name not in START:
        raise ValueError(f"{name} has no constants")
    for key in constants or {}:
        if key not in START[name]:
            raise ValueError(f"{name} has no constant {key!r}{nearest_valid(key, START[name])}")
    if name in offer_rules.RULES:
        return OfferPolicy(name, task, {**constants_of(spec.name, name), **(constants or {})})
    if name in PLACEMENTS:
        return StaticPlacement(name, PLACEMENTS[name][0](spec))
    base = constants_of(spec.name, "greedy_tuned")
    if name not in ORACLES:
        return Rollout(name, task, seed=seed, base=base)
    return Rollout(name, task, seed=seed, base=base, follow=follow, **CLAIRVOYANT)


__all__ = ["DOCS", "NAMES", "ORACLES", "QUICK", "REFERENCES", "make"]
