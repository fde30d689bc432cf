"""What environments hand out: observations and masks, which are never written again while anyone else holds them.

Fresh memory costs a page fault for every 4 kB that is written to it: with a thousand environments a sixth of a step.
So the memory of what nobody holds any more is used again.
"""

from __future__ import annotations

import math
from sys import getrefcount

import numpy as np

KEPT = 3
"""sheets; a loop that looks at one observation while the next is made needs two"""


class Sheet:
    """One observation [B, O] and mask [B, V] with their tables; of a single environment, its row of both."""

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
        self._own = self._held()

    def _held(self) -> int:
        """References to all parts. A view of a part counts as one to what it is a view of."""
        return sum(map(getrefcount, self._parts))

    def is_free(self) -> bool:
        """Whether nobody else holds a part of it, or a view of one."""
        return self._held() == self._own


class Sheets:
    """The sheets of a simulator."""

    def __init__(
        self, batch: int, width: int, choices: int, shapes: dict[str, tuple[int, ...]], *, single: bool
    ) -> None:
        self._make = lambda: Sheet(batch, width, choices, shapes, single=single)
        self._kept = [self._make()]
        self.current = self._kept[0]

    def renew(self, *, keep: bool = False) -> Sheet:
        """Another sheet than the current one, which nobody else holds; keep: with the same values."""
        before = self.current
        for sheet in self._kept:
            if sheet is not before and sheet.is_free():
                break
        else:
            sheet = self._make()
            self._kept.append(sheet)
            if len(self._kept) > KEPT:
                del self._kept[0]
        if keep:
            sheet.observation[:] = before.observation
            sheet.mask[:] = before.mask
        self.current = sheet
        return sheet
