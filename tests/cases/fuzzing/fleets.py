"""Fuzzed fleets: tables of nodes, audited and made into scenarios by the scripts."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from og_agents.commands import audit, make_scenario
from tests.cases.fuzzing.harness import run_command
from tests.cases.fuzzing.text import damaged, odd

PLACES = (("AWS", "us-east-1", "US"), ("GCP", "europe-west1", "BE"), ("OVH", "gra", "FR"), ("Hetzner", "fsn1", "DE"))
COLUMNS = (
    *("provider", "country", "region", "facility", "city", "asn", "grid", "tee_vendor", "image"),
    *("weight", "lat", "lon", "host_class", "price", "gpu", "gpu_count", "stake"),
)
WEIGHTS = ("1", "2", "1e-80", "32000000000000000000", "1e99", "0", "0.3333333333333", "7", "1e18", "5e-324")


def table(rng: np.random.Generator, bad: float, most: int = 60) -> bytes:
    """A CSV of up to `most` nodes."""
    columns = ["node", *(column for column in COLUMNS if rng.random() < 0.45)]
    rng.shuffle(columns)
    weights = [WEIGHTS[at] for at in rng.permutation(len(WEIGHTS))[: rng.integers(1, 5)]]
    lines = [",".join(odd(rng, column, bad / 5) for column in columns)]
    for number in range(int(rng.integers(0 if bad else 1, most))):
        provider, region, country = PLACES[rng.integers(len(PLACES))]
        cells = {
            "node": f"n{number}",
            "provider": provider,
            "region": region,
            "country": country,
            "city": f"c{rng.integers(9)}",
            "weight": weights[rng.integers(len(weights))],
            "stake": weights[rng.integers(len(weights))],
            "lat": f"{rng.uniform(-90, 90):.2f}",
            "lon": f"{rng.uniform(-180, 180):.2f}",
            "host_class": ("hyperscale", "bare_metal", "home", "gpu_cloud")[rng.integers(4)],
            "price": f"{rng.uniform(0, 9):.2f}",
            "gpu": ("H100", "A100-80GB")[rng.integers(2)],
            "gpu_count": str(rng.integers(0, 9)),
            "tee_vendor": ("nitro", "none", "tdx")[rng.integers(3)],
        }
        words = [odd(rng, cells.get(column, f"{column}-{rng.integers(5)}"), bad / 10) for column in columns]
        lines.append(",".join(f'"{word}"' if rng.random() < 0.05 else word for word in words))
    return damaged(rng, "\n".join(lines).encode(errors="replace"), bad)


def case(seed: int) -> None:
    """Audit a fuzzed fleet and make a scenario of it."""
    rng = np.random.default_rng(seed)
    bad = float(rng.choice([0.0, 0.05, 0.4]))
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        path = folder / "fleet.csv"
        path.write_bytes(table(rng, bad))
        arguments = [str(path), "--json"]
        if rng.random() < 0.3:
            arguments += ["--weight", ("stake", "weight", "price", "node")[rng.integers(4)]]
        if rng.random() < 0.3:
            (folder / "more.csv").write_bytes(table(rng, bad, 10))
            arguments += ["--candidates", str(folder / "more.csv")]
        if rng.random() < 0.3:
            arguments += ["--top", str((1, 5, 10**9)[rng.integers(3)])]
        out = run_command(audit.main, arguments)
        if out:
            assert finite(json.loads(out)), "the audit's answer is not finite"
        elif bad == 0 and rng.random() < 0.5:
            return
        run_command(make_scenario.main, [str(path), "--out", str(folder / "made.toml"), "--regions", "2"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finite(value: Any) -> bool:
    """Whether every number in a value of JSON is finite."""
    if isinstance(value, dict):
        return all(finite(part) for part in value.values())
    if isinstance(value, list):
        return all(finite(part) for part in value)
    return not isinstance(value, float) or math.isfinite(value)
