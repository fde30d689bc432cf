"""The closed forms that the failure process is held against, on paper; and that a wrong process is found out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from og_agents.validation import failure_process
from og_env.world import CompiledWorld
from tests.cases.drawn_tapes import source

RECORD = Path(__file__).parents[4] / "shared" / "data" / "incidents" / "gcp_incidents.csv"


def test_sums_of_one_shared_source_on_paper() -> None:
    shared = source((0, 1), rate_per_h=0.2, hit=(1.0, 0.5), effects=(0.5, 0.5, 0.0, 0.0), sigma=1e-9, heavy_sigma=1e-9)
    sums = failure_process.Sums([shared], 3, step_h=1.0)
    assert sums.rate == pytest.approx([0.1, 0.05, 0]) and sums.load == pytest.approx([0.2, 0.1, 0])
    assert sums.joint[0, 1] == pytest.approx(0.1)
    # of an outage of one hour in rows of one hour: seen in a row and the next for one hour, never two rows apart
    assert sums.overlap(1) == pytest.approx([0.1, 0.05, 0])
    assert sums.overlap(2) == pytest.approx([0, 0, 0], abs=1e-6)


def test_excess_of_durations_is_that_of_drawn_ones() -> None:
    mixed = source(median_h=1.2, sigma=1.0, heavy_median_h=8.0, heavy_sigma=0.7, heavy_weight=0.15)
    rng = np.random.default_rng(0)
    heavy = rng.uniform(size=400_000) < 0.15
    drawn = np.where(heavy, 8.0, 1.2) * np.exp(np.where(heavy, 0.7, 1.0) * rng.standard_normal(400_000))
    for threshold in (0.0, 1.0, 5.0, 23.0):
        beyond = np.maximum(drawn - threshold, 0)
        z = (beyond.mean() - failure_process.excess_h(mixed, threshold)) / (beyond.std() / math.sqrt(400_000))
        assert abs(z) < 4


def test_drawn_tapes_agree_with_the_closed_forms() -> None:
    check = failure_process.check_failures()
    assert check.site_hours >= 1_000_000 and check.largest_joint_ratio > 2
    scores = (check.down_max_z, check.onset_max_z, check.duration_max_z, check.joint_max_z)
    assert max(scores) < check.limit_z < 5, check


def test_failures_that_are_not_shared_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = failure_process.draw_down

    def shuffled(world: CompiledWorld) -> np.ndarray:
        """Every site's own down-times, of another episode each."""
        down = drawn(world)
        return np.stack([np.roll(down[:, :, s], s, axis=0) for s in range(down.shape[2])], axis=2)

    monkeypatch.setattr(failure_process, "draw_down", shuffled)
    check = failure_process.check_failures()
    assert check.joint_max_z > 2 * check.limit_z and check.down_max_z < check.limit_z


def test_binomial_of_unequal_chances() -> None:
    assert failure_process.binomial((0.5, 0.2))[:3] == pytest.approx([0.4, 0.5, 0.1])


def test_incidents_of_the_model_hit_one_place_or_many(tmp_path: Path) -> None:
    model = failure_process.spread_of_model()
    assert 0.3 < model.one < 0.6 and 0.05 < model.many < 0.4 and 5 < model.incidents < 20
    path = tmp_path / "record.csv"
    path.write_text("start,n_locations\na,1\nb,\nc,0\nd,20\ne,5\nf,1\n")
    assert failure_process.spread_of_record(path) == pytest.approx((4, 0.5, 0.25))


@pytest.mark.skipif(not RECORD.is_file(), reason=f"no record at {RECORD}")
def test_the_recorded_incidents_hit_one_place_or_many() -> None:
    record = failure_process.spread_of_record(RECORD)
    assert 0.4 < record.one < 0.5 and 0.3 < record.many < 0.4
