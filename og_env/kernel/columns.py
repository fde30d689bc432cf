"""Names for columns: a table is written once, and compiled code reads its columns by name."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any


def columns(title: str, names: Sequence[str]) -> Any:
    """A named tuple whose fields are the positions of the names: `columns("C", ("a", "b")).b == 1`."""
    return namedtuple(title, names)(*range(len(names)))
