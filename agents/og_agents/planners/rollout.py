"""The rollout planner: it tries every candidate in copies of the environment, followed by a base policy for H steps.

`rollout` sees what a policy may see: the nominal forecast. It goes on with the tuned greedy planner. `search` sees futures
drawn from the scenario's failure process as the alarms have it. `clairvoyant` reads the tape. Both go on with a trained
policy where one comes with the scenario. `clairvoyant` is a planner and no optimum: the best policy that knows the future
earns at least as much. So the gap to it is a lower bound on the headroom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents.heuristics import tuned_constants
from og_agents.heuristics.tuned_constants import Constants
from og_agents.planners.tuned_greedy import TunedGreedy, acting, masks_of
from og_agents.policy import Asked, Policy, as_predict, parts_of, wishes, with_usual_levels
from og_env.simulator import Copies, Simulator

Floats = npt.NDArray[np.floating]


@dataclass
class Rollout:
    """A policy that tries doing nothing and the best `candidates` - 1 offers, and takes what earns most in `horizon` steps.

    The first candidate is the base policy's choice, so that a tie is decided for it. The base acts in every `every`-th
    step of a rollout, because proposals take most of a step's time. It is the tuned greedy planner, or `follow`, which
    reads observations whose signals of the last hour begin anew with a copy. `futures` above 0 averages over that many
    drawn futures, the same ones for every candidate. Call `attach` before the first prediction.
    """

    name: str
    task: str = "placement"
    truth: bool = False
    horizon: int = 36
    candidates: int = 8
    every: int = 2
    futures: int = 0
    decide_every: int = 1
    """steps of the clock from one look ahead to the next; the base decides in those between"""
    margin: float = 0.05
    """reward by which another candidate must beat the base's choice, which is worth more after the horizon"""
    seed: int = 0
    base: Constants = field(default_factory=lambda: tuned_constants.of_planner("greedy_tuned").untuned)
    """constants of the tuned greedy planner, which acts after the candidate, and ranks the candidates"""
    follow: Policy | None = None
    """a policy of placement on flat observations that acts after the candidate instead of that planner"""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.candidates < 2 or min(self.every, self.decide_every) < 1 or self.futures < 0:
            raise ValueError(
                f"{self.name}: candidates {self.candidates}, every {self.every}, futures {self.futures}, decide_every "
                f"{self.decide_every}; valid are 2, 1, 0 and 1 or more"
            )
        if self.follow is not None:
            self.env_kwargs = wishes(self.follow).env_kwargs
        self._simulator: Simulator | None = None
        self._copies: Copies | None = None

    def attach(self, env: Any) -> None:
        """Plan for the episodes of this environment, single or vector."""
        simulator: Simulator = env.simulator
        if simulator.settings.interface != "proposals":
            raise ValueError(f'{self.name} chooses among offers: make the environment with interface="proposals"')
        self._simulator = simulator
        self._parts = parts_of(getattr(env, "single_action_space", env.action_space))
        copies = self.candidates * max(self.futures, 1)
        observed = self.follow is not None
        self._copies = Copies(simulator, simulator.batch, copies, self.horizon, observed=observed)
        size, copied = simulator.settings.proposals, self._copies
        tuned = TunedGreedy(self.base, simulator.world, copied.tape, copied.state, size)
        self._choose = tuned.choose if self.follow is None else acting(self._act, copied)
        self._now = TunedGreedy(self.base, simulator.world, simulator.tape, simulator.state, size)
        self._rng = np.random.default_rng(self.seed)

    @as_predict
    def predict(self, asked: Asked) -> tuple[npt.NDArray[Any], Any]:
        """Actions [B] for the environments as they are now; the observation is read by `follow` alone."""
        simulator, copies = self._simulator, self._copies
        if simulator is None or copies is None:
            raise ValueError(f"{self.name} plans in copies of an environment: attach(env) first")
        observation, rows = asked.observation, np.arange(simulator.batch)
        first = self._first(simulator, observation)
        actions = first[:, 0].copy()
        due = rows[simulator.state.step % self.decide_every == 0]
        if len(due):
            copies.load(due, truth=self.truth)
            if self.futures:
                copies.add_drawn_outages(self.futures, self._rng)
            trials = np.repeat(first[due], max(self.futures, 1), axis=1).reshape(-1)
            returns = copies.run(trials, self._choose, every=self.every).sum(axis=1)
            means = returns.reshape(len(due), self.candidates, -1).mean(axis=2)
            means[:, 0] += self.margin
            actions[due] = first[due, means.argmax(axis=1)]
        actions = with_usual_levels(actions, self._parts)
        shape = np.shape(observation["globals"] if isinstance(observation, Mapping) else observation)
        return (actions[0] if len(shape) == 1 else actions), asked.state

    def _act(self, observation: Any, masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Actions [B] of `follow`."""
        assert self.follow is not None
        return self.follow.predict(observation, deterministic=True, action_masks=masks)[0]

    def _first(self, simulator: Simulator, observation: Any) -> npt.NDArray[np.int64]:
        """Candidates [B, K]: the base's choice, doing nothing (0), the other offers by value, and 0 where none is left."""
        offer = simulator.output.offer
        values = self._now.values(offer, simulator.output.offer_gain)
        order = np.argsort(-values, axis=1, kind="stable")
        possible = np.take_along_axis(values, order, axis=1) > -np.inf
        order = np.where(possible, order + 1, 0)
        if self.follow is None:
            choice = np.where(values.max(axis=1) > 0, order[:, 0], 0)
        else:
            choice = self._act(np.reshape(observation, (simulator.batch, -1)), masks_of(offer))
        order = np.concatenate([np.zeros((len(order), 1), np.int64), order], axis=1)
        rank = np.tile(np.arange(order.shape[1]), (len(order), 1))
        rank[np.arange(len(order)), (order == choice[:, None]).argmax(axis=1)] = -1
        order = np.take_along_axis(order, np.argsort(rank, axis=1), axis=1)[:, : self.candidates]
        return np.pad(order, ((0, 0), (0, self.candidates - order.shape[1])))
