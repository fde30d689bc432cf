"""A moment as a map: sites coloured by state and sized by traffic, lines of traffic, a head of metrics.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; every state has a marker of its own too.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from og_env import errors
from og_env.dynamics.condition import GREY_SPEED
from og_env.kernel.arrays import DOWN, FROZEN, GATEWAY, SLOW, STEER_RANGE, STORE, UNTRUSTED, VERIFIER
from og_env.render.land import outlines
from og_env.render.text_table import clock, figures
from og_env.render.view import Floats, MapView

Box = tuple[float, float, float, float]
"""Left, bottom, right and top of a rectangle, in pixels of the map."""
WIDTH_PX, HEIGHT_PX, DPI = 1280, 760, 100
"""Width and height of the picture in pixels, and pixels per inch."""
MAP_PX = (0, 46, WIDTH_PX, 610)
"""Left, bottom, width and height of the map in the picture, in pixels."""
LON_DEG, LAT_DEG = (-170.0, 190.0), (-58.0, 78.0)
"""Longitudes and latitudes at the edges of the map."""
TURN_PX = float(MAP_PX[2])
"""Pixels of the map for 360 degrees of longitude."""
INK, GREY, PAPER, LAND = "#1f2933", "#7b8794", "#ffffff", "#e4e9ee"
USERS, TRAFFIC, ALARM = "#6b4c9a", "#0072b2", "#b34700"

LOOKS: tuple[tuple[str, str, str, float], ...] = (
    ("no replica", "#b8c2cc", "o", 0.55),
    ("loading", "#56b4e9", "o", 0.9),
    ("warm", "#0072b2", "o", 1.0),
    ("slow", "#f0e442", "v", 1.15),
    ("untrusted", "#e69f00", "D", 1.0),
    ("frozen", "#009e73", "s", 1.05),
    ("down", "#d55e00", "X", 1.3),
)
"""Name, colour, marker and size factor of the states of a site, which shows the last that applies."""
RIGHT_UP, LEFT_UP = (0.87, 0.5), (-0.87, 0.5)
"""Directions from a site."""
BADGES = (
    (GATEWAY, "gateway", "^", (0.0, 1.0)),
    (STORE, "store", "s", (0.87, -0.5)),
    (VERIFIER, "verifier", "o", (-0.87, -0.5)),
)
"""Role, name, marker and direction (right, up) from the site of the badge that shows a running role."""
MARKS = (
    ("grey", f"grey: up, but below {GREY_SPEED:g} of its speed"),
    ("blind", "blind: its telemetry fails"),
    ("steered", "steered to, away from"),
)
"""Name and meaning of what a site is marked with beside its state: a dashed ring, a question mark, an arrow."""
LEAST_STEER = 0.1
"""Logarithm of a weight from which a site is marked as steered to, or its negative as steered away from."""
ARROW = np.array([(0, 1), (0.8, 0.1), (0.3, 0.1), (0.3, -1), (-0.3, -1), (-0.3, 0.1), (-0.8, 0.1)])
"""Corners of the arrow of a site that is steered to; upside down where it is steered away from."""
MAX_LABELS = 16
"""Largest number of sites that are named."""
MAX_REGION_LABELS = 24
"""Number of user regions up to which they are named."""
BUSY_SHARE = 0.04
"""Share of the traffic from which a site is named."""
MANY_SITES = 64
"""Number of sites above which they are drawn smaller."""
LEGEND_PX = (33.0, 12.0)
"""Heights of the two lines of the legend, in pixels."""
GRAVE = ("outages", "sites down", "grey")
"""Figures of the head that stand out where they are not 0."""
HEAD_COLUMNS = 8
"""Figures in a line of the head, of which there are two."""
LABEL_PX = (5.3, 11.0)
"""Width of a character and height of a line of a label, in pixels."""


def frame(view: MapView) -> NDArray[np.uint8]:
    """The picture of a moment, uint8 [760, 1280, 3].

    Raises ModuleNotFoundError with one line where matplotlib is not installed.
    """
    figure, axes = _canvas()
    figure.figimage(_background(), 0, 0, zorder=-1)
    sites = _apart(view.lat_deg.tobytes(), view.lon_deg.tobytes())
    users = _pixels(view.region_lat_deg, view.region_lon_deg)
    _lines(axes, view, sites, users)
    _users(axes, view, users)
    _sites(axes, view, sites)
    _labels(axes, view, sites, users)
    _head(figure, view)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy()


def _canvas() -> tuple[Any, Any]:
    """An empty figure of the picture's size and axes in pixels of the map."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(errors.missing_extra(error) or str(error), name=error.name) from None
    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    left, bottom, width, height = MAP_PX
    axes = figure.add_axes((left / WIDTH_PX, bottom / HEIGHT_PX, width / WIDTH_PX, height / HEIGHT_PX))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    return figure, axes


@functools.cache
def _background() -> NDArray[np.uint8]:
    """Land and legend, uint8 [760, 1280, 4], which are the same in every frame."""
    from matplotlib.collections import PolyCollection

    figure, axes = _canvas()
    land = [_pixels(ring[:, 1], ring[:, 0], wrap=False) for ring in outlines()]
    land += [ring + np.array([TURN_PX, 0.0]) for ring in land]
    axes.add_collection(PolyCollection(land, facecolors=LAND, edgecolors="none"))
    _legend(figure)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba()).copy()


def _legend(figure: Any) -> None:
    axes = figure.add_axes((0, 0, 1, MAP_PX[1] / HEIGHT_PX))
    axes.set_xlim(0, WIDTH_PX)
    axes.set_ylim(0, MAP_PX[1])
    axes.axis("off")
    x, (first, second) = 24.0, LEGEND_PX
    entries = [(name, color, marker, 64 * size) for name, color, marker, size in reversed(LOOKS)]
    entries += [(name, INK, marker, 16) for _, name, marker, _ in BADGES] + [("users", USERS, "P", 50)]
    for name, color, marker, size in entries:
        axes.scatter([x], [first], c=color, marker=marker, s=size, edgecolors=INK, linewidths=0.5)
        axes.text(x + 11, first, name, va="center", fontsize=8.5, color=INK)
        x += 34 + 6.2 * len(name)
    axes.text(WIDTH_PX - 16, first, "size and lines: traffic", va="center", ha="right", fontsize=8.5, color=GREY)
    x = 24.0
    for name, words in MARKS:
        spot = np.array([[x, second]])
        if name == "grey":
            _ring(axes, spot, np.array([80.0]))
        elif name == "blind":
            _question(axes, spot)
        else:
            _arrows(axes, spot + np.array([-5.0, 0.0]), np.array([STEER_RANGE]))
            _arrows(axes, spot + np.array([4.0, 0.0]), np.array([-STEER_RANGE]))
        axes.text(x + 11, second, words, va="center", fontsize=8.5, color=INK)
        x += 34 + 6.2 * len(words)


def _pixels(lat_deg: Floats, lon_deg: Floats, *, wrap: bool = True) -> Floats:
    """Positions on the map in pixels, float64 [P, 2], in the equirectangular projection."""
    lon = (lon_deg - LON_DEG[0]) % 360 + LON_DEG[0] if wrap else lon_deg
    x = (lon - LON_DEG[0]) / (LON_DEG[1] - LON_DEG[0]) * MAP_PX[2]
    y = (lat_deg - LAT_DEG[0]) / (LAT_DEG[1] - LAT_DEG[0]) * MAP_PX[3]
    return np.column_stack([x, y])


@functools.lru_cache(maxsize=64)
def _apart(lat_bytes: bytes, lon_bytes: bytes) -> Floats:
    """Positions of sites in pixels, float64 [N, 2], with neighbours pushed apart until most can be seen."""
    home = _pixels(np.frombuffer(lat_bytes), np.frombuffer(lon_bytes))
    number = np.arange(len(home))
    spiral = np.column_stack([np.cos(2.4 * number), np.sin(2.4 * number)]) * np.sqrt(1 + number % 23)[:, None]
    spot = home + spiral
    least_px = 15.0 if len(home) <= MANY_SITES else 7.0
    for _ in range(15):
        gap = spot[:, None] - spot[None]
        length = np.maximum(np.sqrt((gap**2).sum(axis=2)), 1e-6)
        push = np.maximum(least_px - length, 0.0) / length * 0.3
        spot = spot + (gap * push[:, :, None]).sum(axis=1)
    return spot


def _lines(axes: Any, view: MapView, sites: Floats, users: Floats) -> None:
    """Draw the demand from regions to gateways, and the traffic from gateways to replicas."""
    from matplotlib.collections import LineCollection

    total = max(float(view.load_rps.sum()), 1e-9)
    served_by = view.region_gateway
    known = np.flatnonzero(served_by >= 0)
    access = _arcs(users[known], sites[served_by[known]], bend=0.0)
    widths = np.tile(0.8 + 6 * view.load_rps[known] / total, 2)
    axes.add_collection(LineCollection(access, colors=USERS, linewidths=widths, alpha=0.45, linestyles=":"))
    start, end = np.nonzero(view.flow_rps > 0.004 * total)
    part = view.flow_rps[start, end] / total
    away = start != end
    arcs = _arcs(sites[start[away]], sites[end[away]], bend=0.16)
    axes.add_collection(LineCollection(arcs, colors=TRAFFIC, linewidths=np.tile(0.6 + 14 * part[away], 2), alpha=0.35))


def _arcs(start: Floats, end: Floats, *, bend: float) -> list[Floats]:
    """Curves, each [17, 2], the short way round the globe, then the same one turn away for what crosses the edge."""
    end = end.copy()
    end[:, 0] -= TURN_PX * np.round((end[:, 0] - start[:, 0]) / TURN_PX)
    along = np.linspace(0.0, 1.0, 17)[None, :, None]
    side = np.column_stack([start[:, 1] - end[:, 1], end[:, 0] - start[:, 0]])
    side *= np.where(side[:, 1:] < 0, -1.0, 1.0)
    middle = (start + end) / 2 + bend * side
    curves = (1 - along) ** 2 * start[:, None] + 2 * along * (1 - along) * middle[:, None] + along**2 * end[:, None]
    shift = np.where(curves[:, :, 0].min(axis=1) < 0, TURN_PX, -TURN_PX)
    other = curves + np.stack([shift, np.zeros_like(shift)], axis=1)[:, None]
    return [*curves, *other]


def _users(axes: Any, view: MapView, users: Floats) -> None:
    part = view.load_rps / max(float(view.load_rps.sum()), 1e-9)
    axes.scatter(*users.T, s=30 + 260 * part, c=USERS, marker="P", edgecolors=PAPER, linewidths=0.7, zorder=3)


def _sites(axes: Any, view: MapView, sites: Floats) -> None:
    """Draw the sites by state and traffic, a halo around those in trouble, and badges of their roles."""
    look = looks(view)
    area = _area(view)
    struck = np.flatnonzero(view.status > 0)
    halo = [LOOKS[look[site]][1] for site in struck]
    axes.scatter(*sites[struck].T, s=area[struck] + 260, c=halo, alpha=0.28, linewidths=0, zorder=3)
    for number, (_, color, marker, size) in enumerate(LOOKS):
        there = look == number
        if there.any():
            axes.scatter(
                *sites[there].T, s=area[there] * size, c=color, marker=marker, edgecolors=INK, linewidths=0.7, zorder=4
            )
    radius_px = _radius_px(view)
    badge = 14.0 if len(sites) <= MANY_SITES else 5.0
    for role, _, marker, (right, up) in BADGES:
        there = view.roles[role]
        spot = sites[there] + radius_px[there, None] * np.array([right, up])
        axes.scatter(*spot.T, s=badge, c=INK, marker=marker, edgecolors=PAPER, linewidths=0.4, zorder=5)
    _ring(axes, sites[view.grey], area[view.grey] + 110)
    blind, steered = _mark_spots(view, sites)
    _question(axes, blind)
    _arrows(axes, steered, view.steer[_steered(view)])


def _mark_spots(view: MapView, sites: Floats) -> tuple[Floats, Floats]:
    """Where the question marks of blind sites and the arrows of steered ones stand, in pixels, each float64 [P, 2]."""
    away = (_radius_px(view) + 3)[:, None]
    return (sites + away * np.array(RIGHT_UP))[view.blind], (sites + away * np.array(LEFT_UP))[_steered(view)]


def _steered(view: MapView) -> NDArray[np.bool_]:
    """Whether a site is steered to or away from so much that an arrow shows it, bool [N]."""
    return np.abs(view.steer) >= LEAST_STEER


def _ring(axes: Any, spots: Floats, area: NDArray[np.float64]) -> None:
    """Draw the dashed rings of grey sites, of these areas in square points."""
    axes.scatter(*spots.T, s=area, c="none", edgecolors=INK, linewidths=1.4, linestyles=(0, (2.2, 1.4)), zorder=5)


def _question(axes: Any, spots: Floats) -> None:
    """Draw the question marks of blind sites."""
    axes.scatter(*spots.T, s=62, c=PAPER, edgecolors=INK, linewidths=0.8, zorder=5.5)
    axes.scatter(*spots.T, s=24, c=INK, marker="$?$", linewidths=0, zorder=5.6)


def _arrows(axes: Any, spots: Floats, steer: Floats) -> None:
    """Draw arrows up beside sites that are steered to and down beside those steered away from, the larger the more."""
    for sign, color in ((1, TRAFFIC), (-1, ALARM)):
        there = np.sign(steer) == sign
        area = 45 + 75 * np.minimum(np.abs(steer[there]) / STEER_RANGE, 1)
        axes.scatter(
            *spots[there].T, s=area, c=color, marker=ARROW * (1, sign), edgecolors=PAPER, linewidths=0.5, zorder=5.5
        )


def looks(view: MapView) -> NDArray[np.int64]:
    """Index in LOOKS of the gravest state of each site, int64 [N]."""
    look = np.zeros(len(view.site_names), np.int64)
    look[view.loading > 0] = 1
    look[view.warm > 0] = 2
    for number, bit in ((3, SLOW), (4, UNTRUSTED), (5, FROZEN), (6, DOWN)):
        look[view.status & bit > 0] = number
    return look


def _area(view: MapView) -> Floats:
    """Area of the sites' markers in square points, float64 [N]."""
    least, most = (55.0, 620.0) if len(view.site_names) <= MANY_SITES else (14.0, 420.0)
    return least + (most - least) * np.minimum(view.share, 1.0)


def _radius_px(view: MapView) -> Floats:
    """Distance of the badges from the middle of each site, in pixels, float64 [N]."""
    return np.sqrt(_area(view) / np.pi) * DPI / 72 + 3


def _labels(axes: Any, view: MapView, sites: Floats, users: Floats) -> None:
    """Write the names of user regions, of sites in trouble and of the busiest sites, where there is room."""
    spots = np.concatenate([sites, users, *_mark_spots(view, sites)])
    taken = [_box(x, y, 14.0, 14.0) for x, y in spots.tolist()]
    if len(users) <= MAX_REGION_LABELS:
        _place(axes, list(view.region_names), users, USERS, taken)
    order = np.lexsort((-view.share, view.status == 0))
    named = [site for site in order if view.status[site] or view.share[site] >= BUSY_SHARE][:MAX_LABELS]
    _place(axes, [view.site_names[site] for site in named], sites[named], INK, taken)


def _box(x: float, y: float, width: float, height: float) -> Box:
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _place(axes: Any, names: Sequence[str], spots: Floats, color: str, taken: list[Box]) -> None:
    """Write each name beside its spot [P, 2] at the first of eight places that is free, and add it to `taken`."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2, foreground=PAPER)]
    for name, (x, y) in zip(names, spots, strict=True):
        width, height = len(name) * LABEL_PX[0], LABEL_PX[1]
        for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            box = _box(x + right * (width / 2 + 11), y + up * (14 if right == 0 else 9), width, height)
            inside = box[0] > 0 and box[2] < MAP_PX[2] and box[1] > 0 and box[3] < MAP_PX[3]
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                middle = (box[1] + box[3]) / 2
                axes.text(box[0], middle, name, fontsize=7.5, color=color, va="center", zorder=6, path_effects=halo)
                break


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _head(figure: Any, view: MapView) -> None:
    """Write the clock and the metrics above the map."""
    top = HEIGHT_PX - 14
    figure.text(20 / WIDTH_PX, top / HEIGHT_PX, clock(view), fontsize=13, weight="bold", color=INK, va="center")
    for number, (name, value) in enumerate(figures(view)):
        line, column = divmod(number, HEAD_COLUMNS)
        x, y = 20 + column * (WIDTH_PX - 20) / HEAD_COLUMNS, top - 24 - 39 * line
        grave = name in GRAVE and value != "0"
        figure.text(x / WIDTH_PX, y / HEIGHT_PX, name, fontsize=8.5, color=GREY, va="center")
        figure.text(
            x / WIDTH_PX,
            (y - 17) / HEIGHT_PX,
            value,
            fontsize=13,
            color=ALARM if grave else INK,
            va="center",
            weight="bold",
        )
