"""Words of the report: what each picture shows, for who cannot see it, and notes on figures that mislead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from og_agents.evaluation.comparison_pictures import TERMS, timeline_policies
from og_agents.evaluation.episode_results import Episodes
from og_agents.evaluation.results_table import interval_text, ranked

Json = dict[str, Any]

OF_SERVED = (
    *(f"latency_{name}_ms" for name in ("mean", "p50", "p95", "p99")),
    *(f"first_token_{name}_ms" for name in ("mean", "p50", "p95", "p99")),
    "in_time_share",
    "finality_s",
    "usd_per_1000_requests",
    "cold_wait_s",
    "exposure",
)
"""metrics of what was served: where nothing was, they mean nothing"""
DASH = "\N{EN DASH}"
LESS_SERVED = 0.005
"""share of demand by which a policy must serve less for its latency to be explained by that"""
MOST_NAMED = 12
"""policies that a text names, the best ones"""


def serves_nothing(summary: Json, name: str) -> bool:
    """Whether a policy served no request in any step."""
    return summary["policies"][name]["metrics"]["served_share"] <= 0


def cell(summary: Json, name: str, metric: str) -> str:
    """A policy's metric as text: a dash where it served nothing and the figure means nothing."""
    if metric in OF_SERVED and serves_nothing(summary, name):
        return DASH
    value = summary["policies"][name]["metrics"][metric]
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def misleading_latency(summary: Json) -> str:
    """A note on policies whose latency is lower than the best baseline's because they serve less; empty without one.

    Latency is that of requests that are served, so who refuses the far and the late ones looks fast.
    """
    best = summary["best_baseline"]
    if best is None:
        return ""
    base = summary["policies"][best]["metrics"]
    found = []
    for name in ranked(summary):
        figures = summary["policies"][name]["metrics"]
        less = base["served_share"] - figures["served_share"]
        if less > LESS_SERVED and not serves_nothing(summary, name):
            if figures["latency_p95_ms"] < base["latency_p95_ms"]:
                found.append(f"{name} ({figures['served_share']:.1%})")
    if not found:
        return ""
    who, verb = ", ".join(found), "looks" if len(found) == 1 else "look"
    return (
        f"Latency is that of served requests. {who} {verb} faster than {best} and serves less of the demand: {best} serves "
        f"{base['served_share']:.1%}."
    )


def alt_texts(
    summary: Json, runs: Mapping[str, Episodes], weights: Sequence[float], episode: int, step_h: float
) -> Json:
    """Texts that tell each picture of `html_report.pictures`, by its name."""
    return {
        "returns": _returns(summary),
        "trade_off": _trade_off(summary),
        "composition": _composition(summary, weights),
        "timeline": _timeline(summary, runs, episode, step_h),
    }


def _named(summary: Json) -> tuple[list[str], str]:
    """The policies that a text names, and the words on those that it leaves out."""
    names = ranked(summary)
    left = len(names) - MOST_NAMED
    return names[:MOST_NAMED], f" {left} more policies are in the table." if left > 0 else ""


def _returns(summary: Json) -> str:
    names, more = _named(summary)
    rows = "; ".join(
        f"{name} {summary['policies'][name]['return_mean']:.1f} {interval_text(summary['policies'][name], '.1f')}"
        for name in names
    )
    text = (
        f"A row for each policy, the best on top, with every episode as a dot and the mean with its interval: {rows}."
    )
    pairs = [f"{name} {summary['paired'][name]['mean_diff']:+.1f}" for name in names if name in summary["paired"]]
    if pairs:
        text += f" Beside it the difference to {summary['best_baseline']}: {'; '.join(pairs)}."
    return text + more


def _trade_off(summary: Json) -> str:
    names, more = _named(summary)
    rows = "; ".join(
        f"{name} {cell(summary, name, 'usd_per_hour')} $ an hour, {cell(summary, name, 'latency_p95_ms')} ms, "
        f"exposure {cell(summary, name, 'exposure')}, {summary['policies'][name]['metrics']['served_share']:.1%} served"
        for name in names
    )
    return (
        "Three panels with a dot for each policy: spending against 95th-percentile latency, against exposure and against "
        f"the share of demand served. {rows}.{more}"
    )


def _composition(summary: Json, weights: Sequence[float]) -> str:
    names, more = _named(summary)
    parts = []
    for name in names:
        terms = summary["policies"][name]["terms"]
        lost = {term: weight * terms[term] for term, weight in zip(TERMS, weights, strict=True)}
        total = sum(lost.values())
        first, second = sorted(lost, key=lost.__getitem__, reverse=True)[:2]
        if total > 0:
            parts.append(f"{name} to {first} ({lost[first] / total:.0%}) and {second} ({lost[second] / total:.0%})")
    return f"A bar for each policy, stacked by term of the reward. Most is lost by {'; by '.join(parts)}.{more}"


def _timeline(summary: Json, runs: Mapping[str, Episodes], episode: int, step_h: float) -> str:
    shown = timeline_policies(summary)
    traces = runs[shown[0]].traces
    down, struck = traces["sites_down"][episode], traces["active_outages"][episode] > 0
    hours = np.flatnonzero(struck) * step_h
    outages = (
        f"Outages are active in {struck.sum() * step_h:.1f} hours, the first after {hours[0]:.1f}; at most "
        f"{down.max():.0f} sites are down."
        if len(hours)
        else "No outage is active."
    )
    lowest = "; ".join(f"{name} {runs[name].traces['served_share'][episode].min():.0%}" for name in shown)
    return (
        f"Five curves over the {runs[shown[0]].steps * step_h:.1f} hours of one episode: share served, latency, exposure, "
        f"spending and sites down. {outages} The lowest share served: {lowest}."
    )
