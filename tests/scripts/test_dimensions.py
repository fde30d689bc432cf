"""The blindness table from the command line: its JSON, its text, and one clear line for bad input."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "dimensions.py"
QUICK = ("--scenario", "toy-3", "--set", "episode.steps=6", "--episodes", "2", "--policies", "static,greedy")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("dimensions_script", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_json_has_the_cost_of_every_dimension_and_four_spans(script, capsys):
    assert script.main([*QUICK, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert {"scenario", "return", "dimensions", "span"} <= set(table) and table["scenario"] == "toy-3"
    assert set(table["dimensions"]) == {
        *("geography", "warmth", "price", "dependencies", "verification", "stores", "scarcity", "condition", "routing")
    }
    assert all(set(cost) == {"cost_pct", "ci_low", "ci_high"} for cost in table["dimensions"].values())
    assert set(table["span"]) == {"exposure", "n_eff", "latency_miss", "usd_per_hour"}
    assert all(len(pair) == 2 and pair[0] <= pair[1] for pair in table["span"].values())
    assert (table["split"], table["episodes"], table["seed"]) == ("validation", 2, 0)


def test_text_names_the_episodes(script, capsys):
    assert script.main([*QUICK, "--split", "test", "--seed", "5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("toy-3: 2 test episodes from seed 5, return of greedy ")
    assert "Policies: static, greedy." in out
    assert script.main([*QUICK, "--sealed", "--dimensions", "price"]) == 0
    assert capsys.readouterr().out.startswith("toy-3: 2 sealed episodes from seed 0, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "global-42"], "global-24"),
        (["--policies", "greddy"], "nearest valid: greedy"),
        (["--policies", ","], "--policies names no policy"),
        (["--episodes", "0"], "--episodes must be at least 1"),
        (["--seed", "-1"], "--seed at least 0"),
        (["--split", "train"], "invalid choice: 'train'"),
        (["--split", "sealed"], "say --sealed, or take --split test"),
        (["--set", "episode.stepps=3"], "nearest valid: steps"),
        (["--planner", "rollout"], "invalid choice: 'rollout'"),
        (["--set", "x"], "write KEY=VALUE"),
    ],
)
def test_bad_input_is_one_line(script, capsys, arguments, message):
    try:
        code = script.main(arguments)
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err
    assert code == 2 and message in error and error.count("\n") == 1
