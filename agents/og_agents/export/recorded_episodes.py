"""Episodes as data for offline learning: observations, actions, rewards and the actions that were possible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from og_agents.export.random_actions import random_actions
from og_agents.policy import Policy, attach, wishes
from og_env import IDS
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import FLAT_TABLES, TERMS, Settings, Task, checked
from og_env.vector_env import NetworkVectorEnv

ROWS = 16
"""episodes played side by side; fixed, so that a random policy draws the same"""
MAY_DIFFER = ("interface", "proposals", "knobs", "steering", "levels", "risk_weight")
"""arguments of the environment by which policies may differ"""


class Episode(NamedTuple):
    """One episode of T decisions: steps, where a step has one."""

    policy: str
    seed: int
    """seed that the environment was reset with"""
    observations: Any
    """float32 [T + 1, O], or tables [T + 1, rows, columns] by name"""
    actions: npt.NDArray[Any]
    """[T, ...]"""
    rewards: npt.NDArray[np.float64]
    """[T]"""
    infos: dict[str, npt.NDArray[Any]]
    """[T + 1, ...]: action_mask int8 (not for routing) and the reward terms; where a step has several decisions, moved
    (whether the clock moved) as well; row 0 is of the reset"""


class Stage(NamedTuple):
    """Where episodes are played: what is the same for every policy of a dataset."""

    spec: ScenarioSpec
    kwargs: dict[str, Any]
    """arguments of the environment, without the scenario and `flatten`"""

    @property
    def env_id(self) -> str:
        """Registered id of the environment."""
        return IDS[self.kwargs["task"]]

    def make_kwargs(self, flatten: bool) -> dict[str, Any]:
        """Arguments of `gym.make(env_id, ...)` for the recorded environment, as plain values."""
        scenario = self.spec.model_dump(mode="json", exclude_unset=True)
        return {"scenario": scenario, "flatten": flatten, **{k: v for k, v in self.kwargs.items() if k != "task"}}


def stage_of(policies: dict[str, Policy], scenario: Any, task: str, split: str) -> Stage:
    """The one environment that all policies play in; ValueError where they ask for different ones."""
    stages: dict[str, Stage] = {}
    settings = checked(Settings(cast(Task, task)))
    usual = {name: getattr(settings, name) for name in MAY_DIFFER}
    for name, policy in policies.items():
        asked = wishes(policy)
        spec = loading.load(scenario)
        spec = loading.override(spec, asked.overrides) if asked.overrides else spec
        wanted = {name: value for name, value in asked.env_kwargs.items() if name != "flatten"}
        stages[name] = Stage(spec, {**usual, **wanted, "task": task, "split": split})
    first, *rest = stages
    for name in rest:
        if stages[name] != stages[first]:
            raise ValueError(f"{name} asks for another environment than {first}: make a dataset of each")
    return stages[first]


def play(
    policy: Policy, label: str, stage: Stage, episodes: int, seed: int, *, flatten: bool = True, noise: float = 0.0
) -> Iterator[Episode]:
    """Episodes seed, seed + 1, ... of a policy, one after another.

    In a share `noise` of the steps the policy's action is replaced by a random possible one. ValueError for less than
    one episode, a negative seed or a share outside [0, 1].
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, not {episodes}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")
    if not 0 <= noise <= 1:
        raise ValueError(f"noise must be from 0 to 1, not {noise:g}")
    env = NetworkVectorEnv(min(ROWS, episodes), scenario=stage.spec, **stage.kwargs)
    try:
        attach(policy, env)
        for first in range(seed, seed + episodes, env.num_envs):
            batch, lengths = _play(policy, env, first, flatten, noise)
            for row in range(min(env.num_envs, seed + episodes - first)):
                yield _row(batch, row, int(lengths[row]))._replace(policy=label, seed=first + row)
    finally:
        env.close()


def flat_of(tables: Any) -> npt.NDArray[np.float32]:
    """The flat observation [B, O], as `flatten=True` gives it, of the tables [B, rows, columns]."""
    names = FLAT_TABLES["proposals" if "proposals" in tables else "operations"]
    return np.concatenate([tables[name].reshape(len(tables[name]), -1) for name in names], axis=1)


def _play(
    policy: Policy, env: NetworkVectorEnv, seed: int, flatten: bool, noise: float
) -> tuple[Episode, npt.NDArray[np.int64]]:
    """A batch of episodes, its rows first, and the decisions [B] in each: everything is [B, T or T + 1, ...].

    A row that has ended goes on with an episode that is not of the data.
    """
    rng = np.random.default_rng((seed, 1))
    reads_flat = bool(wishes(policy).env_kwargs.get("flatten"))
    tables, info = env.reset(seed=seed)
    steps, rows = env.simulator.spec.episode.steps, env.num_envs
    start, state = np.ones(rows, np.bool_), None
    several = env.simulator.spec.episode.operations_per_step > 1
    seen, acted, rewards, infos = [flat_of(tables) if flatten else tables], [], [], [_kept(info, several)]
    done, lengths = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    while (done < steps).any():
        masks = info["action_mask"].astype(np.bool_) if "action_mask" in info else None
        shown = flat_of(tables) if reads_flat else tables
        actions, state = policy.predict(shown, state, start, deterministic=True, action_masks=masks)
        if noise > 0:
            drawn = random_actions(rng, env.single_action_space, rows, masks)
            swap = rng.random(rows) < noise
            actions = np.where(swap.reshape(-1, *[1] * (drawn.ndim - 1)), drawn, actions)
        actions = np.asarray(actions, env.single_action_space.dtype)
        tables, reward, _, truncated, info = env.step(actions)
        start = np.asarray(truncated, np.bool_)
        after, happened = (info["final_obs"], info["final_info"]) if start.any() else (tables, info)
        lengths += done < steps
        done += happened["moved"] & (done < steps)
        seen.append(flat_of(after) if flatten else after)
        acted.append(actions)
        rewards.append(reward)
        infos.append(_kept(happened, several))
    observations = _stacked(seen) if not flatten else np.stack(seen, axis=1)
    batch = Episode("", seed, observations, np.stack(acted, axis=1), np.stack(rewards, axis=1), _stacked(infos))
    return batch, lengths


def _kept(info: dict[str, Any], several: bool) -> dict[str, Any]:
    """Entries of `info` that go into the data; `several`: a step may have several decisions."""
    names = (*(f"term_{term}" for term in TERMS), *(["action_mask"] if "action_mask" in info else []))
    names += ("moved",) if several else ()
    return {name: np.array(info[name]) for name in names}


def _stacked(rows: list[Any]) -> dict[str, Any]:
    return {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}


def _row(batch: Episode, row: int, length: int) -> Episode:
    """The episode of a row, which has so many decisions."""
    seen, shown = batch.observations, slice(length + 1)
    return batch._replace(
        observations={name: table[row, shown] for name, table in seen.items()}
        if isinstance(seen, dict)
        else seen[row, shown],
        actions=batch.actions[row, :length],
        rewards=batch.rewards[row, :length],
        infos={name: values[row, shown] for name, values in batch.infos.items()},
    )
