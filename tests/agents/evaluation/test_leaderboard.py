"""Many benchmarks on one page: rows, marks and verdicts are those of the summaries; what is none is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from og_agents.commands import leaderboard as script
from og_agents.evaluation import leaderboard


def summary(**changes: Any) -> dict[str, Any]:
    figures = {"return_mean": -50.0, "return_iqm": -49.0, "ci_low": -52.0, "ci_high": -48.0, "decisions_per_s": 1234.0}
    return {
        "scenario": "one-cloud",
        "env": "og_env/Placement-v1",
        "split": "test",
        "episodes": 100,
        "seed": 0,
        "policies": {
            "greedy": figures,
            "mine": figures | {"return_mean": -48.0, "operations_per_day": 203.7},
            "static": figures | {"return_mean": -60.0},
            "clairvoyant": figures | {"return_mean": -40.0},
        },
        "best_baseline": "greedy",
        "learned": "mine",
        "paired": {
            "mine": {"mean_diff": 2.0, "ci_low": 0.5, "ci_high": 3.5, "wins": 0.8},
            "static": {"mean_diff": -10.0, "ci_low": -12.0, "ci_high": -8.0, "wins": 0.0},
            "clairvoyant": {"mean_diff": 10.0, "ci_low": 8.0, "ci_high": 12.0, "wins": 1.0},
        },
        "verdict": "win",
    } | changes


def write(folder: Path, name: str, value: Any) -> Path:
    path = folder / name / "summary.json"
    path.parent.mkdir(parents=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_the_page_has_every_scenario_policy_and_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "a", summary())
    tied = summary()["paired"] | {"mine": {"mean_diff": -0.1, "ci_low": -1.0, "ci_high": 0.8, "wins": 0.5}}
    write(tmp_path, "b", summary(scenario="global-16", paired=tied, verdict="tie", episodes=20))
    out = tmp_path / "new" / "board.md"
    assert script.main([str(tmp_path), "--out", str(out)]) == 0
    assert "2 benchmarks of 2 scenarios" in capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    assert "| **mine** | 2 | 1, 1, 0 | +1.9 | 203.7 |" in text
    assert "| greedy | 2 | 0, 2, 0 | +0.0 |  |" in text
    assert "| static | 2 | 0, 0, 2 | -20.0 |  |" in text
    assert "| clairvoyant † | 2 | 2, 0, 0 | +20.0 |  |" in text
    assert text.index("| clairvoyant †") < text.index("| **mine**") < text.index("| static | 2")
    assert (
        "| one-cloud, og_env/Placement-v1 | 100 | greedy | -50.00 | **mine** | +2.00 | [+0.50, +3.50] | win |" in text
    )
    assert "| global-16, og_env/Placement-v1 | 20 (few) | greedy" in text
    assert "| greedy \\* | -50.00" in text
    assert "mine wins against greedy" in text and "cannot be told apart from greedy" in text


def test_a_benchmark_without_a_learned_policy_is_shown(tmp_path: Path) -> None:
    entries = leaderboard.read_entries([write(tmp_path, "a", summary(learned=None, verdict=None))])
    text = leaderboard.page(entries, "x")
    assert "| greedy | -50.00 |  |  |  |  |" in text and "No learned policy took part" in text


def test_the_same_file_counts_once(tmp_path: Path) -> None:
    path = write(tmp_path, "a", summary())
    assert len(leaderboard.read_entries([path, tmp_path, str(path)])) == 1


def test_a_split_that_is_not_held_out_is_said(tmp_path: Path) -> None:
    [entry] = leaderboard.read_entries([write(tmp_path, "a", summary(split="validation"))])
    assert leaderboard.overview(entry)[1] == "100 of the validation split"
    [entry] = leaderboard.read_entries([write(tmp_path, "b", summary(split="sealed"))])
    assert leaderboard.overview(entry)[1] == "100 sealed"
    assert "100 sealed episodes, seeds 0 to 99." in leaderboard.page([entry], "x")


def test_other_numbers_for_the_same_episodes_are_an_error(tmp_path: Path) -> None:
    other = summary()
    other["policies"]["greedy"] = other["policies"]["greedy"] | {"return_mean": -51.0}
    write(tmp_path, "a", summary())
    write(tmp_path, "b", other)
    with pytest.raises(ValueError, match=r"greedy has another mean on one-cloud, .* different versions"):
        leaderboard.read_entries([tmp_path])
    other["episodes"] = 50
    (tmp_path / "b" / "summary.json").write_text(json.dumps(other), encoding="utf-8")
    assert len(leaderboard.read_entries([tmp_path])) == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "not JSON"),
        ("[]", "must be a table of fields"),
        ("{}", "no benchmark summary: best_baseline, env"),
        (summary(policies={"greedy": {}}), "policies.greedy: ci_high"),
        (summary(paired={"mine": {}}), "paired.mine: ci_high"),
        (summary(learned="other"), "learned 'other' is not among the policies"),
        (summary(best_baseline=None), "no heuristic took part: run the benchmark with --policies all"),
    ],
)
def test_what_is_no_summary_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: Any, message: str
) -> None:
    path = write(tmp_path, "a", value)
    assert script.main([str(path), "--out", str(tmp_path / "board.md")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "board.md").exists()


def test_an_empty_folder_and_a_missing_file_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, message in ((tmp_path, "no summary.json in it"), (tmp_path / "none.json", "no such file")):
        assert script.main([str(path), "--out", str(tmp_path / "board.md")]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    odd = "<b>|a`b*[x](y)\x1b"
    names = {"mine": odd, "greedy": "greedy", "static": "static"}
    policies = {names[name]: figures for name, figures in summary()["policies"].items() if name in names}
    paired = {names[name]: pair for name, pair in summary()["paired"].items() if name in names}
    changes = {"scenario": "<i>", "learned": odd, "policies": policies, "paired": paired}
    write(tmp_path, "a", summary(**changes))
    page = leaderboard.page(leaderboard.read_entries([tmp_path]), "python x\x1b")
    assert "<b>" not in page and "<i>" not in page and "\x1b" not in page
    assert r"&lt;b&gt;\|a\`b\*\[x\](y) " in page
    assert "&lt;i&gt;, og_env/Placement-v1" in page
    assert r"greedy \*" in page
