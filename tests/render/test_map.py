"""The map: colours, sizes and what it needs."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from og_env.kernel.arrays import DOWN, FROZEN, SLOW, UNTRUSTED
from og_env.render import frame, table
from og_env.render.map import ALARM, HEIGHT_PX, INK, LOOKS, MARKS, TRAFFIC, WIDTH_PX, _canvas, _legend, looks
from og_env.render.text_table import FIGURES
from tests.cases.four_sites import view_with

METRICS_OF_FIGURES = [key for _, key, _ in FIGURES]


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


def test_grey_and_blind_sites_are_marked() -> None:
    first = np.array([True, False, False, False])
    plain = frame(view_with())
    for mark in ("grey", "blind"):
        marked = frame(view_with(**{mark: first}))
        changed = np.argwhere((marked != plain).any(axis=2))
        assert 50 < len(changed) < 3000, mark
        assert np.ptp(changed, axis=0).max() < 150, f"{mark}: beside the one site"
        assert count(marked, INK) > count(plain, INK)


def test_arrows_show_which_sites_are_steered_to_and_away_from() -> None:
    plain = frame(view_with())
    to, away = (frame(view_with(steer=np.array([0.0, 0.0, 0.0, bias]))) for bias in (4.0, -4.0))
    assert count(to, TRAFFIC) > count(plain, TRAFFIC) + 20 and count(to, ALARM) <= count(plain, ALARM)
    assert count(away, ALARM) > count(plain, ALARM) + 20
    hardly = frame(view_with(steer=np.array([0.01, -0.01, 0.0, 0.0])))
    assert np.array_equal(hardly, plain)


def test_the_legend_says_in_words_what_sites_are_marked_with() -> None:
    figure, _ = _canvas()
    _legend(figure)
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {words for _, words in MARKS} <= texts
    assert "grey: up, but below 0.7 of its speed" in texts and "steered to, away from" in texts


@pytest.mark.parametrize("metric", METRICS_OF_FIGURES)
def test_every_figure_of_the_head_is_in_the_picture(metric: str) -> None:
    view = view_with()
    other = view._replace(metrics=view.metrics | {metric: 3000.0 if metric.endswith("_ms") else 3.0})
    changed = np.argwhere((frame(other) != frame(view)).any(axis=2))
    assert len(changed) and changed[:, 0].max() < 104 and changed[:, 1].max() < WIDTH_PX - 5


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
    with pytest.raises(ImportError, match=r"matplotlib is not installed: run `pip install 'og_env\[train\]'"):
        frame(view_with())


def count(image: np.ndarray, color: str) -> int:
    """Pixels that have nearly this colour."""
    wanted = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)])
    return int((np.abs(image.astype(int) - wanted).max(axis=2) <= 6).sum())
