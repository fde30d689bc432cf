"""Fit the network or the demand of a scenario to measurements, and write them as a fragment of a scenario file.

og-env calibrate rtt MATRIX.csv --out network.toml
og-env calibrate demand TRACE.csv --out demand.toml
og-env calibrate demand requests.csv --map when=timestamp_s read=input_tokens written=output_tokens

--map can give columns the meanings
  rtt: src, dst, rtt_ms, provider
  demand: timestamp_s, model, input_tokens, output_tokens; of rates: timestamp_s, requests_per_s, workload
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from og_agents.validation import demand_fit, distance_model_fit
from og_agents.validation.cluster_fit import STREAMS, UTILISATIONS
from og_env.errors import Parser, guarded, nearest_valid
from og_env.scenario.backbone import BackboneModel
from og_env.scenario.demand_trace import ALIASES as TRACE_ALIASES
from og_env.scenario.measured_rtt import ALIASES as RTT_ALIASES
from og_env.scenario.specs.quantities import MONTH_S
from og_env.scenario.text_files import write_text

MEANINGS = {"rtt": tuple(RTT_ALIASES), "demand": tuple(dict.fromkeys((*TRACE_ALIASES, *demand_fit.RATE_ALIASES)))}
"""by the thing to fit: meanings of columns that --map takes"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = parse(arguments)
    return guarded(lambda: run(options))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = Parser(__doc__, prog="og-env calibrate")
    parser.add_argument("what", choices=("rtt", "demand"), help="the distance model, or the demand model")
    parser.add_argument(
        "file",
        metavar="FILE",
        help="rtt: src,dst,rtt_ms, or provider,src,dst,rtt_ms, or a matrix; demand: timestamp_s,model,input_tokens,"
        "output_tokens, or rates timestamp_s,requests_per_s; CSV, JSON or JSON lines, headers of Azure, BurstGPT and others",
    )
    parser.add_argument("--workload", metavar="NAME", help="demand: which of the workloads in a file of rates")
    parser.add_argument("--step-s", metavar="SECONDS", type=float, help="demand: time between rates that have no times")
    parser.add_argument(
        "--map", nargs="+", action="extend", default=[], metavar="COLUMN=MEANING", help="what a column means, see above"
    )
    parser.add_argument("--out", metavar="FRAGMENT.toml", help="write the fragment there")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the fragment")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Fit, print the fragment or the result as JSON, and write the fragment where asked."""
    if options.what == "rtt" and (options.workload, options.step_s) != (None, None):
        flag = "--workload" if options.workload is not None else "--step-s"
        raise ValueError(f"{flag} goes with demand, not with rtt")
    if options.step_s is not None and not 0 < options.step_s <= MONTH_S:
        raise ValueError(f"--step-s {options.step_s:g}: must be above 0 and at most {MONTH_S:,.0f}")
    mapped = meanings(options.map, MEANINGS[options.what])
    if options.what == "rtt":
        result, lines = rtt(options.file, mapped)
    else:
        result, lines = demand(options.file, options.workload, mapped, options.step_s)
    text = "\n".join(lines) + "\n"
    if options.out is not None:
        write_text(options.out, text)
    print(json.dumps(result, allow_nan=False) if options.json else text, end="\n" if options.json else "")


def meanings(pairs: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """The map {column: meaning} of words COLUMN=MEANING; ValueError in one line with what can be mapped."""
    result: dict[str, str] = {}
    for pair in pairs:
        column, _, meaning = pair.rpartition("=")
        if not column or meaning not in known:
            near = nearest_valid(meaning, known) if column else ""
            raise ValueError(f"--map {pair}{near}: write COLUMN=MEANING; can be mapped: {', '.join(known)}")
        if meaning in result.values():
            raise ValueError(f"--map {pair}: another column is {meaning} already")
        result[column] = meaning
    return result


def rtt(path: str, mapped: dict[str, str] | None = None) -> tuple[dict[str, Any], list[str]]:
    """The best model of round trips for a matrix; where it has several providers, each tested on a fit to the others."""
    pairs = distance_model_fit.load_pairs(path, mapped)
    found = distance_model_fit.candidates(pairs)
    chosen = distance_model_fit.choose(found)
    model = found[chosen].model
    fit = distance_model_fit.fit_backbone if isinstance(model, BackboneModel) else distance_model_fit.fit_rtt
    described = model._asdict()
    if "pair_factors" in described:
        described["pair_factors"] = {"-".join(pair): value for pair, value in described["pair_factors"].items()}
    result = {
        "file": Path(path).name,
        "pairs": len(pairs.km),
        "unknown": list(pairs.unknown),
        "chosen": chosen,
        "model": described,
        "mape": found[chosen].mape,
        "mape_shipped": found[distance_model_fit.LINES_SHIPPED].mape,
        "candidates": {
            name: {
                "mape": candidate.mape,
                "left_out": candidate.left_out if math.isfinite(candidate.left_out) else None,
            }
            for name, candidate in found.items()
        },
        "mape_held_out": distance_model_fit.held_out(pairs, fit),
        "log_residual_sd": distance_model_fit.log_residual_sd(model, pairs),
    }
    lines = [
        f"# Round trips: {chosen}, the best of {len(found)} models on {result['pairs']:,} pairs of {result['file']}.",
        "# Mean absolute error on all pairs, and on fifths that the fit had not seen:",
        *(f"#   {name}: {candidate.mape:.1%}, {_share(candidate.left_out)}" for name, candidate in found.items()),
        f"# Taken is the least on unseen pairs that is not above the shipped lines' {result['mape_shipped']:.1%} on all; "
        f"log-residual sd {result['log_residual_sd']:.3f}.",
        *(
            f"# Fitted without {name}, tested on it: {share:.1%}."
            for name, share in result["mape_held_out"].items()
        ),
    ]  # fmt: skip
    if pairs.unknown:
        shown = ", ".join(pairs.unknown[:3]) + (", ..." if len(pairs.unknown) > 3 else "")
        lines.append(f"# {len(pairs.unknown)} names that the catalogue cannot place were left out: {shown}.")
    return result, lines + distance_model_fit.fragment(model)


def _share(error: float) -> str:
    return f"{error:.1%}" if math.isfinite(error) else "too few pairs"


def demand(
    path: str, workload: str | None, mapped: dict[str, str] | None = None, step_s: float | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The demand model fitted to requests or rates."""
    fit = demand_fit.fit_demand(path, workload, mapped, step_s)
    name = Path(path).name + (f", workload {workload}" if workload else "")
    what = f"{fit.requests:,} requests in {name}" if fit.requests else f"rates in {name}"
    lines = [f"# Demand fitted to {what}, {fit.span_h:.1f} h."]
    lines += [f"# {note[0].upper()}{note[1:]}." for note in fit.notes]
    if fit.peak_over_mean is not None:
        lines.append(f"# Peak over mean {fit.peak_over_mean:.2f} {'a minute' if fit.requests else 'a step'}.")
    lines += _wait_lines(fit)
    if fit.gap_cv is not None and fit.arrival_cv is not None and fit.clusters is None:
        lines.append(
            f"# Gaps between requests have a cv of {fit.gap_cv:.2f}; arrival_cv is that of counts of "
            f"{demand_fit.WINDOW_REQUESTS} requests, so that clusters show."
        )
    if fit.tokens is not None:
        t = fit.tokens
        lines.append(
            f"# Tokens, p50 and p99: in {t['input_p50']:.0f} and {t['input_p99']:.0f}, out {t['output_p50']:.0f} and "
            f"{t['output_p99']:.0f}; mean out {t['output_mean']:.1f}; correlation {t['correlation']:.2f}."
        )
    if fit.diurnal_error is not None:
        lines.append(
            f"# The diurnal curve is off by {fit.diurnal_error:.0%} of the mean rate on average; peak_hour is by the "
            f"file's own clock.{' The rest is burst.' if fit.burst_sd is not None else ''}"
        )
    elif fit.burst_sd is not None:
        lines.append("# Less than a day: all that changes between steps of 5 minutes counts as burst.")
    described = fit._asdict() | {"clusters": None if fit.clusters is None else fit.clusters._asdict()}
    return {"file": Path(path).name, "workload": workload} | described, lines + demand_fit.fragment(fit)


def _wait_lines(fit: demand_fit.DemandFit) -> list[str]:
    """How far a queue with these settings is off from the recording, request by request."""
    if fit.wait_error is None:
        return []
    queues = f"{min(STREAMS)} to {max(STREAMS)} streams and utilisation up to {max(UTILISATIONS)}"
    mean, worst = fit.wait_error
    if fit.clusters is None:
        return [f"# Mean waits of queues of {queues} are off by {mean:.0%} on average, {worst:.0%} at most."]
    cv, found = fit.arrival_cv or fit.gap_cv or 1.0, fit.clusters
    return [
        f"# Requests come in batches or clusters: with arrival_cv {cv:.2f} alone, mean waits of queues of {queues}",
        f"# would be off by {mean:.0%} on average, {worst:.0%} at most; with clusters by {found.mean_error:.0%}, "
        f"{found.max_error:.0%} at most.",
    ]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
