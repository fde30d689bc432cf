"""Compatibility of a trained policy with a scenario: spaces as JSON, and the parts in which two scenarios differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from og_agents.heuristics.tuned_constants import constants_of
from og_agents.learning import believed_speeds, possible_behind
from og_agents.learning.router_beside import task_of_placer
from og_agents.learning.starting_planner import PLANNER
from og_env.env import NetworkEnv
from og_env.fields import TABLES
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import TERMS

SPACES = ("observation_space", "action_space")
MEANING = ("sites", "models", "regions", "domains")
"""parts of a scenario that give the numbers of an observation and an action their meaning; all others, such as demand and
failures, may differ between training and use, and on the same fleet the reward's weights as well"""
WISHES = (*TERMS, "unserved_convexity")
"""fields of a scenario's reward that say what its users wish"""
DAMAGED = (KeyError, TypeError, ValueError, AttributeError, AssertionError, IndexError, RuntimeError, OverflowError)
"""exceptions that a wrong value in a description raises"""


MOST_WIDTH = 1_000_000
"""most numbers of an observation, and most choices of an action"""
MOST_UNITS, MOST_LAYERS = 4096, 64
"""widest layer of a network, and most entries of a list in its description"""


def check_sizes(value: Any, most: int = MOST_UNITS) -> None:
    """ValueError for a description of a network with a number above `most`, or that is larger than any trained here.

    Making such a network takes minutes and gigabytes, before its weights are found to be of another one.
    """
    if isinstance(value, Mapping | list | tuple):
        if len(value) > MOST_LAYERS:
            raise ValueError(f"a list of {len(value)} entries (at most {MOST_LAYERS})")
        for part in value.values() if isinstance(value, Mapping) else value:
            check_sizes(part, most)
            if not isinstance(value, Mapping) and isinstance(part, int) and part < 1:
                raise ValueError(f"a layer of {part} units")
    elif isinstance(value, int | float) and not abs(value) <= most:
        raise ValueError(f"a size of {value!r} (at most {most})")


def _width(values: Any) -> tuple[int, ...]:
    """Whole numbers above 0 whose product is a width that a network may have; ValueError otherwise."""
    numbers = tuple(values)
    for value in numbers:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST_WIDTH:
            raise ValueError(f"a space of {value!r}")
    if math.prod(numbers) > MOST_WIDTH:
        raise ValueError(f"a space of {math.prod(numbers):,} numbers (at most {MOST_WIDTH:,})")
    return numbers


def describe_space(space: gym.Space[Any]) -> dict[str, Any]:
    """A space of these environments as JSON; boxes span [-1, 1]."""
    if isinstance(space, gym.spaces.Dict):
        return {"tables": {name: describe_space(table) for name, table in space.spaces.items()}}
    if isinstance(space, gym.spaces.Box):
        return {"box": list(space.shape)}
    if isinstance(space, gym.spaces.Discrete):
        return {"discrete": int(space.n)}
    if isinstance(space, gym.spaces.MultiDiscrete):
        return {"multidiscrete": [int(count) for count in space.nvec]}
    raise ValueError(f"a policy cannot be saved for the space {space}")


def space_of(described: Mapping[str, Any]) -> gym.Space[Any]:
    """The space that `describe_space` wrote down; ValueError for anything else."""
    ((kind, value),) = described.items()
    if kind == "tables":
        return gym.spaces.Dict({name: space_of(table) for name, table in value.items()})
    if kind == "box":
        return gym.spaces.Box(-1, 1, _width(value), np.float32)
    if kind == "discrete":
        return gym.spaces.Discrete(_width([value])[0])
    if kind == "multidiscrete":
        return gym.spaces.MultiDiscrete([_width([count])[0] for count in value])
    raise ValueError(f"unknown space {kind!r}")


def spaces_of(env: Any) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Observation and action space of one environment, also of a vector environment or an SB3 VecEnv."""
    if hasattr(env, "single_observation_space"):
        return env.single_observation_space, env.single_action_space
    return env.observation_space, env.action_space


def differences(trained: ScenarioSpec, asked: ScenarioSpec, *, any_models: bool = False) -> list[str]:
    """The parts of a scenario that are another world than the one of training; empty where the policy fits.

    A policy that was trained on random fleets knows any fleet; one of a fixed fleet knows no random ones. `any_models`
    says that the policy reads any number of models.
    """
    if trained.fleet == "random":
        return [] if any_models or trained.models == asked.models else ["models"]
    parts = [part for part in MEANING if getattr(trained, part) != getattr(asked, part)]
    return parts if asked.fleet == "fixed" else ["fleet", *parts]


def wants_otherwise(trained: ScenarioSpec, asked: ScenarioSpec) -> bool:
    """Whether a scenario has both another fleet and other weights of the reward than the one of training.

    What was learned for one user's wishes does harm elsewhere with another's: the policy of random-24 gains in global-24,
    which has its weights, and loses up to 15 % where the weights differ (configs/training/RESULTS.md).
    """
    weights = [{term: getattr(spec.reward, term) for term in WISHES} for spec in (trained, asked)]
    drawn = trained.reward.weights == "random"  # such a policy reads what is wished
    return not drawn and weights[0] != weights[1] and (trained.fleet, trained.sites) != (asked.fleet, asked.sites)


def columns_here() -> dict[str, list[str]]:
    """Names of the columns of every table of an observation, for policy.json."""
    return {table: [field.name for field in fields] for table, fields in TABLES.items()}


def spaces_here(meta: Mapping[str, Any], env: Any) -> dict[str, Any]:
    """Spaces that the policy of a description has in an environment, with what it reads behind what it observes."""
    observed, acted = spaces_of(env)
    if meta["policy"] == "sites" and meta["policy_kwargs"].get("beliefs"):
        observed = believed_speeds.widened(observed, acted)
    if meta["policy"] == "operations":
        observed = possible_behind.widened(observed, acted)
    return {"observation_space": describe_space(observed), "action_space": describe_space(acted)}


def refuse_other_width(meta: Mapping[str, Any], path: Path) -> None:
    """ValueError in one line for a policy whose own scenario has observations of another width in this version."""
    env = NetworkEnv(task_of_placer(meta), loading.load(meta["scenario"]), **meta["env_kwargs"])
    here, made = spaces_here(meta, env)["observation_space"], describe_space(space_of(meta["observation_space"]))
    env.close()
    if made != here and set(made) == set(here) == {"box"}:
        wide, now = (" x ".join(map(str, space["box"])) for space in (made, here))
        raise ValueError(f"{path}: {_other_version(meta)}: trained with {wide} columns, here {now}; train it anew")


def refuse_other_columns(meta: Mapping[str, Any], path: Path, tables: tuple[str, ...]) -> None:
    """ValueError in one line for a policy whose `tables` have other columns in this version, though maybe as many."""
    if "columns" not in meta:  # written before columns were
        return
    here, made = columns_here(), meta["columns"]
    for table in tables:
        if made.get(table) != here[table]:
            pairs = zip_longest(made.get(table, ()), here[table])
            was, now = next(pair for pair in pairs if pair[0] != pair[1])
            said = f"column {was!r} of {table!r} " + (f"is {now!r} here" if now else "is gone")
            said = f"{now!r} of {table!r} is new" if was is None else said
            raise ValueError(f"{path}: {_other_version(meta)}: {said}; train it anew")


def _other_version(meta: Mapping[str, Any]) -> str:
    version = meta.get("version")
    return "of another version of the observation" + (f" (og-env {version})" if version else "")


def fitted(meta: Mapping[str, Any], asked: ScenarioSpec, path: Path, *, transfer: bool) -> dict[str, Any]:
    """The description of a policy with the spaces of the scenario `asked`, since a shared scorer reads any number of models.

    With `transfer` one for sites or for operations reads any fleet, which is an "other_fleet" then. A shared scorer that
    knows neither the fleet nor the weights of the reward "plays_as" the planner of the scenario: see `wants_otherwise`.
    Raises ValueError, in one line that names both scenarios, where the policy was trained in another world.
    """
    trained, shared = loading.load(meta["scenario"]), meta["policy"] == "shared"
    by_site = meta["policy"] in ("sites", "operations")
    parts = [] if transfer else differences(trained, asked, any_models=shared or meta["policy"] == "operations")
    made = {name: meta[name] for name in SPACES}
    env = NetworkEnv(task_of_placer(meta), asked, **meta["env_kwargs"])
    has = spaces_here(meta, env)
    tables = tuple(env.simulator.slices.shapes)
    if meta["policy"] == "operations":
        has["policy_kwargs"] = {**meta["policy_kwargs"], "models": env.simulator.sizes["M"]}
    env.close()
    refuse_other_columns(meta, path, tables)
    there = {name: has[name] for name in SPACES}
    if made != there:
        refuse_other_width(meta, path)
    if by_site and not parts:
        return {**meta, **has, "other_fleet": trained.sites != asked.sites}
    if not parts and (made == there or (shared and made["action_space"] == has["action_space"])):
        if not (shared and wants_otherwise(trained, asked)):
            return {**meta, **has}
        planner = {"prior": constants_of(asked.name, PLANNER)}
        return {**meta, **has, "policy_kwargs": {**meta["policy_kwargs"], **planner}, "plays_as": PLANNER}
    reason = f"other {' and '.join(parts)}" if parts else f"made for {_words(made)}, there it is {_words(there)}"
    raise ValueError(f"{path}: trained on scenario {trained.name!r}, not on {asked.name!r}: {reason}")


def _words(spaces: Mapping[str, Any]) -> str:
    return f"observations {spaces['observation_space']} and actions {spaces['action_space']}"
