"""The searches for constants, on landscapes whose summit is known, and the command that prints them."""

import tomllib

import pytest

from og_agents.commands import tune
from og_agents.heuristics.tuned_constants import PLANNERS, of_planner
from og_agents.studies import tuning


def test_cross_entropy_climbs_to_the_summit_and_keeps_its_bounds():
    seen = []

    def score(constants):
        seen.append(dict(constants))
        return -((constants["risk"] - 2.0) ** 2) - (100 * (constants["add"] - 0.004)) ** 2

    def scores(points):
        return [score(point) for point in points]

    start, space = {"risk": 0.5, "add": 0.0}, of_planner("greedy_tuned")
    best, trials = tuning.cross_entropy(
        lambda points: [score(point) for point in points], start, space, population=20, rounds=12
    )
    assert seen[0] == start and trials == len(seen) == 240
    assert best["risk"] == pytest.approx(2.0, abs=0.5)
    assert best["add"] == pytest.approx(0.004, abs=0.002)
    for name in start:
        assert all(space.low[name] <= point[name] <= space.high[name] for point in seen)
    assert tuning.cross_entropy(scores, start, space)[0] == tuning.cross_entropy(scores, start, space)[0]


def test_the_constant_planner_is_tried_at_every_rank():
    found = tuning.tune_planner("constant", "toy-3", episodes=1)
    assert found.trials == tuning.RANKS
    with pytest.raises(ValueError, match="nearest valid: spot_hedge"):
        tuning.tune_planner("spot_hegde", "toy-3")


def test_the_script_prints_tables_of_the_files(capsys):
    quick = ["--episodes", "1", "--population", "3", "--rounds", "1"]
    assert tune.main(["--scenario", "toy-3", "--policies", "planners", *quick]) == 0
    parts = [part for part in capsys.readouterr().out.split("\n\n") if part]
    for (name, constants), part in zip(PLANNERS.items(), parts, strict=True):
        assert part.startswith(f"# {name}.toml, {name}: ") and "trials; validation" in part
        assert tuple(tomllib.loads(part)["tuned"]["toy-3"]) == constants
    assert tune.main(["--scenario", "toy-3", "--policies", "greedy", "--episodes", "1"]) == 0
    assert tuple(tomllib.loads(capsys.readouterr().out)) == ("greedy",)
    place = ["--policies", "spread", "--constants", "high"]
    assert tune.main(["--scenario", "toy-3", *place, "--episodes", "1"]) == 0
    assert tuple(tomllib.loads(capsys.readouterr().out)["spread"]) == ("high", "low", "arriving", "refused")
    assert tune.main(["--scenario", "toy-3", "--policies", "gredy_tuned"]) == 2
    assert "nearest valid: greedy_tuned" in capsys.readouterr().err


def test_a_planner_s_search_can_begin_elsewhere_and_checks_what_it_is_given():
    found = tuning.tune_planner(
        "greedy_tuned", "toy-3", episodes=2, population=3, rounds=1, begin={"backlog": 1.0, "arriving": 0.8}
    )
    assert found.trials == 3
    for begin, message in (({"backlg": 1.0}, "nearest valid: backlog"), ({"backlog": "much"}, "must be a number")):
        with pytest.raises(ValueError, match=message):
            tuning.tune_planner("greedy_tuned", "toy-3", begin=begin)
    with pytest.raises(ValueError, match="population 2"):
        tuning.tune_planner("greedy_tuned", "toy-3", population=2)
