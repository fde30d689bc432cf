"""Copies of a batch that run ahead with a policy: what a planner or a network will earn, worked out in the plain way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

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
