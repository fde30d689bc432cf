"""The return that the tuned planner would earn from every environment of a batch, on the same tape, as they step.

The planner's path is kept with its rewards and its end. Where an environment took the planner's own action it is on the
path already, and one more step at the end is all there is to simulate; only elsewhere the path begins anew. Reading the
tape ahead is for training alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from og_agents.heuristics.tuned_constants import constants_of
from og_agents.planners.tuned_greedy import TunedGreedy
from og_env.simulator import Copies, CopiesOnTape, State, Tape, operations_of
from og_env.vector_env import NetworkVectorEnv

Floats = npt.NDArray[np.float64]


class Continuation:
    """Rewards [B, H] of the tuned greedy planner from the environments as they are; steps beyond an episode's end count 0.

    The planner has the constants of the scenario where none are given.
    Raises ValueError for an environment without offers.
    """

    def __init__(
        self, env: NetworkVectorEnv, *, horizon: int, threads: int = 2, constants: Mapping[str, float] | None = None
    ) -> None:
        settings = env.simulator.settings
        if settings.task == "routing" or settings.interface != "proposals":
            raise ValueError('the planner of a continuation chooses among offers: take interface="proposals"')
        threads = min(threads, env.num_envs) if env.simulator.cells >= env.simulator.threaded_cells else 1
        parts = np.array_split(np.arange(env.num_envs), threads)
        self._ends = CopiesOnTape(env.simulator, threads)
        constants = constants_of(env.simulator.spec.name, "greedy_tuned") if constants is None else constants
        self._paths = [_Paths(env, rows, horizon, self._ends, thread, constants) for thread, rows in enumerate(parts)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def begin(self) -> Floats:
        """From the environments as they are, whatever they did."""
        return self._all(lambda paths: paths.begin())

    def advance(self, ended: npt.NDArray[np.bool_]) -> Floats:
        """After one step of every environment since the last call; `ended` [B] where a new episode has begun."""
        return self._all(lambda paths: paths.advance(ended))

    def _all(self, call: Callable[[_Paths], Floats]) -> Floats:
        """The results of a call for all rows, on as many threads as the batch is worth."""
        run = map if self._pool is None else self._pool.map
        return np.concatenate(list(run(call, self._paths)))

    def planned(self) -> npt.NDArray[np.int64]:
        """The planner's choices now: actions [B], 0 for nothing and i for offer i - 1."""
        return np.concatenate([paths.planned() for paths in self._paths])

    def get_state(self) -> dict[str, np.ndarray]:
        """Copies of the arrays that say where all paths stand."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where `get_state` was called, with environments that stand as they did; ValueError for other arrays."""
        arrays = self._arrays()
        for name, array in arrays.items():
            if name not in state or state[name].shape != array.shape or state[name].dtype != array.dtype:
                raise ValueError(f"state of the planner's paths: {name} is missing or of another size")
        for name, array in arrays.items():
            array[:] = state[name]

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {f"ends.{name}": array for name, array in self._ends.arrays().items()}
        for paths in self._paths:
            arrays |= {f"{paths.rows[0]}.{name}": array for name, array in paths.arrays().items()}
        return arrays

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()


class _Paths:
    """The paths of environments `rows`, which lie side by side, with their ends among copies of the whole batch."""

    def __init__(
        self,
        env: NetworkVectorEnv,
        rows: npt.NDArray[np.integer],
        horizon: int,
        ends: CopiesOnTape,
        thread: int,
        constants: Mapping[str, float],
    ) -> None:
        simulator = env.simulator
        self.rows, self.horizon, self.simulator = rows, horizon, simulator
        self._ends, self._thread = ends, thread
        self._anew = Copies(simulator, len(rows), 1, horizon)
        size = simulator.settings.proposals
        self._mine = slice(int(rows[0]), int(rows[-1]) + 1)
        tape = Tape(*(values[self._mine] for values in simulator.tape))

        def planner(tape: Tape, state: State) -> TunedGreedy:
            return TunedGreedy(constants, simulator.world, tape, state, size)

        self._now = planner(tape, State(*(values[self._mine] for values in simulator.state)))
        self._end = planner(tape, State(*(values[self._mine] for values in ends.state)))
        self._follow = planner(self._anew.tape, self._anew.state)
        self._rewards = np.zeros((len(rows), horizon))
        self._several = simulator.spec.episode.operations_per_step > 1  # a path is not known by one operation then
        self._planned = np.zeros(len(rows), np.int64)
        self._router = self._told()

    def arrays(self) -> dict[str, np.ndarray]:
        return {"rewards": self._rewards, "planned": self._planned, "router": self._router}

    def planned(self) -> npt.NDArray[np.int64]:
        output = self.simulator.output
        return self._now.choose(output.offer[self._mine], output.offer_gain[self._mine])

    def begin(self) -> Floats:
        self._restart(np.arange(len(self.rows)))
        self._plan()
        return self._rewards.copy()

    def advance(self, ended: npt.NDArray[np.bool_]) -> Floats:
        taken, told = self.simulator.output.operation[self._mine], self._told()
        strayed = (taken != self._planned) | (told != self._router).any(axis=1) | ended[self._mine] | self._several
        if not strayed.all():
            self._extend()
        self._restart(np.flatnonzero(strayed))
        self._plan()
        return self._rewards.copy()

    def _plan(self) -> None:
        """Remember what the planner would do now."""
        self._planned = operations_of(self.simulator.output.offer[self._mine], self.planned())
        self._router = self._told()

    def _told(self) -> npt.NDArray[np.float32]:
        """Knobs and steer that the router has been told, side by side."""
        state = self.simulator.state
        return np.concatenate([state.knobs[self._mine], state.steer[self._mine]], axis=1)

    def _extend(self) -> None:
        """One more step at the end of every path; where the episode is over by then, of no consequence."""
        output, last = self._ends.output, self.simulator.tape.attack.shape[1] - 1
        chosen = self._end.choose(output.offer[self._mine], output.offer_gain[self._mine])
        rewards = self._ends.step(self._mine, chosen, self._thread)
        inside = self.simulator.state.step[self._mine] + self.horizon <= last
        self._rewards[:, :-1] = self._rewards[:, 1:]
        self._rewards[:, -1] = np.where(inside, rewards, 0.0)

    def _restart(self, which: npt.NDArray[np.integer]) -> None:
        """The whole paths of some of the rows, given by their positions."""
        if not len(which):
            return
        copies, rows = self._anew, self.rows[which]
        copies.load(rows, truth=True)
        count = copies.batch
        chosen = self._follow.choose(copies.output.offer[:count], copies.output.offer_gain[:count])
        self._rewards[which] = copies.run(chosen, self._follow.choose, offers_after=True)
        self._ends.continue_from(copies, rows)
