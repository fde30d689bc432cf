"""The map: colours, sizes and what it needs."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from og_env.kernel.arrays import DOWN, FROZEN, SLOW, UNTRUSTED
from og_env.render import frame, table
from og_env.render.map import HEIGHT_PX, LOOKS, WIDTH_PX, looks
from tests.cases.four_sites import view_with


def test_frame_is_an_image_that_shows_sites_and_land() -> None:
    image = frame(view_with())
    assert image.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert image.dtype == np.uint8
    for color in (LOOKS[2][1], "#e4e9ee"):
        assert count(image, color) > 200, color


@pytest.mark.parametrize(
    ("status", "look"), [(SLOW, "slow"), (UNTRUSTED, "untrusted"), (FROZEN, "frozen"), (DOWN, "down")]
)
def test_a_struck_site_changes_colour(status: int, look: str) -> None:
    color = next(color for name, color, _, _ in LOOKS if name == look)
    before = frame(view_with())
    struck = frame(view_with(status=np.array([status, 0, 0, 0], np.uint8)))
    assert count(struck, color) > count(before, color) + 50


def test_the_gravest_state_is_shown() -> None:
    status = np.array([DOWN | FROZEN, FROZEN | SLOW, 0, 0], np.uint8)
    names = [LOOKS[number][0] for number in looks(view_with(status=status))]
    assert names == ["down", "frozen", "warm", "no replica"]


def test_traffic_makes_a_site_larger() -> None:
    little = frame(view_with(share=np.array([0.1, 0.1, 0.1, 0.0])))
    much = frame(view_with(share=np.array([0.9, 0.1, 0.1, 0.0])))
    assert count(much, LOOKS[2][1]) > 1.5 * count(little, LOOKS[2][1])


def test_the_same_view_gives_the_same_picture() -> None:
    assert np.array_equal(frame(view_with()), frame(view_with()))


def test_frame_without_gateways_traffic_or_metrics() -> None:
    empty = view_with(
        region_gateway=np.array([-1, -1]),
        flow_rps=np.zeros((4, 4)),
        share=np.zeros(4),
        metrics={},
        load_rps=np.zeros(2),
    )
    assert frame(empty).shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert "no gateway" in table(empty)


def test_frame_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name, name=name)
        return real_import(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"matplotlib is not installed: run `pip install '\.\[train\]'"):
        frame(view_with())


def count(image: np.ndarray, color: str) -> int:
    """Pixels that have nearly this colour."""
    wanted = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)])
    return int((np.abs(image.astype(int) - wanted).max(axis=2) <= 6).sum())
