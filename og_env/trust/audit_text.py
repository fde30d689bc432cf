"""An audit as text for a terminal and as rows for CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from og_env.trust.fleet import SITE, Fleet

WIDTH = 34
"""Characters of a name that are shown."""
CAUSES = 3
"""Causes of hours without quorum that are named."""
LEGEND = """Nakamoto: the fewest domains that hold more than the share; a share equal to it is not more
left out: effective nodes lost when this node alone leaves; below 0, the others do better without it
Shapley: mean gain of effective nodes over all orders of building the fleet, with its standard error
N-1 live share and hours a year without quorum: the fleet's figure with the node minus the one without it"""
Json = dict[str, Any]


def text(result: Json, fleet: Fleet, top: int) -> str:
    """The whole audit as tables, each ranking with at most `top` rows."""
    parts = [_headline(result), _limits_table(result, top), _kinds_table(result), _measures_table(result)]
    parts += [_top_tables(result, top), _marginal_tables(result, fleet, top), _replacement_table(result)]
    if result.get("candidates"):
        parts.append(_candidate_table(result["candidates"], top))
    return "\n\n".join(part for part in parts if part)


def kind_rows(result: Json) -> list[Json]:
    """One row for each of the largest domains of every kind, for kinds.csv."""
    return [
        {"kind": label, "failure_kind": kind["failure_kind"], **entry}
        for label, kind in result["kinds"].items()
        for entry in kind["top"]
    ]


def node_rows(result: Json, fleet: Fleet) -> list[Json]:
    """One row for each node: the domains it depends on, its weight and what it adds, for nodes.csv."""
    rows: list[Json] = []
    for i, entry in enumerate(result["marginal"]):
        on = _stands_on(fleet, i)
        gains = {f"adds_{key}": value for key, value in entry.items() if key != "node"}
        rows.append({"node": entry["node"], **on, "weight": float(fleet.weight[i]), **gains})
    return rows


def _stands_on(fleet: Fleet, node: int) -> dict[str, str]:
    """Name of the node's domain by label of the kind, empty where the node shares it with nobody."""
    kinds = [(k, label) for k, label in enumerate(fleet.kinds) if label != SITE or fleet.names[k]]
    at = fleet.domain[node]
    return {label: fleet.names[k][at[k]] if at[k] >= 0 else "" for k, label in kinds}


def _headline(result: Json) -> str:
    """The figures of the whole fleet, one line for each."""
    quorum, looks, only = result["quorum"], result["apparent"], result["count_only"]
    seen = [f"{looks[key]:,} {key}" for key in ("countries", "cities") if looks[key]]
    if looks["mean_distance_km"] is not None:
        seen.append(f"{looks['mean_distance_km']:,.0f} km between two nodes on average")
    pair = " and ".join(_domain(domain) for domain in quorum["worst_pair"])
    if quorum["worst_pair"][0] == quorum["worst_pair"][1]:
        pair = "no second one takes more"
    best = result["growth"]["greedy_best"]
    lines = [
        ("nodes", f"{result['nodes']:,}"),
        ("looks like", ", ".join(seen) or "no countries, cities or coordinates given"),
        ("behaves like", f"{result['n_eff']:,.1f} independent nodes"),
        ("best part", f"{best['nodes']:,} of the nodes, chosen greedily, behave like {best['n_eff']:,.1f}"),
        ("worst dependency", f"{_domain(quorum['worst'])}: {_survives(quorum['n1_survives'])}"),
        ("worst pair", f"{pair}: {_survives(quorum['n2_survives'])}"),
        ("no quorum", f"{_hours(quorum)} hours a year expected ({quorum['method']}){_causes(quorum)}"),
    ]
    only_count = f"{only['nodes']:,} nodes ({only['share']:.0%}): without any one of them it behaves no worse"
    if 0 < only["nodes"] < result["nodes"]:
        only_count += f", without all of them like {only['n_eff_without_all']:,.1f}"
    lines.append(("count only", only_count))
    lines += _assumed_lines(result)
    lines += [("note", note) for note in result.get("notes", [])]
    return "\n".join(f"{name:<17} {value}" for name, value in lines)


def _causes(quorum: Json) -> str:
    """The domains that are out in most of the hours without quorum."""
    named = [cause for cause in quorum["causes"][:CAUSES] if cause["share"] >= 0.05]
    told = [f"{cause['kind']} {cause['name']} ({cause['share']:.0%})" for cause in named]
    return f", with an outage of {', '.join(told)}" if told else ""


def _assumed_lines(result: Json) -> list[tuple[str, str]]:
    """Figures with what the catalogue adds to a table of nodes, which the lines above leave out."""
    more = result.get("assumed")
    if not more:
        return []
    told = ", ".join(f"{name} ({count:,} nodes)" for name, count in more["assumed"].items())
    rest = more["assumptions"] - len(more["assumed"])
    return [
        ("assumed", f"{told}{f' and {rest:,} more' if rest else ''}: in no figure but those of the next line"),
        (
            "with these",
            f"behaves like {more['n_eff']:,.1f}, {more['count_only']:,} of {more['nodes']:,} nodes only count, {_hours(more)} "
            f"hours a year without quorum{_causes(more)}",
        ),
    ]


def _hours(quorum: Json) -> str:
    """Hours a year without quorum, with their standard error where they were sampled."""
    hours, error = quorum["hours_per_year_without"], quorum["standard_error"]
    figure = f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"
    return figure + (f" +- {f'{error:,.0f}' if error >= 10 else f'{error:.1g}'}" if error else "")


def _domain(domain: Json) -> str:
    return f"{domain['kind']} {domain['name']} ({domain['share']:.1%} of the weight)"


def _survives(survives: bool) -> str:
    return "the quorum survives" if survives else "the quorum is lost"


def _kinds_table(result: Json) -> str:
    thresholds = " ".join(next(iter(result["kinds"].values()))["nakamoto"]) if result["kinds"] else ""
    header = ["kind", "domains", "missing", "largest", "HHI", "effective", f"Nakamoto {thresholds}"]
    weighted = result["by_node"]["by_weight"]["hhi"] != result["by_node"]["hhi"]
    if weighted:
        header += ["by weight: HHI", "effective", "Nakamoto"]
    rows: list[list[str]] = []
    for label, kind in result["kinds"].items():
        largest = f"{kind['top'][0]['share']:.1%}" if kind["top"] else "-"
        row = [label, f"{kind['domains']:,}", f"{kind['missing']:,}", largest, *_figures(kind)]
        rows.append(row + _figures(kind["by_weight"]) if weighted else row)
    if weighted:
        nodes = result["by_node"]
        row = ["nodes alone", f"{result['nodes']:,}", "0", f"{1 / result['nodes']:.1%}", *_figures(nodes)]
        rows.append(row + _figures(nodes["by_weight"]))
    return table(header, rows)


def _limits_table(result: Json, top: int) -> str:
    """The domains that break the limits, or a line that says that none does."""
    if result.get("limits") is None:
        return ""
    rows = [
        [f"{entry['kind']} {entry['name']}"[:WIDTH], f"{entry['nodes']:,}", f"{entry['share']:.1%}", entry["limit"]]
        for entry in result["limits"][:top]
    ]
    if not rows:
        return "no limit is broken"
    return table(["breaks a limit", "nodes", "share", "at most"], rows)


def _measures_table(result: Json) -> str:
    """Other measures of each kind, by weight."""
    header = ["kind, by weight", "Gini", "Shannon", "%", "Renyi", "%", "Theil", "top 1", "top 3", "top 5", "top 10"]
    rows: list[list[str]] = []
    for label, kind in result["kinds"].items():
        found = kind["by_weight"]["measures"]
        plain = [
            found[name] for name in ("gini", "shannon_bits", "shannon_percent", "renyi_bits", "renyi_percent", "theil")
        ]
        figures = [f"{value:.0f}" if place in (2, 4) else f"{value:.3f}" for place, value in enumerate(plain)]
        rows.append([label, *figures, *(f"{found[f'top_{k}']:.1%}" for k in (1, 3, 5, 10))])
    return table(header, rows) if rows else ""


def _replacement_table(result: Json) -> str:
    if not result.get("replacements"):
        return ""
    rows = [
        [step["out"][:WIDTH], step["into"][:WIDTH], f"{step['n_eff']:.3f}", f"{step['gain']:+.4f}"]
        for step in result["replacements"]
    ]
    words = "for a candidate" if result.get("candidates") else "for one like"
    return table(["replace", words, "behaves like then", "gain"], rows)


def _figures(figures: Json) -> list[str]:
    return [f"{figures['hhi']:.3f}", f"{figures['effective']:.1f}", _nakamoto(figures)]


def _nakamoto(figures: Json) -> str:
    return " ".join(str(count) for count in figures["nakamoto"].values())


def _top_tables(result: Json, top: int) -> str:
    tables: list[str] = []
    for label, kind in result["kinds"].items():
        rows = [
            [entry["name"][:WIDTH], f"{entry['nodes']:,}", f"{entry['share']:.1%}", f"{entry['weight_share']:.1%}"]
            for entry in kind["top"][: min(top, 5)]
        ]
        if rows:
            tables.append(table([label, "nodes", "share", "by weight"], rows))
    return "\n\n".join(tables)


def _marginal_tables(result: Json, fleet: Fleet, top: int) -> str:
    """The nodes that add most and least; nodes with the same figures share a row."""
    alike: dict[tuple[float, ...], list[int]] = {}
    marginal = result["marginal"]
    for i in sorted(range(len(marginal)), key=lambda i: -marginal[i]["shapley"]):
        alike.setdefault((marginal[i]["shapley"], marginal[i]["n_eff"]), []).append(i)
    ranked = list(alike.values())
    header = ["stands on", "others alike", "left out", "Shapley", "+-", "N-1 live share", "hours a year"]
    shown = min(top, max(1, len(ranked) // 2))
    most = [_marginal_row(marginal, group, fleet) for group in ranked[:shown]]
    parts = [table(["adds most", *header], most)]
    if len(ranked) > 1:
        least = [_marginal_row(marginal, group, fleet) for group in ranked[: -shown - 1 : -1]]
        parts.append(table(["adds least", *header], least))
    groups = [
        [_names(group["on"]), f"{group['nodes']:,}", f"{group['n_eff_each']:+.5f}"]
        for group in result["count_only"]["groups"][:top]
    ]
    if groups:
        parts.append(table(["adds to the count but not to trust", "nodes", "left out, each"], groups))
    return "\n\n".join([*parts, LEGEND])


def _names(on: Mapping[str, str]) -> str:
    """Names of the domains that a node depends on, each once, cut to two columns' width."""
    names = ", ".join(name for name in dict.fromkeys(on.values()) if name)
    return names if len(names) <= 2 * WIDTH else names[: 2 * WIDTH - 3] + "..."


def _marginal_row(marginal: Sequence[Json], group: Sequence[int], fleet: Fleet) -> list[str]:
    entry = marginal[group[0]]
    figures = (entry["n_eff"], entry["shapley"], entry["n1_live_share"], entry["hours_per_year_without"])
    n_eff, value, live, hours = (f"{figure:+.3g}" for figure in figures)
    on = _names(_stands_on(fleet, group[0]))
    return [entry["node"][:WIDTH], on, f"{len(group) - 1:,}", n_eff, value, _error(entry), live, hours]


def _error(entry: Json) -> str:
    error = entry["shapley_standard_error"]
    return f"{error:.1g}" if error else "exact"


def _candidate_table(candidates: Sequence[Json], top: int) -> str:
    priced = candidates[0]["usd"] is not None
    rows: list[list[str]] = []
    spent_usd = 0.0
    for place, step in enumerate(candidates[:top], start=1):
        row = [str(place), step["node"][:WIDTH], f"{step['n_eff']:.3f}", f"{step['gain']:+.4f}"]
        if priced:
            bought, spent_usd = step["gain_per_usd"], spent_usd + step["usd"]
            row += [f"{step['usd']:g}", "free" if bought is None else f"{bought:+.4g}", f"{spent_usd:.6g}"]
        rows.append(row)
    header = ["add", "candidate", "behaves like then", "gain"]
    return table([*header, *(["price", "gain per dollar", "spent"] if priced else [])], rows)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as lines whose columns are as wide as their widest value: words to the left, figures to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    left = [i == 0 or not any(row[i][:1] in "+-0123456789" for row in cells) for i in range(len(header))]
    lines = [header, *cells]
    return "\n".join(
        "  ".join(
            f"{c:<{w}}" if is_left else f"{c:>{w}}" for c, w, is_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )
