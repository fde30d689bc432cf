"""Numbers are bounded by their dimension, and names that become files stay in their folder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_env.scenario import loading


def complaint(changes: dict[str, Any]) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the caller looks at the words)
        loading.override(loading.load("toy-3"), changes)
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("demand.flash_h", 9000.0, "must be <= 168"),
        ("demand.flashes_per_day", 1e9, "must be <= 1000"),
        ("failures.shocks_per_day", 1e9, "must be <= 10000"),
        ("failures.intensity", 1e9, "must be <= 1000"),
        ("failures.fragile_factor", 1e300, "must be <= 10000"),
        ("failures.fragile_dwell_h", 1e-9, "must be >= 0.05"),
        ("failures.opponent.budget", 2**40, "must be <= 100000"),
        ("start.replicas_per_model", 2**40, "must be <= 100000"),
        ("network.store_streams", 2**40, "must be <= 100000"),
        ("router.latency_temperature_ms", 5e-324, "must be >= 1e-09"),
        ("router.latency_temperature_ms", 0.0, "must be > 0"),
        ("network.timeout_s", 1e6, "must be <= 86400"),
        ("network.distance.near_ms", 1e9, "must be <= 1e+06"),
        ("reward.latency", 1e9, "must be <= 1e+06"),
    ],
)
def test_a_number_beyond_its_dimension_is_refused(key: str, value: float, words: str) -> None:
    assert complaint({key: value}).startswith(f"scenario: {key}: {words}")


def test_more_random_events_than_can_be_drawn_are_refused() -> None:
    shocks = {"failures.shocks_per_day": 9000.0, "failures.kind_shares": {"provider": 1.0}, "failures.intensity": 900.0}
    assert "random events on average" in complaint(shocks)
    assert "at most 3,660" in complaint({"episode.step_s": 86_400, "episode.steps": 100_000})


@pytest.mark.parametrize("name", ["../../victim/run", "a/b", "..", ".", " a", "", "a\\b", "c:", "x" * 200])
def test_a_name_leads_no_file_out_of_its_folder(name: str) -> None:
    assert "name" in complaint({"name": name})


def test_words_with_control_characters_are_refused() -> None:
    assert "control character" in complaint({"description": "a\x1b[31m"})
    assert loading.override(loading.load("toy-3"), {"description": "two\nlines"}).description == "two\nlines"


def test_numbers_of_numpy_count_as_numbers() -> None:
    changes = {"demand.requests_per_s": np.float32(3), "episode.steps": np.int64(4), "failures.lose_answers": np.True_}
    spec = loading.override(loading.load("toy-3"), changes)
    assert (spec.demand.requests_per_s, spec.episode.steps, spec.failures.lose_answers) == (3.0, 4, True)
