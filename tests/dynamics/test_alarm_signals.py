"""The alarm of a fault domain on paper, and the hour before a row."""

from __future__ import annotations

import math

import pytest

from og_env.dynamics.alarm_signals import hour_begins
from tests.cases.paper_world import A, Play, near, served_at_a_and_c


@pytest.mark.parametrize(
    ("code", "carried", "visible", "risk"),
    [
        (0, 0, 1, 0),  # a signal of -0.25 is clipped to 0
        (127, 0, 1, 127 / 127.5 - 0.25),
        (255, 0, 1, 1),
        (127, 0.4, 1, 127 / 127.5 - 0.25 + 0.4),
        (255, 0.4, 0, 0),
    ],
)
def test_a_router_that_shuns_risk_hears_visible_domains(
    play: Play, code: int, carried: float, visible: int, risk: float
) -> None:
    world = served_at_a_and_c(base_rps=1, domain_visible=visible)
    world.state.knobs[0] = [40, 0, 0, 1, 0]
    world.state.site_share[0, A] = carried
    world.tape.signal[0, 0, 0] = code
    attraction_a, attraction_c = math.exp(-risk), math.exp(-100 / 40)
    assert play(world).state.load_rps[0, 0, A] == near(attraction_a / (attraction_a + attraction_c))


@pytest.mark.parametrize(
    ("row", "step_ms", "first"), [(20, 300_000, 9), (5, 300_000, 0), (20, 3_600_000, 20), (20, 7_200_000, 20)]
)
def test_an_hour_ends_with_its_row(row: int, step_ms: int, first: int) -> None:
    assert hour_begins.py_func(row, step_ms) == first
