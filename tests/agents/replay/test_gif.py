"""The moving picture: its frames are those around the outage, and rare colours survive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.commands import replay as script
from og_agents.replay.gif import MOST_FRAMES, WIDTH_PX, moment_of, shown, write_gif
from og_agents.replay.page import film
from og_env.render.map import LOOKS
from og_env.scenario import loading

ROOT = Path(__file__).parents[3]
Image = pytest.importorskip("PIL.Image", reason="needs the train extra: pip install 'og_env[train]'")
OUTAGE = {"outages": [{"domain": "provider:P", "start_h": 0.5, "duration_h": 0.1}], "background": False}


def toy(options):
    spec = loading.load("toy-3")
    return film(heuristics.make("static"), "static", spec, task="placement", seed=0, options=options)


def test_it_shows_what_is_around_the_outage():
    assert list(shown(toy(OUTAGE))) == list(range(1, 61))  # an hour before and after is all of it
    day = film(heuristics.make("static"), "static", loading.load("global-16"), task="placement", seed=0, options=None)
    rows = shown(day)
    assert rows[0] >= 1 and rows[-1] <= 288 and len(rows) <= MOST_FRAMES and len(set(np.diff(rows))) == 1
    quiet = shown(toy({"background": False}))
    assert (quiet[0], quiet[-1]) == (1, 60)


def test_a_moment_has_its_flows_again():
    one = toy(OUTAGE)
    view = moment_of(one, 10)
    assert view.flow_rps.shape == (3, 3) and view.flow_rps.sum() == pytest.approx(8, rel=0.01)
    assert moment_of(one, 33).flow_rps.sum() == 0


def test_policies_are_beside_one_another_in_the_right_colours(tmp_path):
    cut = {"views": 4, "flows": 4}
    one = toy({"outages": [OUTAGE["outages"][0] | {"start_h": 0.01}], "background": False})
    one = one._replace(**{name: getattr(one, name)[:count] for name, count in cut.items()})
    path = tmp_path / "new" / "toy.gif"
    assert write_gif(path, {"left": one, "right": one}) == 3
    with Image.open(path) as picture:
        assert picture.n_frames == 3 and picture.size[0] == 2 * WIDTH_PX and picture.info["loop"] == 0
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    for _, color, _, _ in LOOKS:
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels - wanted).sum(axis=-1) < 24).sum() > 20, color


def test_the_command_writes_it(tmp_path):
    short = tmp_path / "short.toml"
    text = (ROOT / "configs" / "scenarios" / "toy-3.toml").read_text(encoding="utf-8")
    short.write_text(text.replace("steps = 60", "steps = 3"), encoding="utf-8")
    arguments = ["--scenario", str(short), "--outage", "provider:P@0.03+0.01", "--episodes", "1", "--policy", "static"]
    assert script.main([*arguments, "--gif", str(tmp_path / "toy.gif")]) == 0
    with Image.open(tmp_path / "toy.gif") as picture:
        assert picture.n_frames == 3 and picture.size[0] == WIDTH_PX
