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
        ("timestamp_s,model\n", "no column 'input_tokens' (needs timestamp_s, model, input_tokens, output_tokens)"),
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


SHAPES = {
    "azure": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,3,4\n2023-11-16 18:15:45.1805900,1,2\n",
        ("TIMESTAMP is timestamp_s", "dates", "newest first"),
    ),
    "burstgpt": (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,1,2,3,x\n6.5,GPT-4,3,4,7,x\n",
        ("Request tokens is input_tokens",),
    ),
    "mooncake": (
        '{"timestamp": 0, "input_length": 1, "output_length": 2, "hash_ids": [0]}\n'
        '{"timestamp": 1500, "input_length": 3, "output_length": 4, "hash_ids": [0, 1]}\n',
        ("JSON lines", "milliseconds"),
    ),
    "array": (
        '[{"time": "2026-01-01T00:00:00Z", "prompt_tokens": 1, "completion_tokens": 2},'
        ' {"time": "2026-01-01T01:00:01.5+01:00", "prompt_tokens": 3, "completion_tokens": 4}]',
        ("JSON", "dates"),
    ),
    "milliseconds": (HEADER + "1793491200000,a,1,2\n1793491201500,a,3,4\n", ("milliseconds",)),
    "microseconds": (HEADER + "1793491200000000,a,1,2\n1793491201500000,a,3,4\n", ("microseconds",)),
    "nanoseconds": (HEADER + "1793491200000000000,a,1,2\n1793491201500000000,a,3,4\n", ("nanoseconds",)),
    "unit in the name": ("arrival_time (ms),input_tokens,output_tokens\n10,1,2\n1510,3,4\n", ("milliseconds",)),
    "semicolons": ("timestamp;input tokens;output tokens\n1,5;1;2\n3,0;3;4\n", ("semicolons",)),
    "tabs": ("Timestamp\tprompt_len\toutput_len\n1.5\t1\t2\n3\t3\t4\n", ("tabs",)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_traces_as_they_are_published(tmp_path: Path, shape: str) -> None:
    content, notes = SHAPES[shape]
    path = tmp_path / "trace"
    path.write_text(content.replace("arrival_time (ms)", "arrival_time_ms") if shape == "unit in the name" else content)
    mapped = {"arrival_time_ms": "timestamp_s"} if shape == "unit in the name" else None
    trace = load_trace_csv(path, mapped)
    assert trace.time_s == pytest.approx([0, 1.5], abs=1e-6)
    assert trace.input_tokens.tolist() == [1, 3] and trace.output_tokens.tolist() == [2, 4]
    assert all(any(note in told for told in trace.notes) for note in notes), trace.notes


def test_a_trace_in_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(HEADER + "0,a,1,2\n1.5,b,3,4\n", encoding="utf-16")
    trace = load_trace_csv(path)
    assert trace.models == ("a", "b") and "UTF-16" in trace.notes[0]


def test_columns_are_named_by_a_map(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("when,asked,said\n0,1,2\n1.5,3,4\n")
    assert (
        load_trace_csv(path, {"when": "timestamp_s", "asked": "input_tokens", "said": "output_tokens"}).time_s[1] == 1.5
    )
    with pytest.raises(ValueError, match=r"no column 'whem' \(nearest valid: when\)"):
        load_trace_csv(path, {"whem": "timestamp_s"})


@pytest.mark.parametrize(
    ("stamps", "message"),
    [
        ("0,1e11", "line 3: timestamp_s 100000000000 alone makes the recording 3,169 years long"),
        ("1e9,1e9,1000000002,1000000004,5", "line 6: timestamp_s 5 alone"),
        ("2026-01-01 00:00:00,2026-01-01 00:00:05,1970-01-01 00:00:00", "line 4: timestamp_s 0 alone"),
    ],
)
def test_one_absurd_stamp_is_named(tmp_path: Path, stamps: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(HEADER + "".join(f"{stamp},a,1,1\n" for stamp in stamps.split(",")))
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        load_trace_csv(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"timestamp": 0}\n{"timestamp": \n', "line 2: is no JSON object a line"),
        ("[1, 2]", "line 1: is no object {column: value}"),
        ("a;b\n1;2;3\n", "line 2: 3 values, but the header has 2 columns"),
    ],
)
def test_a_broken_shape_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "trace"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        load_trace_csv(path)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not CONVERSATION.is_file(), reason=f"no trace at {CONVERSATION}")
def test_the_recorded_conversation_trace_drives_a_scenario() -> None:
    trace = load_trace_csv(CONVERSATION)
    assert len(trace.time_s) == 19_366 and trace.models == ("azure_conv",)
    factors = tape_world(world_of(str(CONVERSATION))).drawing.trace
    assert factors.shape == (int(trace.time_s[-1] // 60), 1)
    assert factors.mean() == pytest.approx(1) and 1.3 < factors.max() < 1.8
