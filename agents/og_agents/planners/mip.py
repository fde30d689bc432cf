"""A rolling-horizon planner: a mixed-integer programme says which replicas to hold, and offers lead there.

It has two clocks. The programme is solved every EVERY steps, and whenever a site breaks or is repaired; requests are
routed in every step, by the router that the environment has. In between, offers are taken by their value to the tuned
greedy planner, which is higher for what the plan wants and lower for what it does not. Verifiers, stores, gateways and
weights on disks are no part of the programme: their offers have the greedy value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.heuristics.tuned_constants import Constants
from og_agents.planners import mip_programme
from og_agents.planners.mip_outlook import outlook
from og_agents.planners.tuned_greedy import TunedGreedy
from og_agents.policy import Asked, as_predict, parts_of, with_usual_levels
from og_env.errors import import_extra
from og_env.simulator import DOWN, FETCHING, FROZEN, LAUNCH, RETIRE, Simulator

EVERY = 12
"""steps after which the programme is solved again: an hour of five-minute steps"""
OFFERS = 20
"""offers that the planner asks the environment for: the plan's changes should be among them"""
Bools = npt.NDArray[np.bool_]


class Memory(NamedTuple):
    """The plans of B environments, and when they were made."""

    wanted: Bools
    """[B, M, N] replicas of the plan"""
    step: npt.NDArray[np.int64]
    """[B] step of the last plan"""
    broken: Bools
    """[B, N] sites that were down or frozen then"""


@dataclass
class RollingMip:
    """The planner; its constants are those of `mip_programme.formulate` and two prices of the plan.

    `agree` is the value, in reward per step, of an offer that the plan wants, and `against` the price of a launch or
    retirement that it does not want. With both 0 it is the tuned greedy planner with the constants `base`, and with
    both high it does what the plan says and nothing else. Call `attach` before the first prediction.
    """

    name: str
    task: str
    constants: Constants
    base: Constants
    overrides: Mapping[str, Any] = field(default_factory=dict)
    env_kwargs: Mapping[str, Any] = field(default_factory=lambda: {"interface": "proposals", "proposals": OFFERS})

    def __post_init__(self) -> None:
        import_extra("highspy")
        self._simulator: Simulator | None = None

    def attach(self, env: Any) -> None:
        """Plan for the episodes of this environment, single or vector."""
        simulator: Simulator = env.simulator
        if simulator.settings.interface != "proposals":
            raise ValueError(f'{self.name} chooses among offers: make the environment with interface="proposals"')
        self._simulator = simulator
        self._parts = parts_of(getattr(env, "single_action_space", env.action_space))
        size = simulator.settings.proposals
        self._greedy = TunedGreedy(self.base, simulator.world, simulator.tape, simulator.state, size)

    @as_predict
    def predict(self, asked: Asked) -> tuple[npt.NDArray[Any], Any]:
        """Actions [B] for the environments as they are now, and the plans; the observation is not read."""
        simulator = self._simulator
        if simulator is None:
            raise ValueError(f"{self.name} plans for an environment: attach(env) first")
        memory = self._planned(simulator, asked)
        offer = simulator.output.offer
        values = self._greedy.values(offer, simulator.output.offer_gain) + self.worth(offer, memory.wanted)
        actions = np.where(values.max(axis=1) > 0, values.argmax(axis=1) + 1, 0)
        actions = with_usual_levels(actions, self._parts)
        observation = asked.observation
        shape = np.shape(observation["globals"] if isinstance(observation, Mapping) else observation)
        return (actions[0] if len(shape) == 1 else actions), memory

    def worth(self, offer: npt.NDArray[np.int32], wanted: Bools) -> npt.NDArray[np.float64]:
        """Values that the plans [B, M, N] add to the values of offers [B, P]."""
        models, sites = wanted.shape[1:]
        verb, place = np.divmod(offer - 1, models * sites)
        changes = (offer > 0) & ((verb == LAUNCH) | (verb == RETIRE))
        planned = np.take_along_axis(wanted.reshape(len(offer), -1), np.where(changes, place, 0), axis=1)
        agrees = planned == (verb == LAUNCH)
        return np.where(changes, np.where(agrees, self.constants["agree"], -self.constants["against"]), 0.0)

    def _planned(self, simulator: Simulator, asked: Asked) -> Memory:
        """The plans of all environments, solved anew where their time has come."""
        state = simulator.state
        begins = np.ones(simulator.batch, np.bool_) if asked.episode_start is None else np.asarray(asked.episode_start)
        step, broken = state.step.astype(np.int64), state.status & (DOWN | FROZEN) > 0
        old: Memory | None = asked.state
        if old is None:
            old = Memory(state.phase >= FETCHING, np.full(simulator.batch, -EVERY), broken)
            begins = np.ones(simulator.batch, np.bool_)
        due = begins.reshape(-1) | (step - old.step >= EVERY) | (step < old.step) | (broken != old.broken).any(axis=1)
        wanted = old.wanted.copy()
        for b in np.flatnonzero(due):
            plan = mip_programme.plan(outlook(simulator, int(b)), self.constants)
            wanted[b] = state.phase[b] >= FETCHING if plan is None else plan.now
        return Memory(wanted, np.where(due, step, old.step), np.where(due[:, None], broken, old.broken))
