"""Draw scenarios at the moment when most of their sites are struck, and the page that shows all shipped ones.

og-env gallery
og-env gallery one-cloud fleet.toml --out runs/pictures
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from og_env.errors import Parser, guarded

# isort: split
import numpy as np

from og_agents import heuristics
from og_agents.commands.json_output import Ended, Json, add_json_option, answered
from og_agents.evaluation.progress import add_progress_options, shown
from og_agents.replay.gif import moment_of, swatches
from og_agents.replay.page import Film, film
from og_env.render import MapView, frame
from og_env.scenario import loading
from og_env.scenario.text_files import write_text

ROOT = Path(__file__).resolve().parents[3]
GALLERY = ROOT / ".github" / "gallery"
"""of a checkout"""
PAGE = ROOT / ".github" / "docs" / "gallery.md"
HERE = Path("gallery")
"""in the working folder, where the package does not run from a checkout"""
SIZE_PX = (960, 570)
COLORS = 128
LESSONS = {
    "toy-3": "Every number can be checked on paper: see here what a step does.",
    "global-16": "Small and mild: a first policy learns here in minutes; claims are made on global-24.",
    "global-24": "The cheap sites fail as one: waiting for that is too late, hedging everywhere too dear.",
    "global-64": "More sites are not in proportion more independent sites.",
    "global-512": "At scale the number of nodes and the number of independent nodes come far apart.",
    "random-24": "What is learnt must hold for fleets that were never seen.",
    "one-cloud": "Five continents are no diversity where one control plane is under two thirds of the sites.",
    "provider-blackout": "Only what stood elsewhere before the outage helps: afterwards all load through the same stores.",
    "grid-blackout": "Many providers and countries can hang on one power grid.",
    "hidden-facility": "Different names are no diversity: what fails together must be remembered.",
    "far-and-full": "A softmax over distance knows no capacity: near sites refuse while room is an ocean away.",
    "grey-failures": "Slow is not dead: only measured times say it, a step late, and no fixed knob follows them.",
    "price-of-distance": "The nearest site is dear and soon full, the cheapest is an ocean away and may be late.",
    "near-but-cold": "A cold site next door costs minutes to hours, a warm one at the antipodes a quarter of a second.",
    "flash-crowd": "Nothing fails, and still spare warmth decides who can meet a crowd.",
    "store-loss": "Free GPUs elsewhere are worth nothing while the weights cannot be fetched.",
    "tee-break": "Served is not verified: latency and load look fine while proofs stop counting.",
    "scarcity": "Cheap capacity lasts as long as nobody else wants it, and what is lost together is refused together.",
    "opengradient": "One facilitator, one TEE vendor and slow heartbeats weigh more than the number of nodes.",
}
"""lesson of each shipped scenario, in the order in which to read them"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    return guarded(lambda: answered(lambda: _run(options), options.json))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__, prog="og-env gallery")
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help="names or files (default: all shipped, and the page)"
    )
    out = GALLERY if GALLERY.is_dir() else HERE
    text = "where they go (default: gallery; in a checkout its own)"
    parser.add_argument("--out", type=Path, default=out, metavar="DIR", help=text)
    parser.add_argument("--policy", default="greedy", metavar="NAME", help="heuristic that plays (default: greedy)")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the episode (default: 0)")
    add_json_option(parser)
    add_progress_options(parser)
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> Ended:
    if options.seed < 0:
        raise ValueError(f"--seed must be at least 0, not {options.seed}")
    specs = [loading.load(name) for name in options.scenarios or LESSONS]
    policy = heuristics.make(options.policy, task="placement")
    pictures: dict[str, Json] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    with shown(options, len(specs), "pictures") as progress:
        for spec in specs:
            progress.at(len(pictures), spec.name)
            played = film(policy, options.policy, spec, task="placement", seed=options.seed)
            row = telling(played)
            path = options.out / f"{spec.name}.png"
            try:
                draw(moment_of(played, row), path)
            except ImportError as error:
                raise ValueError(str(error)) from None
            pictures[spec.name] = {"file": str(path), **figures_of(played.views[row], row * played.recording.step_h)}
            progress.close()
            print(f"{path}: {pictures[spec.name]['caption']}", flush=True)
    written = None
    if not options.scenarios:
        ours = options.out.resolve() == GALLERY
        written = PAGE if ours else options.out / PAGE.name
        captions = {name: one["caption"] for name, one in pictures.items()}
        write_text(written, page(captions, "../gallery/" if ours else ""))
    return Ended({"pictures": pictures, "page": None if written is None else str(written)})


def telling(shown: Film) -> int:
    """The row to show: the middle one of those with most sites struck, or else that of the highest demand."""
    struck = np.array([(view.status > 0).sum() for view in shown.views[1:]])
    if struck.max() > 0:
        rows = np.flatnonzero(struck == struck.max())
        return 1 + int(rows[len(rows) // 2])
    return 1 + int(np.argmax([view.load_rps.sum() for view in shown.views[1:]]))


def draw(view: MapView, path: Path) -> None:
    """Write the map as a small PNG."""
    image = frame(view)
    from PIL import Image

    small = Image.fromarray(image).resize(SIZE_PX, Image.Resampling.LANCZOS)
    key = Image.fromarray(np.vstack([np.asarray(small), swatches(SIZE_PX[0])])).quantize(COLORS)
    small.quantize(palette=key, dither=Image.Dither.NONE).save(path, optimize=True)


def figures_of(view: MapView, hour: float) -> Json:
    """The figures of the moment that a picture shows, and `caption`, the line about it; a dead network has no latency."""
    struck, sites = int((view.status > 0).sum()), len(view.site_names)
    served, p95_ms, n_eff = (float(view.metrics[name]) for name in ("served_share", "latency_p95_ms", "n_eff"))
    of_served = f"p95 {p95_ms / 1000:.1f} s, like {n_eff:.1f} independent nodes" if served else "so no latency"
    return {
        "hour": float(hour),
        "sites": sites,
        "struck": struck,
        "served_share": served,
        "latency_p95_ms": p95_ms if served else None,
        "n_eff": n_eff if served else None,
        "caption": f"hour {hour:.1f}, {struck} of {sites} sites struck, {served:.0%} served, {of_served}",
    }


def page(captions: dict[str, str], folder: str) -> str:
    """The gallery in Markdown; `folder` is where its pictures lie, as the page sees it."""
    lines = [
        "# Gallery",
        "",
        "One day of each, played by the greedy planner, when most sites are struck (or demand is highest).",
    ]
    lines += ["Drawn by `og-env gallery`; a table of them is in [Scenarios](scenarios.md)."]
    for name, lesson in LESSONS.items():
        lines += [
            "",
            f"## {name}",
            "",
            lesson,
            "",
            f"![{name}: {captions[name]}]({folder}{name}.png)",
            "",
            f"*{captions[name]}*",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
