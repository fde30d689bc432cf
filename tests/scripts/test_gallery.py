"""The gallery has every shipped scenario, small, and the moving picture is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from og_agents import heuristics
from og_agents.commands import gallery
from og_agents.commands.json_output import Ended
from og_agents.replay.page import film
from og_env.scenario import loading

Image = pytest.importorskip("PIL.Image", reason="needs the train extra: pip install 'og_env[train]'")
ROOT = Path(__file__).parents[2]
MOST_BYTES = {"png": 120_000, "gif": 1_500_000}


def test_every_scenario_has_a_lesson_and_a_picture() -> None:
    assert sorted(gallery.LESSONS) == loading.names()
    text = gallery.PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == list(gallery.LESSONS)
    assert re.findall(r"\]\(\.\./gallery/(.*)\.png\)", text) == list(gallery.LESSONS)
    assert sorted(path.stem for path in gallery.GALLERY.glob("*.png")) == loading.names()
    for name, lesson in gallery.LESSONS.items():
        assert f"## {name}\n\n{lesson}\n" in text, "run og-env gallery"
        with Image.open(gallery.GALLERY / f"{name}.png") as picture:
            assert picture.size == gallery.SIZE_PX


def test_pictures_are_small() -> None:
    for path in [*gallery.GALLERY.glob("*.png"), ROOT / ".github" / "outage.gif"]:
        assert path.stat().st_size < MOST_BYTES[path.suffix[1:]], path.name


def test_the_moving_picture_shows_an_outage_beside_its_absence_of_harm() -> None:
    with Image.open(ROOT / ".github" / "outage.gif") as picture:
        assert picture.n_frames >= 20 and picture.size[0] == 1440


def test_the_moment_is_the_one_of_most_harm() -> None:
    options = {"outages": [{"domain": "provider:P", "start_h": 0.5, "duration_h": 0.1}], "background": False}
    toy = film(heuristics.make("static"), "static", loading.load("toy-3"), task="placement", seed=0, options=options)
    row = gallery.telling(toy)
    assert (toy.views[row].status > 0).sum() == 2
    found = gallery.figures_of(toy.views[row], 0.5)
    assert found["caption"] == "hour 0.5, 2 of 3 sites struck, 0% served, so no latency"
    assert found["latency_p95_ms"] is found["n_eff"] is None


def test_the_command_draws_what_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gallery.main(["toy-3", "--out", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["toy-3.png"]
    assert "toy-3.png: hour " in capsys.readouterr().out


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in ((["toy-4"], "nearest valid: toy-3"), (["toy-3", "--policy", "gredy"], "greedy")):
        assert gallery.main([*words, "--out", str(tmp_path / "none")]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_without_a_checkout_pictures_go_into_the_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(gallery, "_run", lambda options: asked.append(options.out) or Ended({}))
    assert gallery.main([]) == 0
    monkeypatch.setattr(gallery, "GALLERY", tmp_path / "none")
    assert gallery.main([]) == 0
    assert asked == [ROOT / ".github" / "gallery", Path("gallery")]
