"""Recorded requests: reading, rates per step, and the demand of a scenario that names a trace."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from og_env.kernel.arrays import Tape
from og_env.kernel.memory import allocate
from og_env.scenario import loading
from og_env.scenario.demand_trace import load_trace_csv, step_factors
from og_env.tape.draw import draw, tape_world
from og_env.world import CompiledWorld
from tests.cases.compiled_worlds import compiled
from tests.cases.drawn_tapes import drawing, episodes, steady

HEADER = "timestamp_s,model,input_tokens,output_tokens\n"
CONVERSATION = Path(__file__).parents[3] / "shared" / "data" / "traces" / "azure2023_conv.csv"


def written(path: Path, times: dict[str, list[float]]) -> str:
    """A trace file with a request of each model at each of its times."""
    path.write_text(HEADER + "".join(f"{t},{name},10,20\n" for name, ts in times.items() for t in ts), encoding="utf-8")
    return str(path)


def test_a_trace_is_read_in_the_order_of_time_from_zero_on(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("kind,timestamp_s,model_or_app,input_tokens,output_tokens\nx,7,b,3,4\n\nx,5.5,a,1,2\n")
    trace = load_trace_csv(path)
    assert trace.time_s.tolist() == [0, 1.5] and trace.models == ("b", "a") and trace.model.tolist() == [1, 0]
    assert trace.input_tokens.tolist() == [1, 3] and trace.output_tokens.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        (
            "timestamp_s,input_tokens,output_tokens\n",
            "no column 'model' (needs timestamp_s, model, input_tokens, output_tokens)",
        ),
        (HEADER + "1,a,1,1\nsoon,a,1,1\n", "line 3: timestamp_s 'soon' is not a number"),
        (HEADER + "nan,a,1,1\n", "line 2: timestamp_s nan must be a finite number"),
        (HEADER + "1,a,-1,1\n", "line 2: input_tokens -1 must be in 0..1e+08"),
        (HEADER + "1,a,1\n", "line 2: 3 values, but the header has 4 columns"),
        (HEADER + "1,a,1,1\n", "has 1 requests; a trace needs at least 2"),
    ],
)
def test_a_bad_trace_is_one_line_with_the_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as error:
        load_trace_csv(path)
    assert "\n" not in str(error.value)


def test_a_trace_that_is_not_there_or_too_short_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.csv: no such file"):
        tape_world(compiled(demand__trace_csv=str(tmp_path / "nowhere.csv")))
    short = written(tmp_path / "short.csv", {"a": [0, 59]})
    with pytest.raises(ValueError, match=r"short\.csv: spans 59 s, less than a step of 60 s"):
        tape_world(compiled(demand__trace_csv=short))


def test_factors_are_the_rates_of_whole_steps_by_model(tmp_path: Path) -> None:
    path = written(tmp_path / "trace.csv", {"a": [0, 1, 2, 11, 29.5], "b": [12, 13, 21]})
    factors = step_factors(load_trace_csv(path), 10.0, ["a", "other"])
    # the last whole step ends at 20 s: three and one of a, three and three of all
    assert factors == pytest.approx(np.array([[1.5, 1.0], [0.5, 1.0]]))


def world_of(path: str) -> CompiledWorld:
    """toy-3 with steps of a minute, a diurnal curve and bursts that the trace replaces."""
    return compiled(demand__trace_csv=path, demand__diurnal_amplitude=0.6, demand__burst_sd=0.3)


def test_demand_follows_the_trace_repeated_from_a_drawn_moment(tmp_path: Path) -> None:
    counts = [4, 0, 7, 1, 9, 3, 6]
    times = [60 * i + 0.1 * k for i, n in enumerate(counts) for k in range(n)]
    world = world_of(written(tmp_path / "trace.csv", {"x": [*times, 420.0]}))
    whole = tape_world(world)
    tape = allocate(Tape, world.sizes | {"B": 40})
    for b in range(40):
        draw(tape, b, b, whole)
    expected = np.array(counts) / np.mean(counts)
    starts = set()
    for b in range(40):
        demand = tape.regional[b, :, 0] * tape.model[b, :, 0]
        matches = [k for k in range(7) if np.allclose(demand, np.resize(np.roll(expected, -k), len(demand)), atol=1e-6)]
        assert len(matches) == 1
        starts.add(matches[0])
    assert starts == set(range(7))
    mean_rps = world.arrays.base_rps[0].sum() * (tape.regional[:, :, 0] * tape.model[:, :, 0])[:, :56].mean()
    assert mean_rps == pytest.approx(world.resolved.spec.demand.requests_per_s, rel=1e-5)


def test_flash_crowds_come_on_top_of_a_trace() -> None:
    process = steady(flashes_per_step=0.05, flash_factor=9.0, flash_length_steps=12.0)
    tape = episodes(50, 40, drawing(demand=process, trace=np.full((3, 1), 2.0)))
    assert np.isclose(tape.model[..., 0], 2).any() and np.isclose(tape.model[..., 0], 6).any()


def test_a_relative_trace_is_beside_the_file(tmp_path: Path) -> None:
    text = (loading.scenarios_folder() / "toy-3.toml").read_text()
    (tmp_path / "own.toml").write_text(text.replace("[demand]", '[demand]\ntrace_csv = "trace.csv"'))
    assert loading.load(tmp_path / "own.toml").demand.trace_csv == str(tmp_path / "trace.csv")


@pytest.mark.skipif(not CONVERSATION.is_file(), reason=f"no trace at {CONVERSATION}")
def test_the_recorded_conversation_trace_drives_a_scenario() -> None:
    trace = load_trace_csv(CONVERSATION)
    assert len(trace.time_s) == 19_366 and trace.models == ("azure_conv",)
    factors = tape_world(world_of(str(CONVERSATION))).drawing.trace
    assert factors.shape == (int(trace.time_s[-1] // 60), 1)
    assert factors.mean() == pytest.approx(1) and 1.3 < factors.max() < 1.8
