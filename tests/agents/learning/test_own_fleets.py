"""Training on fleets as users bring them is never worse than what was there: tables of nodes, made into scenarios."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from og_agents.commands import make_scenario, train
from og_agents.learning import checkpoint
from og_agents.learning.against_baselines import KEY
from og_env.scenario import catalog

FLEETS, MINUTES = 20, 3.0
NOT_WORSE, BETTER = 18, 10


class Row(NamedTuple):
    """How a training on a fleet ended."""

    nodes: int
    baseline: str
    verdict: str
    difference: float


def write_fleet(path: Path, seed: int) -> int:
    """A table of 8 to 40 nodes at places of the catalogue, with a node's GPUs; returns how many."""
    rng = np.random.default_rng(seed)
    sites = catalog.sites()
    chosen = rng.choice(len(sites), size=int(rng.integers(8, 41)), replace=False)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["node", "provider", "country", "city", "lat", "lon", "gpu", "gpus"])
        for number, index in enumerate(chosen):
            site = sites[int(index)]
            place = (site.provider, site.country, site.city, f"{site.lat_deg:.3f}", f"{site.lon_deg:.3f}")
            writer.writerow([f"n{number}", *place, "A100-80GB", int(rng.integers(1, 9))])
    return len(chosen)


def trained(folder: Path, seed: int, minutes: float) -> Row:
    """Train on the fleet of a seed with the commands that a user has."""
    nodes = write_fleet(folder / "nodes.csv", seed)
    scenario = str(folder / "fleet.toml")
    assert make_scenario.main([str(folder / "nodes.csv"), "--out", scenario, "--shocks-per-day", "6"]) == 0
    out = folder / "run"
    words = ["--scenario", scenario, "--algorithm", "rpi", "--minutes", f"{minutes:g}", "--out", str(out), "--quiet"]
    assert train.main(words) == 0
    stands = checkpoint.read_meta(out)[KEY]
    return Row(nodes, stands["baseline"], stands["verdict"], stands["mean_diff"])


@pytest.mark.slow
def test_a_fleet_is_trained_on_with_its_own_start_and_judged(tmp_path):
    row = trained(tmp_path, 0, 0.05)
    card = checkpoint.read_meta(tmp_path / "run")
    assert 8 <= row.nodes <= 40 and row.verdict in ("better", "level", "worse")
    assert set(card["start"]["returns"]) == {"gain", "tuned for global-24", "searched"}


@pytest.mark.long
def test_training_on_twenty_fleets_is_never_worse(tmp_path):
    rows = []
    for seed in range(FLEETS):
        (tmp_path / str(seed)).mkdir()
        rows.append(trained(tmp_path / str(seed), seed, MINUTES))
        print(rows[-1])
    verdicts = [row.verdict for row in rows]
    assert verdicts.count("worse") <= FLEETS - NOT_WORSE and verdicts.count("better") >= BETTER, rows
