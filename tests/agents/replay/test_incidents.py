"""The command that replays incidents: its tables, its files, and one clear line for bad input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from og_agents import heuristics, planners
from og_agents.commands import replay as script
from og_agents.evaluation import playing
from og_agents.replay import incidents
from og_agents.replay.page import film
from og_env.kernel.arrays import TERMS
from og_env.scenario import catalog, loading
from og_env.simulator.reset_options import touches
from tests.cases.as_stated import AS_STATED

INCIDENT = "redsea-2025-09-06"


def test_a_twin_is_the_same_episode_without_the_incident():
    spec = loading.override(loading.load("toy-3"), AS_STATED)
    cases = incidents.incident_cases(spec)
    assert INCIDENT in cases and 0 < len(cases) < len(catalog.incidents())
    played = incidents.play(heuristics.make("static"), "still", spec, cases, task="placement", episodes=2, seed=3)
    assert set(played) == set(cases)
    seeds = set()
    for case, (recording, impact, twin) in played.items():
        assert np.array_equal(twin.seeds, recording.seeds) and not twin.status.any()
        assert recording.policy == "still" and recording.seeds[0] == incidents.first_seed(case, 2, 3)
        assert recording.incidents[0]["id"] == case and recording.status.any()
        assert (recording.metric("active_outages")[:, :13] == 0).all()
        assert (impact.due >= 0).all() and np.allclose(impact.due, impact.lost), "nothing is lost without it"
        seeds |= set(recording.seeds.tolist())
    assert len(seeds) == 2 * len(cases), "incidents share no demand"


def test_a_policy_that_measures_the_environment_can_be_replayed():
    spec = loading.override(loading.load("toy-3"), AS_STATED)
    cases = {"outage": {"outages": [{"domain": "provider:P", "start_h": 0.5, "duration_h": 0.1}], "background": False}}
    prices = planners.make("site_prices", spec, "routing")
    played = incidents.play(prices, "prices", spec, cases, task="routing", episodes=1, seed=0)
    assert played["outage"].recording.rewards.shape == (1, 60)
    shown = film(prices, "prices", spec, task="routing", seed=0)
    assert len(shown.views) == 61


def test_of_random_fleets_those_that_it_touches_are_played():
    spec = loading.override(loading.load("random-24"), {"episode.steps": 100})
    cases = incidents.incident_cases(spec)
    assert len(cases) == len(catalog.incidents())
    some = {case: cases[case] for case in ("lumen-2020-08-30", "teefail-2025-10-28", "nirs-2025-09-26")}
    played = incidents.play(heuristics.make("static"), "static", spec, some, task="placement", episodes=6, seed=0)
    assert "nirs-2025-09-26" not in played and len(played) == 2
    for case, one in played.items():
        recording = one.recording
        assert all(facts["sites"] for facts in recording.incidents) and recording.status.any(axis=(1, 2)).all()
        assert len(one.impact.due) == len(recording.seeds) == len(recording.sites)
        assert incidents.figures(case, {"static": one})["what"]["hit_sites_mean"] >= 1
    assert len(played["lumen-2020-08-30"].impact.due) < 6


def printed(capsys, *arguments: str) -> str:
    assert script.main([*arguments, "--episodes", "2"]) == 0
    return capsys.readouterr().out


def test_the_table_of_one_incident(capsys):
    out = printed(capsys, "--incident", INCIDENT, "--scenario", "near-but-cold", "--policy", "static")
    lines = out.splitlines()
    assert lines[0].startswith(f"{INCIDENT}: SMW4, IMEWE, FALCON, Red Sea / Jeddah; 2025-09-06, 5:45 UTC, 240 h, SLOW")
    assert lines[2].startswith("hits ") and "of 20 sites of near-but-cold: " in lines[2]
    assert "come after the episode's end" in lines[3]
    assert lines[5].split()[:2] == ["policy", "unserved"] and lines[6].split()[0] == "static"
    assert "Means of 2 demand seeds" in lines[7]


def test_json_and_files_say_the_same(capsys, tmp_path):
    arguments = ["--incident", INCIDENT, "--scenario", "toy-3", "--policy", "static", "--policy", "greedy"]
    result = json.loads(printed(capsys, *arguments, "--json", "--out", str(tmp_path / "out")))
    assert result == json.loads((tmp_path / "out" / "replay.json").read_text(encoding="utf-8"))
    one = result["replays"][INCIDENT]
    assert one["what"]["kind"] == catalog.incidents()[INCIDENT].kind and one["what"]["cut_h"] > 0
    assert set(one["policies"]) == {"static", "greedy"}
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    first = incidents.first_seed(INCIDENT, 2, 0)
    seeds = [str(first), str(first + 1)]
    assert [(row["policy"], row["seed"]) for row in rows] == [(p, s) for p in ("static", "greedy") for s in seeds]
    mean = np.mean([float(row["cost_usd"]) for row in rows if row["policy"] == "greedy"])
    assert mean == pytest.approx(one["policies"]["greedy"]["cost_usd"]["mean"])
    with (tmp_path / "out" / "steps.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * 60


def test_all_incidents_with_wins_and_those_that_touch_nothing(capsys):
    arguments = ["--all", "--scenario", "toy-3", "--policy", "static", "--policy", "greedy"]
    out = printed(capsys, *arguments)
    hit = [name for name in catalog.incidents() if touches(catalog.incidents()[name], "toy-3")]
    assert 0 < len(hit) < 41 and all(f"\n{name} " in out for name in hit)
    assert f"{41 - len(hit)} incidents touch no site of toy-3: gcp-2019-06-02, " in out
    assert f"{len(hit)} incidents, {2 * len(hit)} episodes" in out
    result = json.loads(printed(capsys, *arguments, "--json"))
    assert set(result["replays"]) == set(hit) and len(result["untouched"]) == 41 - len(hit)
    contest = result["comparison"]
    other = {"static": "greedy", "greedy": "static"}[contest["best_baseline"]]
    pair = contest["paired"][other]
    means = {name: contest["policies"][name]["return_mean"] for name in ("static", "greedy")}
    assert pair["mean_diff"] == pytest.approx(means[other] - means[contest["best_baseline"]])
    assert pair["ci_low"] <= pair["mean_diff"] <= pair["ci_high"]


def test_an_outage_of_ones_own(capsys):
    outage = "facilitator:registry@6+4"
    out = printed(capsys, "--outage", outage, "--scenario", "opengradient", "--policy", "opengradient")
    assert out.startswith(f"{outage}: hits 14 of 24 sites of opengradient; nothing else breaks\n")
    row = out.splitlines()[3].split()
    exposure, n_eff, on_hit_sites = row[-3:]
    assert row[0] == "opengradient" and on_hit_sites == "100%"
    assert float(exposure.rstrip("%")) > 85 and float(n_eff) < 2


def test_a_plain_day_breaks_what_its_seed_breaks(capsys, tmp_path):
    arguments = ["--scenario", "global-24", "--policy", "static", "--policy", "greedy"]
    out = printed(capsys, *arguments, "--out", str(tmp_path / "day.html"), "--out", str(tmp_path / "files"))
    lines = out.splitlines()
    assert lines[0].startswith("a plain day: ") and " of 24 sites of global-24 break in it on average" in lines[0]
    assert lines[2].split()[0] == "policy" and lines[3].split()[-4:] == ["-"] * 4
    result = json.loads((tmp_path / "files" / "replay.json").read_text(encoding="utf-8"))
    figures = result["replays"]["plain day"]["policies"]["static"]
    assert figures["recover_min"] is None and figures["due"]["mean"] > 0
    env = playing.run(heuristics.make("static"), "global-24", "placement", episodes=2, seed=0)
    with (tmp_path / "files" / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["policy"] == "static"]
    assert [float(row["return"]) for row in rows] == pytest.approx(env.returns.tolist())
    text = (tmp_path / "day.html").read_text(encoding="utf-8")
    assert "<title>global-24: plain day</title>" in text and "Whole episode" in text


def test_steps_have_their_rewards_and_terms(capsys, tmp_path):
    printed(
        capsys, "--outage", "provider:P@0.5+0.2", "--scenario", "toy-3", "--policy", "static", "--out", str(tmp_path)
    )
    weights = loading.load("toy-3").reward
    with (tmp_path / "steps.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            total = -sum(getattr(weights, name) * float(row[f"term_{name}"]) for name in TERMS)
            assert float(row["reward"]) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--incident", "aws-2025-10-21"], "--incident: unknown incident 'aws-2025-10-21' (nearest valid: aws-"),
        (["--incident", "optus-2023-11-08"], "optus-2023-11-08 touches no site of toy-3; it touches global-512"),
        (["--outage", "provider:P"], "--outage: 'provider:P' is not KIND:NAME@START_H+HOURS[=EFFECT]"),
        (["--outage", "provider:P@0.5+1=FROZN"], "'FROZN' is not valid (nearest valid: FROZEN)"),
        (["--outage", "provider:Z@0.5+1"], "unknown provider of this fleet 'Z' (valid: P, Q)"),
        (["--outage", "provider:P@2+1"], "--outage: nothing happens: it begins after the episode's 1 h"),
        (
            ["--incident", INCIDENT, "--policy", "greedi"],
            "--policy: 'greedi' is neither a heuristic, a planner, a folder nor module:Class",
        ),
        (["--incident", INCIDENT, "--episodes", "0"], "--episodes must be at least 1"),
        (["--incident", INCIDENT, "--env", "og_env/Placement-v2"], "nearest valid: og_env/Placement-v1"),
        (["--incident", INCIDENT, "--all"], "not allowed with argument"),
        (["--all", "--gif", "all.gif"], "all.gif: shows one replay"),
        (["--gif", "x.gif", "--policy", "all"], "--gif: 12 policies do not fit beside one another; name at most 3"),
        (["--all", "--out", "all.html"], "all.html: shows one replay: name it by --incident, not --all"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, capsys, tmp_path):
    given = ["--scenario", "toy-3", "--out", str(tmp_path / "out"), "--policy", "static", *arguments]
    try:
        code = script.main(given)
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert code == 2 and captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err and not (tmp_path / "out").exists()
