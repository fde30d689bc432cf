"""The report as one HTML file that fetches nothing: tables and pictures of a comparison."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from og_agents.evaluation import comparison_pictures
from og_agents.evaluation.episode_results import Episodes
from og_agents.evaluation.results_table import TABLE_HEADER, episodes_text, ranked, table_rows, verdict_lines
from og_agents.evaluation.statistics import RESAMPLES
from og_env.scenario.specs import RewardWeights
from og_env.simulator import METRICS

Json = dict[str, Any]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem }
p.verdict { font-size: 1.1rem; border-left: 5px solid #9aa5b1; padding: .4rem .8rem; background: #f5f7fa }
p.win { border-color: #3d8b5f } p.loss { border-color: #c0392b }
p.note, figcaption { color: #52606d; font-size: .88rem }
div.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .86rem }
th, td { padding: .22rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #e4e7eb }
th:first-child, td:first-child { text-align: left } tr.learned td { font-weight: 600; color: #0b6e99 }
tr.best td { font-weight: 600 } figure { margin: 1rem 0 } img { width: 100% }
"""


def pictures(summary: Json, runs: Sequence[Episodes], weights: RewardWeights, step_h: float) -> dict[str, bytes]:
    """PNG pictures of the report by name: returns, trade_off, composition, timeline."""
    by_name = {run.policy: run for run in runs}
    values = [getattr(weights, term) for term in comparison_pictures.TERMS]
    return {
        "returns": comparison_pictures.returns(summary, by_name),
        "trade_off": comparison_pictures.trade_off(summary),
        "composition": comparison_pictures.composition(summary, values, runs[0].steps),
        "timeline": comparison_pictures.timeline(summary, by_name, comparison_pictures.eventful(runs[0]), step_h),
    }


def page(
    summary: Json, runs: Sequence[Episodes], weights: RewardWeights, step_h: float, facts: Mapping[str, str]
) -> str:
    """HTML of the whole report; `facts` (scenario, command, versions, ...) are shown below the verdict as name and text."""
    images = pictures(summary, runs, weights, step_h)
    episode = comparison_pictures.eventful(runs[0])
    title = f"Benchmark: {facts.get('scenario', '')}"
    kinds = [
        summary["verdict"],
        *(summary["verdicts"][name] for name in summary["verdicts"] if name != summary["learned"]),
    ]
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(
            f'<p class="verdict {kind or ""}">{escape(line)}.</p>'
            for kind, line in zip(kinds, verdict_lines(summary), strict=True)
        ),
        _facts(facts),
        "<h2>Returns</h2>",
        _table(TABLE_HEADER, table_rows(summary), summary),
        _note(
            f"{episodes_text(summary)}, the same for every policy. Intervals: 95 %, percentile bootstrap "
            f"of {RESAMPLES:,} resamples. IQM: mean without the best and the worst quarter. “vs best”: paired mean "
            "difference to the best baseline (*), the heuristic with the highest mean on these episodes; “wins”: share "
            "of the episodes with a higher return than its. Decisions per second: time in predict only."
        ),
        _figure(
            images["returns"],
            "returns",
            "Dots beyond the worst 1 % of a policy are cut off; the right axis is logarithmic away from 0.",
        ),
        "<h2>Latency, cost, resilience</h2>",
        _figure(
            images["trade_off"],
            "trade-off",
            "Means over all steps. Better is further left, and lower in the first two, higher in the third.",
        ),
        _figure(images["composition"], "composition", ""),
        "<h2>One episode</h2>",
        _figure(
            images["timeline"],
            "timeline",
            f"Seed {int(runs[0].seeds[episode])}, the episode whose number of sites down varies most. "
            "Shaded: an outage is active.",
        ),
        *_twin(summary),
        "<h2>Metrics</h2>",
        _metrics(summary),
        _note("Means over all steps of all episodes."),
    ]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td style='text-align:left'>{escape(text)}</td></tr>"
        for name, text in facts.items()
    )
    return f'<div class="wide"><table>{rows}</table></div>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], summary: Json) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = ""
    for row in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        body += f'<tr class="{_role(summary, row[0].removesuffix(" *"))}">{cells}</tr>\n'
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def _metrics(summary: Json) -> str:
    """Policies in columns: there are more metrics than policies."""
    names = ranked(summary)
    rows = [(metric, *(_number(summary["policies"][name]["metrics"][metric]) for name in names)) for metric in METRICS]
    return _table(("metric", *names), rows, summary)


def _twin(summary: Json) -> list[str]:
    if "twin" not in summary:
        return []
    twin = summary["twin"]
    text = (
        f"{twin['cost_percent']:.1f} % of the return [{twin['ci_low']:.1f}, {twin['ci_high']:.1f}]: the same planner "
        f"without risk terms ({twin['policy']}) returns {twin['independent_mean']:.2f} where every site fails "
        f"by itself with unchanged down-time, and {twin['correlated_mean']:.2f} where failures are shared."
    )
    return ["<h2>Cost of correlation</h2>", f"<p>{escape(text)}</p>"]


def _figure(image: bytes, name: str, caption: str) -> str:
    data = base64.b64encode(image).decode("ascii")
    picture = f'<img alt="{escape(name)}" src="data:image/png;base64,{data}">'
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _role(summary: Json, name: str) -> str:
    return "learned" if name == summary["learned"] else "best" if name == summary["best_baseline"] else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
