"""Fuzzed recordings: traces of requests and measured round trips, read by a scenario that is played."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from og_env.scenario import loading
from tests.cases.fuzzing import scenarios
from tests.cases.fuzzing.text import damaged, odd

NAMES = ("a", "b", "c", "users", "unit", "P/west", "new-york")
SPANS_S = (1.0, 500.0, 100_000.0, 1e7, 1e11, 1e300)


def trace(rng: np.random.Generator, bad: float) -> bytes:
    """A CSV of requests."""
    span_s = SPANS_S[rng.integers(3 if rng.random() < 0.6 else len(SPANS_S))]
    header = ["timestamp_s", "model", "input_tokens", "output_tokens"]
    lines = [",".join(odd(rng, name, bad / 8) for name in header)]
    start_s = float(rng.choice([0.0, 1.7e9, 1.7e12, -1e9]))
    for _ in range(int(rng.integers(0 if bad else 2, 60))):
        cells = (
            f"{start_s + rng.uniform(0, span_s)!r}",
            ("unit", "other")[rng.integers(2)],
            str(rng.integers(2000)),
            "9",
        )
        lines.append(",".join(odd(rng, cell, bad / 10) for cell in cells))
    return damaged(rng, "\n".join(lines).encode(errors="replace"), bad)


def round_trips(rng: np.random.Generator, bad: float) -> bytes:
    """A CSV of measured round trips."""
    lines = [",".join(odd(rng, name, bad / 8) for name in ("src", "dst", "rtt_ms"))]
    pairs = {(NAMES[rng.integers(len(NAMES))], NAMES[rng.integers(len(NAMES))]) for _ in range(rng.integers(1, 20))}
    for src, dst in sorted(pairs):
        ms = (f"{rng.uniform(0.1, 400):.3f}", "1e-300", "1e6", "1e300", "1e30", "0.001")[
            rng.integers(1 if bad == 0 else 6)
        ]
        lines.append(",".join(odd(rng, cell, bad / 10) for cell in (src, dst, ms)))
    return damaged(rng, "\n".join(lines).encode(errors="replace"), bad)


def case(seed: int) -> None:
    """Play a scenario that reads a fuzzed recording."""
    rng = np.random.default_rng(seed)
    bad = float(rng.choice([0.0, 0.05, 0.4]))
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        key, make = (("demand.trace_csv", trace), ("network.rtt_csv", round_trips))[seed % 2]
        (folder / "recording.csv").write_bytes(make(rng, bad))
        changes = {key: str(folder / "recording.csv"), "episode.steps": 8}
        if seed % 2 == 0:
            changes["episode.step_s"] = int((1, 60, 300, 3600)[rng.integers(4)])
        scenarios.play(rng, loading.override(loading.load("toy-3"), changes), seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


warm = scenarios.warm
