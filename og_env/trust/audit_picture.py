"""The picture of an audit: a growth curve of effective independent nodes, and a map of what the nodes add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from og_env.render.land import outlines
from og_env.trust.failure_correlation import Floats

CELL_DEG = 0.5
"""Side of the cells of the map, in degrees; nodes in one cell are drawn as one dot."""
MANY = 10
"""Number of nodes in one cell whose dot has the largest area, if no cell has more."""
INK, GREY, ACCENT, SECOND = "#1f2933", "#9aa5b1", "#0b6e99", "#d9822b"
Json = dict[str, Any]


def draw(result: Json, path: Path, *, title: str, lat_deg: Floats | None = None, lon_deg: Floats | None = None) -> None:
    """Write the picture of an audit as a PNG file.

    Without coordinates [N] in degrees, bars of the largest shared dependencies take the place of the map.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(15, 5.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.7])
    quorum = result["quorum"]
    figure.suptitle(
        f"{title}: {result['nodes']:,} nodes behave like {result['n_eff']:,.1f} independent ones;"
        f" the quorum {'survives' if quorum['n1_survives'] else 'does not survive'} its worst dependency"
        f" ({quorum['worst']['kind']} {quorum['worst']['name']}, {quorum['worst']['share']:.0%})",
        color=INK,
        fontsize=12,
    )
    _growth(left, result)
    if lat_deg is not None and lon_deg is not None and np.any(np.isfinite(lat_deg) & np.isfinite(lon_deg)):
        _map(figure, right, result, lat_deg, lon_deg)
    else:
        _bars(right, result)
    figure.savefig(path)


def _growth(axes: Any, result: Json) -> None:
    """Draw n_eff against the number of nodes, as listed and in greedy order, on log scales for more than 100 nodes."""
    growth = result["growth"]
    count = result["nodes"]
    axes.plot([1, count], [1, count], color=GREY, linestyle=":", label="if all were independent")
    axes.plot(growth["as_listed"]["nodes"], growth["as_listed"]["n_eff"], color=SECOND, linewidth=2, label="as listed")
    axes.plot(growth["greedy"]["nodes"], growth["greedy"]["n_eff"], color=ACCENT, linewidth=2, label="greedy order")
    best = growth["greedy_best"]
    _mark(axes, best["nodes"], best["n_eff"], f"best {best['nodes']:,}: {best['n_eff']:,.1f}", ACCENT, above=True)
    _mark(axes, count, result["n_eff"], f"all {count:,}: {result['n_eff']:,.1f}", SECOND, above=False)
    if count > 100:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlabel("nodes")
    axes.set_ylabel("effective independent nodes")
    axes.grid(color=GREY, alpha=0.25)
    axes.legend(loc="upper left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _mark(axes: Any, nodes: float, n_eff: float, label: str, color: str, *, above: bool) -> None:
    axes.plot(nodes, n_eff, "o", color=color)
    axes.annotate(
        label,
        (nodes, n_eff),
        xytext=(4, 14 if above else -24),
        textcoords="offset points",
        ha="right",
        color=color,
        weight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )


def _map(figure: Any, axes: Any, result: Json, lat_deg: Floats, lon_deg: Floats) -> None:
    """Draw one dot for each cell with nodes: its colour is their mean Shapley value, its area their number."""
    placed = np.isfinite(lat_deg) & np.isfinite(lon_deg)
    value = np.array([entry["shapley"] for entry in result["marginal"]])[placed]
    cells = np.round(np.column_stack([lon_deg[placed], lat_deg[placed]]) / CELL_DEG) * CELL_DEG
    places, index, size = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    mean = np.bincount(index.ravel(), weights=value) / size
    for line_deg in range(-180, 181, 30):
        axes.plot([line_deg, line_deg], [-90, 90], color=GREY, alpha=0.15, linewidth=0.6, zorder=0)
        axes.plot([-180, 180], [line_deg / 2, line_deg / 2], color=GREY, alpha=0.15, linewidth=0.6, zorder=0)
    for outline in outlines():
        axes.fill(outline[:, 0], outline[:, 1], facecolor="#eef1f4", edgecolor="#cbd2d9", linewidth=0.5, zorder=1)
    order = np.argsort(-size)
    limit = float(np.quantile(np.abs(mean), 0.98)) or 1.0
    dots = axes.scatter(
        *places[order].T,
        c=mean[order],
        s=12 + 240 * size[order] / max(int(size.max()), MANY),
        cmap="RdYlBu",
        vmin=-limit,
        vmax=limit,
        alpha=0.9,
        linewidths=0.3,
        edgecolors=INK,
        zorder=2,
    )
    bar = figure.colorbar(dots, ax=axes, orientation="horizontal", shrink=0.6, aspect=40, pad=0.02, extend="both")
    bar.set_label("what a node there adds to the effective number (Shapley value); a dot's area: nodes there")
    axes.set_xlim(-180, 180)
    axes.set_ylim(-60, 80)
    axes.set_aspect(1.25)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _bars(axes: Any, result: Json) -> None:
    """Draw the 16 domains that most nodes depend on, and a line at a third, which stops the quorum."""
    shares = [(f"{label} {top['name']}", top["share"]) for label, k in result["kinds"].items() for top in k["top"]]
    largest = sorted(shares, key=lambda pair: -pair[1])[:16][::-1]
    axes.barh([name[:40] for name, _ in largest], [share for _, share in largest], color=ACCENT, height=0.7)
    axes.axvline(1 / 3, color=SECOND, linewidth=1.5)
    axes.annotate(
        "a third stops the quorum", (1 / 3, 0), xytext=(-5, -4), textcoords="offset points", ha="right", color=SECOND
    )
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_title("largest shared dependencies, share of the nodes", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
