"""Which policies take part: heuristics and planners by name, trained ones by folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from agents import heuristics, planners
from agents.policy import Policy
from og_env import IDS
from og_env.parsing import nearest_valid
from og_env.specs import ScenarioSpec

SHIPPED = "ppo"
"""name of the trained policy that comes with a scenario"""
SAME = ("algorithm", "policy", "policy_kwargs", "task", "env_kwargs", "settings", "scenario", "minutes")
"""what the runs of one training have in common"""


def load_policies(
    words: Iterable[str], spec: ScenarioSpec, task: str, *, seed: int = 0, option: str = "--policies"
) -> tuple[dict[str, Policy], list[str]]:
    """Policies by name, in the order given, and the names of the trained ones (their folders' names).

    A word is a heuristic, a planner, a folder, `ppo` for the policy that comes with the scenario, `all` for every
    heuristic and, where there is one, `ppo`, or `planners` for the quick planners; `option` is what messages call the
    list. Raises ValueError for an unknown word, a policy trained for another task, or no word.
    """
    policies: dict[str, Policy] = {}
    learned: list[str] = []
    shipped: Path | None = None
    for word in filter(None, map(str.strip, words)):
        if word == "all":
            policies |= {name: heuristics.make(name, task=task, seed=seed) for name in heuristics.NAMES}
            shipped = shipped or _shipped(spec, task)
        elif word == SHIPPED:
            from agents import pretrained

            shipped = _shipped(spec, task) or pretrained.folder_of(spec.name)
        elif word in heuristics.NAMES:
            policies[word] = heuristics.make(word, task=task, seed=seed)
        elif word == "planners":
            policies |= {name: planners.make(name, spec, task, seed=seed) for name in planners.QUICK}
        elif word in planners.NAMES:
            policies[word] = planners.make(word, spec, task, seed=seed)
        elif os.sep in word or Path(word).exists():
            label = Path(word).resolve().name
            label = word if label in policies or label in (*heuristics.NAMES, *planners.NAMES) else label
            policies[label] = _trained(word, spec, task)
            learned.append(label)
        else:
            hint = nearest_valid(word, ("all", "planners", SHIPPED, *heuristics.NAMES, *planners.NAMES))
            raise ValueError(f"{option}: {word!r} is neither a heuristic, a planner nor a folder{hint}")
    if shipped is not None:
        policies[SHIPPED] = _trained(str(shipped), spec, task)
        learned.append(SHIPPED)
    if not policies:
        raise ValueError(f"{option} names no policy")
    return policies, learned


def _shipped(spec: ScenarioSpec, task: str) -> Path | None:
    """The folder of the policy that comes with the scenario, where the scenario is the one it was trained on."""
    if find_spec("torch") is None:
        return None
    from agents import pretrained

    return pretrained.folder_for(spec, task)


def _trained(folder: str, spec: ScenarioSpec, task: str) -> Policy:
    from agents import checkpoint

    policy = checkpoint.load(folder, scenario=spec)
    trained_for = getattr(policy, "meta", {}).get("task", task)
    if trained_for != task:
        raise ValueError(f"{folder}: trained for {IDS[trained_for]}, not {IDS[task]}: choose it with --env")
    return policy


def seeds_of_one_training(policies: Mapping[str, Policy]) -> list[list[str]]:
    """Names of trained policies that differ in the training seed alone, two or more in a group."""
    groups: dict[str, list[str]] = {}
    for name, policy in policies.items():
        meta = getattr(policy, "meta", None)
        if meta is not None and "settings" in meta and name != SHIPPED:
            same = {key: meta[key] for key in SAME if key in meta}
            groups.setdefault(json.dumps(same, sort_keys=True), []).append(name)
    return [names for names in groups.values() if len(names) > 1]
