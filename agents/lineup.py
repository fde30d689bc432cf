"""Which policies take part: heuristics and planners by name, trained ones by folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from agents import heuristics, planners
from agents.policy import Policy
from og_env import IDS
from og_env.parsing import nearest_valid
from og_env.specs import ScenarioSpec


def load_policies(
    words: Iterable[str], spec: ScenarioSpec, task: str, *, seed: int = 0, option: str = "--policies"
) -> tuple[dict[str, Policy], list[str]]:
    """Policies by name, in the order given, and the names of the trained ones (their folders' names).

    A word is a heuristic, a planner, a folder, `all` for every heuristic or `planners` for the quick ones; `option` is
    what messages call the list. Raises ValueError for an unknown word, a policy trained for another task, or no word.
    """
    policies: dict[str, Policy] = {}
    learned: list[str] = []
    for word in filter(None, map(str.strip, words)):
        if word == "all":
            policies |= {name: heuristics.make(name, task=task, seed=seed) for name in heuristics.NAMES}
        elif word in heuristics.NAMES:
            policies[word] = heuristics.make(word, task=task, seed=seed)
        elif word == "planners":
            policies |= {name: planners.make(name, spec, task, seed=seed) for name in planners.QUICK}
        elif word in planners.NAMES:
            policies[word] = planners.make(word, spec, task, seed=seed)
        elif os.sep in word or Path(word).exists():
            from agents import checkpoint

            label = Path(word).resolve().name
            label = word if label in policies or label in (*heuristics.NAMES, *planners.NAMES) else label
            policies[label] = checkpoint.load(word, scenario=spec)
            trained_for = getattr(policies[label], "meta", {}).get("task", task)
            if trained_for != task:
                raise ValueError(f"{word}: trained for {IDS[trained_for]}, not {IDS[task]}: choose it with --env")
            learned.append(label)
        else:
            hint = nearest_valid(word, ("all", "planners", *heuristics.NAMES, *planners.NAMES))
            raise ValueError(f"{option}: {word!r} is neither a heuristic, a planner nor a folder{hint}")
    if not policies:
        raise ValueError(f"{option} names no policy")
    return policies, learned
