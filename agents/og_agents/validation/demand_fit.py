"""The demand model fitted to recorded requests or rates: burstiness, answer lengths, diurnal curve, slow bursts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_agents.validation import cluster_fit
from og_agents.validation.cluster_fit import Clusters
from og_env.scenario import catalog
from og_env.scenario.csv_file import number_in, raise_csv_error, separator_hint
from og_env.scenario.demand_trace import ALIASES, Trace, load_trace_csv
from og_env.scenario.measurement_file import read_rows, renamed
from og_env.scenario.time_stamps import in_seconds, parse_stamp

Floats = NDArray[np.float64]

STEP_S = 300.0
"""length of a step, within which arrivals have one rate"""
WINDOW_REQUESTS = 50
"""mean number of requests in a window over which arrivals are counted for arrival_cv: about the memory of a queue at
utilisation 0.85. Chosen, out of 2 to 200, for small errors of the queue on the two Azure traces of 2023, so not tested on
others."""
LEAST_WINDOWS = 20
DAY_S = 86_400.0
RATE_ALIASES = {
    "timestamp_s": ALIASES["timestamp_s"],
    "requests_per_s": ("agg_rps", "rps", "qps", "rate", "requests_per_second", "rate_rps"),
    "workload": (),
}
"""names that the columns of a file of rates may have"""
MOST_EMPTY = 0.05
"""share of steps without a request from which on the log of the rate, and gaps within steps, tell nothing"""
LEAST_REQUESTS = 200
"""requests from which on clusters are fitted"""
SMALL_ERROR = 0.20
"""largest error of the mean wait that arrival_cv may leave alone; where it leaves more, clusters are fitted"""


class Rates(NamedTuple):
    """Requests a second at L equally spaced moments."""

    start_s: float
    step_s: float
    rate_rps: Floats
    """[L]"""
    notes: tuple[str, ...] = ()
    """how the file was understood, where that is not plain"""


class DemandFit(NamedTuple):
    """Demand settings that a file supports; None where the file cannot tell one."""

    requests_per_s: float
    span_h: float
    requests: int | None = None
    gap_cv: float | None = None
    """coefficient of variation of the gaps between requests within steps"""
    arrival_cv: float | None = None
    """the root of the variance over the mean of requests in windows of WINDOW_REQUESTS: gap_cv where gaps are unrelated"""
    service_cv: float | None = None
    """coefficient of variation of the output tokens"""
    tokens: dict[str, float] | None = None
    """mean, p50 and p99 of input and output, and their correlation"""
    models: dict[str, tuple[float, float, float]] = {}
    """share, mean input tokens and mean output tokens of every model in the file"""
    peak_over_mean: float | None = None
    """per minute, or per step of rates"""
    diurnal_amplitude: float | None = None
    peak_hour: float | None = None
    """hour of the highest demand by the file's own clock"""
    diurnal_error: float | None = None
    """mean absolute error of the curve as a share of the mean rate"""
    burst_sd: float | None = None
    burst_memory_h: float | None = None
    clusters: Clusters | None = None
    """settings of batches and clusters, where arrival_cv alone leaves more than SMALL_ERROR"""
    wait_error: tuple[float, float] | None = None
    """mean and largest error of the mean wait that arrival_cv leaves alone, over the queues of `cluster_fit`"""
    notes: tuple[str, ...] = ()
    """how the file was understood, and what it cannot tell and why"""


def fit_demand(
    path: str | Path, workload: str | None = None, mapped: Mapping[str, str] | None = None, step_s: float | None = None
) -> DemandFit:
    """The fit to a trace (timestamp_s,model,input_tokens,output_tokens), or to rates (timestamp_s,requests_per_s).

    workload: which rates, where the file has a column of that name. mapped: meaning of columns by name. step_s: time
    between rates that come without times. ValueError in one line for a bad file.
    """
    table = read_rows(path)
    named = {column: meaning for column, meaning in (mapped or {}).items() if meaning in RATE_ALIASES}
    if "requests_per_s" not in renamed(table, RATE_ALIASES, named)[0]:
        if workload is not None or step_s is not None:
            flag = "--workload chooses among" if workload is not None else "--step-s goes with"
            raise ValueError(f"{path}: {flag} rates; this is a file of requests")
        trace = load_trace_csv(path, mapped)
        try:
            return fit_trace(trace)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    rates = load_rates_csv(path, workload, mapped, step_s)
    mean = float(rates.rate_rps.mean())
    fit = DemandFit(
        requests_per_s=mean,
        span_h=len(rates.rate_rps) * rates.step_s / 3600,
        peak_over_mean=float(rates.rate_rps.max()) / mean,
        notes=rates.notes,
    )
    return _with_slow(fit, rates, 0.0)


def fit_trace(trace: Trace) -> DemandFit:
    """The fit to recorded requests."""
    span_s = float(trace.time_s[-1])
    requests = len(trace.time_s)
    if span_s <= 0:
        raise ValueError("all requests have the same time stamp")
    counts = np.bincount((trace.time_s / STEP_S).astype(np.int64))[: int(span_s / STEP_S)]
    empty = float((counts == 0).mean()) if len(counts) else 0.0
    per_minute = np.bincount((trace.time_s / 60).astype(np.int64))[: max(1, int(span_s / 60))]
    read, out = trace.input_tokens, trace.output_tokens
    position = operational_time(trace, STEP_S)
    gaps = np.diff(position)
    models = {
        name: (float((own := trace.model == m).mean()), float(read[own].mean()), float(out[own].mean()))
        for m, name in enumerate(trace.models)
    }
    sparse = empty > MOST_EMPTY
    fit = DemandFit(
        requests_per_s=(requests - 1) / span_s,
        span_h=span_s / 3600,
        requests=requests,
        gap_cv=float(gaps.std() / gaps.mean()) if len(gaps) > 1 and gaps.mean() > 0 and not sparse else None,
        arrival_cv=None if sparse else dispersion_cv(position, max(1, len(counts))),
        service_cv=float(out.std() / out.mean()) if out.mean() > 0 else None,
        tokens=_tokens(trace),
        models=models,
        peak_over_mean=float(per_minute.max() / per_minute.mean()),
        notes=trace.notes,
    )
    if sparse:
        note = (
            f"{empty:.0%} of the steps of {STEP_S / 60:.0f} minutes have no request: too sparse for arrival_cv; "
            "replay the file with demand.trace_csv"
        )
        fit = fit._replace(notes=(*fit.notes, note))
    else:
        fit = _with_clusters(fit, trace, position)
    if len(counts) < 2:
        return fit
    return _with_slow(fit, Rates(trace.start_s, STEP_S, counts / STEP_S), 1 / counts.mean())


def _with_clusters(fit: DemandFit, trace: Trace, position: Floats) -> DemandFit:
    """The fit with batches and clusters, where a queue with arrival_cv alone is further off and these are nearer."""
    gap, service = np.diff(position, prepend=0.0), trace.output_tokens[: len(position)]
    if len(position) < LEAST_REQUESTS or gap.mean() <= 0 or service.mean() <= 0:
        return fit._replace(notes=(*fit.notes, f"fewer than {LEAST_REQUESTS} requests: clusters are not looked for"))
    cv = max(fit.arrival_cv or fit.gap_cv or 1.0, 0.01)
    waits = cluster_fit.played(gap, service)
    plain = cluster_fit.without(waits, cv)
    fit = fit._replace(wait_error=plain)
    if plain[1] <= SMALL_ERROR:
        return fit
    clusters = cluster_fit.fit(waits)
    return fit._replace(clusters=clusters) if clusters.mean_error < plain[0] else fit


def _with_slow(fit: DemandFit, rates: Rates, noise: float) -> DemandFit:
    """The fit with the diurnal curve and the bursts of rates, and with a note where empty steps hide the bursts."""
    empty = float((rates.rate_rps == 0).mean())
    fit = fit._replace(**_slow(rates, noise))
    if empty <= MOST_EMPTY:
        return fit
    note = f"{empty:.0%} of the steps have no request: their log has no spread, so burst_sd and burst_memory_h are not told"
    return fit._replace(burst_sd=None, burst_memory_h=None, notes=(*fit.notes, note))


def operational_time(trace: Trace, step_s: float) -> Floats:
    """Times of the requests on a clock by which each whole step has one request a second; later ones are left out.

    That takes out what changes from step to step: what is left is the burstiness within a step.
    """
    place = (trace.time_s / step_s).astype(np.int64)
    whole = max(1, int(trace.time_s[-1] / step_s))
    inside = place < whole
    place, time_s = place[inside], trace.time_s[inside]
    counts = np.bincount(place, minlength=whole)
    before = np.cumsum(counts) - counts
    return before[place] + (time_s / step_s - place) * counts[place]


def dispersion_cv(position: Floats, steps: int) -> float | None:
    """Root of the index of dispersion of requests in windows that hold WINDOW_REQUESTS on average; None if too few.

    That each of the steps was brought to its own mean takes a window's share of a step from the variance: it is put
    back.
    """
    windows, share = int(position[-1] / WINDOW_REQUESTS), WINDOW_REQUESTS * steps / len(position)
    if windows < LEAST_WINDOWS or share > 0.5:
        return None
    counts = np.bincount((position / WINDOW_REQUESTS).astype(np.int64))[:windows]
    return float(math.sqrt(counts.var(ddof=1) / counts.mean() / (1 - share)))


def _tokens(trace: Trace) -> dict[str, float]:
    result = {}
    for name, values in (("input", trace.input_tokens), ("output", trace.output_tokens)):
        result[f"{name}_mean"] = float(values.mean())
        result[f"{name}_p50"], result[f"{name}_p99"] = (float(v) for v in np.quantile(values, [0.5, 0.99]))
    spread = trace.input_tokens.std() * trace.output_tokens.std()
    covariance = np.cov(trace.input_tokens, trace.output_tokens, ddof=0)[0, 1]
    return result | {"correlation": float(covariance / spread) if spread > 0 else 0.0}


def _slow(rates: Rates, noise: float) -> dict[str, float]:
    """Diurnal curve and bursts of rates; noise: variance of the log rate that counting alone brings.

    The curve 1 + a cos(hour - peak) is that of least squares; without a whole day there is none and all is burst. The
    log of rate / curve has variance burst_sd^2 + noise, and its covariance falls by exp(-step / burst_memory).
    """
    rate = rates.rate_rps / rates.rate_rps.mean()
    curve, result = np.ones(len(rate)), {}
    if len(rate) * rates.step_s >= DAY_S * (1 - 1e-9):
        phase = 2 * np.pi * (rates.start_s + (np.arange(len(rate)) + 0.5) * rates.step_s) / DAY_S
        mean, cos, sin = np.linalg.lstsq(np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)], 1), rate)[0]
        amplitude = min(math.hypot(cos, sin) / float(mean), 1.0)
        peak = math.atan2(sin, cos)
        curve = 1 + amplitude * np.cos(phase - peak)
        result["diurnal_amplitude"], result["peak_hour"] = amplitude, (peak * 24 / (2 * math.pi)) % 24
        result["diurnal_error"] = float(np.mean(np.abs(curve - rate)))
    alive = (rate > 0) & (curve > 0.01)
    if not alive.any():
        return result
    rest = np.log(rate[alive] / curve[alive])
    rest = rest - rest.mean()
    variance = max(float(rest.var()) - noise, 0.0)
    result["burst_sd"] = math.sqrt(variance)
    neighbours = np.diff(np.flatnonzero(alive)) == 1
    pairs = (rest[1:] * rest[:-1])[neighbours]
    following = float(pairs.mean()) / variance if variance > 0 and len(pairs) else 0.0
    if 0 < following < 1:
        result["burst_memory_h"] = -rates.step_s / 3600 / math.log(following)
    return result


def load_rates_csv(
    path: str | Path, workload: str | None, mapped: Mapping[str, str] | None = None, step_s: float | None = None
) -> Rates:
    """The rates of one workload, in the order of time; without times they are `step_s` apart."""
    table = read_rows(path)
    columns, told = renamed(table, RATE_ALIASES, mapped)
    column = told.get("requests_per_s", "requests_per_s")
    if "timestamp_s" not in columns and step_s is None:
        hint = f"{separator_hint(columns)} (needs timestamp_s, {column})"
        raise_csv_error(str(path), f"no column 'timestamp_s'{hint}; say the time between rates alone with --step-s")
    if "timestamp_s" in columns and step_s is not None:
        raise ValueError(f"{path}: --step-s goes with rates without times; this file has a column of times")
    series: dict[str, list[tuple[int, float, bool]]] = {}
    values: dict[str, list[float]] = {}
    for line, row in table._replace(columns=columns).records(("requests_per_s",)):
        name = row.get("workload", "")
        stamps = series.setdefault(name, [])
        if step_s is None:
            stamps.append((line, *parse_stamp(str(path), line, "timestamp_s", row["timestamp_s"])))
        else:
            stamps.append((line, len(stamps) * step_s, False))
        values.setdefault(name, []).append(number_in(str(path), line, column, row["requests_per_s"], low=0.0))
    if workload is None and len(series) == 1:
        workload = next(iter(series))
    if workload not in series:
        named = "several workloads" if workload is None else f"no workload {workload!r}"
        raise ValueError(f"{path}: {named}; name one with --workload: {', '.join(series)}")
    times, notes = in_seconds(str(path), told.get("timestamp_s", "timestamp_s"), series[workload])
    order = np.argsort(times, kind="stable")
    times, rate = times[order], np.array(values[workload])[order]
    steps = np.diff(times)
    if len(rate) < 3 or rate.sum() <= 0 or steps.min() <= 0 or np.ptp(steps) > 1e-6 * steps.max():
        raise ValueError(f"{path}: needs three rates or more, not all 0, at equal steps of time")
    return Rates(float(times[0]), float(steps[0]), rate, tuple(notes))


def fragment(fit: DemandFit) -> list[str]:
    """Lines of TOML that a scenario takes; a comment names what the file cannot tell."""
    lines = []
    known = {name: values for name, values in fit.models.items() if name in catalog.models()}
    if known:
        entries = [
            f'    {{ name = "{name}", share = {share:.4f}, input_tokens = {read:.1f}, output_tokens = {max(written, 1):.1f} }},'
            for name, (share, read, written) in known.items()
        ]
        lines += ["models = [", *entries, "]", ""]
    lines.append("[demand]")
    lines.append(f"requests_per_s = {fit.requests_per_s:.4g}")
    for key, form in (
        ("diurnal_amplitude", ".3f"),
        ("peak_hour", ".2f"),
        ("burst_sd", ".3f"),
        ("burst_memory_h", ".3f"),
        ("arrival_cv", ".3f"),
        ("service_cv", ".3f"),
    ):
        value = _arrival_cv(fit) if key == "arrival_cv" else getattr(fit, key)
        if value is None:
            lines.append(f"# {key}: this file does not tell")
        else:
            text = f"{value:{form}}"
            lines.append(f"{key} = {'0.0' if key == 'peak_hour' and float(text) >= 24 else text}")
    if fit.clusters is not None:
        lines += [f"{name} = {value:.5g}" for name, value in fit.clusters.settings().items() if name != "arrival_cv"]
    if fit.tokens is not None and not known:
        means = (f"{kind}_tokens = {fit.tokens[f'{kind}_mean']:.1f}" for kind in ("input", "output"))
        lines.append(f"# {', '.join(means)} for the models of a scenario")
    return lines


def _arrival_cv(fit: DemandFit) -> float | None:
    """The setting of that name: beside clusters, of gaps unrelated, or of counts; None where the file does not tell."""
    if fit.clusters is not None:
        return fit.clusters.arrival_cv
    few = fit.requests is not None and fit.requests < LEAST_REQUESTS
    value = (None if few else fit.gap_cv) if fit.arrival_cv is None else fit.arrival_cv
    return None if value is None else max(value, 0.001)
