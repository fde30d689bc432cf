"""The table of what PPO is worth is what the benchmarks of its seeds say."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from agents import comparison, evidence
from agents.episodes import TRACED, Episodes
from og_env.layout import METRICS, TERMS
from scripts import evidence as script


def played(name: str, returns: np.ndarray) -> Episodes:
    count = len(returns)
    traces = {key: np.zeros((count, 2), np.float32) for key in TRACED}
    flat = (np.zeros((count, len(TERMS))), np.zeros((count, len(METRICS))))
    return Episodes(name, np.arange(count), returns, *flat, traces, 2, 0.5)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.normal(-100, 20, 200)
    runs = [played("greedy", base), played("random", base - 30)]
    seeds = [f"toy-ppo-{seed}" for seed in range(3)]
    shifts = zip(seeds, (1.0, 2.0, 6.0), strict=True)
    runs += [played(name, base + shift + rng.normal(0, 1, 200)) for name, shift in shifts]
    common = {"scenario": "toy", "env": "og_env/Placement-v0", "split": "test", "episodes": 200, "seed": 0}
    fast = common | comparison.compare(runs, seeds, trainings=[seeds])
    rollout, oracle = played("rollout", base + 1), played("clairvoyant", base + 10)
    some = [runs[0], runs[3], rollout]
    ahead = common | comparison.compare(some, ["toy-ppo-1"], references=("rollout", "clairvoyant"))
    ahead["headroom"] = comparison.headroom(oracle, runs[0], some)
    for name, summary in ((evidence.FAST, fast), (evidence.AHEAD, ahead)):
        (tmp_path / "toy" / name).mkdir(parents=True)
        (tmp_path / "toy" / name / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return tmp_path, fast


def test_seeds_together_have_an_interval_that_knows_of_their_spread(folder):
    _, fast = folder
    (group,) = fast["seeds"]
    assert group["mean_diffs"] == pytest.approx([1.0, 2.0, 6.0], abs=0.3)
    assert group["median_diff"] == pytest.approx(2.0, abs=0.3) and group["mean_diff"] == pytest.approx(3.0, abs=0.3)
    alone = fast["paired"]["toy-ppo-1"]
    assert group["ci_low"] < 1.6 and group["ci_high"] > 4.4, "three seeds that differ leave much open"
    assert alone["ci_high"] - alone["ci_low"] < 0.5


def test_a_row_holds_seeds_headroom_and_the_rollout(folder):
    path, _ = folder
    (row,) = evidence.rows_of(path)
    cells = dict(zip(evidence.HEADER, row, strict=True))
    assert cells["scenario"] == "`toy`" and cells["best baseline"].startswith("greedy -")
    median, low, high = (float(word) for word in re.findall(r"[+-]\d+\.\d+", cells["ppo"])[:3])
    assert (low, median, high) == pytest.approx((1.0, 2.0, 6.0), abs=0.3)
    assert cells["rpi"] == cells["ppo_from_rpi"] == "" and cells["best on validation"] == "ppo"
    assert cells["headroom, %"].startswith("10.") or cells["headroom, %"].startswith("9.")
    assert int(cells["closed, %"].split()[0]) == pytest.approx(20, abs=3)
    assert cells["above rollout"].startswith("+1.") or cells["above rollout"].startswith("+0.9")
    (path / "toy" / evidence.AHEAD / "summary.json").unlink()
    assert evidence.rows_of(path)[0][5:] == ("",) * 5


def test_runs_are_found_by_scenario_and_seed(tmp_path, capsys):
    names = (
        "one-cloud-ppo-1",
        "one-cloud-ppo-0",
        "one-cloud-ppo_from_rpi-0",
        "one-cloud-0",
        "global-24-rpi-0",
        "notes",
    )
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.json").write_text("{}", encoding="utf-8")
    runs = script.found(tmp_path)
    assert {
        key: {recipe: [path.name for path in paths] for recipe, paths in of.items()} for key, of in runs.items()
    } == {
        "global-24": {"rpi": ["global-24-rpi-0"]},
        "one-cloud": {"ppo": ["one-cloud-ppo-0", "one-cloud-ppo-1"], "ppo_from_rpi": ["one-cloud-ppo_from_rpi-0"]},
    }
    assert script.main(["--runs", str(tmp_path / "none")]) == 2
    assert "run scripts/pretrain.py" in capsys.readouterr().err


def test_columns_that_no_row_has_are_left_out():
    full = evidence.HEADER
    bare = (*full[:5], "", "", "", "", "")
    assert evidence.filled([bare, bare]) == (evidence.HEADER[:5], [full[:5], full[:5]])
    assert evidence.filled([bare, full]) == (evidence.HEADER, [bare, full])
