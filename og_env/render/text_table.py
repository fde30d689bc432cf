"""The table of a moment: its clock, metrics, sites and regions as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import numpy as np

from og_env.kernel.arrays import DOWN, FROZEN, SLOW, UNTRUSTED
from og_env.render.view import MapView

WIDTH = 100
"""Characters of a line."""
MAX_SITES = 32
"""Number of sites that are shown; of a larger fleet these are sites in trouble and those with most traffic."""
STATES = ((DOWN, "DOWN"), (FROZEN, "FROZEN"), (UNTRUSTED, "UNTRUSTED"), (SLOW, "SLOW"))
ROLE_LETTERS = "VSG"
FIGURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("served", "served_share", lambda x: f"{x:.1%}"),
    ("in time", "in_time_share", lambda x: f"{x:.1%}"),
    ("refused", "refused_share", lambda x: f"{x:.1%}"),
    ("verified", "verified_share", lambda x: f"{x:.1%}"),
    ("first token", "first_token_mean_ms", lambda x: f"{x / 1000:.2f} s"),
    ("p95", "first_token_p95_ms", lambda x: f"{x / 1000:.2f} s"),
    ("answer", "latency_mean_ms", lambda x: f"{x / 1000:.2f} s"),
    ("finality", "finality_s", lambda x: f"{x:.1f} s"),
    ("cost", "usd_per_hour", lambda x: f"${x:,.1f}/h"),
    ("per 1000", "usd_per_1000_requests", lambda x: f"${x:.3f}"),
    ("exposure", "exposure", lambda x: f"{x:.0%}"),
    ("n_eff", "n_eff", lambda x: f"{x:.1f}"),
    ("outages", "active_outages", lambda x: f"{x:.0f}"),
    ("sites down", "sites_down", lambda x: f"{x:.0f}"),
    ("grey", "sites_grey", lambda x: f"{x:.0f}"),
)
"""Name, metric and form of the main figures, in the order in which they are shown."""
OF_SERVED = (
    "in_time_share",
    "verified_share",
    "first_token_mean_ms",
    "first_token_p95_ms",
    "latency_mean_ms",
    "latency_p95_ms",
    "finality_s",
    "usd_per_1000_requests",
    "exposure",
    "n_eff",
)
"""Metrics of what is served; they say nothing where nothing is."""
NOTHING_SERVED = "-"


def table(view: MapView) -> str:
    """The text of a moment: head line, metrics, one line for each site, and the gateway that each region uses."""
    lines = [clock(view), *_wrapped([f"{name} {value}" for name, value in figures(view)], "   ")]
    name_width = min(max(map(len, view.site_names), default=4), 40)
    lines.append(f"{'site':{name_width}}  {'state':9}  roles  warm  load  traffic")
    order = _shown(view)
    for site in order:
        roles = "".join(
            letter if there else "-" for letter, there in zip(ROLE_LETTERS, view.roles[:, site], strict=True)
        )
        bar = "#" * round(20 * float(view.share[site]))
        lines.append(
            f"{view.site_names[site][:name_width]:{name_width}}  {state_word(view, site):9}  {roles:5}"
            f"  {view.warm[site]:4d}  {view.loading[site]:4d}  {view.share[site]:7.1%}  {bar}".rstrip()
        )
    if len(order) < len(view.site_names):
        lines.append(f"... and {len(view.site_names) - len(order)} more")
    through = [
        f"{name} {load:.3g} via {view.site_names[gateway] if gateway >= 0 else 'no gateway'}"
        for name, load, gateway in zip(view.region_names, view.load_rps, view.region_gateway, strict=True)
    ]
    return "\n".join([*lines, "requests/s", *_wrapped(through, "   ")])


def clock(view: MapView) -> str:
    """The line with scenario, step and time of day."""
    minutes = round(view.hour_utc * 60) % 1440
    return f"{view.scenario}   step {view.step} of {view.steps}   {minutes // 60:02d}:{minutes % 60:02d} UTC"


def figures(view: MapView) -> list[tuple[str, str]]:
    """The main metrics as pairs of a name and a value with its unit, without those that the view lacks."""
    dead = view.metrics.get("served_share", 1.0) == 0
    return [
        (name, NOTHING_SERVED if dead and key in OF_SERVED else form(view.metrics[key]))
        for name, key, form in FIGURES
        if key in view.metrics
    ]


def state_word(view: MapView, site: int) -> str:
    """The worst of a site's states, followed by `+` if it has more; grey: slower than it should be, blind: no telemetry."""
    words = [word for bit, word in STATES if view.status[site] & bit]
    words += [word for word, marked in (("grey", view.grey), ("blind", view.blind)) if marked[site]]
    return words[0] + ("+" if len(words) > 1 else "") if words else "ok"


def _wrapped(entries: list[str], between: str) -> list[str]:
    """Lines of at most WIDTH characters that break between entries only."""
    whole = between.join(entry.replace(" ", "\xa0") for entry in entries)
    return [line.replace("\xa0", " ") for line in textwrap.wrap(whole, WIDTH, break_on_hyphens=False)]


def _shown(view: MapView) -> list[int]:
    """Positions of the sites that are shown."""
    busiest = np.argsort(-view.share, kind="stable")
    if len(busiest) <= MAX_SITES:
        return sorted(busiest.tolist())
    struck = busiest[view.status[busiest] > 0][: MAX_SITES // 2]
    others = busiest[~np.isin(busiest, struck)][: MAX_SITES - len(struck)]
    return [*struck.tolist(), *others.tolist()]
