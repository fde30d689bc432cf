"""Counterfactual branches: every action of a state is tried in copies of its episode, which run ahead with a policy.

All branches of a state run on the same tape, so their differences are counterfactual advantages with little noise.
Reading the tape ahead is for training alone.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.heuristics.tuned_constants import constants_of
from og_agents.planners.tuned_greedy import Act, TunedGreedy, acting
from og_env.simulator import Copies
from og_env.vector_env import NetworkVectorEnv


class Ahead:
    """`copies` copies of every environment of a batch, which run `horizon` steps ahead on the tape or on the forecast.

    `act` chooses in the copies from flat observations and masks; without it the tuned greedy planner does, from the raw
    states. A copy's observation is the environment's, but for signals of the last hour, which begin anew with the copy.
    Raises ValueError for an environment without offers.
    """

    def __init__(
        self,
        env: NetworkVectorEnv,
        copies: int,
        *,
        horizon: int,
        truth: bool = True,
        threads: int = 2,
        act: Act | None = None,
    ) -> None:
        settings, simulator = env.simulator.settings, env.simulator
        if settings.task == "routing" or settings.interface != "proposals":
            raise ValueError('the planner of a continuation chooses among offers: take interface="proposals"')
        self.env, self.count, self.truth = env, copies, truth
        constants = constants_of(simulator.spec.name, "greedy_tuned")
        self._shares = np.array_split(np.arange(env.num_envs), min(threads, env.num_envs))
        self._copies = [
            Copies(simulator, len(rows), copies, horizon, observed=act is not None) for rows in self._shares
        ]
        self._act = act
        self._follow = [
            TunedGreedy(constants, simulator.world, copied.tape, copied.state, settings.proposals)
            for copied in self._copies
        ]
        self._pool = ThreadPoolExecutor(len(self._shares))

    def rewards(self, first: npt.NDArray[np.integer] | None = None) -> npt.NDArray[np.float64]:
        """Rewards [B, copies, H] of the actions `first` and of the policy afterwards, from the environments as they are.

        `first` [B, copies] is the planner's choice by default. Steps beyond the end of an episode count 0.
        """

        def run(share: int) -> npt.NDArray[np.float64]:
            rows, copies, follow = self._shares[share], self._copies[share], self._follow[share]
            copies.load(rows, truth=self.truth)
            chosen = (
                follow.choose(copies.output.offer, copies.output.offer_gain)
                if first is None
                else first[rows].reshape(-1)
            )
            choose = follow.choose if self._act is None else acting(self._act, copies)
            return copies.run(chosen.astype(np.int64), choose).reshape(len(rows), self.count, -1)

        return np.concatenate(list(self._pool.map(run, range(len(self._shares)))))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class Branches(NamedTuple):
    """S states and the returns of each action there, over the horizon."""

    observations: npt.NDArray[np.float32]
    """[S, W] flat observations"""
    masks: npt.NDArray[np.bool_]
    """[S, A] true where an action is possible"""
    returns: npt.NDArray[np.float32]
    """[S, A] sum of rewards; for an impossible action the sum after doing nothing"""


def branches(
    env: NetworkVectorEnv,
    act: Act,
    seed: int,
    *,
    spacing: int,
    horizon: int,
    truth: bool = True,
    follow: Act | None = None,
    stands: tuple[Any, dict[str, Any]] | None = None,
) -> Generator[Branches, None, None]:
    """Play episodes of a batch by `act` without end, and yield the branches of every `spacing`-th step.

    After the action that is tried, `follow` acts in the copies, or the tuned greedy planner where there is none. `stands`
    are observations and infos of environments whose branches were yielded already: the next ones come first then.
    Raises ValueError for another task than placement among offers.
    """
    if env.simulator.settings.task != "placement":
        raise ValueError("branches choose among offers alone: take the task placement")
    actions = env.simulator.settings.proposals + 1
    ahead = Ahead(env, actions, horizon=horizon, truth=truth, act=follow)
    first = np.tile(np.arange(actions), (env.num_envs, 1))
    try:
        observation, info = env.reset(seed=seed) if stands is None else stands
        masks = info["action_mask"].astype(np.bool_)
        step = 0
        while True:
            if step % spacing == 0 and (step > 0 or stands is None):
                seen = np.array(observation, np.float32)
                yield Branches(seen, masks, ahead.rewards(first).sum(axis=2).astype(np.float32))
            observation, _, _, _, info = env.step(act(observation, masks))
            masks = info["action_mask"].astype(np.bool_)
            step += 1
    finally:
        ahead.close()
