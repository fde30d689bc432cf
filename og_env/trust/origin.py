"""The same fleet from a table of nodes and from the scenario that was made of it: as the table says, and with assumptions.

What the table says is what is given there; a dependency that it leaves out is shared with nobody. With the assumptions of
the catalogue (`completed_nodes`) the fleet has more in common, such as a TEE vendor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from og_env.scenario import catalog
from og_env.scenario.completed_nodes import complete
from og_env.scenario.fleet_file import ALIASES
from og_env.scenario.node_csv import NodeTable
from og_env.scenario.specs import DomainSpec, FailureKind, FailureSpec, ScenarioSpec, SiteSpec
from og_env.trust.failure_correlation import Floats
from og_env.trust.fleet import Fleet, build_fleet
from og_env.trust.marginal_contribution import leave_one_out
from og_env.trust.pair_sums import fleet_n_eff, pairs
from og_env.trust.quorum_downtime import quorum_outage
from og_env.trust.scenario_fleet import dependency_columns, fleet_of_scenario, site_columns

ROUNDING = 1e-9
SHOWN = 8
"""assumptions that are told, the commonest first"""
HOST_CLASS = "host_class"
ALL = "*"
Json = dict[str, Any]


class Fleets(NamedTuple):
    """A fleet as a table of nodes says it is, and with what the catalogue adds."""

    given: Fleet
    """with the dependencies that the table names"""
    assumed: Fleet | None
    """with those of the catalogue as well; None where nothing is assumed, or nobody knows"""
    words: dict[str, int]
    """number of nodes by kind and name of what is assumed"""
    problem: str
    """why there is no `assumed`, where the catalogue cannot add to the table"""


def fleet_of_table(table: NodeTable, weight: ArrayLike | None = None) -> Fleet:
    """The fleet as the table says it is, with the failure rates of the catalogue."""

    def failure_of(label: str, name: str) -> FailureKind:
        return catalog.failure_kind(table.kind_of.get(label, label), name)

    weight = table.weight if weight is None else weight
    return build_fleet(table.nodes, table.columns, failure_of, weight=weight, host_class=table.host_class)


def fleets_of_table(table: NodeTable) -> Fleets:
    """Both fleets of a table; nodes that the catalogue cannot place are in the first alone."""
    given = fleet_of_table(table)
    try:
        whole = complete(table, range(len(table.nodes)))
    except ValueError as error:
        return Fleets(given, None, {}, str(error).removeprefix(f"{table.path}: "))
    rows = [row for row in range(len(table.nodes)) if row not in whole.problems]
    if 2 * len(rows) < len(table.nodes):
        return Fleets(given, None, {}, next(iter(whole.problems.values())))
    fields = {name: [values[row] for row in rows] for name, values in whole.fields.items()}
    columns = {label: column for label, column in dependency_columns(fields).items() if any(column)}
    flags = {kind: values[rows] for kind, values in whole.assumed.items()}
    weight = None if table.weight is None else table.weight[rows]
    nodes = [table.nodes[row] for row in rows]
    fleet = build_fleet(nodes, columns, catalog.failure_kind, weight=weight, host_class=fields[HOST_CLASS])
    return Fleets(given, fleet, _words(columns, flags), "")


def fleets_of_scenario(spec: ScenarioSpec, sites: Sequence[SiteSpec], failures: FailureSpec) -> Fleets:
    """Both fleets of a scenario; only one that was made from a table of nodes says what is assumed."""
    origin, kinds = spec.origin, set(site_columns(sites, spec.domains))
    domains: Sequence[DomainSpec] = spec.domains
    weight = None
    if origin is not None and origin.weights:
        known = [origin.weights.get(site.name) for site in sites]
        usual = float(np.mean([value for value in known if value is not None] or [1.0]))
        weight = np.array([usual if value is None else value for value in known])
    whole = fleet_of_scenario(sites, failures, catalog.failure_kind, domains, weight=weight)
    if origin is None:
        return Fleets(whole, None, {}, "")
    names = [site.name for site in sites]
    flags = {
        kind: np.array([ALL in who or name in who for name in names], bool)
        for kind, who in ((kind, frozenset(who)) for kind, who in origin.assumed.items())
    }
    columns = site_columns(sites, domains)
    given = _given(columns, origin.kinds, flags, len(sites))
    classes = [site.host_class for site in sites]
    unsaid = flags.get(HOST_CLASS, np.zeros(len(sites), bool))
    stated = [None if no else at for at, no in zip(classes, unsaid, strict=True)]
    fleet = fleet_of_scenario(
        sites,
        failures,
        catalog.failure_kind,
        domains,
        weight=weight,
        columns=given,
        host_class=[at or "" for at in stated],
    )
    return Fleets(fleet, whole, _words({k: v for k, v in columns.items() if k in kinds}, flags), "")


def _given(
    columns: Mapping[str, list[str | None]], labels: Sequence[str], flags: Mapping[str, Any], size: int
) -> dict[str, list[str | None]]:
    """The columns that the table had, in its order and by its names, with nothing in place of what is assumed."""
    given: dict[str, list[str | None]] = {}
    for label in labels:
        kind = ALIASES.get(label, label)
        unsaid = flags.get(kind, np.zeros(size, bool))
        column = columns.get(kind, [None] * size)
        given[label] = ["" if no else value for value, no in zip(column, unsaid, strict=True)]
    return given | {label: column for label, column in columns.items() if ":" in label}


def _words(columns: Mapping[str, Sequence[str | None]], flags: Mapping[str, Any]) -> dict[str, int]:
    """Number of nodes by kind and name of what is assumed for them and is shared by two or more."""
    count: Counter[str] = Counter()
    for kind, column in columns.items():
        members = Counter(name for name in column if name)
        for name, assumed in zip(column, flags.get(kind, ()), strict=False):
            if assumed and name and members[name] > 1:
                count[f"{kind} {name}"] += 1
    return dict(count.most_common())


def with_assumptions(fleets: Fleets, seed: int = 0) -> Json | None:
    """Figures of the fleet with what is assumed: nodes by assumption, n_eff, nodes that add nothing, hours, causes."""
    fleet = fleets.assumed
    if fleet is None or not fleets.words:
        return None
    shared = pairs(fleet)
    n_eff = fleet_n_eff(fleet, shared)
    gain: Floats = leave_one_out(fleet, shared)
    outage = quorum_outage(fleet, seed=seed, types=shared.types)
    return {
        "nodes": len(fleet.nodes),
        "assumed": dict(list(fleets.words.items())[:SHOWN]),
        "assumptions": len(fleets.words),
        "n_eff": n_eff,
        "count_only": int(np.sum(gain <= ROUNDING * n_eff)),
        "hours_per_year_without": outage.hours_per_year,
        "standard_error": outage.standard_error,
        "causes": [cause._asdict() for cause in outage.causes],
    }
