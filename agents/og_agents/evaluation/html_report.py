"""The report as one HTML file that fetches nothing: tables and pictures of a comparison."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from og_agents.evaluation import comparison_pictures, report_words
from og_agents.evaluation.episode_results import Episodes
from og_agents.evaluation.results_table import TABLE_HEADER, episodes_text, ranked, table_rows, verdict_lines
from og_agents.evaluation.statistics import RESAMPLES
from og_env.scenario.specs import RewardWeights
from og_env.simulator import METRICS

Json = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f5f7fa; --ink: #1f2933; --soft: #52606d; --line: #d8dde3;
  --own: #0b6e99; --win: #3d8b5f; --loss: #c0392b; --shade: rgba(31, 41, 51, .28) }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12171c; --card: #1b2229; --ink: #e8edf2; --soft: #a7b3bf; --line: #3a4651; --own: #6bb8dd;
    --win: #6cc48f; --loss: #ff8a7a; --shade: rgba(0, 0, 0, .75) }
  img { filter: invert(.92) hue-rotate(180deg) }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1080px;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem }
p.verdict { font-size: 1.1rem; border-left: 5px solid var(--soft); padding: .4rem .8rem; background: var(--card) }
p.win { border-color: var(--win) } p.loss { border-color: var(--loss) }
p.note, figcaption, .hint { color: var(--soft); font-size: .88rem } .hint { display: none; margin: 0 0 .2rem }
p.warning { border-left: 5px solid #d9822b; padding: .3rem .8rem; background: var(--card) }
div.wide { overflow-x: auto; background:
  linear-gradient(to right, var(--paper) 30%, transparent) left / 40px 100% no-repeat local,
  linear-gradient(to left, var(--paper) 30%, transparent) right / 40px 100% no-repeat local,
  linear-gradient(to right, var(--shade), transparent) left / 14px 100% no-repeat scroll,
  linear-gradient(to left, var(--shade), transparent) right / 14px 100% no-repeat scroll }
div.wide:focus-visible { outline: 3px solid var(--own) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .86rem; overflow-wrap: normal }
th, td { padding: .22rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line) }
th:first-child { text-align: left } tbody th, .facts th { font-weight: 400 }
.facts td { text-align: left; white-space: normal }
tr.learned > * { font-weight: 600; color: var(--own) } tr.best > * { font-weight: 600 }
figure { margin: 1rem 0 } img { display: block; width: 100% }
@media (max-width: 720px) {
  body { margin: 1rem auto; padding: 0 .7rem } .hint { display: block } figure img { width: 720px }
  .facts th { white-space: normal }
}
"""
HINT = '<p class="hint">Swipe sideways to see all of it \N{RIGHTWARDS ARROW}</p>'


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
    values = [getattr(weights, term) for term in comparison_pictures.TERMS]
    seen = report_words.alt_texts(summary, {run.policy: run for run in runs}, values, episode, step_h)
    title = f"Benchmark: {facts.get('scenario', '')}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *_verdicts(summary),
        _facts(facts),
        "<h2>Returns</h2>",
        _table(TABLE_HEADER, table_rows(summary), summary, "Returns by policy"),
        _note(
            f"{episodes_text(summary)}, the same for every policy. Intervals: 95 %, percentile bootstrap "
            f"of {RESAMPLES:,} resamples. IQM: mean without the best and the worst quarter. “vs best”: paired mean "
            "difference to the best baseline (*), the heuristic with the highest mean on these episodes; “wins”: share "
            "of the episodes with a higher return than its. Decisions per second: time in predict only."
        ),
        _figure(
            images["returns"],
            seen["returns"],
            "Dots beyond the worst 1 % of a policy are cut off; the right axis is logarithmic away from 0.",
        ),
        "<h2>Latency, cost, resilience</h2>",
        *_warning(report_words.misleading_latency(summary)),
        _figure(
            images["trade_off"],
            seen["trade_off"],
            "Means over all steps. Better is further left, and lower in the first two, higher in the third. A name that "
            "finds no free place is left out; the table of metrics has all. Who serves nothing has no latency.",
        ),
        _figure(images["composition"], seen["composition"], ""),
        "<h2>One episode</h2>",
        _figure(
            images["timeline"],
            seen["timeline"],
            f"Seed {int(runs[0].seeds[episode])}, the episode whose number of sites down varies most. "
            "Shaded: an outage is active. A gap: nothing was served.",
        ),
        *_twin(summary),
        "<h2>Metrics</h2>",
        _metrics(summary),
        _note("Means over all steps of all episodes. A dash: nothing was served, so the figure means nothing."),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _verdicts(summary: Json) -> list[str]:
    """A paragraph for each verdict, that on the learned policy first, with its kind as a class."""
    others = (kind for name, kind in summary["verdicts"].items() if name != summary["learned"])
    kinds = [summary["verdict"], *others]
    return [
        f'<p class="verdict {kind or ""}">{escape(line)}.</p>'
        for kind, line in zip(kinds, verdict_lines(summary), strict=True)
    ]


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in facts.items()
    )
    return f'<table class="facts">{rows}</table>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], summary: Json, label: str) -> str:
    """A table in a box of its own, which scrolls sideways where the page is narrow."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = ""
    for row in rows:
        cells = f'<th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        body += f'<tr class="{_role(summary, row[0].removesuffix(" *"))}">{cells}</tr>\n'
    return _box(f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>", label)


def _box(content: str, label: str) -> str:
    """Content that is wider than a phone: it scrolls in its box, by keys as well, and a hint says so."""
    return f'{HINT}<div class="wide" role="region" tabindex="0" aria-label="{escape(label)}">{content}</div>'


def _metrics(summary: Json) -> str:
    """Policies in columns: there are more metrics than policies."""
    names = ranked(summary)
    rows = [(metric, *(report_words.cell(summary, name, metric) for name in names)) for metric in METRICS]
    return _table(("metric", *names), rows, summary, "Metrics by policy")


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


def _figure(image: bytes, seen: str, caption: str) -> str:
    data = base64.b64encode(image).decode("ascii")
    picture = f'<img alt="{escape(seen)}" src="data:image/png;base64,{data}">'
    return f"<figure>{_box(picture, 'Picture')}<figcaption>{escape(caption)}</figcaption></figure>"


def _warning(text: str) -> list[str]:
    return [f'<p class="warning">{escape(text)}</p>'] if text else []


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _role(summary: Json, name: str) -> str:
    return "learned" if name == summary["learned"] else "best" if name == summary["best_baseline"] else ""
