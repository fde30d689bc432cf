"""How the policies that come with the package are trained: the recipes, their commands and their run folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Recipe(NamedTuple):
    """A way to train a policy by og-env train."""

    doc: str
    words: tuple[str, ...] = ()
    """options of og-env train beside the scenario and the seed"""
    begins_with: str | None = None
    """the recipe whose policy of the same seed it goes on from"""


ROUTING = "ppo_routing"
"""the recipe of routers"""
RECIPES: Mapping[str, Recipe] = {
    "ppo": Recipe("PPO from the tuned planner as its prior"),
    "rpi": Recipe("rollout policy iteration", ("--algorithm", "rpi")),
    "ppo_from_rpi": Recipe("PPO that goes on from rpi", begins_with="rpi"),
    "ppo_operations": Recipe("PPO on all operations, without a planner", ("--interface", "operations")),
    ROUTING: Recipe(
        "a filter of measured speeds, the router convex on it, and PPO from there",
        ("--env", "og_env/Routing-v1", "--interface", "sites"),
    ),
}
USUAL = ("ppo", "rpi", "ppo_from_rpi")
"""the recipes of Placement among offers"""
BY_POLICY = {"operations": "ppo_operations", "sites": ROUTING}
"""the recipes of networks that have one of their own"""
CAREFUL = ("grid-blackout", "near-but-cold")
"""scenarios in which PPO has careful settings: it falls far, or keeps its start, with the usual ones"""
CAREFULLY = ("--config", "configs/training/careful.toml")
"""options of og-env train for these"""
BLIND = "_blind_"
"""between a recipe and the dimension of the world that it was trained without"""
RUN = re.compile(rf"(?P<scenario>.+)-(?P<recipe>(?:{'|'.join(RECIPES)})(?:{BLIND}[a-z]+)?)-(?P<seed>\d+)")


def folder_of(runs: Path, scenario: str, recipe: str, seed: str) -> Path:
    """The run folder below `runs`."""
    return runs / f"{scenario}-{recipe}-{seed}"


def command(runs: Path, scenario: str, recipe: str, seed: str, minutes: float | None = None) -> list[str]:
    """The command that trains the policy, without --out; a recipe may end in BLIND and a dimension of the world."""
    plain, blind, dimension = recipe.partition(BLIND)
    what = RECIPES[plain]
    words = ["og-env", "train", "--scenario", scenario, *what.words]
    if plain == "ppo" and scenario in CAREFUL:
        words += CAREFULLY
    if dimension:
        words += ["--blind", dimension]
    if what.begins_with is not None:
        words += ["--start", str(folder_of(runs, scenario, what.begins_with + blind + dimension, seed))]
    words += ["--seed", seed]
    return words if minutes is None else [*words, "--minutes", f"{minutes:g}"]


def recipe_of(meta: Mapping[str, Any]) -> str:
    """The recipe of a trained policy, from its policy.json."""
    if meta["algorithm"] == "rpi":
        return "rpi"
    if meta["policy"] in BY_POLICY:
        return BY_POLICY[meta["policy"]]
    return "ppo_from_rpi" if meta.get("begun_from") == "rpi" else "ppo"
