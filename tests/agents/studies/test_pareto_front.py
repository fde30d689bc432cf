"""The front of latency, cost and resilience: preferences, what is measured, hypervolumes and the files."""

import csv
import json
import struct
from typing import Any

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.evaluation import playing
from og_agents.evaluation.hypervolume import non_dominated
from og_agents.learning import policy_compatibility, ppo
from og_agents.load_policies import load_policies
from og_agents.studies import pareto_front
from og_env.kernel.arrays import TERMS
from og_env.observation.fields import column
from og_env.scenario import loading
from og_env.scenario.specs import RewardWeights
from scripts import front as script
from tests.cases.made_up_episodes import made_up
from tests.cases.short_training import STEPS, short_world, small_settings

SETS = ["--set", f"episode.steps={STEPS}", "--set", "demand.burst_sd=0.3"]


@pytest.fixture(scope="module")
def short():
    changes: dict[str, Any] = {"start.replica_sites": {"unit": ["a", "b"]}}
    return short_world(**changes)


def made_front(name, points, noise=0.01, episodes=30):
    """Outcomes around points [G, 3], with a noise that all policies share; returns are minus their sum."""
    tape = np.random.default_rng(7).normal(0, noise, (1, episodes, 1))
    outcomes = np.asarray(points, float)[:, None, :] + tape * np.ones((1, 1, 3))
    return pareto_front.Front(name, outcomes, -outcomes.sum(axis=2))


@pytest.mark.parametrize(("steps", "count"), [(1, 7), (2, 19), (3, 37)])
def test_a_grid_is_a_hexagon_of_factors_with_product_1(steps, count):
    grid = pareto_front.grid_of(4.0, steps)
    assert len(set(grid)) == len(grid) == count
    factors = np.array(grid)
    assert np.prod(factors, axis=1) == pytest.approx(1)
    assert factors.max() == pytest.approx(4) and factors.min() == pytest.approx(0.25)
    assert grid[count // 2] == (1, 1, 1)
    logs = {tuple(np.round(np.log(factors), 9)[at]) for at in range(count)}
    assert {(b, c, a) for a, b, c in logs} == logs == {(b, a, c) for a, b, c in logs}, "no objective is preferred"


def test_a_preference_sets_the_weights_of_every_episode(short):
    drawn = loading.override(short, {"reward.weights": "random"})
    world = pareto_front.world_of(drawn, pareto_front.Preference(4.0, 0.5, 0.5))
    given, base = world.spec.reward, short.reward
    assert given.weights == "fixed"
    assert (given.latency, given.cost) == (4 * base.latency, 0.5 * base.cost)
    assert (given.unserved, given.exposure, given.churn) == (0.5 * base.unserved, 0.5 * base.exposure, base.churn)
    assert pareto_front.world_of(drawn, pareto_front.Preference(1.0, 1.0, 1.0)).spec == short
    env = playing.stage(heuristics.make("static"), world.spec, "placement", 3)
    seen = env.reset(seed=0)[0]["globals"][:, column("globals", "weight_latency")]
    env.close()
    assert seen == pytest.approx(np.log10(4 * base.latency) / 2)


def test_outcomes_weigh_the_terms_of_resilience_by_the_scenario():
    run = made_up("a", -90.0)
    reward = RewardWeights(unserved=3.0, unverified=1.0, exposure=0.0)
    unserved, unverified = (run.terms[:, TERMS.index(term)] for term in ("unserved", "unverified"))
    expected = np.stack([run.terms[:, 0], run.terms[:, 1], 0.75 * unserved + 0.25 * unverified], axis=1)
    assert pareto_front.outcomes_of(run, reward) == pytest.approx(expected)
    with pytest.raises(ValueError, match="resilience has no weight"):
        pareto_front.outcomes_of(run, RewardWeights(unserved=0.0, unverified=0.0, exposure=0.0))


def test_returns_are_the_outcomes_times_the_factors(short):
    spec = loading.override(short, {"reward.churn": 0.0})
    grid = pareto_front.grid_of(4.0, 1)
    policies = {name: heuristics.make(name) for name in ("static", "greedy")}
    fronts, summaries = pareto_front.play(policies, [], spec, grid, episodes=5, seed=3)
    reward, heavy = spec.reward, spec.reward.unserved + spec.reward.unverified + spec.reward.exposure
    for one in fronts:
        assert one.outcomes.shape == (7, 5, 3)
        for at, preference in enumerate(grid):
            weights = np.array(preference) * (reward.latency, reward.cost, heavy)
            assert one.returns[at] == pytest.approx(-STEPS * one.outcomes[at] @ weights, rel=1e-5)
            assert summaries[at]["policies"][one.policy]["return_mean"] == pytest.approx(one.returns[at].mean())
    by_name = {one.policy: one for one in fronts}
    assert non_dominated(by_name["static"].points).sum() == 1, "it does the same whatever is wanted"
    assert non_dominated(by_name["greedy"].points).sum() > 1, "its offers are priced with the weights"
    alone = playing.run(policies["greedy"], spec, episodes=5, seed=3)
    assert np.array_equal(by_name["greedy"].returns[grid.index(pareto_front.Preference(1.0, 1.0, 1.0))], alone.returns)


def test_hypervolumes_are_compared_with_the_best_baseline_on_the_same_episodes():
    corners = [[0.1, 0.9, 0.5], [0.9, 0.1, 0.5]]
    better = made_front("ours", np.array(corners) - 0.05)
    runs = [
        made_front("low", [[0.5, 0.6, 0.55]]),
        made_front("two", corners),
        better,
        made_front("rollout", [[0, 0, 0]]),
    ]
    result = pareto_front.compare(runs, ["ours"])
    assert result["best_baseline"] == "two", "what looks ahead is no baseline"
    ours = result["policies"]["ours"]
    expected = ours["hypervolume"] - result["policies"]["two"]["hypervolume"]
    assert ours["against_best"]["mean_diff"] == pytest.approx(expected) and expected > 0
    assert 0 < ours["against_best"]["ci_low"] < expected < ours["against_best"]["ci_high"]
    assert ours["against_best"]["verdict"] == "win"
    assert result["policies"]["low"]["against_best"]["verdict"] == "loss"
    assert result["policies"]["two"]["against_best"] is None
    assert result["returns"]["learned"]["ours"]["mean_diff"] == pytest.approx(0.15)
    twin = pareto_front.compare([made_front("two", corners), made_front("ours", corners)], ["ours"])
    assert twin["policies"]["ours"]["against_best"]["verdict"] == twin["returns"]["learned"]["ours"]["verdict"] == "tie"


def test_a_hypervolume_is_in_ranges_of_the_common_front():
    best = made_front("best", [[0.0, 2.0, 30.0], [1.0, 0.0, 30.0], [1.0, 2.0, 10.0]], noise=0.0)
    result = pareto_front.compare([best, made_front("beaten", [[5.0, 5.0, 50.0]], noise=0.0)], [])
    assert result["best"] == {"latency": 0, "cost": 0, "resilience": 10}
    assert result["reference"] == pytest.approx({"latency": 1.1, "cost": 2.2, "resilience": 32})
    one, pair, all_three = 1.1 * 0.1 * 0.1, 0.1**3, 0.1**3
    assert result["policies"]["best"]["hypervolume"] == pytest.approx(3 * one - 3 * pair + all_three)
    assert result["policies"]["beaten"]["hypervolume"] == 0
    assert result["returns"] is None


def test_resampled_hypervolumes_are_those_of_the_drawn_episodes():
    rng = np.random.default_rng(1)
    one = pareto_front.Front("a", rng.uniform(0, 1, (4, 6, 3)), np.zeros((4, 6)))
    scale, rows = pareto_front.scale_of([one]), rng.integers(6, size=(5, 6))
    for row, volume in zip(rows, pareto_front.volumes(one, scale, rows.astype(float)), strict=True):
        chosen = pareto_front.Front("a", one.outcomes[:, row], one.returns[:, row])
        assert pareto_front.volumes(chosen, scale, np.arange(6.0)[None])[0] == pytest.approx(volume)


def test_a_policy_of_random_weights_plays_under_every_preference(tmp_path, capsys):
    random = short_world(**{"reward.weights": "random"})
    folder = ppo.train(random, "placement", small_settings(), seed=0, out=tmp_path / "any", quiet=True)
    fixed = pareto_front.world_of(random, pareto_front.Preference(4.0, 1.0, 0.25)).spec
    assert policy_compatibility.differences(random, fixed) == []
    policies, learned = load_policies([str(folder), "greedy"], fixed, "placement")
    assert learned == ["any"] and pareto_front.training_notes(policies, random) == []
    wider = loading.override(random, {"reward.weights_range": 9.0})
    assert pareto_front.training_notes(policies, wider) == ["any was trained with a weights_range of 4 only"]
    policies["any"].meta["scenario"]["reward"]["weights"] = "fixed"  # type: ignore[attr-defined]
    assert pareto_front.training_notes(policies, random)[0].startswith("any was trained with one preference alone")
    arguments = ["--scenario", "toy-3", *SETS, "--policies", f"{folder},greedy", "--grid", "1", "--episodes", "2"]
    assert script.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("weights of latency, cost, resilience")
    assert lines[-1].startswith("any wins under ") and " of 7 preferences" in lines[-1]


def test_the_script_prints_the_table_and_writes_the_files(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--scenario", "toy-3", *SETS, "--policies", "static,greedy", "--grid", "1", "--episodes", "3"]
    assert script.main([*arguments, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["policy", "points", "hypervolume"]
    assert {line.split()[0] for line in lines[1:3]} == {"static", "greedy"}
    assert sorted(path.name for path in out.iterdir()) == ["front.csv", "front.png", "summary.json"]
    with (out / "front.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == pareto_front.COLUMNS and len(rows) == 2 * 7
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    kept = sum(int(row["non_dominated"]) for row in rows if row["policy"] == "greedy")
    assert kept == len(summary["policies"]["greedy"]["points"])
    picture = (out / "front.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", picture[16:24]) == (1650, 750)
    assert script.main([*arguments, "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["policies"] == summary["policies"], "the same episodes again"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "0"], "--grid is 0; it must be from 1 to 8"),
        (["--grid", "9"], "--grid is 9; it must be from 1 to 8"),
        (["--grid", "fine"], "argument --grid"),
        (["--policies", "greedi"], "(nearest valid: greedy)"),
        (["--episodes", "0"], "episodes must be at least 1"),
        (["--scenario", "toy-4"], "nearest valid: toy-3"),
        (["--env", "og_env/Placement-v2"], "nearest valid: og_env/Placement-v1"),
        (["--set", "reward.weights_range=1"], "reward.weights_range of toy-3 is 1: its preferences are all one"),
        (
            [*("--set", "reward.unserved=0", "--set", "reward.unverified=0"), "--set", "reward.exposure=0"],
            "resilience has no weight",
        ),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, tmp_path, capsys):
    try:
        code = script.main(
            ["--scenario", "toy-3", "--policies", "static", *SETS, "--out", str(tmp_path / "out"), *arguments]
        )
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert code == 2
    said = [line for line in captured.err.splitlines() if not line.startswith("og_env: compiling")]
    assert len(said) == 1 and said[0].startswith("error: ")
    assert message in captured.err
    assert not (tmp_path / "out").exists()
