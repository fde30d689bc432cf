"""How wrong is it: the simulator against request-level simulation, measured round trips and closed forms.

og-env validate
og-env validate --json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from og_agents.evaluation.progress import Progress, add_progress_options, shown
from og_agents.validation import (
    distance_model_fit,
    failure_process,
    planner_honesty,
    queue_against_simulation,
    serving_against_simulation,
    thundering_herd,
)
from og_env.errors import Parser, guarded
from og_env.render.world_text import table
from og_env.scenario.backbone import BACKBONE
from og_env.scenario.demand_trace import Trace, load_trace_csv
from og_env.scenario.distance_model import SHIPPED

TRACES = {"conversation": "conv", "code": "code"}
"""recorded traces of Azure by the name of their arrivals"""
CHECKS = ("round trips", "failures", "queue", "first tokens", "refusals", "planner", "herds", "spread of incidents")
"""in the order in which they are made"""
STORES_GBPS = (1.0, 10.0)
"""speeds of the stores in the shipped worlds"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__, prog="og-env validate")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: seconds instead of minutes")
    parser.add_argument("--data", metavar="DIR", help="recorded data; a check whose file is not there is left out")
    add_progress_options(parser)
    options = parser.parse_args(arguments)
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    data = None if options.data is None else Path(options.data)
    if data is not None and not data.is_dir():
        raise ValueError(f"{data}: no such folder")
    with shown(options, len(CHECKS), "checks") as progress:
        result = validate(data, options.quick, progress)
    print(json.dumps(result, allow_nan=False) if options.json else text(result))


def validate(data: Path | None, quick: bool, progress: Progress | None = None) -> dict[str, Any]:
    """All checks as one JSON object; errors are shares, so 0.1 is 10 %."""
    begin = _announced(progress)
    skipped: dict[str, str] = {}
    begin()
    rtt = round_trips(existing(data, "rtt/cloud_interregion_rtt.csv", skipped))
    begin()
    failures = failure_process.check_failures()
    begin()
    traces = _traces(data, skipped)
    cells, fits = queue_against_simulation.check_queue(traces, quick)
    begin()
    waits = serving_against_simulation.check_waits(quick)
    begin()
    limits = serving_against_simulation.check_limits(quick)
    begin()
    honesty = planner_honesty.check_planner(quick)
    begin()
    herds = [thundering_herd.check_herd(gbps) for gbps in STORES_GBPS]
    begin()
    record = existing(data, "incidents/gcp_incidents.csv", skipped)
    return {
        "queue_poisson_max_error": queue_against_simulation.worst(cells),
        "rtt_mape": None if rtt is None else max(rtt["held_out_hubs"].values()),
        "joint_failure_max_z": failures.joint_max_z,
        "queue": {
            "claimed_up_to_utilisation": queue_against_simulation.CLAIMED_UP_TO,
            "mean_errors": queue_against_simulation.burstiness_gain(cells),
            "claimed": queue_against_simulation.claimed_errors(cells),
            "settings": {name: found.settings() for name, found in fits.items()},
            "second_half": {name: queue_against_simulation.second_half(trace) for name, trace in traces.items()},
            "cells": [cell._asdict() for cell in cells],
        },
        "serving": {
            "targets": serving_against_simulation.TARGETS,
            "objectives_s": serving_against_simulation.OBJECTIVES_S,
            "max_error": {
                "waits": serving_against_simulation.worst(waits),
                "limits": serving_against_simulation.worst(limits),
            },
            "waits": [cell._asdict() for cell in waits],
            "limits": [cell._asdict() for cell in limits],
        },
        "planner": {
            "horizon_steps": planner_honesty.HORIZON,
            "scenarios": [
                found._asdict() | {"forecast": found.forecast._asdict(), "truth": found.truth._asdict()}
                for found in honesty
            ],
        },
        "rtt": rtt,
        "herd": [herd._asdict() | {"error": herd.error} for herd in herds],
        "failures": failures._asdict(),
        "incident_spread": {
            "model": failure_process.spread_of_model()._asdict(),
            "record": None if record is None else failure_process.spread_of_record(record)._asdict(),
        },
        "skipped": skipped,
    }


def _announced(progress: Progress | None) -> Callable[[], None]:
    """A function to call before each check, in the order of CHECKS, which tells the progress of it."""
    begun = enumerate(CHECKS)

    def begin() -> None:
        at, name = next(begun)
        if progress is not None:
            progress.at(at, name)
            progress.tell(f"{name} ...")

    return begin


def existing(data: Path | None, name: str, skipped: dict[str, str]) -> Path | None:
    """The file, or None and a reason."""
    if data is not None and (data / name).is_file():
        return data / name
    skipped[name] = f"needs {name} in the folder of --data" if data is None else f"no file {data / name}"
    return None


def _traces(data: Path | None, skipped: dict[str, str]) -> dict[str, Trace]:
    """The recorded traces that are there, by name."""
    paths = {name: existing(data, f"traces/azure2023_{file}.csv", skipped) for name, file in TRACES.items()}
    return {name: load_trace_csv(path) for name, path in paths.items() if path is not None}


def round_trips(path: Path | None) -> dict[str, Any] | None:
    """Mean absolute percentage errors of both models, as shipped, and fitted on one provider and tested on the others."""
    if path is None:
        return None
    pairs = distance_model_fit.load_pairs(path)
    own = {
        name: distance_model_fit.select(pairs, pairs.provider == name) for name in sorted(set(pairs.provider.tolist()))
    }
    return {
        "pairs": {name: len(part.km) for name, part in own.items()},
        "shipped": {name: distance_model_fit.mape(SHIPPED, part) for name, part in own.items()},
        "held_out": distance_model_fit.held_out(pairs),
        "hubs": {name: distance_model_fit.mape(BACKBONE, part) for name, part in own.items()},
        "held_out_hubs": distance_model_fit.held_out(pairs, distance_model_fit.fit_backbone),
    }


def text(result: dict[str, Any]) -> str:
    """Tables of all checks, and the largest errors."""
    parts = [_queue_text(result["queue"]), _serving_text(result["serving"], "waits")]
    parts += [
        _serving_text(result["serving"], "limits"),
        _planner_text(result["planner"]),
        _rtt_text(result["rtt"]),
        _herd_text(result["herd"]),
    ]
    parts += [_failures_text(result["failures"]), _spread_text(result["incident_spread"])]
    worst, mape = result["queue_poisson_max_error"], result["rtt_mape"]
    lines = [
        f"queue, Poisson, up to utilisation {result['queue']['claimed_up_to_utilisation']}: largest error of the mean wait "
        f"{worst['mean']:.1%}, of the 95th percentile {worst['p95']:.1%}",
        *(_serving_line(result["serving"], kind) for kind in ("waits", "limits")),
        f"round trips, on the provider not fitted: {'left out' if mape is None else f'{mape:.1%}'}",
        f"joint failures: largest standard score {result['joint_failure_max_z']:.2f}",
        *(f"left out: {reason}" for reason in result["skipped"].values()),
    ]
    return "\n\n".join([*parts, "\n".join(lines)])


def _queue_text(queue: dict[str, Any]) -> str:
    header = ("arrivals", "c", "util", "wait", "simulated", "+-", "error", "without", "p95", "simulated", "+-", "error",
              "without")  # fmt: skip
    rows = [
        (
            cell["arrivals"],
            str(cell["streams"]),
            f"{cell['utilisation']:g}",
            f"{cell['flow_wait']:.4f}",
            f"{cell['wait']:.4f}",
            f"{cell['wait_ci']:.4f}",
            f"{cell['mean_error']:.1%}",
            f"{cell['mean_error_without']:.1%}",
            f"{cell['flow_p95']:.2f}",
            f"{cell['p95']:.2f}",
            f"{cell['p95_ci']:.2f}",
            f"{cell['p95_error']:.1%}",
            f"{cell['p95_error_without']:.1%}",
        )
        for cell in queue["cells"]
    ]
    means = [
        f"{name}, mean error of the wait {m['mean_error']:.1%} (without the burstiness term {m['mean_error_without']:.1%}), "
        f"of the 95th percentile {m['p95_error']:.1%} ({m['p95_error_without']:.1%})"
        for name, m in queue["mean_errors"].items()
    ]
    means += [
        f"{name}, up to utilisation {queue['claimed_up_to_utilisation']}: wait off by {e['average_mean']:.1%} on average, "
        f"{e['largest_mean']:.1%} at most; 95th percentile by {e['average_p95']:.1%}, {e['largest_p95']:.1%}"
        for name, e in queue["claimed"].items()
    ]
    means += [
        f"{name}, fitted: {', '.join(f'{setting} {value:.3g}' for setting, value in found.items())}"
        for name, found in queue["settings"].items()
    ]
    means += [
        f"{name}, fitted to the first half, waits of the second: off by {mean:.1%} on average, {largest:.1%} at most"
        for name, (mean, largest) in queue["second_half"].items()
    ]
    title = "QUEUE  mean wait and 95th percentile of the response in mean answers, c at once; flow model and simulation"
    return "\n".join([title, table(header, rows, right=range(1, 13)), *means])


SERVING_TITLES = {
    "waits": "FIRST TOKENS  one replica that refuses nobody; flow model and simulation, errors in brackets",
    "limits": "REFUSALS  replicas that take on what their limit allows; demand as a share of the limits",
}
"""by the key of the cells"""


def _serving_text(serving: dict[str, Any], kind: str) -> str:
    in_time = ("/".join(f"{objective_s:g}" for objective_s in serving["objectives_s"])) + " s"
    header = ("replicas", "c", "tries", "load", "mean s", "p95 s", "refused", "unserved", f"in time {in_time}")
    rows = [
        (
            str(cell["replicas"]),
            str(cell["streams"]),
            str(cell["tries"]),
            f"{cell['load']:g}",
            f"{cell['flow_mean_s']:.2f} {cell['mean_s']:.2f} ({cell['mean_error']:.0%})",
            f"{cell['flow_p95_s']:.2f} {cell['p95_s']:.2f} ({cell['p95_error']:.0%})",
            f"{cell['flow_refused']:.1%} {cell['refused']:.1%}",
            f"{cell['flow_unserved']:.1%} {cell['unserved']:.1%}",
            f"{_percents(cell['flow_in_time'])} {_percents(cell['in_time'])} %",
        )
        for cell in serving[kind]
    ]
    return "\n".join([SERVING_TITLES[kind], table(header, rows, right=range(9))])


def _percents(shares: Sequence[float]) -> str:
    return "/".join(f"{100 * share:.0f}" for share in shares)


def _serving_line(serving: dict[str, Any], kind: str) -> str:
    worst = serving["max_error"][kind]
    told = [
        f"{name.replace('_', ' ')} {error:.1%}{'' if error <= serving['targets'][name] else ' *'}"
        for name, error in worst.items()
    ]
    return f"{SERVING_TITLES[kind].split('  ')[0].lower()}, largest errors (* above target): {', '.join(told)}"


def _planner_text(planner: dict[str, Any]) -> str:
    rows = [
        (
            found["scenario"],
            f"{found['states']:,}",
            f"{found['offers']:,}",
            f"{found['mean_size']:.4f}",
            *(text for side in ("forecast", "truth") for text in _agreement_texts(found[side])),
        )
        for found in planner["scenarios"]
    ]
    header = ("scenario", "states", "offers", "mean gain", *2 * ("rank", "in state", "error", "bias"))
    title = (
        f"PLANNER  nominal gains of offers against simulated ones over {planner['horizon_steps']} steps, reward per step: "
        "on the forecast, and on the truth"
    )
    return title + "\n" + table(header, rows, right=range(1, 12))


def _agreement_texts(agreement: dict[str, Any]) -> list[str]:
    ranks = [agreement[name] for name in ("rank_correlation", "rank_correlation_in_state")]
    sizes = [f"{agreement['mean_absolute_error']:.4f}", f"{agreement['bias']:+.4f}"]
    return ["-" if rank is None else f"{rank:.2f}" for rank in ranks] + sizes


def _rtt_text(rtt: dict[str, Any] | None) -> str:
    if rtt is None:
        return "ROUND TRIPS  left out"
    return "ROUND TRIPS  mean absolute percentage error\n" + table(*rtt_rows(rtt), right=range(1, 6))


RTT_HEADER = (
    "provider",
    "pairs",
    "lines, shipped",
    "lines, fitted to the other",
    "hubs, shipped",
    "hubs, fitted to the other",
)


def rtt_rows(rtt: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of the table of round trips; `round_trips` makes its figures."""
    sides = ("shipped", "held_out", "hubs", "held_out_hubs")
    rows = [
        (name, f"{rtt['pairs'][name]:,}", *(f"{rtt[side].get(name, float('nan')):.1%}" for side in sides))
        for name in rtt["pairs"]
    ]
    return RTT_HEADER, rows


def _herd_text(herds: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            f"{h['store_gbps']:g}",
            f"{h['alone_s']:.1f}",
            f"{h['together_s']:.1f}",
            str(h["fetches"]),
            f"{h['error']:.2%}",
        )
        for h in herds
    ]
    header = ("store Gb/s", "one fetch s", "all s", "fetches", "off from all x one")
    return "THUNDERING HERD  fetches that begin together at one store\n" + table(header, rows, right=range(5))


def _failures_text(failures: dict[str, Any]) -> str:
    rows = [
        ("share of time down, by site", f"{failures['down_max_z']:.2f}"),
        ("outages that begin, by site", f"{failures['onset_max_z']:.2f}"),
        ("durations: up in two rows 1 to 24 h apart, by site", f"{failures['duration_max_z']:.2f}"),
        ("down together, by pair", f"{failures['joint_max_z']:.2f}"),
    ]
    title = (
        f"FAILURES  {failures['site_hours']:,.0f} site hours against closed forms; of {failures['comparisons']} standard "
        f"scores none exceeds {failures['limit_z']:.2f} with probability {1 - failure_process.ERROR_PROBABILITY:.1%}"
    )
    more = (
        f"the most related pair is down together {failures['largest_joint_ratio']:.1f} times as often as if independent"
    )
    return title + "\n" + table(("largest score of", "z"), rows, right=(1,)) + "\n" + more


def _spread_text(spread: dict[str, Any]) -> str:
    rows = [
        (name, f"{s['incidents']:,.1f}", f"{s['one']:.0%}", f"{s['many']:.0%}")
        for name, s in (("model, a year", spread["model"]), ("record 2016-2022", spread["record"]))
        if s is not None
    ]
    many = f"{failure_process.MANY_LOCATIONS} or more"
    return "SPREAD OF INCIDENTS  of one cloud (GCP)\n" + table(
        ("", "incidents", "one location", many), rows, right=(1, 2, 3)
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
