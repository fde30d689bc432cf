"""How fast the environment is, beside CartPole, a NumPy version of itself and a learner, or beside another checkout.

python scripts/bench_speed.py --repetitions 7
python scripts/bench_speed.py --against ../og_env-before --record configs/benchmarks/speed.json
python scripts/bench_speed.py --record configs/benchmarks/releases/0.1.0.json
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from og_agents.learning import run_record
from og_agents.validation import speed, speed_comparison, speed_history
from og_env.errors import Parser, guarded
from og_env.scenario.text_files import write_text

RELEASES = Path(__file__).resolve().parents[1] / "configs" / "benchmarks" / "releases"
"""a record for each release and kind of machine"""
SITES = (64, 128, 256, 512, 1024)
PROPOSAL_SITES = (64, 128, 256, 512)
BATCH, LARGE_BATCH = 1024, 128
EPISODE = 288
TARGETS = {
    "single_64_vs_cartpole": (1.0, "at least"),
    "single_16_vs_cartpole": (2.0, "at least"),
    "vector_64_vs_oracle": (6, "at least"),
    "threads_2_vs_1_64": (1.7, "at least"),
    "threads_2_vs_1_512": (1.7, "at least"),
    "vector_64_steps_per_s": (500_000, "at least"),
    "exponent_sites": (1.0, "at most"),
    "ppo_env_share": (0.10, "at most"),
    "proposals_24_steps_per_s": (25_000, "at least"),
    "proposals_64_steps_per_s": (8_000, "at least"),
    "exponent_proposals": (1.5, "at most"),
    "first_step_cached_s": (0.6, "at most"),
    "first_step_ever_s": (15, "at most"),
    "bytes_per_env_64": (18_000, "at most"),
    "tape_bytes_64": (82_496, "at most"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__)
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="of every case (default: 5)")
    parser.add_argument("--quick", action="store_true", help="short cases: to see that it runs, not to quote")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--record", type=Path, metavar="FILE", help="also keep the figures, with commit and processor")
    parser.add_argument("--against", type=Path, metavar="DIR", help="compare with another checkout instead, in turns")
    options = parser.parse_args(arguments)
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if options.repetitions < 1:
        raise ValueError(f"--repetitions is {options.repetitions}; it must be 1 or more")
    shrink = 10 if options.quick else 1
    if options.against:
        compared = speed_comparison.compare(options.against, options.repetitions, shrink)
        result, text = {name: one._asdict() for name, one in compared.items()}, speed_comparison.table(compared)
    else:
        result = measure(options.repetitions, shrink)
        text = table(result)
        if not options.quick:
            warn(RELEASES, result)
    if options.record:
        write_record(options.record, result, options.against)
    print(json.dumps(result, indent=2) if options.json else text)


def warn(folder: Path, figures: Mapping[str, float]) -> None:
    """Say on standard error which figures are worse than those of the last release on this kind of machine."""
    record = speed_history.latest(folder, speed.processor(), figures["cores"])
    if record is None:
        print(f"no release is recorded for {speed.processor()}, {figures['cores']:.0f} cores", file=sys.stderr)
        return
    for loss in speed_history.losses(record, figures):
        print(f"{loss} ({record.stem})", file=sys.stderr)


def write_record(path: Path, figures: Mapping[str, Any], against: Path | None = None) -> None:
    """Keep the figures with what they depend on; `against` is the checkout that they compare with."""
    facts = {
        "commit": run_record.commit(),
        "against": run_record.commit(against) if against else None,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": speed.processor(),
        "versions": run_record.versions(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(facts | {"figures": figures}, indent=2) + "\n")


def measure(repetitions: int, shrink: int = 1) -> dict[str, float]:
    """All figures by name; `shrink` divides the length of the cases."""
    figures = step_figures(repetitions, shrink)
    figures |= thread_figures(repetitions, shrink)
    figures |= site_figures(repetitions, shrink)
    figures |= proposal_figures(repetitions, shrink)
    figures |= speed.ppo_figures("global-64", 64, max(8 // shrink, 1))
    size = speed.bytes_per_env("global-64")
    figures |= {"bytes_per_env_64": size["state"], "mask_bytes_64": size["mask"], "tape_bytes_64": size["tape"]}
    figures["first_step_cached_s"] = sorted(speed.first_step_s(compiled=True) for _ in range(3))[1]
    if shrink == 1:
        figures["first_step_ever_s"] = speed.first_step_s(compiled=False)
    return figures | {"cores": float(os.cpu_count() or 1)}


def step_figures(repetitions: int, shrink: int) -> dict[str, float]:
    """Single and vector environments beside CartPole and the NumPy reference."""
    cases = [speed.cartpole_case(20_000 // shrink), speed.cartpole_vector_case(2_000 // shrink)]
    for sites, steps in ((16, 8_000), (64, 4_000), (512, 600)):
        cases.append(speed.single_case(f"single {sites}", f"global-{sites}", steps // shrink))
        cases.append(speed.single_case(f"flat {sites}", f"global-{sites}", steps // shrink, flatten=True))
    cases.append(speed.vector_case("vector 64", "global-64", BATCH // shrink, EPISODE, threads=2))
    cases.append(speed.oracle_case("oracle 64", "global-64", BATCH // shrink, 3))
    taken = speed.time_cases(cases, repetitions)
    figures = {f"single_{n}_vs_cartpole": taken["cartpole"] / taken[f"single {n}"] for n in (16, 64, 512)}
    figures |= {f"single_flat_{n}_vs_cartpole": taken["cartpole"] / taken[f"flat {n}"] for n in (16, 64, 512)}
    figures |= {f"single_{n}_steps_per_s": 1 / taken[f"single {n}"] for n in (16, 64, 512)}
    figures["cartpole_steps_per_s"] = 1 / taken["cartpole"]
    figures["cartpole_vector_steps_per_s"] = 1 / taken["cartpole x64"]
    figures["vector_64_steps_per_s"] = 1 / taken["vector 64"]
    figures["vector_64_vs_oracle"] = taken["oracle 64"] / taken["vector 64"]
    return figures


def thread_figures(repetitions: int, shrink: int) -> dict[str, float]:
    """Two threads beside one."""
    cases = []
    for sites, envs, steps in ((64, BATCH, EPISODE), (512, LARGE_BATCH, EPISODE)):
        for threads in (1, 2):
            name = f"{sites} on {threads}"
            cases.append(speed.vector_case(name, f"global-{sites}", envs // shrink, steps // shrink, threads=threads))
    taken = speed.time_cases(cases, repetitions)
    return {f"threads_2_vs_1_{n}": taken[f"{n} on 1"] / taken[f"{n} on 2"] for n in (64, 512)}


def site_figures(repetitions: int, shrink: int) -> dict[str, float]:
    """How the time of a step grows with the number of sites."""
    cases = [speed.vector_case(str(count), speed.with_sites("global-64", count), 16, 100 // shrink) for count in SITES]
    taken = speed.time_cases(cases, repetitions)
    return {"exponent_sites": speed.exponent({count: taken[str(count)] for count in SITES})}


def proposal_figures(repetitions: int, shrink: int) -> dict[str, float]:
    """The interface that prices every operation."""
    cases = [
        speed.vector_case(f"global-{n}", f"global-{n}", 128 // shrink, 40, threads=2, interface="proposals")
        for n in (24, 64)
    ]
    cases += [
        speed.vector_case(str(n), speed.with_sites("global-64", n), 2, 20, interface="proposals")
        for n in PROPOSAL_SITES
    ]
    taken = speed.time_cases(cases, repetitions)
    figures = {f"proposals_{n}_steps_per_s": 1 / taken[f"global-{n}"] for n in (24, 64)}
    return figures | {"exponent_proposals": speed.exponent({n: taken[str(n)] for n in PROPOSAL_SITES})}


def table(figures: dict[str, float]) -> str:
    """Every figure with its target, where it has one, and whether it is met."""
    lines = [f"{'figure':<30}{'measured':>14}  target"]
    for name, value in figures.items():
        shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        target = ""
        if name in TARGETS:
            limit, sense = TARGETS[name]
            met = value >= limit if sense == "at least" else value <= limit
            target = f"{sense} {limit:,} {'met' if met else 'NOT MET'}"
        lines.append(f"{name:<30}{shown:>14}  {target}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
