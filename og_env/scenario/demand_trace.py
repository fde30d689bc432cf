"""Recorded requests: a trace file as arrays, and as demand factors per step."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.scenario.csv_file import number_in, raise_csv_error, read_csv

Floats = NDArray[np.float64]

COLUMNS = ("timestamp_s", "model", "input_tokens", "output_tokens")
MODEL_COLUMNS = ("model", "model_or_app")
"""names of the model column, either of which is understood"""
MOST_SPAN_S = 3660 * 86_400.0
"""longest trace, ten years"""
MOST_CELLS = 20_000_000
"""most steps times models of a trace"""
MOST_TOKENS, MOST_STAMP_S = 1e8, 1e15


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


def load_trace_csv(path: str | Path) -> Trace:
    """The requests of a CSV with columns timestamp_s, model (or model_or_app), input_tokens, output_tokens.

    Rows need no order; other columns are ignored. ValueError in one line, with the errors of `csv_file.read_csv`, for a cell
    that is no number, negative tokens and fewer than two requests.
    """
    path = Path(path)
    return _load(str(path), path.stat().st_mtime_ns if path.is_file() else 0)


def step_factors(trace: Trace, step_s: float, models: Sequence[str]) -> Floats:
    """Requests in each step of the trace over their mean, [L, M]; a model that the trace does not name has the total's.

    L is the number of whole steps in the trace; what is left over is dropped. ValueError where the trace is shorter than
    a step.
    """
    span_s = float(trace.time_s[-1])
    if span_s > MOST_SPAN_S or span_s / step_s * len(models) > MOST_CELLS:
        unit = "; are its times in seconds?" if span_s > MOST_SPAN_S else ""
        raise ValueError(f"spans {span_s / 86_400:,.0f} days, too long for steps of {step_s:g} s{unit}")
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
def _load(name: str, changed_ns: int) -> Trace:
    model_column = next((column for column in MODEL_COLUMNS if column in read_csv(name).columns), "model")
    wanted = [model_column if column == "model" else column for column in COLUMNS]
    table = read_csv(name, wanted)
    at = [table.columns.index(column) for column in wanted]
    names: dict[str, int] = {}
    numbers: list[tuple[float, int, float, float]] = []
    for line, row in table.rows:
        cells = [row[i] for i in at]
        model = names.setdefault(cells[1], len(names))
        time_s = number_in(name, line, COLUMNS[0], cells[0])
        if abs(time_s) > MOST_STAMP_S:
            raise_csv_error(name, f"timestamp_s {cells[0][:40]} is no time in seconds", line)
        tokens_in, tokens_out = (number_in(name, line, COLUMNS[i], cells[i], low=0.0, high=MOST_TOKENS) for i in (2, 3))
        numbers.append((time_s, model, tokens_in, tokens_out))
    if len(numbers) < 2:
        raise ValueError(f"{name}: has {len(numbers)} requests; a trace needs at least 2")
    numbers.sort(key=lambda request: request[0])
    requests = np.array(numbers, np.float64)
    return Trace(
        start_s=float(requests[0, 0]),
        time_s=requests[:, 0] - requests[0, 0],
        model=requests[:, 1].astype(np.int64),
        input_tokens=requests[:, 2],
        output_tokens=requests[:, 3],
        models=tuple(names),
    )
