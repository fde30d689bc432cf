"""Filmed episodes of one tape as a moving picture: the maps of the policies beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from og_agents.replay.page import Film
from og_env.render import MapView, frame
from og_env.render.map import LOOKS

AROUND_H = 1.0
"""shown before the first row in which something is broken, and after the last"""
MOST_FRAMES = 60
WIDTH_PX = 720
"""width of one map"""
HEAD_PX = 30
FRAME_MS = 140
LAST_MS = 1500
MOST_FILMS = 3
"""readable beside one another"""


def write_gif(path: Path, films: Mapping[str, Film]) -> int:
    """Write the moving picture; returns the number of its frames.

    Raises ImportError in one line where matplotlib, which brings Pillow, is not installed.
    """
    moments = shown(next(iter(films.values())))
    pictures = [np.hstack([panel(name, moment_of(film, row)) for name, film in films.items()]) for row in moments]
    from PIL import Image

    key = Image.fromarray(np.vstack([pictures[len(pictures) // 2], swatches(pictures[0].shape[1])])).quantize(160)
    images = [Image.fromarray(picture).quantize(palette=key, dither=Image.Dither.NONE) for picture in pictures]
    path.parent.mkdir(parents=True, exist_ok=True)
    durations = [FRAME_MS] * (len(images) - 1) + [LAST_MS]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True)
    return len(images)


def swatches(width_px: int) -> npt.NDArray[np.uint8]:
    """Strips of the colours of the states, so that rare ones are among those of the file."""
    colors = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for _, color, _, _ in LOOKS] + [[255, 255, 255]]
    return np.repeat(np.repeat(np.array(colors, np.uint8)[:, None], 24, axis=0), width_px, axis=1)


def shown(film: Film) -> Sequence[int]:
    """The rows to show, evenly: those around what is broken, or all where nothing is or something always."""
    rows = len(film.views)
    broken = np.flatnonzero(film.recording.status[0].any(axis=1))
    around = round(AROUND_H / film.recording.step_h)
    first = max(int(broken[0]) - around, 1) if len(broken) else 1
    last = min(int(broken[-1]) + around, rows - 1) if len(broken) else rows - 1
    step = -(-(last - first + 1) // MOST_FRAMES)
    return range(first, last + 1, step)


def moment_of(film: Film, row: int) -> MapView:
    """The view of a row with the flows that the film kept."""
    view = film.views[row]
    flow_rps = np.zeros((len(view.site_names), len(view.site_names)))
    start, end, rps = film.flows[row].T
    flow_rps[start.astype(int), end.astype(int)] = rps
    return view._replace(flow_rps=flow_rps)


def panel(name: str, view: MapView) -> npt.NDArray[np.uint8]:
    """One policy's map [height, WIDTH_PX, 3] under its name."""
    image = frame(view)
    from PIL import Image, ImageDraw, ImageFont

    height = round(image.shape[0] * WIDTH_PX / image.shape[1])
    whole = Image.new("RGB", (WIDTH_PX, height + HEAD_PX), "white")
    whole.paste(Image.fromarray(image).resize((WIDTH_PX, height), Image.Resampling.LANCZOS), (0, HEAD_PX))
    draw = ImageDraw.Draw(whole)
    draw.text((12, 6), name, fill="#1f2933", font=ImageFont.load_default(size=18))
    draw.line([(WIDTH_PX - 1, 0), (WIDTH_PX - 1, height + HEAD_PX)], fill="#ccd4dc")
    return np.asarray(whole)
