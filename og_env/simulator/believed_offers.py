"""Offers of a planner that takes its world for another: priced in believed worlds, for the states that are true.

A second set of worlds, states and outputs is bound to the tapes of a simulator. A look takes the present states over and
finds the offers in the believed worlds; nothing of the simulator changes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from og_env.kernel.arrays import Memo, Output, Scratch, State, World
from og_env.kernel.memory import CopiedWhole, Table, allocate
from og_env.observation.fields import SCARCITY_TABLES, TABLES, slices
from og_env.simulator import compiled_step
from og_env.simulator.simulator import Simulator

NO_MASK = np.zeros((0, 0), np.int8)
"""in place of masks that are not written"""
OFFERS = ("offer", "offer_gain", "offer_ready_s")
"""fields of Output that a look finds, and does not take over"""


class BelievedOffers(CopiedWhole):
    """The offers for all environments of a simulator as its planner finds them in `world`, which the caller may change.

    `world` is made equal to the simulator's by `take_worlds`, and by nothing else. After `look`, `offer` int32 [B, P] has
    the operations on offer, and `tables` the observation as the believed worlds show it.
    """

    def __init__(self, simulator: Simulator) -> None:
        """Make room for the batch of a simulator."""
        sizes = simulator.sizes | {"P": simulator.settings.proposals, "C": 1, "H": simulator.sizes["F"]}
        self.simulator = simulator
        self.world: World = allocate(World, sizes)
        self._state: State = allocate(State, sizes)
        self._output: Output = allocate(Output, sizes)
        scratch: Scratch = allocate(Scratch, sizes)
        self._memo: Memo = allocate(Memo, sizes)
        self._table = Table(sizes, self.world, simulator.tape, self._state, self._output, scratch, self._memo)
        self._places = slices(sizes, (*TABLES, *(SCARCITY_TABLES if simulator.has_scarcity else ())))
        self._observation = np.zeros((simulator.batch, self._places.width), np.float32)
        self._looks = np.full(simulator.batch, compiled_step.LOOK, np.int64)
        self.offer: npt.NDArray[np.int32] = self._output.offer
        self.take_worlds()

    def take_worlds(self) -> None:
        """Make the believed worlds equal to the true ones."""
        for target, values in zip(self.world, self.simulator.world, strict=True):
            target[:] = values

    def look(self, believe: Callable[[State], None] | None = None) -> dict[str, npt.NDArray[np.float32]]:
        """Find the offers for the states as they are now; returns the observation's tables [B, rows, columns].

        `believe` changes the copies of the states first. The tables are written over by the next look.
        """
        for target, values in zip(self._state, self.simulator.state, strict=True):
            target[:] = values
        for name in Output._fields:
            target, values = getattr(self._output, name), getattr(self.simulator.output, name)
            if name not in OFFERS and target.shape == values.shape:
                target[:] = values
        if believe is not None:
            believe(self._state)
        self._memo.known[:] = 0
        self._memo.dying[:] = 0
        compiled_step.prepare(compiled_step.PROPOSALS)
        mode, none = compiled_step.PROPOSALS, self.simulator.no_levels
        compiled_step.ENTRIES[mode](
            self._table.words,
            0,
            self.simulator.batch,
            0,
            mode,
            compiled_step.STANDING,
            self._looks,
            none,
            none,
            self._observation,
            self._places.offsets,
            NO_MASK,
        )
        return self._tables()

    def _tables(self) -> dict[str, npt.NDArray[np.float32]]:
        tables: dict[str, npt.NDArray[np.float32]] = {}
        begins = self._places.offsets[self._places.offsets >= 0]  # below 0: tables that are not written
        for (name, shape), first in zip(self._places.shapes.items(), begins, strict=True):
            last = first + int(np.prod(shape))
            tables[name] = self._observation[:, first:last].reshape(self.simulator.batch, *shape)
        return tables
