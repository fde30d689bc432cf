"""A run of the benchmark beside records: of the same kind of machine, and what counts as a loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from og_agents.validation import speed_history


def record(folder: Path, name: str, date: str, processor: str = "one", **figures: float) -> Path:
    path = folder / f"{name}.json"
    facts = {"date": date, "processor": processor, "figures": {"cores": 2.0} | figures}
    path.write_text(json.dumps(facts), encoding="utf-8")
    return path


def test_the_newest_record_of_the_same_kind_of_machine(tmp_path: Path) -> None:
    newest = record(tmp_path, "0.1.0", "2026-12-01")
    record(tmp_path, "0.2.0", "2026-11-01")
    record(tmp_path, "0.3.0", "2027-01-01", processor="two")
    assert speed_history.latest(tmp_path, "one", 2.0) == newest
    assert speed_history.latest(tmp_path, "one", 4.0) is None
    assert speed_history.latest(tmp_path / "none", "one", 2.0) is None


def test_ten_percent_of_speed_may_be_lost(tmp_path: Path) -> None:
    old = record(
        tmp_path,
        "a",
        "2026-12-01",
        vector_64_steps_per_s=1000,
        first_step_cached_s=1.0,
        tape_bytes_64=100,
        cartpole_steps_per_s=9,
    )
    kept = {"vector_64_steps_per_s": 905.0, "first_step_cached_s": 1.1, "tape_bytes_64": 110.0}
    assert speed_history.losses(old, kept | {"cartpole_steps_per_s": 1.0}) == []
    found = speed_history.losses(
        old, {"vector_64_steps_per_s": 800.0, "first_step_cached_s": 2.0, "tape_bytes_64": 120.0, "new": 1.0}
    )
    assert [loss.name for loss in found] == ["first_step_cached_s", "vector_64_steps_per_s", "tape_bytes_64"]
    assert [loss.share for loss in found] == pytest.approx([0.5, 0.2, 1 / 6])
    assert str(found[1]) == "warning: vector_64_steps_per_s is 20% worse: 800, recorded was 1000"


def test_faster_is_no_loss(tmp_path: Path) -> None:
    old = record(tmp_path, "a", "2026-12-01", single_64_steps_per_s=1000, first_step_cached_s=1.0)
    assert speed_history.losses(old, {"single_64_steps_per_s": 2000.0, "first_step_cached_s": 0.2}) == []


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"date": "2026"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.json: no record of speeds: it lacks"):
        speed_history.latest(tmp_path, "one", 2.0)
