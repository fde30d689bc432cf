"""Outlines of land for the map."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.render.land import outlines


def test_outlines_are_closed_rings_on_the_globe() -> None:
    rings = outlines()
    assert len(rings) > 100
    for ring in rings:
        assert ring.shape[1] == 2
        assert len(ring) >= 3
        assert np.abs(ring[:, 0]).max() <= 180
        assert np.abs(ring[:, 1]).max() <= 90


@pytest.mark.parametrize(
    ("lat_deg", "lon_deg", "land"),
    [(48.9, 2.3, True), (39.0, -100.0, True), (-25.0, 134.0, True), (42.0, 51.0, False), (0.0, -30.0, False)],
    ids=["paris", "kansas", "australia", "caspian", "atlantic"],
)
def test_outlines_tell_land_from_water(lat_deg: float, lon_deg: float, land: bool) -> None:
    assert (sum(crossings(ring, lat_deg, lon_deg) for ring in outlines()) % 2 == 1) == land


def crossings(ring: np.ndarray, lat_deg: float, lon_deg: float) -> int:
    """How often a ray to the east from the point meets the ring."""
    start, end = ring, np.roll(ring, -1, axis=0)
    spans = (start[:, 1] > lat_deg) != (end[:, 1] > lat_deg)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = start[:, 0] + (lat_deg - start[:, 1]) / (end[:, 1] - start[:, 1]) * (end[:, 0] - start[:, 0])
    return int((spans & (at > lon_deg)).sum())
