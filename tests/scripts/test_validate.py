"""og-env validate, in its quick form: what it prints, and that the claims hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from og_agents.commands import validate

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.slow
def test_the_claims_hold_and_absent_data_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert validate.main(["--quick", "--json", "--data", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["queue_poisson_max_error"]["mean"] <= 0.10 and result["queue_poisson_max_error"]["p95"] <= 0.20
    assert result["joint_failure_max_z"] < result["failures"]["limit_z"]
    assert all(herd["error"] <= 0.01 for herd in result["herd"])
    errors = result["queue"]["mean_errors"]
    assert set(errors) == {"poisson", "bursty", "batches"}
    for m in errors.values():
        assert m["mean_error"] < m["mean_error_without"]
    serving = result["serving"]
    for kind, names in {"waits": serving["targets"], "limits": ["unserved"]}.items():
        assert all(serving["max_error"][kind][name] <= serving["targets"][name] for name in names), kind
        assert len(serving[kind]) == 4
    assert len(result["planner"]["scenarios"]) == 4
    assert all(found["forecast"]["rank_correlation"] > 0.3 for found in result["planner"]["scenarios"])
    assert result["rtt_mape"] is None and result["incident_spread"]["record"] is None
    assert sorted(result["skipped"]) == [
        "incidents/gcp_incidents.csv",
        "rtt/cloud_interregion_rtt.csv",
        "traces/azure2023_code.csv",
        "traces/azure2023_conv.csv",
    ]
    assert result["queue"]["settings"]["batches"]["idle_relief"] > 1
    lines = validate.text(result).splitlines()
    assert sum(line.startswith("batches, fitted: arrival_cv ") and "idle_relief" in line for line in lines) == 1
    assert sum(line.startswith("left out: ") for line in lines) == 4 and max(map(len, lines)) <= 128


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data at {DATA}")
def test_recorded_data_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate.queue_against_simulation, "STREAMS", (2,))
    monkeypatch.setattr(validate.queue_against_simulation, "QUICK_STREAMS", (2,))
    result = validate.validate(DATA, quick=True)
    assert result["rtt_mape"] <= 0.12 and max(result["rtt"]["held_out"].values()) <= 0.16
    assert max(result["rtt"]["shipped"].values()) <= 0.16
    assert set(result["queue"]["claimed"]) == {"poisson", "bursty", "batches", "conversation", "code"}
    assert all(result["queue"]["claimed"][name]["average_mean"] <= 0.2 for name in ("batches", "conversation", "code"))
    assert all(result["queue"]["claimed"][name]["largest_mean"] <= 0.2 for name in ("batches", "conversation", "code"))
    assert result["skipped"] == {}
    assert result["incident_spread"]["record"]["incidents"] == 250


def test_a_folder_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate.main(["--data", "nowhere"]) == 2
    assert capsys.readouterr().err == "error: nowhere: no such folder\n"


def test_it_looks_nowhere_unless_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(validate, "validate", lambda data, quick, progress: asked.append(data) or {})
    assert validate.main(["--quick", "--json"]) == 0 and asked == [None]
    skipped: dict[str, str] = {}
    assert validate.existing(None, "rtt/pairs.csv", skipped) is None
    assert skipped == {"rtt/pairs.csv": "needs rtt/pairs.csv in the folder of --data"}
    capsys.readouterr()
