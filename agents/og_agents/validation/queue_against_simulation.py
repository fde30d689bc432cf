"""The flow model's waits and percentiles against a request-level simulation of the same step.

The flow side is the environment itself: one replica at one site, one step, its metrics. The simulation gets the same
utilisation, streams and answer times. Errors are relative: of the mean wait for a stream (where that is under FLOOR of
an answer, of FLOOR of an answer: a wait nobody notices), and of the 95th percentile of the whole response.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_agents.validation import cluster_fit
from og_agents.validation.cluster_fit import Clusters
from og_agents.validation.demand_fit import STEP_S, dispersion_cv, operational_time
from og_agents.validation.queue_simulation import Waits, simulate, summary
from og_env.scenario import loading
from og_env.scenario.demand_trace import Trace
from og_env.simulator import CALM_SPEED, METRICS, Settings, Simulator

Floats = NDArray[np.float64]

STREAMS = (1, 2, 4, 8, 16)
UTILISATIONS = (0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95)
QUICK_STREAMS, QUICK_UTILISATIONS = (1, 4), (0.5, 0.85)
CLAIMED_UP_TO = 0.85
"""utilisation up to which the errors are bounded"""
FLOOR = 0.01
SERVICE_CV = 0.8
BURSTY_CV = 2.0
"""coefficient of variation of the gaps of made-up bursty arrivals (gamma)"""
REQUESTS = 700_000
"""requests of a Poisson run at utilisation 0.7 and above; below that it has a third of them"""
TRACE_RUNS = 10
"""number of times that a trace is played, each time with its answers in another order"""
SEED = 20_251_020
ORDER = ("poisson", "bursty", "batches", "conversation", "code")
BATCH = 10
"""requests of a made-up batch; batches come at equal times, the hardest case"""


class Flow(NamedTuple):
    """Waits and percentiles of one replica in the environment at U utilisations, in seconds."""

    service_s: float
    network_s: float
    wait_s: Floats
    p95_s: Floats
    """[U]"""


class Cell(NamedTuple):
    """One comparison; waits and responses in units of the mean answer."""

    arrivals: str
    streams: int
    utilisation: float
    flow_wait: float
    flow_p95: float
    wait: float
    wait_ci: float
    p95: float
    p95_ci: float
    mean_error: float
    p95_error: float
    mean_error_without: float
    p95_error_without: float
    """errors with a burstiness term of 1 instead of (ca^2 + cs^2) / 2"""
    requests: int


class Load(NamedTuple):
    """Arrivals and answers of R requests, both of mean 1."""

    name: str
    gap: Floats
    service: Floats
    arrival_cv: float
    service_cv: float
    clusters: Clusters | None = None
    """settings of batches and clusters, with the arrival_cv beside them"""

    def settings(self) -> dict[str, float]:
        """The demand settings of a scenario with such arrivals and answers."""
        uneven = {"arrival_cv": self.arrival_cv, "service_cv": self.service_cv}
        if self.clusters is None:
            return uneven
        return uneven | self.clusters.settings()


def flow(streams: int, utilisations: Sequence[float], *, burstiness: bool = True, **settings: float) -> Flow:
    """One step of the environment in which one replica has these utilisations.

    settings: arrival_cv, service_cv and others of a scenario's demand. Without burstiness, the term of arrivals and answers
    is 1 and there are no batches or clusters.
    """
    settings = {"arrival_cv": 1.0, "service_cv": 1.0} | settings
    cv2 = settings["arrival_cv"] ** 2 + settings["service_cv"] ** 2
    tables = loading.load("toy-3").model_dump()
    tables["models"] = [tables["models"][0] | {"streams": streams, "parallel_prefills": streams}]
    plain = {name: settings[name] for name in ("arrival_cv", "service_cv")}
    tables["demand"] |= settings if burstiness else plain
    tables["network"] |= {"utilisation_limit": 0.999}
    simulator = Simulator(tables, len(utilisations), Settings("placement", "operations", True, 2, "test", 0.0))
    world = simulator.world
    for b in range(len(utilisations)):
        simulator.load_episode(b, b)
    home = int(np.argmax(world.start_phase[0, 0]))
    wanted_rps = np.array(utilisations) * float(world.capacity_rps[0, 0, home])
    simulator.tape.regional[:, :, 0] = (wanted_rps / float(world.base_rps[0].sum()))[:, None]
    simulator.tape.condition[:] = CALM_SPEED
    if not burstiness:
        world.queue_s[:] /= cv2 / 2
    simulator.start(np.arange(len(utilisations)))
    simulator.advance(np.zeros(len(utilisations), np.int64))
    metrics: dict[str, Floats] = dict(zip(METRICS, simulator.output.metrics.T.astype(np.float64), strict=True))
    if np.abs(metrics["utilisation"] - utilisations).max() > 1e-4:
        raise RuntimeError(f"the replica has utilisations {metrics['utilisation']}, not {utilisations}")
    service_s = float(world.service_s[0, 0, home])
    network_s = float(world.rtt_user_ms[0, 0, home] + world.rtt_ms[0, home, home]) / 1000
    simulator.close()
    wait_s = metrics["latency_mean_ms"] / 1000 - network_s - service_s
    return Flow(service_s, network_s, wait_s, metrics["latency_p95_ms"] / 1000)


def poisson(rng: np.random.Generator, requests: int) -> Load:
    """Load with exponential gaps and lognormal answers."""
    return Load("poisson", rng.exponential(size=requests), answers(rng, requests), 1.0, SERVICE_CV)


def bursty(rng: np.random.Generator, requests: int) -> Load:
    """Load with gamma gaps and lognormal answers."""
    shape = 1 / BURSTY_CV**2
    gap = rng.gamma(shape, 1 / shape, requests)
    return Load("bursty", gap, answers(rng, requests), BURSTY_CV, SERVICE_CV)


def answers(rng: np.random.Generator, requests: int) -> Floats:
    """Lognormal lengths [R] of answers with mean 1 and coefficient of variation SERVICE_CV."""
    variance = math.log(1 + SERVICE_CV**2)
    return np.exp(math.sqrt(variance) * rng.standard_normal(requests) - variance / 2)


def batches(rng: np.random.Generator, requests: int) -> Load:
    """Load with BATCH requests at once, at equal times, and lognormal answers."""
    gap, service = np.zeros(requests), answers(rng, requests)
    gap[BATCH - 1 :: BATCH] = BATCH
    return Load("batches", gap, service, 1.0, SERVICE_CV, fitted(gap, service))


def fitted(gap: Floats, service: Floats) -> Clusters:
    """The settings of batches and clusters for arrivals `gap` apart with answers `service` [R]."""
    return cluster_fit.fit(cluster_fit.played(gap, service))


def recorded(
    trace: Trace, name: str, rng: np.random.Generator, runs: int = TRACE_RUNS, clusters: Clusters | None = None
) -> Load:
    """Load of a trace played several times: its arrivals, each step of 300 s brought to the same rate, and its answers."""
    position, gap, service = arrivals(trace)
    steps = max(1, int(trace.time_s[-1] / STEP_S))
    cv = dispersion_cv(position, steps)
    if cv is None:
        raise ValueError(f"the trace {name} has too few requests")
    services = np.concatenate([service[rng.permutation(len(service))] for _ in range(runs)])
    return Load(name, np.tile(gap / gap.mean(), runs), services, cv, float(service.std()), clusters)


def arrivals(trace: Trace) -> tuple[Floats, Floats, Floats]:
    """Operational times, gaps and answers (of mean 1) of the requests in whole steps of 300 s."""
    position = operational_time(trace, STEP_S)
    gap = np.diff(position, prepend=0.0)
    service = trace.output_tokens[: len(gap)] / trace.output_tokens[: len(gap)].mean()
    return position, gap, service


def second_half(trace: Trace) -> tuple[float, float]:
    """Mean and largest error of waits in the second half of a trace, with the settings fitted to the first."""
    _, gap, service = arrivals(trace)
    half = len(gap) // 2
    found = fitted(gap[:half], service[:half])
    waits = cluster_fit.played(gap[half:], service[half:], generator("half"))
    off = cluster_fit.errors(np.array([list(found.settings().values())]), waits)
    return float(off.mean()), float(off.max())


def compare(load: Load, streams: int, utilisations: Sequence[float]) -> list[Cell]:
    """Compare the flow model with the simulation of a load at these utilisations."""
    with_term, without = (flow(streams, utilisations, burstiness=on, **load.settings()) for on in (True, False))
    cells = []
    for u, utilisation in enumerate(utilisations):
        gap_s = load.gap * with_term.service_s / (streams * utilisation)
        service_s = load.service * with_term.service_s
        found = summary(simulate(gap_s, service_s, streams), service_s)
        errors = [errors_of(side, u, found) for side in (with_term, without)]
        unit = with_term.service_s
        cells.append(
            Cell(
                arrivals=load.name,
                streams=streams,
                utilisation=utilisation,
                flow_wait=float(with_term.wait_s[u]) / unit,
                flow_p95=float(with_term.p95_s[u] - with_term.network_s) / unit,
                wait=found.mean_s / unit,
                wait_ci=found.mean_error_s / unit,
                p95=found.p95_s / unit,
                p95_ci=found.p95_error_s / unit,
                mean_error=errors[0][0],
                p95_error=errors[0][1],
                mean_error_without=errors[1][0],
                p95_error_without=errors[1][1],
                requests=found.requests,
            )
        )
    return cells


def errors_of(side: Flow, u: int, found: Waits) -> tuple[float, float]:
    """Relative errors of the mean wait and of the 95th percentile of the response, network included."""
    mean = abs(float(side.wait_s[u]) - found.mean_s) / max(found.mean_s, FLOOR * side.service_s)
    p95 = found.p95_s + side.network_s
    return mean, abs(float(side.p95_s[u]) - p95) / p95


def check_queue(traces: Mapping[str, Trace], quick: bool = False) -> tuple[list[Cell], dict[str, Clusters]]:
    """All comparisons: Poisson, bursty, batches, and the recorded traces by name; quick: a few of them, shorter.

    Beside them the fitted settings by the name of the arrivals.
    """
    cells: list[Cell] = []
    utilisations = QUICK_UTILISATIONS if quick else UTILISATIONS
    runs = 2 if quick else TRACE_RUNS
    batched = batches(generator("batches"), REQUESTS // 10)
    fits = {name: fitted(*arrivals(trace)[1:]) for name, trace in traces.items()}
    for streams in QUICK_STREAMS if quick else STREAMS:
        for utilisation in utilisations:
            requests = (REQUESTS if utilisation >= 0.7 else REQUESTS // 3) // (4 if quick else 1)
            cells += compare(poisson(generator("poisson", streams, utilisation), requests), streams, [utilisation])
            if utilisation not in (0.8, 0.9):
                load = bursty(generator("bursty", streams, utilisation), requests // 3)
                cells += compare(load, streams, [utilisation])
        cells += compare(batched, streams, utilisations)
        for name, trace in traces.items():
            load = recorded(trace, name, generator("trace", streams), runs, fits[name])
            cells += compare(load, streams, utilisations)
    if batched.clusters is not None:
        fits = {batched.name: batched.clusters, **fits}
    return sorted(cells, key=lambda cell: (ORDER.index(cell.arrivals), cell.streams, cell.utilisation)), fits


def generator(*key: Any) -> np.random.Generator:
    """Random generator of its own for each key."""
    return np.random.default_rng([SEED, zlib.crc32(repr(key).encode())])


def worst(cells: Sequence[Cell]) -> dict[str, float]:
    """Largest errors on Poisson arrivals up to CLAIMED_UP_TO."""
    claimed = [cell for cell in cells if cell.arrivals == "poisson" and cell.utilisation <= CLAIMED_UP_TO]
    return {"mean": max(cell.mean_error for cell in claimed), "p95": max(cell.p95_error for cell in claimed)}


def claimed_errors(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """Mean and largest errors up to CLAIMED_UP_TO, by kind of arrivals."""
    result = {}
    for name in ORDER:
        own = [cell for cell in cells if cell.arrivals == name and cell.utilisation <= CLAIMED_UP_TO]
        if own:
            result[name] = {
                f"{key}_{what}": float(how([getattr(cell, f"{what}_error") for cell in own]))
                for key, how in (("average", np.mean), ("largest", np.max))
                for what in ("mean", "p95")
            }
    return result


def burstiness_gain(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """Mean errors over the cells of each kind of arrivals, with the burstiness term and without."""
    result = {}
    for name in ORDER:
        own = [cell for cell in cells if cell.arrivals == name]
        if own:
            keys = ("mean_error", "mean_error_without", "p95_error", "p95_error_without")
            result[name] = {key: float(np.mean([getattr(cell, key) for cell in own])) for key in keys}
    return result
