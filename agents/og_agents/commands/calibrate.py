"""Fit the network or the demand of a scenario to measurements, and write them as a fragment of a scenario file.

og-env calibrate rtt MATRIX.csv --out network.toml
og-env calibrate demand TRACE.csv --out demand.toml
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from og_agents.validation import demand_fit, distance_model_fit
from og_env.errors import Parser, guarded
from og_env.scenario.distance_model import SHIPPED
from og_env.scenario.text_files import write_text


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
        help="rtt: src,dst,rtt_ms, or provider,src,dst,rtt_ms; demand: timestamp_s,model,input_tokens,output_tokens, "
        "or rates timestamp_s,requests_per_s",
    )
    parser.add_argument("--workload", metavar="NAME", help="demand: which of the workloads in a file of rates")
    parser.add_argument("--out", metavar="FRAGMENT.toml", help="write the fragment there")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the fragment")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Fit, print the fragment or the result as JSON, and write the fragment where asked."""
    if options.what == "rtt" and options.workload is not None:
        raise ValueError("--workload goes with demand, not with rtt")
    result, lines = rtt(options.file) if options.what == "rtt" else demand(options.file, options.workload)
    text = "\n".join(lines) + "\n"
    if options.out is not None:
        write_text(options.out, text)
    print(json.dumps(result, allow_nan=False) if options.json else text, end="\n" if options.json else "")


def rtt(path: str) -> tuple[dict[str, Any], list[str]]:
    """The distance model fitted to a matrix; where it has several providers, each tested on a fit to the others."""
    pairs = distance_model_fit.load_pairs(path)
    model = distance_model_fit.fit_rtt(pairs)
    result = {
        "file": Path(path).name,
        "pairs": len(pairs.km),
        "unknown": list(pairs.unknown),
        "model": model._asdict() | {"pair_factors": {"-".join(k): v for k, v in model.pair_factors.items()}},
        "mape": distance_model_fit.mape(model, pairs),
        "mape_shipped": distance_model_fit.mape(SHIPPED, pairs),
        "mape_held_out": distance_model_fit.held_out(pairs),
        "log_residual_sd": distance_model_fit.log_residual_sd(model, pairs),
    }
    lines = [
        f"# Distance model fitted to {result['pairs']:,} pairs of {result['file']}, least absolute relative deviations.",
        f"# Mean absolute error {result['mape']:.1%} (the shipped model's: {result['mape_shipped']:.1%}); "
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


def demand(path: str, workload: str | None) -> tuple[dict[str, Any], list[str]]:
    """The demand model fitted to requests or rates."""
    fit = demand_fit.fit_demand(path, workload)
    name = Path(path).name + (f", workload {workload}" if workload else "")
    what = f"{fit.requests:,} requests in {name}" if fit.requests else f"rates in {name}"
    lines = [f"# Demand fitted to {what}, {fit.span_h:.1f} h."]
    if fit.peak_over_mean is not None:
        lines.append(f"# Peak over mean {fit.peak_over_mean:.2f} {'a minute' if fit.requests else 'a step'}.")
    if fit.gap_cv is not None and fit.arrival_cv is not None:
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
            "file's own clock. The rest is burst."
        )
    elif fit.burst_sd is not None:
        lines.append("# Less than a day: all that changes between steps of 5 minutes counts as burst.")
    return {"file": Path(path).name, "workload": workload} | fit._asdict(), lines + demand_fit.fragment(fit)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
