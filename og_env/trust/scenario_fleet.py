"""The fleet of a scenario: one node at each site, with the scenario's own failure rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from og_env.scenario.fleet_file import ALIASES
from og_env.scenario.specs import DomainSpec, Effect, FailureKind, FailureSpec, SiteSpec
from og_env.trust.failure_correlation import COUNTED_EFFECTS
from og_env.trust.fleet import PRIVATE, SITE, FailureOf, Fleet, build_fleet

DAYS_PER_YEAR = 365.0
FIELDS = (
    "facility",
    "provider",
    "region",
    "city",
    "country",
    "grid",
    "transit",
    "tee_vendor",
    "image",
    "facilitator",
    "upstream",
)
"""fields of a site that name dependencies"""
KINDS = (
    "facility",
    "region",
    "metro",
    "provider",
    "grid",
    "transit",
    "country",
    "tee_vendor",
    "image",
    "facilitator",
    "upstream",
)
"""kinds of dependency of a site"""
NOTHING = {"facility": "", "tee_vendor": "none", "facilitator": "", "upstream": ""}
"""value by kind that says that a site has no such dependency; elsewhere an empty one is shared with nobody"""
CONTROL_PLANES = ("region", "provider")
"""Kinds of domains whose share of FROZEN shocks a scenario can set."""


def site_columns(sites: Sequence[SiteSpec], domains: Sequence[DomainSpec] = ()) -> dict[str, list[str | None]]:
    """Columns [N] of domain names for `build_fleet`, by label of the kind.

    A domain that the scenario adds by hand is a column of its own, labelled kind:name.
    """
    fields = {name: [getattr(site, name) for site in sites] for name in FIELDS}
    columns = dependency_columns(fields)
    for domain in domains:
        members = set(domain.sites)
        columns[f"{domain.kind}:{domain.name}"] = [domain.name if site.name in members else None for site in sites]
    return {label: column for label, column in columns.items() if any(column)}


def dependency_columns(fields: Mapping[str, Sequence[str]]) -> dict[str, list[str | None]]:
    """Columns [N] of domain names by kind, from the fields of SiteSpec that FIELDS lists, one value for each node."""
    columns: dict[str, list[str | None]] = {}
    for kind in KINDS:
        if kind == "region":
            values = [f"{a}/{b}" for a, b in zip(fields["provider"], fields["region"], strict=True)]
        elif kind == "metro":
            values = [f"{a} ({b})" for a, b in zip(fields["city"], fields["country"], strict=True)]
        else:
            values = fields[kind]
        nothing = NOTHING.get(kind)
        columns[kind] = list(values) if nothing is None else [None if value == nothing else value for value in values]
    return columns


def fleet_of_scenario(
    sites: Sequence[SiteSpec],
    failures: FailureSpec,
    failure_of: FailureOf,
    domains: Sequence[DomainSpec] = (),
    *,
    weight: ArrayLike | None = None,
    effects: Collection[Effect] = COUNTED_EFFECTS,
    columns: Mapping[str, Sequence[str | None]] | None = None,
    host_class: Sequence[str] | None = None,
) -> Fleet:
    """The fleet whose nodes are the sites of a scenario, or stand on the domains in `columns` where these are given.

    `failure_of` gives the catalogue's failure parameters, which the scenario's failure settings then change. The
    fragile regime is left out: it moves shocks in time and keeps their average rate.
    """
    whole = site_columns(sites, domains)
    count = Counter({SITE: len(sites)})
    for label, column in whole.items():
        count[label.split(":")[0]] += len({name for name in column if name})
    shared_out = with_present_kinds(failures, count)

    def changed(label: str, name: str) -> FailureKind | None:
        kind = ALIASES.get(label, label.split(":")[0])
        return scenario_kind(failure_of(kind, name), shared_out, max(1, count[kind]))

    fleet = build_fleet(
        [site.name for site in sites],
        whole if columns is None else columns,
        changed,
        weight=weight,
        host_class=[site.host_class for site in sites] if host_class is None else host_class,
        effects=effects,
    )
    if failures.process == "independent":
        return fleet._replace(domain=np.full_like(fleet.domain, PRIVATE))
    return fleet


def with_present_kinds(failures: FailureSpec, count: Mapping[str, int]) -> FailureSpec:
    """Failure settings in which the shares of shocks of absent kinds go to the kinds that a fleet has, in proportion.

    `count` gives the number of the fleet's domains by kind.
    """
    if failures.shocks_per_day is None:
        return failures
    present = {kind: share for kind, share in failures.kind_shares.items() if count.get(kind, 0) > 0}
    total = sum(present.values())
    if total <= 0 or len(present) == len(failures.kind_shares):
        return failures
    shares = {kind: share / total for kind, share in present.items()}
    return failures.model_copy(update={"kind_shares": shares})


def scenario_kind(kind: FailureKind | None, failures: FailureSpec, domains: int) -> FailureKind | None:
    """Failure parameters of one of the `domains` domains of a kind, as the scenario's settings change them.

    They are None for a kind without parameters and where the scenario draws no outages.
    """
    if kind is None or failures.process == "none":
        return None
    rate = kind.rate_per_year
    if failures.shocks_per_day is not None:
        rate = failures.shocks_per_day * DAYS_PER_YEAR * failures.kind_shares.get(kind.kind, 0.0) / domains
    rate *= failures.intensity
    effects = dict(kind.effects)
    if failures.frozen_share is not None and kind.kind in CONTROL_PLANES:
        others = 1 - effects.pop("FROZEN", 0.0)
        effects = {effect: share / others * (1 - failures.frozen_share) for effect, share in effects.items()}
        effects["FROZEN"] = 1 - sum(effects.values())
    return kind.model_copy(
        update={
            "rate_per_year": rate,
            "duration_h": kind.duration_h * failures.duration_scale,
            "heavy_duration_h": kind.heavy_duration_h * failures.duration_scale,
            "effects": effects,
        }
    )
