"""Planners: baselines that an operations researcher would ask for, and two references above them.

Six are quick: three choose among offers by a rule, and three move to a static placement. `mip` plans some hours ahead by
mixed-integer programme. `rollout` and `search` try candidates in copies and are slow; `clairvoyant` does so on the tape,
which no policy may see. Those of `routers` place nothing: they route.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np

from og_agents.heuristics import tuned_constants
from og_agents.planners import local_search, offer_rules, p_median, routers
from og_agents.planners.clairvoyant import clairvoyant
from og_agents.planners.mip import RollingMip
from og_agents.planners.offer_rules import OfferPolicy
from og_agents.planners.place_and_route import AND, PlaceAndRoute
from og_agents.planners.rollout import Rollout
from og_agents.planners.routers import RouterPolicy
from og_agents.planners.search import search
from og_agents.planners.static_placement import StaticPlacement, Target
from og_agents.policy import Policy
from og_env.errors import nearest_valid
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec

LEVELS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5)
"""multiples of the expected demand that the programmes are solved for; the best on training episodes is kept"""
FITTING_EPISODES = 6
"""training episodes on which static placements are compared"""


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
ROLLING: Mapping[str, str] = {
    "mip": "rolling-horizon mixed-integer programme: replicas for some hours, under outages weighted by alarms"
}
LOOKING_AHEAD: Mapping[str, str] = {
    "rollout": "looks 36 steps ahead on the forecast: strong and slow",
    "search": "tries offers in futures drawn from the alarms, with a trained policy where one comes along: slow and strong",
    "clairvoyant": "looks 72 steps ahead on the tape, with a trained policy where one comes along: a reference",
    "clairvoyant_quick": "the same in a fraction of the time: 36 steps ahead, in every third step, for scores",
}
ROUTERS: Mapping[str, str] = routers.DOCS
"""planners of Routing alone"""
DOCS: Mapping[str, str] = {
    **{name: doc for name, (_, doc) in offer_rules.RULES.items()},
    **{name: doc for name, (_, doc) in PLACEMENTS.items()},
    **ROLLING,
    **LOOKING_AHEAD,
    **ROUTERS,
}
NAMES = tuple(DOCS)
QUICK = tuple(name for name in NAMES if name not in (*ROLLING, *LOOKING_AHEAD, *ROUTERS))
"""planners of placement that decide fast"""
ORACLES = ("clairvoyant", "clairvoyant_quick", "convex_true")
"""planners that read the tape"""
SCORED_BY: Mapping[str, tuple[str, ...]] = {"placement": ORACLES[:2], "routing": ORACLES[2:], "joint": ORACLES[:2]}
"""the planners that read the tape in each task: the strongest first, and the quickest last"""
FOLLOWING = ("search", *ORACLES[:2])
"""planners that go on with a trained policy where one comes along"""
REFERENCES = (*LOOKING_AHEAD, "convex_true")
"""planners that never count as the best baseline: they read the tape, or decide a thousand times more slowly"""
TASKS = ("placement", "joint")
PAIRS = ("greedy_tuned+site_prices", "greedy_tuned+convex")
"""baselines of Joint: a planner that places and a router that routes"""


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

    `follow` is the policy that acts after a candidate of `search` and of the clairvoyant planners; None is the tuned
    greedy planner.

    Raises ValueError for an unknown name or constant, a task that it does not know, a scenario whose fleet changes under
    a static placement, or where highspy is not installed for a programme.
    """
    if name not in NAMES:
        raise ValueError(f"unknown planner {name!r}{nearest_valid(name, NAMES)}")
    tasks = ("routing",) if name in ROUTERS else TASKS[:1] if name in PLACEMENTS else TASKS
    if task not in tasks:
        raise ValueError(f"{name} has no decisions in the task {task!r}; valid are {', '.join(tasks)}")
    spec = loading.load(scenario)
    if name in ROUTERS:
        return _router(name, spec, constants or {})
    if constants and name not in tuned_constants.PLANNERS:
        raise ValueError(f"{name} has no constants")
    for key in constants or {}:
        if key not in tuned_constants.PLANNERS[name]:
            raise ValueError(f"{name} has no constant {key!r}{nearest_valid(key, tuned_constants.PLANNERS[name])}")
    if name in offer_rules.RULES:
        return OfferPolicy(name, task, {**tuned_constants.constants_of(spec.name, name), **(constants or {})})
    if name in PLACEMENTS:
        return StaticPlacement(name, PLACEMENTS[name][0](spec))
    return _ahead(name, spec, task, seed, constants or {}, follow)


def make_pair(name: str, spec: ScenarioSpec) -> PlaceAndRoute:
    """The policy of Joint of a name in PAIRS."""
    places, _, routes = name.partition(AND)
    return PlaceAndRoute(name, make(places, spec), _router(routes, spec, {}))


def _ahead(
    name: str, spec: ScenarioSpec, task: str, seed: int, constants: Mapping[str, float], follow: Policy | None
) -> Policy:
    """A planner that looks further ahead than the offers do."""
    base = tuned_constants.constants_of(spec.name, "greedy_tuned")
    if name in ROLLING:
        return RollingMip(name, task, {**tuned_constants.constants_of(spec.name, name), **constants}, base)
    if name == "rollout":
        return Rollout(name, task, seed=seed, base=base)
    if name == "search":
        return search(task, seed=seed, base=base, follow=follow)
    return clairvoyant(task, seed=seed, base=base, follow=follow, quick=name == "clairvoyant_quick")


def _router(name: str, spec: ScenarioSpec, constants: Mapping[str, float]) -> RouterPolicy:
    """A router with its constants in the scenario, some of them replaced."""
    file = routers.constants_name(name)
    tuned = tuned_constants.constants_of(spec.name, file) if file in tuned_constants.PLANNERS else {}
    return RouterPolicy(name, {**tuned, **constants})
