"""Pictures of a comparison: returns, the trade-off, what the return is made of, and one episode with its outages."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from og_agents.evaluation.episode_results import Episodes
from og_agents.evaluation.hypervolume import non_dominated
from og_agents.evaluation.results_table import ranked
from og_env.simulator import TERMS

Json = dict[str, Any]

INK, GREY, PALE, ACCENT, SECOND, ALARM = "#1f2933", "#9aa5b1", "#e4e7eb", "#0b6e99", "#d9822b", "#c0392b"
TERM_COLOURS = ("#0b6e99", "#d9822b", "#c0392b", "#7b5ea7", "#3d8b5f", "#9aa5b1")
FONT_PT = 10
ROOM_PX = 4
"""around a name"""
DIRECTIONS, RADII_PT = 16, (9, 18, 30, 45, 60)
"""places of a name around its dot"""


def returns(summary: Json, runs: Mapping[str, Episodes]) -> bytes:
    """PNG: every episode as a dot, the mean with its interval, best policy on top; beside it the paired differences."""
    names = ranked(summary)[::-1]
    figure = _figure(11, 1.3 + 0.34 * len(names))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1])
    rng = np.random.default_rng(0)
    for at, name in enumerate(names):
        colour, figures = colour_of(summary, name), summary["policies"][name]
        values = runs[name].returns
        scatter = at + rng.uniform(-0.22, 0.22, len(values))
        left.plot(values, scatter, ".", color=colour, alpha=0.25, markersize=4, markeredgewidth=0)
        left.plot([figures["ci_low"], figures["ci_high"]], [at, at], color=colour, linewidth=5, solid_capstyle="butt")
        left.plot(figures["return_mean"], at, "|", color="white", markersize=7, markeredgewidth=1.5)
        pair = summary["paired"].get(name)
        if pair is not None:
            right.plot([pair["ci_low"], pair["ci_high"]], [at, at], color=colour, linewidth=3, solid_capstyle="butt")
            right.plot(pair["mean_diff"], at, "o", color=colour, markersize=5)
    left.set_yticks(range(len(names)), names)
    left.set_xlim(*_without_tail([runs[name].returns for name in names]))
    left.set_title("Return of an episode: mean with 95 % interval, and every episode", loc="left", fontsize=FONT_PT)
    right.axvline(0, color=SECOND, linewidth=1)
    right.set_title(f"Paired difference to {summary['best_baseline']}, 95 %", loc="left", fontsize=FONT_PT)
    right.set_xscale("symlog", linthresh=1)
    right.xaxis.set_major_formatter(lambda value, _: f"{value:+g}" if value else "0")
    for axes in (left, right):
        _tidy(axes)
    _bold(left.get_yticklabels(), summary)
    return png(figure)


def trade_off(summary: Json) -> bytes:
    """PNG: latency against cost, and N-1 exposure against cost, a dot for each policy; lower left is better."""
    names = ranked(summary)
    figure = _figure(11, 4.4)
    cost = [summary["policies"][name]["metrics"]["usd_per_hour"] for name in names]
    panels = (
        ("latency_p95_ms", "95th-percentile latency, ms", "Latency"),
        ("exposure", "share of demand lost to the worst single failure", "Resilience (N-1 exposure)"),
        ("served_share", "share of demand served", "Service"),
    )
    drawn = []
    for axes, (metric, label, title) in zip(figure.subplots(1, 3), panels, strict=True):
        value = [_shown(summary["policies"][name]["metrics"], metric) for name in names]
        for name, x, y in zip(names, cost, value, strict=True):
            strong = name in (summary["best_baseline"], summary["learned"])
            axes.plot(
                x, y, "o", color=colour_of(summary, name), markersize=9 if strong else 6, zorder=3 if strong else 2
            )
        axes.set_xlabel("spending, $ per hour")
        axes.set_ylabel(label)
        axes.set_title(title, loc="left", fontsize=FONT_PT)
        axes.margins(x=0.2, y=0.15)
        _tidy(axes, both=True)
        drawn.append((axes, value))
    figure.draw_without_rendering()  # fixes the layout, so that distances on paper are known
    for axes, value in drawn:
        _label(axes, names, cost, value, summary)
    return png(figure)


def composition(summary: Json, weights: Sequence[float], steps: int) -> bytes:
    """PNG: what each policy's return is lost to: weighted reward terms summed over an episode, stacked."""
    names = ranked(summary)[::-1]
    figure = _figure(11, 1.4 + 0.3 * len(names))
    axes = figure.subplots()
    left = np.zeros(len(names))
    for term, weight, colour in zip(TERMS, weights, TERM_COLOURS, strict=True):
        width = np.array([weight * steps * summary["policies"][name]["terms"][term] for name in names])
        axes.barh(range(len(names)), width, left=left, height=0.7, color=colour, label=term)
        left += width
    axes.set_yticks(range(len(names)), names)
    axes.set_title(
        "What an episode costs: weighted reward terms (their sum is minus the mean return)",
        loc="left",
        fontsize=FONT_PT,
    )
    axes.legend(ncols=len(TERMS), loc="upper left", bbox_to_anchor=(0, -0.06), frameon=False, fontsize=FONT_PT)
    _tidy(axes)
    _bold(axes.get_yticklabels(), summary)
    return png(figure)


def fronts(
    points: Mapping[str, Any],
    labels: Sequence[str],
    low: Sequence[float],
    high: Sequence[float],
    learned: Sequence[str],
) -> bytes:
    """PNG: the non-dominated points [n, 3] of each policy in two panels, within low [3] to high [3].

    The panels have the first objective against the second, and the second against the third; a line joins the points
    that are best in the two objectives of a panel. Lower left is better.
    """
    figure = _figure(11, 5)
    for axes, (x, y) in zip(figure.subplots(1, 2), ((0, 1), (1, 2)), strict=True):
        for at, (name, of) in enumerate(points.items()):
            colour, marker = TERM_COLOURS[at % len(TERM_COLOURS)], "osD^vPX*"[at % 8]
            strong = name in learned
            inside = bool((np.asarray(of) <= high).all(axis=1).any())
            axes.plot(
                of[:, x],
                of[:, y],
                marker,
                color=colour,
                alpha=0.9 if strong else 0.6,
                markersize=7 if strong else 5,
                markeredgewidth=0,
                zorder=3 if strong else 2,
                label=name if inside else f"{name} (out of the picture)",
            )
            stairs = of[non_dominated(of[:, [x, y]])]
            stairs = stairs[np.argsort(stairs[:, x])]
            axes.plot(stairs[:, x], stairs[:, y], color=colour, linewidth=1.8 if strong else 1.0, zorder=2)
        for at, limit in ((x, axes.set_xlim), (y, axes.set_ylim)):
            limit(low[at] - 0.05 * (high[at] - low[at]), high[at])
        axes.set_xlabel(labels[x])
        axes.set_ylabel(labels[y])
        first, second = (labels[at].split(",")[0] for at in (x, y))
        title = f"{first.capitalize()} against {second}; lines join what is best in these two"
        axes.set_title(title, loc="left", fontsize=FONT_PT)
        _tidy(axes, both=True)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, ncols=6, loc="outside lower center", frameon=False, fontsize=FONT_PT - 1)
    return png(figure)


def timeline(summary: Json, runs: Mapping[str, Episodes], episode: int, step_h: float) -> bytes:
    """PNG: one episode step by step for the learned policy, the best baseline and the weakest; outages shaded."""
    shown = timeline_policies(summary)
    panels = (
        ("served_share", "served share"),
        ("latency_p95_ms", "p95 latency, ms"),
        ("exposure", "N-1 exposure"),
        ("usd_per_hour", "$ per hour"),
    )
    figure = _figure(11, 8)
    rows = figure.subplots(len(panels) + 1, 1, sharex=True, height_ratios=[1.3, 1, 1, 1, 0.6])
    some = runs[shown[0]]
    hours = np.arange(1, some.steps + 1) * step_h
    down = some.traces["sites_down"][episode]
    struck = some.traces["active_outages"][episode] > 0
    for axes, (metric, label) in zip(rows, panels, strict=False):
        _shade(axes, hours, struck, step_h)
        for name in reversed(shown):
            colour = colour_of(summary, name)
            axes.plot(hours, _served(runs[name], metric, episode), color=colour, linewidth=1.3, label=name)
        axes.set_ylabel(label)
        _tidy(axes, both=True)
    rows[0].set_ylim(top=1.02)
    figure.legend(
        *(part[::-1] for part in rows[0].get_legend_handles_labels()),
        ncols=4,
        loc="outside upper right",
        frameon=False,
        fontsize=FONT_PT,
    )
    _shade(rows[-1], hours, struck, step_h)
    rows[-1].fill_between(hours, down, step="pre", color=ALARM, linewidth=0)
    rows[-1].set_ylabel("sites down")
    rows[-1].yaxis.get_major_locator().set_params(integer=True)
    rows[-1].set_xlabel("hours into the episode")
    rows[-1].set_xlim(0, hours[-1])
    _tidy(rows[-1], both=True)
    figure.align_ylabels(rows)
    return png(figure)


def _shown(metrics: Mapping[str, float], metric: str) -> float:
    """A mean metric; nan for latency and exposure of a policy that served nothing, which has nothing to be slow or lost."""
    return float("nan") if metric != "served_share" and metrics["served_share"] <= 0 else metrics[metric]


def _served(run: Episodes, metric: str, episode: int) -> Any:
    """The trace of an episode; a gap in its latency where nothing was served."""
    trace = run.traces[metric][episode]
    return np.where(run.traces["served_share"][episode] > 0, trace, np.nan) if metric == "latency_p95_ms" else trace


def timeline_policies(summary: Json) -> list[str]:
    """The learned policy, the best baseline, and what doing nothing gives (else the worst policy)."""
    names = ranked(summary)
    last = "static" if "static" in names else names[-1]
    return list(dict.fromkeys(name for name in (summary["learned"], summary["best_baseline"], last) if name))


def eventful(run: Episodes) -> int:
    """The episode in which the number of sites down varies most; the outages do not depend on the policy."""
    return int(np.argmax(run.traces["sites_down"].std(axis=1)))


def colour_of(summary: Json, name: str) -> str:
    """Colour of a policy: the learned one and the best baseline have their own."""
    if name == summary["learned"]:
        return ACCENT
    return SECOND if name == summary["best_baseline"] else GREY


def png(figure: Any) -> bytes:
    """A matplotlib figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _figure(width_in: float, height_in: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _tidy(axes: Any, both: bool = False) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both" if both else "x", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=FONT_PT - 1, length=0)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_fontsize(FONT_PT - 1)


def _bold(labels: Sequence[Any], summary: Json) -> None:
    for label in labels:
        if label.get_text() in (summary["learned"], summary["best_baseline"]):
            label.set_fontweight("bold")


def _without_tail(values: Sequence[Any]) -> tuple[float, float]:
    """Axis limits that hold 98 % of every policy's episodes, so that a few disasters do not flatten the rest."""
    low = min(float(np.percentile(each, 1)) for each in values)
    high = max(float(np.max(each)) for each in values)
    margin = 0.03 * max(high - low, 1e-6)
    return low - margin, high + margin


def _shade(axes: Any, hours: Any, struck: Any, step_h: float) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], struck, [False]]).astype(np.int8)))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        axes.axvspan(hours[first] - step_h, hours[end - 1], color=ALARM, alpha=0.08, linewidth=0)


def _label(axes: Any, names: Sequence[str], x: Sequence[float], y: Sequence[float], summary: Json) -> None:
    """Names near their dots: each takes the nearest of many places that covers no dot, no name placed before, no edge.

    A name for which there is none is left out, unless it is the learned policy's or the best baseline's.
    """
    strong = {summary["best_baseline"], summary["learned"]}
    points = axes.transData.transform(np.column_stack([x, y]))
    pixels = axes.figure.dpi / 72
    taken = [(px - 4 * pixels, py - 4 * pixels, px + 4 * pixels, py + 4 * pixels) for px, py in points]
    inside = axes.bbox.extents
    drawn = [at for at in range(len(names)) if np.isfinite(points[at]).all()]
    taken = [taken[at] for at in drawn]
    for at in sorted(drawn, key=lambda index: names[index] not in strong):
        width, height = _size(axes, names[at], names[at] in strong)
        boxes = [
            _box(points[at], angle, radius * pixels, width, height)
            for radius in RADII_PT
            for angle in range(DIRECTIONS)
        ]
        covered = [sum(_overlap(box, other) for other in taken) + _outside(box, inside) for box in boxes]
        box = boxes[int(np.argmin(covered))]
        if min(covered) > 0 and names[at] not in strong:
            continue
        taken.append(box)
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        axes.annotate(
            names[at],
            (x[at], y[at]),
            axes.transData.inverted().transform(centre),
            fontsize=FONT_PT - 2,
            color=INK,
            ha="center",
            va="center",
            fontweight="bold" if names[at] in strong else "normal",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2},
        )


def _size(axes: Any, name: str, bold: bool) -> tuple[float, float]:
    """Width and height of a name in pixels, with a little room around it."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(size=FONT_PT - 2, weight="bold" if bold else "normal")
    width, height, descent = axes.figure.canvas.get_renderer().get_text_width_height_descent(name, font, False)
    return width + ROOM_PX, height + descent + ROOM_PX


def _box(point: Any, angle: int, radius: float, width: float, height: float) -> tuple[float, float, float, float]:
    """A label's corners (left, bottom, right, top) in one of DIRECTIONS from its dot, right first."""
    turn = 2 * np.pi * angle / DIRECTIONS
    across, up = np.cos(turn), np.sin(turn)
    left = point[0] + radius * across + (across - 1) / 2 * width
    bottom = point[1] + radius * up + (up - 1) / 2 * height
    return left, bottom, left + width, bottom + height


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _outside(box: Sequence[float], inside: Sequence[float]) -> float:
    """Area of a box beyond the axes, counted fourfold."""
    return 4 * ((box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, inside))
