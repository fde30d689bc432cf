"""The policies that take part: heuristics and planners by name, trained ones by folder, rules of one's own by class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from og_agents import heuristics, planners
from og_agents.heuristics import own_rule
from og_agents.learning.router_beside import as_played, task_of_placer
from og_agents.learning.run_record import training_of
from og_agents.planners.place_and_route import AND, PlaceAndRoute
from og_agents.policy import Policy
from og_agents.pretrained.recipes import RECIPES, ROUTING, USUAL
from og_env import IDS, task_of
from og_env.errors import nearest_valid
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec


def load_policies(
    words: Iterable[str], spec: ScenarioSpec, task: str, *, seed: int = 0, option: str = "--policies"
) -> tuple[dict[str, Policy], list[str]]:
    """Policies by name, in the order given, and the names of those that are judged: trained ones and rules of one's own.

    A word is a heuristic, a planner, a folder, a class of one's own as `module:Class`, a recipe of training for the policy
    that comes with the scenario, `all` for every heuristic (in Routing every router) and every policy that comes with the
    scenario as it is, or `planners` for the quick planners. In Joint `PLACER+ROUTER` lets one policy place and a router
    route, and the folder of a placer that was trained beside a router stands for both. `option` is what messages call the
    list. Of the policies that come along the best on validation is first.
    Raises ValueError for an unknown word, a policy trained for another task, or no word.
    """
    policies: dict[str, Policy] = {}
    learned: list[str] = []
    shipped: dict[str, Path] = {}
    for word in filter(None, map(str.strip, words)):
        if word == "all":
            policies |= {name: _baseline(name, spec, task, seed) for name in (*_rules(task), *_routers(task))}
            shipped |= _shipped(spec, task)
        elif word in RECIPES:
            from og_agents.pretrained import policy_folders

            shipped[word] = _shipped(spec, task).get(word) or policy_folders.folder_of(word, spec.name)
        elif word == "planners":
            quick = planners.QUICK if task != "joint" else _quick(spec, task)
            policies |= {name: make_planner(name, spec, task, seed=seed) for name in quick}
            policies |= {name: planners.make_pair(name, spec) for name in _pairs(task)}
        elif word in (*heuristics.NAMES, *planners.NAMES):
            policies[word] = _baseline(word, spec, task, seed)
        else:
            policy, judged, label = _given(word, spec, task, seed, option)
            reserved = RECIPES if own_rule.is_own(word) else ()
            label = word if label in policies or label in (*heuristics.NAMES, *planners.NAMES, *reserved) else label
            policies[label] = policy
            learned += [label] if judged else []
    for recipe, folder in shipped.items():
        name = f"shipped {recipe}" if recipe in policies else recipe
        policies[name] = _trained(str(folder), spec, task)
        learned.append(name)
    if not policies:
        raise ValueError(f"{option} names no policy")
    return policies, learned


def load_policy(word: str, scenario: Any = "global-24", task: str = "placement", *, seed: int = 0) -> Policy:
    """One policy by name, folder, recipe or `module:Class`: `load_policy("ppo", "one-cloud").predict(observation)`.

    scenario: name, file, tables or spec; task: placement, routing or joint, or an environment's id. ValueError as of
    `load_policies`, and for a word that stands for several.
    """
    if word.strip() in ("all", "planners") or "," in word:
        raise ValueError(f"load_policy: {word!r} stands for several policies; name one")
    chosen = task if task in IDS else task_of(task)
    policies, _ = load_policies([word], loading.load(scenario), chosen, seed=seed, option="load_policy")
    return next(iter(policies.values()))


def baseline_names(spec: ScenarioSpec, task: str) -> tuple[str, ...]:
    """Every heuristic, planner and router of a task that neither reads the tape nor looks ahead."""
    if task == "routing":
        return (*_rules(task), *_routers(task))
    return tuple(dict.fromkeys((*_rules(task), *_quick(spec, task), *_pairs(task))))


def _quick(spec: ScenarioSpec, task: str) -> tuple[str, ...]:
    """The quick planners that have decisions in a task and scenario."""
    fixed = task == "placement" and spec.fleet != "random"
    return tuple(name for name in planners.QUICK if fixed or name not in planners.PLACEMENTS)


def make_planner(name: str, spec: ScenarioSpec, task: str = "placement", *, seed: int = 0) -> Policy:
    """A planner by name; ValueError as of `planners.make`.

    `search` and the clairvoyant planners go on with the policy among offers that comes with the scenario and was best on
    validation, where there is one and torch is installed.
    """
    follow = None
    if name in planners.FOLLOWING:
        folder = next((path for recipe, path in _shipped(spec, task).items() if recipe in USUAL), None)
        follow = None if folder is None else _trained(str(folder), spec, task)
    return planners.make(name, spec, task, seed=seed, follow=follow)


def _baseline(name: str, spec: ScenarioSpec, task: str, seed: int) -> Policy:
    """A heuristic or planner by name; in Routing a name that is both is the router's."""
    if name in heuristics.NAMES and not (task == "routing" and name in planners.ROUTERS):
        return heuristics.make(name, task=task, seed=seed)
    return make_planner(name, spec, task, seed=seed)


def _given(word: str, spec: ScenarioSpec, task: str, seed: int, option: str) -> tuple[Policy, bool, str]:
    """A policy that is no name alone, whether it is judged, and what it is called; ValueError where it is none."""
    exists = Path(word).exists()
    if task == "joint" and AND in word and not exists:
        policy, judged = _pair(word, spec, seed, option)
        return policy, judged, word
    if own_rule.is_own(word) and not exists:
        return own_rule.make(word, option), True, word.partition(":")[2]
    if os.sep in word or exists:
        return _trained(word, spec, task), True, Path(word).resolve().name
    hint = nearest_valid(word, ("all", "planners", *RECIPES, *heuristics.NAMES, *planners.NAMES))
    raise ValueError(f"{option}: {word!r} is neither a heuristic, a planner, a folder nor module:Class{hint}")


def _pair(word: str, spec: ScenarioSpec, seed: int, option: str) -> tuple[Policy, bool]:
    """The policy of Joint that PLACER+ROUTER names, and whether the placer was trained or is a rule of one's own."""
    places, _, routes = word.rpartition(AND)
    known = (*_routers("routing"), ROUTING)
    if routes not in known and not Path(routes).is_dir():
        raise ValueError(f"{option}: {word!r}: {routes!r} is no router{nearest_valid(routes, known)}")
    placers, learned = load_policies([places], spec, "placement", seed=seed, option=option)
    if len(placers) != 1:
        raise ValueError(f"{option}: {word!r}: {places!r} stands for several policies; name one")
    (placer,) = placers.values()
    routers, trained = load_policies([routes], spec, "routing", seed=seed, option=option)
    (router,) = routers.values()
    if trained and router.meta["policy"] != "sites":  # type: ignore[attr-defined]
        raise ValueError(f"{option}: {word!r}: {routes!r} reads no table of sites: train it with --interface sites")
    return PlaceAndRoute(word, placer, router), bool(learned or trained)


def _rules(task: str) -> tuple[str, ...]:
    """The heuristics that do different things in a task: rules that place are routers of the same name in Routing."""
    return ("random", "static") if task == "routing" else heuristics.NAMES


def _routers(task: str) -> tuple[str, ...]:
    """The routers that are baselines of a task."""
    return tuple(name for name in planners.ROUTERS if name not in planners.REFERENCES) if task == "routing" else ()


def _pairs(task: str) -> tuple[str, ...]:
    """The pairs of a planner and a router that are baselines of a task."""
    return planners.PAIRS if task == "joint" else ()


def shipped_recipes(spec: ScenarioSpec, task: str) -> tuple[str, ...]:
    """Recipes of the policies that come with the scenario as it is, the best on validation first."""
    return tuple(_shipped(spec, task))


def _shipped(spec: ScenarioSpec, task: str) -> dict[str, Path]:
    """Folders of the policies that come with the scenario, by recipe; empty where the scenario is changed."""
    if find_spec("torch") is None:
        return {}
    from og_agents.pretrained import policy_folders

    return policy_folders.folders_for(spec, task)


def _trained(folder: str, spec: ScenarioSpec, task: str) -> Policy:
    from og_agents.learning import checkpoint

    policy = checkpoint.load(folder, scenario=spec)
    meta: Mapping[str, Any] = getattr(policy, "meta", {"task": task})
    if task == meta.get("task", task):
        return as_played(policy, meta, spec, policy.name)
    if task == task_of_placer(meta):
        return policy
    hint = (
        f", or let it place beside a router: {folder}{AND}convex"
        if (meta["task"], task) == ("placement", "joint")
        else ""
    )
    raise ValueError(f"{folder}: trained for {IDS[meta['task']]}, not {IDS[task]}: choose it with --env{hint}")


def seeds_of_one_training(policies: Mapping[str, Policy]) -> list[list[str]]:
    """Names of trained policies that differ in the training seed alone, two or more in a group; the first of each seed."""
    groups: dict[tuple[str, str], dict[Any, str]] = {}
    for name, policy in policies.items():
        meta = getattr(policy, "meta", None)
        if meta is not None and "settings" in meta and "learning_curve" not in meta:  # which a shipped one's card has
            seeds = groups.setdefault((training_of(meta), _router_of(policy)), {})
            seeds.setdefault(meta.get("seed", name), name)
    return [list(seeds.values()) for seeds in groups.values() if len(seeds) > 1]


def _router_of(policy: Policy) -> str:
    """A text that says which router plays beside a policy, the same for all seeds of a training; none for no router."""
    router = getattr(policy, "router", None)
    meta = getattr(router, "meta", None)
    return training_of(meta) if meta is not None else getattr(router, "name", "")
