"""The fit of the demand model: it finds what made the data."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from og_agents.validation import demand_fit
from og_env.scenario import loading
from og_env.scenario.demand_trace import Trace

CONVERSATION = Path(__file__).parents[4] / "shared" / "data" / "traces" / "azure2023_conv.csv"


def recorded(time_s: np.ndarray, output: np.ndarray | None = None) -> Trace:
    out = np.full(len(time_s), 100.0) if output is None else output
    return Trace(0.0, time_s - time_s[0], np.zeros(len(time_s), np.int64), out * 2, out, ("one",))


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.0])
def test_arrival_cv_is_that_of_the_gaps_where_they_are_unrelated(cv: float) -> None:
    rng = np.random.default_rng(1)
    fit = demand_fit.fit_trace(recorded(np.cumsum(rng.gamma(1 / cv**2, cv**2, 200_000))))
    assert fit.requests_per_s == pytest.approx(1, rel=0.02)
    assert fit.gap_cv == pytest.approx(cv, rel=0.02) and fit.arrival_cv == pytest.approx(cv, rel=0.05)


def test_clusters_raise_arrival_cv_and_steps_do_not() -> None:
    rng = np.random.default_rng(2)
    poisson = np.sort(rng.uniform(0, 30_000, 60_000))
    rising = np.sort(30_000 * np.sqrt(rng.uniform(0, 1, 60_000)))
    clustered = np.sort(np.repeat(rng.uniform(0, 30_000, 15_000), 4) + rng.uniform(0, 2, 60_000))
    cvs = [demand_fit.fit_trace(recorded(times)).arrival_cv or 0 for times in (poisson, rising, clustered)]
    assert cvs[:2] == pytest.approx([1, 1], abs=0.04) and cvs[2] == pytest.approx(2, rel=0.1)


def test_answer_lengths_and_models() -> None:
    rng = np.random.default_rng(3)
    out = rng.gamma(4.0, 25.0, 5_000)
    trace = recorded(np.arange(5_000.0), out)
    fit = demand_fit.fit_trace(trace._replace(model=(np.arange(5_000) % 4 == 0).astype(np.int64), models=("a", "b")))
    assert fit.service_cv == pytest.approx(0.5, rel=0.05)
    assert fit.models["b"] == (0.25, pytest.approx(200, rel=0.05), pytest.approx(100, rel=0.05))
    assert fit.tokens is not None and fit.tokens["correlation"] == pytest.approx(1)
    assert fit.diurnal_amplitude is None


def rates_file(path: Path, rate: np.ndarray, workload: str = "w") -> Path:
    rows = "".join(f"{workload},{600 * i},{value}\n" for i, value in enumerate(rate))
    path.write_text("workload,timestamp_s,agg_rps\n" + rows, encoding="utf-8")
    return path


def test_the_diurnal_curve_and_the_bursts_are_found_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    hours = (np.arange(20_160) + 0.5) / 6
    level, keep = np.zeros(len(hours)), np.exp(-1 / 12)
    for i in range(1, len(level)):
        level[i] = keep * level[i - 1] + 0.3 * np.sqrt(1 - keep**2) * rng.normal()
    rate = 7 * (1 + 0.5 * np.cos(2 * np.pi * (hours - 21) / 24)) * np.exp(level - 0.045)
    fit = demand_fit.fit_demand(rates_file(tmp_path / "rates.csv", rate))
    assert fit.requests_per_s == pytest.approx(7, rel=0.05)
    assert fit.diurnal_amplitude == pytest.approx(0.5, abs=0.03) and fit.peak_hour == pytest.approx(21, abs=0.3)
    assert fit.burst_sd == pytest.approx(0.3, rel=0.05) and fit.burst_memory_h == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize(("hours", "has_curve"), [(24, True), (23, False)])
def test_one_whole_day_has_a_curve_and_less_has_none(tmp_path: Path, hours: int, has_curve: bool) -> None:
    rate = 5 * (1 + 0.5 * np.cos(2 * np.pi * (np.arange(6 * hours) - 84) / 144))
    fit = demand_fit.fit_demand(rates_file(tmp_path / "rates.csv", rate))
    assert (fit.diurnal_amplitude is not None) == has_curve


def test_a_scenario_takes_the_fragment(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    trace = recorded(np.cumsum(rng.exponential(1, 5_000)), rng.gamma(2.0, 50.0, 5_000))
    fit = demand_fit.fit_trace(trace._replace(models=("llama-3.1-8b-bf16",)))
    text = "\n".join(demand_fit.fragment(fit))
    tables = tomllib.loads(text)
    assert [entry["name"] for entry in tables["models"]] == ["llama-3.1-8b-bf16"]
    whole = tomllib.loads((loading.scenarios_folder() / "global-16.toml").read_text())
    whole["start"].pop("replica_sites", None)
    spec = loading.load(whole | tables)
    assert spec.demand.arrival_cv == pytest.approx(1, abs=0.1)
    model = loading.resolve(spec).models[0]
    assert (model.input_tokens, model.output_tokens) == (pytest.approx(200, rel=0.05), pytest.approx(100, rel=0.05))


@pytest.mark.parametrize(
    ("content", "workload", "message"),
    [
        ("timestamp_s,agg_rps\n0,1\n", None, "needs three rates or more"),
        ("timestamp_s,agg_rps\n0,1\n5,1\n6,1\n", None, "at equal steps"),
        ("timestamp_s,agg_rps\n0,many\n", None, "line 2: agg_rps 'many' is not a number"),
        ("timestamp_s,agg_rps\n0,-1\n", None, "line 2: agg_rps -1 must be at least 0"),
        ("workload,timestamp_s,agg_rps\na,0,1\nb,0,1\n", None, "several workloads; name one with --workload: a, b"),
        ("workload,timestamp_s,agg_rps\na,0,1\nb,0,1\n", "c", "no workload 'c'; name one"),
        ("agg_rps\n1\n", None, r"no column 'timestamp_s' .*\(needs timestamp_s, agg_rps\)"),
        ("timestamp_s,model,input_tokens,output_tokens\n0,a,1,1\n1,a,1,1\n", "w", "--workload chooses among rates"),
    ],
)
def test_bad_rates_are_one_line(tmp_path: Path, content: str, workload: str | None, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        demand_fit.fit_demand(path, workload)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


STAMPS = {
    "milliseconds": (lambda second: f"{1_793_491_200_000 + 1000 * second}", "milliseconds"),
    "dates": (lambda second: f"{datetime.fromtimestamp(1_793_491_200 + second, UTC):%Y-%m-%d %H:%M:%S}", "dates"),
    "zoned": (lambda second: datetime.fromtimestamp(1_793_491_200 + second, UTC).isoformat(), "dates"),
}


@pytest.mark.parametrize("stamps", STAMPS)
@pytest.mark.parametrize("newest_first", [False, True])
def test_rates_have_times_in_any_unit_and_order(tmp_path: Path, stamps: str, newest_first: bool) -> None:
    stamp, note = STAMPS[stamps]
    hours = np.arange(72)
    rate = 10 * (1 + 0.5 * np.cos(2 * np.pi * (hours - 20) / 24))
    rows = [f"{stamp(3600 * int(hour))},{value}" for hour, value in zip(hours, rate, strict=True)]
    path = tmp_path / "rates.csv"
    path.write_text("\n".join(["timestamp_s,requests_per_s", *(rows[::-1] if newest_first else rows)]))
    fit = demand_fit.fit_demand(path)
    assert fit.span_h == pytest.approx(72) and fit.diurnal_amplitude == pytest.approx(0.5, abs=0.01)
    day_h = 1_793_491_200 / 3600 % 24
    assert fit.peak_hour == pytest.approx((20.5 + day_h) % 24, abs=0.05)
    assert any(note in told for told in fit.notes) and any("newest first" in told for told in fit.notes) == newest_first


def test_rates_alone_need_the_time_between_them(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("rps\n" + "".join(f"{value}\n" for value in (1, 2, 3, 2)))
    with pytest.raises(ValueError, match=r"no column 'timestamp_s'.*--step-s"):
        demand_fit.fit_demand(path)
    fit = demand_fit.fit_demand(path, step_s=600)
    assert fit.requests_per_s == 2 and fit.span_h == pytest.approx(4 / 6)


def test_batches_are_no_even_arrivals() -> None:
    rng = np.random.default_rng(0)
    times = np.repeat(np.arange(0, 3_000, 3.0), 10)
    fit = demand_fit.fit_trace(recorded(times, rng.uniform(100, 500, len(times))))
    assert fit.clusters is not None and fit.wait_error is not None
    assert fit.clusters.mean_error < 0.2 < fit.wait_error[0]
    lines = "\n".join(demand_fit.fragment(fit))
    demand = tomllib.loads(lines)["demand"]
    assert demand["cluster_requests"] > 5 and demand["batch_requests"] > 1 and demand["arrival_cv"] > 0
    assert demand["idle_relief"] > 1 and fit.clusters.max_error <= 0.25  # one search alone ends at 0.26


def test_a_sparse_trace_says_what_it_cannot_tell() -> None:
    times = np.concatenate([np.arange(12) + 14_400.0 * burst for burst in range(12)])
    fit = demand_fit.fit_trace(recorded(times))
    assert (fit.arrival_cv, fit.gap_cv, fit.burst_sd, fit.clusters) == (None, None, None, None)
    assert any("too sparse for arrival_cv" in note for note in fit.notes)
    assert "# arrival_cv: this file does not tell" in demand_fit.fragment(fit)


def test_empty_steps_are_not_taken_for_bursts(tmp_path: Path) -> None:
    rate = np.where(np.arange(600) % 3 == 0, 0.0, 5.0)
    fit = demand_fit.fit_demand(rates_file(tmp_path / "rates.csv", rate))
    assert fit.burst_sd is None and any("33% of the steps have no request" in note for note in fit.notes)


def test_three_requests_tell_no_arrival_cv() -> None:
    fit = demand_fit.fit_trace(recorded(np.array([0.0, 4.3, 4.5])))
    assert any(line.startswith("# arrival_cv") for line in demand_fit.fragment(fit))


@pytest.mark.skipif(not CONVERSATION.is_file(), reason=f"no trace at {CONVERSATION}")
def test_the_recorded_conversation_trace() -> None:
    fit = demand_fit.fit_demand(CONVERSATION)
    assert fit.requests == 19_366 and fit.tokens is not None
    assert (fit.tokens["output_p50"], fit.tokens["output_p99"]) == (129, 601)
    assert fit.gap_cv == pytest.approx(1.04, abs=0.01) and fit.arrival_cv == pytest.approx(1.34, abs=0.01)
