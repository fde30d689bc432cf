"""The blindness table as text."""

from __future__ import annotations

from og_agents.evaluation.beliefs import BELIEFS
from og_agents.evaluation.blindness import Json

BELIEVES = {name: belief.doc for name, belief in BELIEFS.items()} | {
    "condition": "router: all sites work at their nominal speed",
    "routing": "router: fixed knobs, the best on training episodes",
}
"""belief of who is blind to a dimension"""
SPANS = {
    "exposure": ("exposure", ".2f"),
    "n_eff": ("effective nodes", ".2f"),
    "latency_miss": ("served too late (latency term)", ".3f"),
    "usd_per_hour": ("usd per hour", ",.1f"),
}
"""label and format of each span"""


def text(table: Json) -> str:
    """Two tables: cost of blindness by dimension, lowest and highest figure over policies; and how they were measured."""
    lines = [
        f"{table['scenario']}: {table['episodes']} {table['split']} episodes from seed {table['seed']}, "
        f"return of {table['planner']} {table['return']:.2f}",
        "",
        f"{'blind to':<14}{'cost %':>8}  {'95 % interval':<18}believes",
    ]
    for name, cost in table["dimensions"].items():
        interval = f"[{cost['ci_low']:z.1f}, {cost['ci_high']:z.1f}]"
        lines.append(f"{name:<14}{cost['cost_pct']:>z8.1f}  {interval:<18}{BELIEVES[name]}")
    lines += ["", f"{'over policies':<42}{'lowest':>10}{'highest':>10}"]
    for name, (label, form) in SPANS.items():
        low, high = table["span"][name]
        lines.append(f"{label:<42}{low:>10{form}}{high:>10{form}}")
    return "\n".join(
        [
            *lines,
            "",
            "Cost of blindness in % of the |return| of who sees, on the same tapes, with paired bootstrap intervals: offers",
            "are priced in the believed world and carried out in the true one. Planners take all sites to work at nominal",
            f"speed, so condition and routing are the router's, beside {table['router']}",
            f"(return {table['return_routing']:.2f}) on the placement of the built-in planner.",
            f"Policies: {', '.join(table['policies'])}.",
        ]
    )
