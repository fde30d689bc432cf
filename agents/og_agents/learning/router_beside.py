"""A router beside a placer that is trained for Joint: the placer learns among offers, and the router steers to sites.

The placer sees what it would see in Placement. So its policy is one of Placement, and its description has the task joint
and the name of the router. Routers here measure the environment, and learn nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents import planners
from og_agents.planners.place_and_route import LEVELS, PlaceAndRoute, numbers_of
from og_agents.planners.routers import ROUTERS
from og_agents.policy import Policy
from og_env import IDS
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import Task, split_actions
from og_env.vector_env import NetworkVectorEnv

KEY = "router"
"""of the description of a policy that was trained beside one: its name"""
MEMORY, FRESH = "router.memory", "router.fresh"
"""names in the state of a batch, beside those of its environments"""


def task_of_placer(meta: Mapping[str, Any]) -> Task:
    """The task whose spaces the policy of a description has: Placement where a router is beside it."""
    return "placement" if KEY in meta else meta["task"]


def refuse_other_start(folder: Path, card: Mapping[str, Any], algorithm: str, task: str) -> None:
    """ValueError in one line where a run of a task cannot begin with the policy of a folder with this card."""
    trained, places = card["task"], algorithm == "rpi" or task == "placement"
    if task_of_placer(card) == "placement" if places else (trained == task and KEY not in card):
        return
    rpi = task == "joint" and task_of_placer(card) == "placement"
    hint = ": --algorithm rpi goes on with it beside a router" if rpi else f", and this run is one of {IDS[task]}"
    raise ValueError(f"--start {folder}: a policy of {IDS[trained]}{hint}")


def overrides_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the scenario that the router of a description asks for; none where there is none."""
    return dict(ROUTERS[meta[KEY]].overrides) if KEY in meta else {}


def env_kwargs_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the environment that a description is played in: with levels of the sites beside a router."""
    return {**meta["env_kwargs"], **({"steering": "sites", "levels": LEVELS} if KEY in meta else {})}


def as_played(placer: Policy, meta: Mapping[str, Any], spec: ScenarioSpec, name: str = "learned") -> Policy:
    """The policy of the task of a description: the placer together with its router, where there is one."""
    return beside(placer, meta[KEY], spec, name) if KEY in meta else placer


def beside(placer: Policy, router: str, spec: ScenarioSpec, name: str) -> PlaceAndRoute:
    """The policy of Joint of a placer and a router by name, with its constants in the scenario."""
    return PlaceAndRoute(name, placer, planners.make(router, spec, "routing"))


class RouterBeside:
    """A router by name beside a batch of Joint whose placer is trained; it remembers from decision to decision."""

    def __init__(self, env: NetworkVectorEnv, router: str) -> None:
        self._env = env
        self._router: Any = planners.make(router, env.simulator.spec, "routing")
        self._router.attach(env)
        self.forget()

    def forget(self) -> None:
        """Begin as at the start of an episode, everywhere."""
        self._memory: npt.NDArray[np.floating] = np.zeros((self._env.num_envs, self._env.simulator.sizes["N"]))
        self._fresh = np.ones(self._env.num_envs, np.bool_)

    def route(
        self, observation: Any, chosen: npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Actions of Joint [B, 1 + N] for choices [B] among offers, and the levels [B, N] of sites in them."""
        levels, self._memory = self._router.predict(observation, self._memory, self._fresh)
        actions = np.concatenate([chosen.astype(np.int64)[:, None], numbers_of(levels)], axis=1)
        parts = split_actions(actions, self._env.simulator, self._env.single_action_space, np.arange(len(actions)))
        assert parts.site_levels is not None
        return actions, parts.site_levels

    def after(self, ended: npt.NDArray[np.bool_]) -> None:
        """Take in where an episode has ended [B], so that another one begins there."""
        self._fresh = np.asarray(ended, np.bool_)

    def get_state(self) -> dict[str, Any]:
        """All that the next levels depend on, beside the environments."""
        return {MEMORY: np.array(self._memory), FRESH: self._fresh.copy()}

    def set_state(self, state: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Go on where `get_state` was called, or at the start for None; returns what is left of the state."""
        self.forget()
        if state is None:
            return None
        self._memory, self._fresh = np.array(state[MEMORY]), np.array(state[FRESH], np.bool_)
        return {name: value for name, value in state.items() if name not in (MEMORY, FRESH)}
