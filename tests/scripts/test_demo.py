"""The first look: a policy against rules, and two pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from og_agents.commands import demo
from og_env.scenario import loading


def test_it_plays_and_writes_two_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "shipped_recipes", lambda spec, task: ())
    opened: list[str] = []
    monkeypatch.setattr(demo.webbrowser, "open", opened.append)
    assert demo.main(["--scenario", "toy-3", "--episodes", "2", "--out", str(tmp_path), "--open"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("no trained policy comes with toy-3 as it is: the planner greedy_tuned plays")
    rows = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert {"greedy_tuned", *demo.RULES} <= rows
    pages = [tmp_path / "report.html", tmp_path / "outage.html"]
    assert all(page.is_file() for page in pages) and opened == [page.as_uri() for page in pages]
    assert all(str(page) in out.splitlines()[-2] for page in pages)


def test_a_policy_that_comes_along_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(demo, "shipped_recipes", lambda spec, task: ("rpi", "ppo"))
    monkeypatch.setattr(demo.benchmark, "main", lambda words: asked.append(words) or 0)
    monkeypatch.setattr(demo.replay, "main", lambda words: asked.append(words) or 0)
    assert demo.main([]) == 0
    compared, struck = asked
    assert compared[compared.index("--policies") + 1] == "rpi,static,nearest,n1_reserve"
    assert [struck[at + 1] for at, word in enumerate(struck) if word == "--policy"] == ["static", "rpi"]


def test_the_largest_provider_is_struck() -> None:
    assert demo.strike(loading.load("toy-3"))[1].startswith("provider:P@")
    option, outage = demo.strike(loading.load("one-cloud"))
    assert option == "--outage" and re.fullmatch(r"provider:\w+@6\.00\+4\.00", outage)
    assert demo.strike(loading.load("random-24")) == []


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--scenario", "one-clud"]) == 2
    error = capsys.readouterr().err
    assert "nearest valid: one-cloud" in error and error.count("\n") == 1
