"""The table of what PPO is worth is what the benchmarks of its seeds say."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from og_agents.evaluation import comparison
from og_agents.evaluation.episode_results import TRACED, Episodes
from og_agents.pretrained import learning_gains, policy_folders
from og_agents.pretrained.recipes import RECIPES
from og_env.kernel.arrays import METRICS, TERMS
from scripts import learning_gains as script
from scripts import pretrain


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
    shifts = zip([*seeds, "ppo"], (1.0, 2.0, 6.0, 5.0), strict=True)
    runs += [played(name, base + shift + rng.normal(0, 1, 200)) for name, shift in shifts]
    common = {"scenario": "toy", "env": "og_env/Placement-v1", "split": "test", "seed": 0}
    fast = common | {"episodes": 200} | comparison.compare(runs, [*seeds, "ppo"], trainings=[seeds])
    few = [played("ppo", runs[5].returns[:20])]
    few += [played("rollout", base[:20] + 1), played("clairvoyant", runs[5].returns[:20] + 5 + rng.normal(0, 1, 20))]
    ahead = common | {"episodes": 20} | comparison.compare(few, ["ppo"], references=("rollout", "clairvoyant"))
    for name, summary in ((learning_gains.FAST, fast), (learning_gains.AHEAD, ahead)):
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


def numbers(cell: str) -> list[float]:
    return [float(word) for word in re.findall(r"[+-]?\d+\.?\d*", cell)]


def test_a_row_holds_seeds_headroom_and_the_rollout(folder):
    path, _ = folder
    record = learning_gains.measured(path)
    (row,) = learning_gains.rows_of(record)
    cells = dict(zip(learning_gains.HEADER, row, strict=True))
    assert cells["scenario"] == "`toy`" and cells["best baseline"].startswith("greedy -")
    median, low, high = numbers(cells["ppo"])[:3]
    assert (low, median, high) == pytest.approx((1.0, 2.0, 6.0), abs=0.3)
    assert cells["rpi"] == cells["ppo_from_rpi"] == "" and cells["shipped"] == "ppo"
    assert numbers(cells["above best baseline"])[0] == pytest.approx(5.0, abs=0.3)
    assert numbers(cells["closed, %"])[0] == pytest.approx(50, abs=3)
    assert numbers(cells["above rollout"])[0] == pytest.approx(4.0, abs=0.6)
    (path / "toy" / learning_gains.AHEAD / "summary.json").unlink()
    assert learning_gains.rows_of(learning_gains.measured(path))[0][7:] == ("",) * 4


def test_headroom_of_few_episodes_rests_on_the_policy_in_many(folder):
    path, fast = folder
    (room,) = (made["ahead"]["headroom_percent"] for made in learning_gains.measured(path).values())
    scale = 100 / abs(fast["policies"]["greedy"]["return_mean"])
    assert room["mean_diff"] == pytest.approx(10 * scale, abs=0.6)
    # twenty episodes alone say no more of a mean than 20 / sqrt(20)
    assert room["ci_low"] > 9 * scale and room["ci_high"] < 11 * scale


def test_two_benchmarks_of_different_policies_make_no_row(folder):
    path, _ = folder
    file = path / "toy" / learning_gains.AHEAD / "summary.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"ppo"', '"rpi"'), encoding="utf-8")
    with pytest.raises(ValueError, match="toy: ahead is of rpi, fast of ppo: run both anew"):
        learning_gains.measured(path)


def test_independent_differences_add():
    one, other = {"mean_diff": 1.0, "ci_low": -2.0, "ci_high": 5.0}, {"mean_diff": 2.0, "ci_low": -2.0, "ci_high": 5.0}
    assert learning_gains.added(one, other) == {"mean_diff": 3.0, "ci_low": -2.0, "ci_high": 8.0}


def group(seeds, diffs, low, high):
    return {"seeds": seeds, "mean_diffs": diffs, "ci_low": low, "ci_high": high}


def made(groups, mean=-100.0):
    same = {"episodes": 300, "seed": 0, "best_baseline": "greedy", "best_mean": mean}
    return {"toy": same | {"recipes": groups, "shipped": None, "ahead": None}}


def test_a_record_keeps_other_seeds_of_the_same_world():
    old = made({"ppo": [group([0, 1], [1.0, 2.0], 0.5, 2.5)], "rpi": [group([0], [3.0], 2.0, 4.0)]})
    new = made({"ppo": [group([2], [4.0], 3.0, 5.0)]}, mean=-100.04)
    recipes = learning_gains.merged(old, new)["toy"]["recipes"]
    assert recipes["rpi"] == old["toy"]["recipes"]["rpi"]
    all_seeds = learning_gains.pooled(recipes["ppo"])
    assert all_seeds == pytest.approx((3, 2.0, 1.0, 4.0, (2 * 0.5 + 3.0) / 3, (2 * 2.5 + 5.0) / 3))
    again = learning_gains.merged(old, made({"ppo": [group([1, 2], [2.5, 4.0], 1.0, 5.0)]}))["toy"]["recipes"]["ppo"]
    assert [of["seeds"] for of in again] == [[1, 2]], "a seed that is measured anew counts once"
    other = learning_gains.merged(old, made({"ppo": [group([2], [4.0], 3.0, 5.0)]}, mean=-98.0))["toy"]["recipes"]
    assert set(other) == {"ppo"} and len(other["ppo"]) == 1, "the world is another"


def test_a_group_alone_may_lack_its_seeds_own_differences():
    alone = {"seeds": [0, 1, 2, 3], "median": 2.0, "least": 1.0, "most": 4.0, "ci_low": 0.5, "ci_high": 3.0}
    assert learning_gains.pooled([alone]) == (4, 2.0, 1.0, 4.0, 0.5, 3.0)
    fresh = group([4], [4.0], 3.0, 5.0)
    both = learning_gains.merged(made({"ppo": [alone], "rpi": [alone]}), made({"ppo": [fresh]}))["toy"]["recipes"]
    assert both == {"ppo": [fresh], "rpi": [alone]}, "it cannot be pooled with others"


def test_the_record_that_comes_along_is_complete(tmp_path):
    """Every scenario with a policy that comes along has its figures; there may be none yet."""
    record = learning_gains.read(learning_gains.RECORD)
    shipped = {name for recipe in RECIPES for name in policy_folders.names(recipe)}
    assert shipped <= set(record) <= set(pretrain.SCENARIOS)
    for entry in record.values():
        assert set(entry["recipes"]) == set(RECIPES)
        for groups in entry["recipes"].values():
            seeds = [seed for of in groups for seed in of["seeds"]]
            assert len(seeds) == len(set(seeds)) >= 3
    (tmp_path / "record.json").write_text('{"toy": {"episodes": 3}}', encoding="utf-8")
    with pytest.raises(ValueError, match="toy is not complete"):
        learning_gains.read(tmp_path / "record.json")


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
    assert {key: [path.name for path in paths] for key, paths in runs.items()} == {
        "global-24": ["global-24-rpi-0"],
        "one-cloud": ["one-cloud-ppo-0", "one-cloud-ppo-1", "one-cloud-ppo_from_rpi-0"],
    }
    assert script.main(["--runs", str(tmp_path / "none")]) == 2
    assert "run scripts/pretrain.py" in capsys.readouterr().err


def test_columns_that_no_row_has_are_left_out():
    full = learning_gains.HEADER
    bare = (*full[:5], *[""] * 6)
    assert learning_gains.filled([bare, bare]) == (learning_gains.HEADER[:5], [full[:5], full[:5]])
    assert learning_gains.filled([bare, full]) == (learning_gains.HEADER, [bare, full])
