"""Recorded requests: a trace file as arrays, and as demand factors per step."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.scenario.csv_file import check_columns, number_in
from og_env.scenario.measurement_file import read_rows, renamed
from og_env.scenario.time_stamps import MOST_SPAN_S, in_seconds, parse_stamp

Floats = NDArray[np.float64]

COLUMNS = ("timestamp_s", "model", "input_tokens", "output_tokens")
ALIASES = {
    "timestamp_s": ("timestamp", "timestamp_ms", "time", "time_s", "time_ms", "arrived_at", "arrival_time", "arrival"),
    "model": ("model_or_app", "model_name", "app"),
    "input_tokens": (
        *("context_tokens", "request_tokens", "input_length", "prompt_tokens", "prompt_len", "num_prefill_tokens"),
        *("input_len", "prompt_length"),
    ),
    "output_tokens": (
        *("generated_tokens", "response_tokens", "output_length", "completion_tokens", "num_decode_tokens"),
        *("output_len", "completion_length"),
    ),
}
"""other names of the columns: Azure's, BurstGPT's, Mooncake's and those of serving logs"""
NEEDED = ("timestamp_s", "input_tokens", "output_tokens")
MILLISECONDS_WITH = "hash_ids"
"""a column that only Mooncake's traces have, whose times are milliseconds from their beginning"""
ONE_MODEL = "all"
"""name of the model where the file has no column for it"""
MOST_CELLS = 20_000_000
"""most steps times models of a trace"""
MOST_TOKENS = 1e8


class Trace(NamedTuple):
    """R requests in the order of time."""

    start_s: float
    """time stamp of the first request, as the file has it"""
    time_s: Floats
    """[R] time of each request since the first"""
    model: NDArray[np.int64]
    """[R] position of each request's model in `models`"""
    input_tokens: Floats
    """[R] length of each prompt"""
    output_tokens: Floats
    """[R] length of each answer"""
    models: tuple[str, ...]
    """names of the models, in the order of the file"""
    notes: tuple[str, ...] = ()
    """how the file was understood, where that is not plain"""


def load_trace_csv(path: str | Path, mapped: Mapping[str, str] | None = None) -> Trace:
    """The requests of a file with columns timestamp_s, input_tokens, output_tokens and, as a rule, model; or their ALIASES.

    Rows need no order; other columns are ignored. Times are seconds, or a finer unit or dates, which `notes` says;
    `mapped` has the meaning of columns by name. ValueError in one line, with the errors of `measurement_file.read_rows`,
    for a cell that is no number, negative tokens, fewer than two requests, and a stamp that is years from the others.
    """
    path = Path(path)
    return _load(str(path), path.stat().st_mtime_ns if path.is_file() else 0, tuple((mapped or {}).items()))


def step_factors(trace: Trace, step_s: float, models: Sequence[str]) -> Floats:
    """Requests in each step of the trace over their mean, [L, M]; a model that the trace does not name has the total's.

    L is the number of whole steps in the trace; what is left over is dropped. ValueError where the trace is shorter than
    a step.
    """
    span_s = float(trace.time_s[-1])
    if span_s > MOST_SPAN_S or span_s / step_s * len(models) > MOST_CELLS:
        raise ValueError(f"spans {span_s / 86_400:,.0f} days, too long for steps of {step_s:g} s")
    steps = int(span_s / step_s)
    if steps < 1:
        raise ValueError(f"spans {span_s:g} s, less than a step of {step_s:g} s")
    place = (trace.time_s / step_s).astype(np.int64)
    columns = [trace.model == trace.models.index(name) if name in trace.models else None for name in models]
    total = np.bincount(place[place < steps], minlength=steps)
    counts = [total if one is None else np.bincount(place[one & (place < steps)], minlength=steps) for one in columns]
    counts = [count if count.any() else total for count in counts]
    return np.stack([count / count.mean() for count in counts], axis=1)


@functools.lru_cache(maxsize=8)
def _load(name: str, changed_ns: int, mapped: tuple[tuple[str, str], ...] = ()) -> Trace:
    table = read_rows(name)
    columns, told = renamed(table, ALIASES, dict(mapped))
    if "model" in columns or "output_tokens" not in columns:
        check_columns(name, columns, COLUMNS)
    check_columns(name, columns, NEEDED)
    at = [columns.index(column) if column in columns else -1 for column in COLUMNS]
    names: dict[str, int] = {}
    stamps: list[tuple[int, float, bool]] = []
    numbers: list[tuple[int, float, float]] = []
    for line, row in table.rows:
        model = names.setdefault(row[at[1]] if at[1] >= 0 else ONE_MODEL, len(names))
        stamps.append((line, *parse_stamp(name, line, COLUMNS[0], row[at[0]])))
        tokens_in, tokens_out = (
            number_in(name, line, COLUMNS[i], row[at[i]], low=0.0, high=MOST_TOKENS) for i in (2, 3)
        )
        numbers.append((model, tokens_in, tokens_out))
    if len(numbers) < 2:
        raise ValueError(f"{name}: has {len(numbers)} requests; a trace needs at least 2")
    unit = "ms" if MILLISECONDS_WITH in columns else None
    times, notes = in_seconds(name, told.get("timestamp_s", "timestamp_s"), stamps, unit)
    if told:
        notes.insert(0, "columns: " + ", ".join(f"{column} is {meaning}" for meaning, column in told.items()))
    order = np.argsort(times, kind="stable")
    times, requests = times[order], np.array(numbers, np.float64)[order]
    return Trace(
        start_s=float(times[0]),
        time_s=times - times[0],
        model=requests[:, 0].astype(np.int64),
        input_tokens=requests[:, 1],
        output_tokens=requests[:, 2],
        models=tuple(names),
        notes=tuple(([f"read as {table.shape}"] if table.shape else []) + notes),
    )
