"""The benchmark from the command line: its files, its verdict, and one clear line for bad input."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from og_agents import heuristics, planners
from og_agents.commands import benchmark
from og_agents.evaluation import comparison, playing
from og_env.scenario import loading
from og_env.simulator import TERMS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    """A file with twelve steps of the smallest world, with demand and outages that differ between episodes."""
    text = (loading.scenarios_folder() / "toy-3.toml").read_text(encoding="utf-8")
    for old, new in (
        ("steps = 60", "steps = 12"),
        ("burst_sd = 0.0", "burst_sd = 0.3"),
        ('process = "none"', 'process = "correlated"\nintensity = 200.0'),
        ('unit = ["a"]', 'unit = ["a", "b"]'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path_factory.mktemp("scenario") / "short.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def result(scenario, tmp_path_factory):
    """Files of one run over all heuristics."""
    out = tmp_path_factory.mktemp("benchmark")
    assert benchmark.main(["--scenario", str(scenario), "--episodes", "6", "--seed", "9", "--out", str(out)]) == 0
    return out


def test_summary_has_the_agreed_keys(result):
    summary = json.loads((result / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["policies"]) == set(heuristics.NAMES)
    for figures in summary["policies"].values():
        assert {"return_mean", "return_iqm", "ci_low", "ci_high", "decisions_per_s"} <= set(figures)
        assert figures["ci_low"] <= figures["return_mean"] <= figures["ci_high"]
    best = max(summary["policies"], key=lambda name: summary["policies"][name]["return_mean"])
    assert summary["best_baseline"] == best
    assert set(summary["paired"]) == set(heuristics.NAMES) - {best}
    assert all(set(pair) == {"mean_diff", "ci_low", "ci_high", "wins"} for pair in summary["paired"].values())
    assert summary["learned"] is None
    assert summary["verdict"] is None
    assert (summary["episodes"], summary["seed"], summary["split"]) == (6, 9, "test")
    assert summary["score"] is None and summary["terms"] == {}, "no clairvoyant and nobody learned took part"


def test_results_have_a_row_for_every_policy_and_episode(result, scenario):
    with (result / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * len(heuristics.NAMES)
    again = playing.run(heuristics.make("greedy"), str(scenario), episodes=6, seed=9, split="test")
    written = [float(row["return"]) for row in rows if row["policy"] == "greedy"]
    assert written == again.returns.tolist(), "the benchmark plays the test split from its seed on"
    assert {row["seed"] for row in rows} == {str(seed) for seed in range(9, 15)}


def test_the_report_is_written_and_nothing_half_done_is_left(result):
    assert sorted(path.name for path in result.iterdir()) == ["report.html", "results.csv", "summary.json"]
    text = (result / "report.html").read_text(encoding="utf-8")
    assert "seeds 9 to 14" in text
    assert "--episodes 6" in text


def test_table_and_verdict_are_printed(scenario, tmp_path, capsys):
    arguments = ["--scenario", str(scenario), "--policies", "static, greedy", "--episodes", "3", "--out", str(tmp_path)]
    assert benchmark.main(arguments) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].split()[0] == "policy"
    assert {lines[1].split()[0], lines[2].split()[0]} == {"static", "greedy"}
    assert "No learned policy took part" in lines[-1]


def test_json_prints_the_summary(scenario, tmp_path, capsys):
    arguments = [
        "--scenario",
        str(scenario),
        "--policies",
        "static",
        "--episodes",
        "2",
        "--json",
        "--out",
        str(tmp_path),
    ]
    assert benchmark.main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))


def test_a_trained_model_takes_part_under_its_folders_name(scenario, tmp_path, capsys, monkeypatch):
    from og_agents.learning import checkpoint

    seen = {}

    def load(folder, *, scenario, **_):
        seen["folder"], seen["scenario"] = str(folder), scenario.name
        return heuristics.make("static")

    monkeypatch.setattr(checkpoint, "load", load)
    folder = tmp_path / "ppo"
    folder.mkdir()
    arguments = [
        "--scenario",
        str(scenario),
        "--policies",
        f"static,{folder}",
        "--episodes",
        "3",
        "--out",
        str(tmp_path),
    ]
    assert benchmark.main(arguments) == 0
    assert seen == {"folder": str(folder), "scenario": loading.load(scenario).name}
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert (summary["learned"], summary["best_baseline"], summary["verdict"]) == ("ppo", "static", "tie")
    assert set(summary["terms"]["ppo"]) == {"return", *TERMS} and summary["terms"]["ppo"]["cost"]["mean_diff"] == 0
    assert summary["paired"]["ppo"] == {"mean_diff": 0, "ci_low": 0, "ci_high": 0, "wins": 0.5}
    assert "PPO cannot be told apart from static" in capsys.readouterr().out


def test_twin_measures_the_cost_of_correlation_on_paired_episodes(scenario, tmp_path, capsys):
    arguments = ["--policies", "static", "--episodes", "8", "--twin", "--out", str(tmp_path)]
    assert benchmark.main([*arguments, "--scenario", "toy-3"]) == 2
    assert "--twin: failures of toy-3 are not correlated but 'none'" in capsys.readouterr().err
    assert benchmark.main([*arguments, "--scenario", str(scenario)]) == 0
    assert "cost of correlation: " in capsys.readouterr().out
    twin = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["twin"]
    policy, spec = heuristics.make("greedy_blind"), loading.load(scenario)
    correlated = playing.run(policy, spec, episodes=8).returns
    independent = playing.run(policy, loading.override(spec, {"failures.process": "independent"}), episodes=8).returns
    expected = 100 * (independent.mean() - correlated.mean()) / abs(correlated.mean())
    assert twin["cost_percent"] == pytest.approx(expected)
    assert twin["ci_low"] <= expected <= twin["ci_high"]
    assert not np.array_equal(correlated, independent)


def test_headroom_is_the_gap_to_the_planner_that_reads_the_tape(scenario, tmp_path, capsys):
    arguments = ["--scenario", str(scenario), "--episodes", "4", "--out", str(tmp_path), "--headroom"]
    assert benchmark.main([*arguments, "--policies", "static,greedy,spot_hedge", "--split", "validation"]) == 0
    assert "headroom: " in capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["split"] == "validation" and "clairvoyant" not in summary["policies"]
    room, best = summary["headroom"], summary["best_baseline"]
    oracle = playing.run(planners.make("clairvoyant", scenario), str(scenario), episodes=4, split="validation").returns
    base = summary["policies"][best]["return_mean"]
    assert room["percent"] == pytest.approx(100 * (oracle.mean() - base) / abs(base))
    assert room["ci_low"] <= room["percent"] <= room["ci_high"]
    assert set(room["closed"]) == set(summary["policies"]) - {best}


def test_what_looks_ahead_is_a_reference_and_no_baseline(scenario, tmp_path):
    policies = "static,clairvoyant,rollout"
    arguments = ["--scenario", str(scenario), "--policies", policies, "--episodes", "3", "--headroom"]
    assert benchmark.main([*arguments, "--out", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["best_baseline"] == "static"
    assert summary["headroom"]["reference_mean"] == pytest.approx(summary["policies"]["clairvoyant"]["return_mean"])
    assert set(summary["headroom"]["closed"]) == {"rollout"}
    assert set(summary["paired"]) == {"rollout", "clairvoyant"} and summary["learned_against"] == {}
    runs = [playing.run(heuristics.make(name), str(scenario), episodes=3) for name in ("static", "greedy", "spread")]
    against = comparison.compare(runs, ["greedy"], references=["spread"])["learned_against"]
    assert against["spread"]["mean_diff"] == pytest.approx((runs[1].returns - runs[2].returns).mean())


def test_scores_are_relative_to_a_clairvoyant_on_the_first_episodes(scenario, tmp_path, capsys):
    arguments = ["--scenario", str(scenario), "--policies", "static,greedy,random", "--out", str(tmp_path)]
    assert benchmark.main([*arguments, "--episodes", "6", "--clairvoyant", "3"]) == 0
    assert "score on 3 episodes, where the best baseline has 0 and clairvoyant_quick 1: " in capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    score, best = summary["score"], summary["best_baseline"]
    assert set(score["policies"]) == {"static", "greedy", "random"} - {best}
    assert "clairvoyant_quick" not in summary["policies"]
    names = ("random", best, "clairvoyant_quick")
    policies = [planners.make(name, scenario) if name in planners.NAMES else heuristics.make(name) for name in names]
    ours, base, oracle = (playing.run(policy, str(scenario), episodes=3).returns.mean() for policy in policies)
    assert oracle > base
    assert score["policies"]["random"]["value"] == pytest.approx((ours - base) / (oracle - base))


def test_scores_of_routing_are_relative_to_the_optimiser_that_is_told_the_speed(scenario, tmp_path):
    arguments = ["--scenario", str(scenario), "--env", "og_env/Routing-v1", "--policies", "static,random"]
    assert benchmark.main([*arguments, "--episodes", "2", "--clairvoyant", "2", "--out", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["score"]["reference"] == "convex_true"


def test_sealed_episodes_are_played_where_the_command_says_so(scenario, tmp_path, capsys):
    arguments = ["--scenario", str(scenario), "--policies", "static,greedy", "--episodes", "3", "--out", str(tmp_path)]
    assert benchmark.main([*arguments, "--sealed"]) == 0
    assert "3 sealed episodes, the same for all" in capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    returns = {
        split: playing.run(heuristics.make("greedy"), str(scenario), episodes=3, split=split).returns.mean()
        for split in ("test", "sealed")
    }
    assert summary["split"] == "sealed" and returns["sealed"] != returns["test"]
    assert summary["policies"]["greedy"]["return_mean"] == returns["sealed"]


def test_a_policy_of_another_fleet_and_other_wishes_says_how_it_plays(tmp_path, capsys):
    folder = Path(benchmark.__file__).parents[1] / "pretrained" / "rpi" / "random-24"
    arguments = ["--scenario", "global-16", "--set", "episode.steps=2", "--policies", f"greedy_tuned,{folder}"]
    assert benchmark.main([*arguments, "--episodes", "2", "--out", str(tmp_path), "-q"]) == 0
    told = "random-24 learned on another fleet, with other weights of the reward: here it plays as greedy_tuned\n"
    assert capsys.readouterr().err == told
    means = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["policies"]
    assert means["random-24"]["return_mean"] == means["greedy_tuned"]["return_mean"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--policies", "greedi"],
            "'greedi' is neither a heuristic, a planner, a folder nor module:Class (nearest valid: greedy)",
        ),
        (["--policies", ","], "--policies names no policy"),
        (["--policies", "runs/none/here"], "runs/none/here"),
        (["--scenario", "global-42"], "nearest valid: global-24"),
        (["--episodes", "0"], "episodes must be at least 1"),
        (["--episodes", "many"], "argument --episodes"),
        (["--seed", "-1"], "seed must be at least 0"),
        (["--env", "og_env/Placement-v2"], "nearest valid: og_env/Placement-v1"),
        (["--episodes", "5", "--clairvoyant", "6"], "--clairvoyant is 6; it must be from 0 to --episodes, 5"),
        (["--split", "tests"], "invalid choice: 'tests'"),
        (["--split", "sealed"], "these episodes are kept for published tables: say --sealed, or take --split test"),
        (["--split", "test", "--sealed"], "--sealed plays the split sealed, not test: leave one of them out"),
        (["--policies", "p_median", "--scenario", "random-24"], "a static placement needs a fixed fleet"),
        (["--episode", "3"], "unrecognized arguments"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, tmp_path, capsys):
    try:
        code = benchmark.main(["--scenario", "toy-3", "--out", str(tmp_path / "out"), *arguments])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "out").exists()


def test_the_script_runs_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "--scenario", "nowhere", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown scenario 'nowhere'")


def test_what_was_played_before_ctrl_c_is_written(scenario, tmp_path, capsys, monkeypatch):
    original = playing.run

    def run(policy, *others, name=None, **settings):
        if name == "greedy":
            raise KeyboardInterrupt
        return original(policy, *others, name=name, **settings)

    monkeypatch.setattr(playing, "run", run)
    words = ["--scenario", str(scenario), "--episodes", "2", "--out", str(tmp_path / "out"), "--policies"]
    assert benchmark.main([*words, "static,nearest,greedy"]) == 130
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["policies"]) == {"static", "nearest"} and summary["stopped"] is True
    assert "holds the 2 policies that were played" in capsys.readouterr().err
    none = ["--scenario", str(scenario), "--episodes", "2", "--out", str(tmp_path / "none"), "--policies", "greedy"]
    assert benchmark.main(none) == 130
    assert capsys.readouterr().err == "stopped: nothing was written\n" and not (tmp_path / "none").exists()
