"""Drawn condition of sites against the closed forms of its processes: drift, grey failures, blind spans."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from og_env.kernel.arrays import BLIND, CALM_SPEED, SPEEDS_PER_OCTAVE
from og_env.tape.condition import condition_process
from og_env.tape.draw import tape_world
from tests.cases.compiled_worlds import compiled
from tests.cases.drawn_tapes import SIGMAS, condition, drawing, episodes, off_by

STEP_H = 0.1
SD = 0.25 / math.log(2) * SPEEDS_PER_OCTAVE
"""of a drift of 0.25, in codes"""
SEVERE, GREY = 26, 54
"""codes of speeds 0.33 and 0.75"""


def drawn(count: int, rows: int, sites: int = 5, step_h: float = STEP_H, **changes: Any) -> np.ndarray:
    """Conditions [count, rows, sites] of episodes in which only what the changes say is on."""
    world = drawing(sites=sites, condition=condition(step_h, **changes))
    return episodes(count, rows, world).condition


def runs(marked: np.ndarray) -> list[int]:
    """Lengths in rows of the runs in [..., rows, ...] that begin and end within an episode."""
    result = []
    for row in marked.transpose(0, 2, 1).reshape(-1, marked.shape[1]):
        edges = np.flatnonzero(np.diff(row.astype(np.int8)))
        result += np.diff(edges)[0 if not row[0] else 1 :: 2].tolist()
    return result


def test_without_drift_and_events_every_site_is_calm():
    assert (drawn(3, 50) == CALM_SPEED).all()


def test_padding_is_calm():
    world = drawing(sites=2, condition=condition(drift_sd=0.25, grey_per_day=50.0, blind_per_day=50.0))
    padded = episodes(2, 30, world, padding=3).condition
    assert padded.shape[2] == 5 and (padded[..., 2:] == CALM_SPEED).all() and (padded[..., :2] != CALM_SPEED).any()


def test_drift_has_its_deviation_at_every_row():
    codes = drawn(2_000, 31, drift_sd=0.25).transpose(0, 2, 1).reshape(-1, 31).astype(np.float64) - CALM_SPEED
    n = len(codes)
    spread = SD**2 + 1 / 12  # of the log, and of rounding
    assert np.abs(codes.mean(axis=0)).max() < SIGMAS * math.sqrt(spread / n)
    assert np.abs(codes.var(axis=0) / spread - 1).max() < SIGMAS * math.sqrt(2 / n)


@pytest.mark.parametrize(("step_h", "memory"), [(0.1, 2.0), (1.0, 2.0), (0.1, 0.5)])
def test_drift_forgets_by_its_memory_whatever_the_step(step_h, memory):
    codes = drawn(4_000, 31, 5, step_h, drift_sd=0.25, drift_memory_h=memory).transpose(0, 2, 1).reshape(-1, 31)
    for lag in (1, 5, 30):
        expected = math.exp(-lag * step_h / memory) * SD**2 / (SD**2 + 1 / 12)
        related = np.corrcoef(codes[:, 0], codes[:, lag])[0, 1]
        assert abs(related - expected) < SIGMAS * (1 - expected**2) / math.sqrt(len(codes)) + 1e-9


def test_sites_drift_apart():
    codes = drawn(4_000, 1, 4, drift_sd=0.25)[:, 0]
    assert np.abs(np.corrcoef(codes.T)[np.triu_indices(4, 1)]).max() < SIGMAS / math.sqrt(4_000)


def test_codes_stay_within_their_range():
    codes = drawn(20, 100, drift_sd=2.0, drift_memory_h=0.2, grey_per_day=20.0)
    assert codes.min() == 1 and codes.max() == 127


def test_grey_failures_are_poisson_and_under_way_at_the_start():
    """The share of sites without one is exp(-rate x mean length), and the worse of two overlapping ones counts."""
    codes = drawn(4_000, 61, grey_per_day=9.6)
    assert set(np.unique(codes)) == {SEVERE, GREY, CALM_SPEED}
    severe = 1 - math.exp(-0.4 * 0.1 * 2.0)
    mild = (1 - severe) * (1 - math.exp(-0.4 * 0.9 * 0.25 * math.exp(1.2**2 / 2)))
    for row in (0, 30, 60):
        for code, share in ((SEVERE, severe), (GREY, mild)):
            assert off_by((codes[:, row] == code).astype(np.float64), share) < SIGMAS


def test_lengths_of_grey_failures():
    exact = runs(drawn(300, 240, grey_per_day=0.5, severe_share=1.0, severe_h=(1.05, 1.05)) != CALM_SPEED)
    assert len(exact) > 300 and np.isin(exact, (10, 11)).mean() > 0.95 and abs(np.mean(exact) - 10.5) < 0.3
    uniform = runs(drawn(600, 240, grey_per_day=0.1, severe_share=1.0) != CALM_SPEED)
    assert min(uniform) == 10 and np.quantile(uniform, 0.97) <= 31 and abs(np.mean(uniform) - 20) < 1.5
    lengths = runs(drawn(600, 2400, step_h=0.01, grey_per_day=0.1, severe_share=0.0) != CALM_SPEED)
    logs = np.log(np.array(lengths) / 25)
    assert len(logs) > 200 and abs(np.median(logs)) < 0.3 and abs(logs.std() - 1.2) < 0.25


def test_blind_spans_are_poisson_of_exponential_length_and_leave_speeds_alone():
    blind = drawn(4_000, 41, blind_per_day=9.6) == (CALM_SPEED | BLIND)
    load = 0.4 * 0.5  # rate x mean length
    for row in (0, 40):
        assert off_by(blind[:, row].astype(np.float64), 1 - math.exp(-load)) < SIGMAS
    for hours in (0.5, 2.0):
        clear = ~blind[:, 0] & ~blind[:, round(hours / STEP_H)]
        assert off_by(clear.astype(np.float64), math.exp(-load * (2 - math.exp(-hours / 0.5)))) < SIGMAS
    both = drawn(5, 200, blind_per_day=20.0, drift_sd=0.25)
    assert (both & BLIND).any() and np.array_equal(both & ~np.uint8(BLIND), drawn(5, 200, drift_sd=0.25))


def test_an_event_covers_the_rows_whose_middle_it_covers():
    """A length of half a row is in every other row on average; one of a row and a half in one or two rows."""
    for length, expected in ((0.05, 0.5), (0.15, 1.5)):
        marked = drawn(400, 100, grey_per_day=2.4, severe_share=1.0, severe_h=(length, length)) != CALM_SPEED
        rate = 1 - math.exp(-0.1 * length)
        assert off_by(marked[:, ::2].mean(axis=1), rate) < SIGMAS
        assert abs(rate / (0.1 * STEP_H) - expected) < 0.02


def test_processes_leave_one_another_as_they_are():
    drifting: dict[str, Any] = {"drift_sd": 0.25}
    others: tuple[dict[str, Any], ...] = ({}, drifting, {"grey_per_day": 2.0})
    plain, grey = drawn(20, 200, **drifting), drawn(20, 200, **drifting, grey_per_day=2.0)
    events = drawn(20, 200, grey_per_day=2.0)
    calm = events == CALM_SPEED
    assert not calm.all() and np.array_equal(grey[calm], plain[calm])
    lost = plain.astype(int) - grey
    assert np.abs(lost[events == GREY] - 9.96).max() < 1 and np.abs(lost[events == SEVERE] - 38.39).max() < 1
    blind = [drawn(20, 200, blind_per_day=2.0, **more) & BLIND for more in others]
    assert blind[0].any() and all(np.array_equal(blind[0], other) for other in blind)


def test_a_scenario_is_read_in_hours_and_codes():
    world = compiled(
        condition__drift_sd=math.log(2),
        condition__drift_memory_h=3.0,
        condition__grey_per_day=2.4,
        condition__grey_speed=0.5,
        condition__grey_median_min=6.0,
        condition__severe_speed=0.25,
        condition__blind_per_day=4.8,
    )
    found = tape_world(world).drawing.condition  # steps of a minute
    minute, octave = 1 / 60, float(SPEEDS_PER_OCTAVE)
    keep = math.exp(-minute / 3)
    expected = (minute, octave, keep, 0.1, octave, 0.1, 1.2, 0.1, 2 * octave, 1.0, 3.0, 0.2, 0.5)
    assert found == pytest.approx(expected)
    assert condition_process(world.resolved.spec.condition, minute) == found
