"""Demand by region, model and time of day."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cases.compiled_worlds import compiled


def test_demand_follows_people_popularity_and_the_sun() -> None:
    world = compiled("global-24")
    arrays, spec = world.arrays, world.resolved.spec
    people = np.array([region.population_m for region in world.resolved.regions])
    assert arrays.base_rps.sum() == pytest.approx(spec.demand.requests_per_s)
    assert np.allclose(arrays.base_rps[0].sum(axis=1), spec.demand.requests_per_s * people / people.sum(), rtol=1e-5)
    assert np.allclose(
        arrays.base_rps[0].sum(axis=0), spec.demand.requests_per_s * np.array([0.45, 0.2, 0.3, 0.05]), rtol=1e-5
    )
    assert arrays.diurnal.shape == (1, 288, 8)
    assert np.allclose(arrays.diurnal[0].mean(axis=0), 1, atol=1e-5)
    local_hour = arrays.diurnal[0].argmax(axis=0) / 12 + np.array(
        [region.utc_offset_h for region in world.resolved.regions]
    )
    assert np.allclose(local_hour % 24, spec.demand.peak_hour, atol=1 / 12)
    assert arrays.diurnal.max() == pytest.approx(1.9, abs=1e-4)


def test_a_step_longer_than_a_day_has_one_place_in_the_day() -> None:
    assert compiled(episode__step_s=86_400).sizes["Y"] == 1
    assert compiled(episode__step_s=50_000).sizes["Y"] == 2
