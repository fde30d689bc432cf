"""What an incident does to a policy: figures worked out by hand, and the command that prints them."""

from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np
import pytest

from agents import evaluate, heuristics, replay
from agents.recording import Recording, record
from og_env import catalog, config
from scripts import replay as script

P_DOWN = {"outages": [{"domain": "provider:P", "start_h": 0.5, "duration_h": 0.2}], "background": False}
SPREAD: dict[str, Any] = {"start.replica_sites": {"unit": ("a", "c")}, "start.gateway_sites": ("a", "c")}
INCIDENT = "redsea-2025-09-06"


def toy(options: dict[str, Any] | None = None, /, **changes: Any) -> Recording:
    spec = config.override(config.load("toy-3"), {"start.verifier_sites": ("c",)} | changes)
    policy = heuristics.make("static")
    return record(policy, evaluate.stage(policy, spec, "placement", 2), 0, options)


def test_figures_of_an_outage_on_paper():
    """8 requests/s; the only replica is down from minute 30 to 42 and then loads for 20 s: 40 s at 9 a second are 6."""
    lost, twin = toy(P_DOWN), toy()
    impact = replay.impact(lost, twin, 0.5, 0.7)
    seconds = 31 * 60  # minutes 30 to 60, the last included
    assert impact.asked == pytest.approx([8 * seconds] * 2)
    assert impact.unserved == pytest.approx([8 * 12 * 60 + 2 * 60] * 2)
    assert impact.due == pytest.approx(impact.lost) and impact.unverified == pytest.approx([0, 0])
    assert impact.recover_min.tolist() == [13, 13] and impact.recovered.all()
    assert impact.exposure_before.tolist() == [1, 1] and impact.share_before.tolist() == [1, 1]
    assert impact.n_eff_before == pytest.approx([1, 1])
    usd_per_hour = lost.metric("usd_per_hour")[0]
    assert impact.cost_usd[0] == pytest.approx(usd_per_hour[29:].sum() / 60)
    assert (usd_per_hour[30:40] < usd_per_hour[20]).all()


def test_what_the_twin_loses_too_is_not_due_to_the_outage():
    scarce = SPREAD | {"demand.requests_per_s": 30.0}
    impact = replay.impact(toy(P_DOWN, **scarce), toy(None, **scarce), 0.5, 0.7)
    due = 9 * 60 * 12 + 3 * 60  # one of two replicas of 9 requests/s; then it serves 6 for a minute
    assert impact.due == pytest.approx([due] * 2)
    assert impact.unserved == pytest.approx([due + (30 - 18) * 31 * 60] * 2)
    assert impact.share_before == pytest.approx([0.5, 0.5], abs=0.05)


def test_one_who_stands_on_two_providers_loses_nothing():
    impact = replay.impact(toy(P_DOWN, **SPREAD), toy(None, **SPREAD), 0.5, 0.7)
    assert impact.lost == pytest.approx([0, 0]) and impact.recover_min.tolist() == [0, 0]
    assert impact.recovered.all() and impact.share_before == pytest.approx([0.5, 0.5], abs=0.2)


def test_unverified_requests_are_counted_apart():
    options = {"outages": [{"domain": "tee_vendor:nitro", "start_h": 0.5, "duration_h": 4.0, "effect": "UNTRUSTED"}]}
    impact = replay.impact(toy(options), toy(), 0.5, 4.5)
    assert impact.unverified == pytest.approx([8 * 31 * 60] * 2) and impact.unserved == pytest.approx([0, 0])
    assert not impact.recovered.any() and impact.recover_min.tolist() == [31, 31]


def test_an_outage_from_the_start_has_nothing_before():
    options = {"outages": [{"domain": "provider:P", "start_h": 0.0, "duration_h": 0.2}]}
    impact = replay.impact(toy(options), toy(), 0.0, 0.2)
    assert np.isnan(impact.exposure_before).all() and np.isnan(impact.share_before).all()
    summary = replay.summary(impact)
    assert summary["exposure_before"] is None
    # rows 1 to 11, and 20 s of loading
    assert summary["unserved"] == {
        "mean": pytest.approx(5400),
        "ci_low": pytest.approx(5400),
        "ci_high": pytest.approx(5400),
    }


@pytest.mark.parametrize(
    ("good", "length", "expected"),
    [
        ([1.0] * 40, 10, (0.0, True)),
        ([0.5] * 5 + [1.0] * 40, 10, (25.0, True)),
        ([1.0, 0.5, 1.0, 0.5] + [1.0] * 40, 10, (20.0, True)),
        ([0.5] * 5 + [1.0] * 5, 10, (25.0, True)),
        ([0.5] * 5 + [1.0] * 5 + [0.5], 10, (55.0, False)),
        ([0.995] * 40, 10, (0.0, True)),
        ([1.0] * 25 + [0.5] * 15, 10, (0.0, True)),
        ([1.0] * 20 + [0.5] * 5 + [1.0] * 15, 10, (125.0, True)),
    ],
    ids=[
        "never fell",
        "back",
        "a flicker",
        "to the end",
        "below at the end",
        "within 1 %",
        "long after",
        "in the aftermath",
    ],
)
def test_minutes_to_recover(good, length, expected):
    assert replay.minutes_to_recover(good, np.ones(len(good)), length, 300) == expected


def test_a_lower_level_is_enough_where_the_twin_is_low():
    good, level = [0.5] * 5 + [0.8] * 20, [1.0] * 5 + [0.8] * 20
    assert replay.minutes_to_recover(good, level, 10, 300) == (25.0, True)


def test_worst_hour_is_weighted_by_what_was_served():
    p95, served = np.array([100.0, 900.0, 100.0, 0.0]), np.array([9.0, 1.0, 10.0, 0.0])
    assert replay.worst_hour(p95, served, 0.5) == 180
    assert replay.worst_hour(p95, served, 1.0) == 900
    assert np.isnan(replay.worst_hour(p95, np.zeros(4), 0.5))


def printed(capsys, *arguments: str) -> str:
    assert script.main([*arguments, "--episodes", "2"]) == 0
    return capsys.readouterr().out


def test_the_table_of_one_incident(capsys):
    out = printed(capsys, "--incident", INCIDENT, "--scenario", "near-but-cold", "--policy", "static")
    lines = out.splitlines()
    assert lines[0].startswith(f"{INCIDENT}: SMW4, IMEWE, FALCON, Red Sea / Jeddah; 2025-09-06, 5:45 UTC, 240 h, SLOW")
    assert lines[2].startswith("hits ") and "of 16 sites of near-but-cold: " in lines[2]
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
    assert [(row["policy"], row["seed"]) for row in rows] == [(p, s) for p in ("static", "greedy") for s in "01"]
    mean = np.mean([float(row["cost_usd"]) for row in rows if row["policy"] == "greedy"])
    assert mean == pytest.approx(one["policies"]["greedy"]["cost_usd"]["mean"])
    with (tmp_path / "out" / "steps.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * 60


def test_all_incidents_with_wins_and_those_that_touch_nothing(capsys):
    arguments = ["--all", "--scenario", "toy-3", "--policy", "static", "--policy", "greedy"]
    out = printed(capsys, *arguments)
    hit = [name for name in catalog.incidents() if script.touches(catalog.incidents()[name], "toy-3")]
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
    assert out.startswith(f"{outage}: hits 14 of 14 sites of opengradient; nothing else breaks\n")
    row = out.splitlines()[3].split()
    assert row[0] == "opengradient" and row[-3:] == ["100%", row[-2], "100%"] and float(row[-2]) < 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--incident", "aws-2025-10-21"], "--incident: unknown incident 'aws-2025-10-21' (nearest valid: aws-"),
        (["--incident", "optus-2023-11-08"], "optus-2023-11-08 touches no site of toy-3; it touches global-512"),
        (["--outage", "provider:P"], "--outage: 'provider:P' is not KIND:NAME@START_H+HOURS[=EFFECT]"),
        (["--outage", "provider:P@0.5+1=FROZN"], "'FROZN' is not valid (nearest valid: FROZEN)"),
        (["--outage", "provider:Z@0.5+1"], "unknown provider of this fleet 'Z' (valid: P, Q)"),
        (["--outage", "provider:P@2+1"], "--outage: nothing happens: it begins after the episode's 1 h"),
        (["--incident", INCIDENT, "--policy", "greedi"], "--policy: 'greedi' is neither a heuristic nor a folder"),
        (["--incident", INCIDENT, "--episodes", "0"], "--episodes must be at least 1"),
        (["--incident", INCIDENT, "--env", "og_env/Placement-v1"], "nearest valid: og_env/Placement-v0"),
        (["--incident", INCIDENT, "--all"], "not allowed with argument"),
        ([], "one of the arguments --incident --all --outage is required"),
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
