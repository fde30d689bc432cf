"""Copies that stand ahead of their environments on the very tape that these play, and go on step by step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from og_env.kernel.arrays import Memo, Output, Scratch, State
from og_env.kernel.memory import CopiedWhole, Table, allocate
from og_env.simulator.compiled_step import MOVING, PROPOSALS, by_offers
from og_env.simulator.environment_copies import NO_LEVELS, NO_MASK, OFFSETS, Copies
from og_env.simulator.simulator import Simulator


class CopiesOnTape(CopiedWhole):
    """One copy of every environment of a simulator, each at a step of its own on the environment's own tape.

    `state` and `output` are the copies', [B, ...]. `continue_from` puts in where copies have come to on the true tape,
    and `step` goes on from there, so that a path is extended by a step without running all of it again.
    """

    def __init__(self, simulator: Simulator, threads: int = 1) -> None:
        """Make room; threads: how many may call `step` at a time, each for rows and with a number of its own."""
        sizes = simulator.sizes
        self.simulator = simulator
        self.state: State = allocate(State, sizes)
        self.output: Output = allocate(Output, sizes)
        self._memo: Memo = allocate(Memo, sizes)
        scratches: list[Scratch] = [allocate(Scratch, sizes) for _ in range(threads)]
        self._tables = [
            Table(sizes, simulator.world, simulator.tape, self.state, self.output, scratch, self._memo)
            for scratch in scratches
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        """All that says where the copies stand, by name; whoever writes into it puts them elsewhere."""
        groups = {"state": self.state, "output": self.output, "memo": self._memo}
        return {
            f"{group}.{name}": array for group, layout in groups.items() for name, array in layout._asdict().items()
        }

    def continue_from(self, copies: Copies, rows: npt.NDArray[np.integer]) -> None:
        """Put in where loaded copies, one of each of the environments `rows`, have come to."""
        state, output, count = self.state, self.output, copies.batch
        for target, values in zip(state, copies.state, strict=True):
            target[rows] = values[:count]
        output.offer[rows] = copies.output.offer[:count]
        output.offer_gain[rows] = copies.output.offer_gain[:count]
        output.offer_ready_s[rows] = copies.output.offer_ready_s[:count]
        for moment in (state.step, state.attack_until, state.attack_ready):
            moment[rows] += copies.passed
        self._memo.known[rows] = 0
        self._memo.dying[rows] = 0
        self._stay_within(rows)

    def step(self, rows: slice, chosen: npt.NDArray[np.int64], thread: int = 0) -> npt.NDArray[np.float32]:
        """Rewards [R] of one step of the copies `rows` that takes their offers `chosen` [R]; finds the next offers.

        A copy at the end of its tape does the last step again and again, whose reward means nothing then.
        """
        actions = np.zeros(self.simulator.batch, np.int64)
        actions[rows] = chosen
        table = self._tables[thread].words
        unused = (NO_LEVELS, NO_LEVELS, NO_LEVELS, OFFSETS, NO_MASK)
        by_offers(table, rows.start, rows.stop, 0, PROPOSALS, MOVING, actions, *unused)
        self._stay_within(rows)
        return self.output.reward[rows]

    def _stay_within(self, rows: slice | npt.NDArray[np.integer]) -> None:
        """Let no copy stand beyond the last step but one of its tape."""
        last = self.simulator.tape.attack.shape[1] - 1
        self.state.step[rows] = np.minimum(self.state.step[rows], last - 1)
