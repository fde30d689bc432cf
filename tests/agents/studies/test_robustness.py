"""Changed worlds: what each changes, who is best in each, the table, and one clear line for bad input."""

import csv
import json

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.evaluation import playing
from og_agents.learning import checkpoint
from og_agents.studies import robustness
from og_env.scenario import catalog, loading
from scripts import robustness as script

SHORT = ("episode.steps=12", "demand.burst_sd=0.3", "failures.process=correlated", "failures.intensity=200")
SETS = [word for change in SHORT for word in ("--set", change)]


@pytest.fixture(scope="module")
def short():
    changes = {
        "episode.steps": 12,
        "demand.burst_sd": 0.3,
        "failures.process": "correlated",
        "failures.intensity": 200.0,
    }
    return loading.override(loading.load("toy-3"), changes)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A folder that loads as a policy which plays as `static` does."""
    folder = tmp_path / "trained"
    folder.mkdir()
    monkeypatch.setattr(checkpoint, "load", lambda *_, **__: heuristics.make("static"))
    return folder


def test_each_world_changes_one_thing():
    spec = loading.load("global-24")
    worlds, left_out = robustness.changed_worlds(spec)
    assert left_out == []
    assert [world.name for world in worlds] == [
        *("as it is", "outages x0", "outages x2", "outages x4", "independent outages", "demand x1.3", "incident")
    ]
    assert worlds[0].spec == spec and worlds[0].options == {}
    for world, shocks in zip(worlds[1:4], (0.0, 44.0, 88.0), strict=True):
        assert world.spec == loading.override(spec, {"failures.shocks_per_day": shocks})
    assert worlds[4].spec == loading.override(spec, {"failures.process": "independent"})
    assert worlds[5].spec.demand.requests_per_s == pytest.approx(1.3 * spec.demand.requests_per_s)
    assert worlds[6].spec == spec and worlds[6].options["background"] is True


def test_the_rate_is_the_setting_that_the_scenario_uses(short):
    worlds, _ = robustness.changed_worlds(short)
    assert [world.spec.failures.intensity for world in worlds[1:4]] == [0.0, 400.0, 800.0]
    down = [
        playing.run(heuristics.make("static"), world.spec, episodes=40, options=world.options)
        .metric("sites_down")
        .mean()
        for world in worlds[:4]
    ]
    assert down[1] == 0 < down[0] < down[2] < down[3]


def test_worlds_that_a_scenario_cannot_have_are_left_out_and_named():
    worlds, left_out = robustness.changed_worlds(loading.load("tee-break"))
    assert [world.name for world in worlds] == ["as it is", "demand x1.3", "incident"]
    rates, twin = left_out
    assert rates.startswith("outages x0, x2, x4: tee-break draws none and scripts its outages")
    assert twin == "independent outages: those of tee-break are not correlated but 'none'"
    independent = loading.override(loading.load("one-cloud"), {"failures.process": "independent"})
    worlds, left_out = robustness.changed_worlds(independent)
    assert len(worlds) == 6 and len(left_out) == 1


def test_the_incident_is_the_widest_or_the_one_named():
    spec = loading.load("opengradient")
    widest = robustness.widest_incident(spec)
    sites = loading.resolve(spec).sites
    hits = {name: sum(catalog.matches(one, site) for site in sites) for name, one in catalog.incidents().items()}
    assert widest is not None and hits[widest] == max(hits.values()) > min(hits.values())
    named = next(name for name in hits if 0 < hits[name] < hits[widest])
    assert robustness.changed_worlds(spec, named)[0][-1].options["incident"] == named


def test_an_incident_comes_on_top_of_the_seeds_outages(short):
    world = robustness.changed_worlds(short)[0][-1]
    status = []
    for options in ({}, world.options):
        env = playing.stage(heuristics.make("static"), short, "placement", 8)
        env.reset(seed=0, options=options)
        status.append(env.simulator.tape.status.copy())
        env.close()
    plain, struck = status
    assert ((struck & plain) == plain).all() and (struck != plain).any() and plain.any()


def test_a_world_is_played_with_its_options(short):
    outage = {"outages": [{"domain": "site:a", "start_h": 0.0, "duration_h": 1.0}], "background": False}
    world = robustness.ChangedWorld("struck", "", short, outage)
    seen = []
    robustness.play(world, {"static": heuristics.make("static")}, [], episodes=2, played=seen.append)
    assert (seen[0].traces["sites_down"] == 1).all()


def test_the_best_baseline_is_that_of_each_world_and_no_reference(short):
    policies = {name: heuristics.make(name) for name in ("static", "spread", "random")}
    policies["rollout"] = heuristics.make("greedy")
    world = robustness.changed_worlds(short)[0][3]
    seen = []
    summary = robustness.play(world, policies, ["random"], episodes=40, seed=3, played=seen.append)
    means = {run.policy: run.returns.mean() for run in seen}
    assert summary["best_baseline"] == max(("static", "spread"), key=lambda name: means[name])
    assert means["rollout"] > means[summary["best_baseline"]], "better, but it looks ahead"
    again = playing.run(policies["spread"], world.spec, episodes=40, seed=3)
    assert np.array_equal(again.returns, seen[1].returns)
    [row] = robustness.records([summary], ["random"])
    assert row["mean_diff"] == pytest.approx(means["random"] - means[summary["best_baseline"]])
    assert (row["learned_return"], row["world"]) == (pytest.approx(means["random"]), "outages x4")


def test_verdicts_are_counted_for_each_learned_policy():
    names = ("as it is", "outages x4", "demand x1.3")
    rows = [{"learned": "a", "world": world, "verdict": "win"} for world in names]
    rows += [
        {"learned": "b", "world": world, "verdict": word}
        for world, word in zip(names, ("win", "loss", "tie"), strict=True)
    ]
    assert robustness.verdict_lines(rows) == [
        "a wins in 3 of 3 worlds",
        "b wins in 1 of 3 worlds; ties in demand x1.3; loses in outages x4",
    ]


def test_the_script_prints_the_table_and_writes_it(trained, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--scenario", "toy-3", *SETS, "--policies", f"static,greedy,{trained}", "--episodes", "3"]
    assert script.main([*arguments, "--seed", "2", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["world", "best", "baseline"]
    assert [line.split("  ")[0] for line in lines[1:8]] == [
        *("as it is", "outages x0", "outages x2", "outages x4", "independent outages", "demand x1.3", "incident")
    ]
    assert lines[-1].startswith("trained wins in ")
    assert sorted(path.name for path in out.iterdir()) == ["summary.json", "table.csv"]
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    with (out / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == robustness.COLUMNS
    assert [row["verdict"] for row in rows] == [row["verdict"] for row in summary["rows"]]
    assert (summary["episodes"], summary["seed"], summary["learned"]) == (3, 2, ["trained"])
    assert script.main([*arguments, "--seed", "2", "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"] == summary["rows"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "greedy"], "--policies names no trained policy: add a run folder"),
        (["--policies", "greedi"], "(nearest valid: greedy)"),
        (["--policies", "TRAINED"], "--policies names no baseline: add greedy_tuned"),
        (["--policies", "TRAINED,rollout"], "--policies names no baseline: add greedy_tuned"),
        (
            ["--incident", "aws-2025-10-21"],
            "--incident: unknown incident 'aws-2025-10-21' (nearest valid: aws-2025-10-20)",
        ),
        (
            ["--incident", "aws-2025-10-20", "--policies", "greedy,TRAINED"],
            "touches no site of toy-3; teefail-2025-10-28 does",
        ),
        (["--episodes", "0", "--policies", "greedy,TRAINED"], "episodes must be at least 1"),
        (["--scenario", "toy-4"], "nearest valid: toy-3"),
        (["--env", "og_env/Placement-v2"], "nearest valid: og_env/Placement-v1"),
        (["--set", "failures.intensit=2"], "failures.intensit"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, trained, tmp_path, capsys):
    given = [word.replace("TRAINED", str(trained)) for word in arguments]
    code = script.main(["--scenario", "toy-3", "--out", str(tmp_path / "out"), *given])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "out").exists()
