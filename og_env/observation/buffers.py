"""Buffers of the observations and masks that environments hand out, never written again while anyone else holds them.

Fresh memory costs a page fault for every 4 kB that is written to it: with a thousand environments a sixth of a step.
So the memory of buffers that nobody holds any more is used again.
"""

from __future__ import annotations

import math
from sys import getrefcount
from typing import Any

import numpy as np
import numpy.typing as npt

KEPT = 3
"""most buffers that a pool keeps; a loop that looks at one observation while the next is made needs two"""


class Buffer:
    """One observation float32 [B, O] with its tables, and one mask int8 [B, V]; a single environment has a row of both.

    `flat` and `possible` are observation and mask without the batch of a single environment; `tables` are views of
    `flat` by name.
    """

    def __init__(
        self, batch: int, width: int, choices: int, shapes: dict[str, tuple[int, ...]], *, single: bool
    ) -> None:
        self.observation = np.zeros((batch, width), np.float32)
        self.mask = np.zeros((batch, choices), np.int8)
        self.flat = self.observation[0] if single else self.observation
        self.possible = self.mask[0] if single else self.mask
        self.tables: dict[str, np.ndarray] = {}
        first = 0
        for name, shape in shapes.items():
            last = first + math.prod(shape)
            self.tables[name] = self.flat[..., first:last].reshape(self.flat.shape[:-1] + shape)
            first = last
        self._parts = (self.observation, self.mask, self.flat, self.possible, *self.tables.values())
        self._own = self._references()

    def _references(self) -> int:
        """References to all parts; a view of a part counts as a reference to the array that it is a view of."""
        return sum(map(getrefcount, self._parts))

    def is_free(self) -> bool:
        """Whether nobody else holds a part of the buffer, or a view of one."""
        return self._references() == self._own


class BufferPool:
    """The buffers of one simulator."""

    def __init__(
        self, batch: int, width: int, choices: int, shapes: dict[str, tuple[int, ...]], *, single: bool
    ) -> None:
        self._form, self._single = (batch, width, choices, shapes), single
        self._kept = [self._make()]
        self.current = self._kept[0]

    def _make(self) -> Buffer:
        return Buffer(*self._form, single=self._single)

    def __getstate__(self) -> dict[str, Any]:
        """The form of the buffers and the values of the current one; views and counts of references are not copied."""
        values = (self.current.observation, self.current.mask)
        return {"_form": self._form, "_single": self._single, "values": values}

    def __setstate__(self, state: dict[str, Any]) -> None:
        observation, mask = state.pop("values")
        self.__dict__.update(state)
        self._kept = [self._make()]
        self.current = self._kept[0]
        self.write(observation, mask)

    def write(self, observation: npt.NDArray[np.float32], mask: npt.NDArray[np.int8]) -> None:
        """Write values to the current buffer."""
        self.current.observation[:] = observation
        self.current.mask[:] = mask

    def renew(self, *, keep: bool = False) -> Buffer:
        """Make another buffer the current one, which nobody else holds; `keep` copies the values of the last one."""
        before = self.current
        for buffer in self._kept:
            if buffer is not before and buffer.is_free():
                break
        else:
            buffer = self._make()
            self._kept.append(buffer)
            if len(self._kept) > KEPT:
                del self._kept[0]
        self.current = buffer
        if keep:
            self.write(before.observation, before.mask)
        return buffer
