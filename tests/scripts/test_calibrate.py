"""og-env calibrate: fragments that a scenario takes, and bad input in one line."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from og_agents.commands import calibrate
from og_env.scenario import loading
from tests.agents.validation.test_distance_model_fit import matrix


def test_rtt_writes_a_fragment_that_a_scenario_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "network.toml"
    assert calibrate.main(["rtt", str(matrix(tmp_path / "rtt.csv")), "--out", str(out)]) == 0
    text = out.read_text()
    assert capsys.readouterr().out == text
    assert "# Round trips: lines, fitted, the best of 4 models" in text and "aws/nowhere" in text
    spec = loading.load(
        tomllib.loads((loading.scenarios_folder() / "global-16.toml").read_text()) | tomllib.loads(text)
    )
    assert spec.network.distance.pair_factors["EU-NA"] > 1


def test_demand_writes_a_fragment_that_a_scenario_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.exponential(0.5, 3_000))
    trace = tmp_path / "trace.csv"
    rows = "".join(f"{t:.3f},x,10,{int(n)}\n" for t, n in zip(times, rng.integers(1, 300, 3_000), strict=True))
    trace.write_text("timestamp_s,model,input_tokens,output_tokens\n" + rows)
    out = tmp_path / "demand.toml"
    assert calibrate.main(["demand", str(trace), "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["requests"] == 3_000 and result["requests_per_s"] == pytest.approx(2, rel=0.1)
    spec = loading.load(
        tomllib.loads((loading.scenarios_folder() / "global-16.toml").read_text()) | tomllib.loads(out.read_text())
    )
    assert spec.demand.service_cv == pytest.approx(0.58, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rtt", "nowhere.csv"], "nowhere.csv: no such file"),
        (["demand", "nowhere.csv"], "nowhere.csv: no such file"),
        (["rtt", "x.csv", "--workload", "w"], "--workload goes with demand"),
        (["rtt", "x.csv", "--step-s", "5"], "--step-s goes with demand"),
        (["demand", "x.csv", "--step-s", "0"], "--step-s 0: must be above 0"),
        (["rtt", "x.csv", "--map", "a=from"], "write COLUMN=MEANING; can be mapped: src, dst, rtt_ms, provider"),
        (["demand", "x.csv", "--map", "when"], "can be mapped: timestamp_s, model, input_tokens, output_tokens"),
        (["demand", "x.csv", "--map", "a=model", "b=model"], "another column is model already"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_an_unknown_thing_to_fit_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        calibrate.main(["latency", "x.csv"])
    assert stop.value.code == 2 and "invalid choice" in capsys.readouterr().err


def test_a_map_names_columns_and_a_note_tells_the_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.csv"
    rows = "".join(f"{1_793_491_200_000 + 700 * k},{k % 7 + 1},{k % 5 + 1}\n" for k in range(600))
    path.write_text("when,asked,said\n" + rows)
    words = ["when=timestamp_s", "asked=input_tokens", "said=output_tokens"]
    assert calibrate.main(["demand", str(path), "--map", *words]) == 0
    text = capsys.readouterr().out
    assert "# Times are milliseconds" in text and "when is timestamp_s" in text
    assert tomllib.loads(text)["demand"]["requests_per_s"] == pytest.approx(1 / 0.7, rel=0.01)
