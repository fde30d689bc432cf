"""Outlines of the land for maps, from og_env/render/land.csv (Natural Earth 1:110m, public domain)."""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np
from numpy.typing import NDArray


@functools.cache
def outlines() -> tuple[NDArray[np.float64], ...]:
    """Closed outlines of continents and islands north of 60 degrees south, each float64 [P, 2]: lon, lat in degrees."""
    _, *rows = (resources.files("og_env.render") / "land.csv").read_text(encoding="utf-8").splitlines()
    return tuple(np.array([point.split() for point in row.split(";")], np.float64) for row in rows)
