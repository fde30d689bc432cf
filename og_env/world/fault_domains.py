"""Fault domains of a fleet: dependencies that sites share, derived from their attributes or added by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from og_env.scenario.domain_kinds import KINDS, domain_of
from og_env.scenario.specs import DomainSpec, SiteSpec


class Domain(NamedTuple):
    """One dependency of sites, for instance the provider aws."""

    kind: str
    """one of KINDS; empty where an index is padding"""
    name: str
    """its name within the kind"""
    members: tuple[int, ...]
    """indices of the sites that depend on it, ascending"""


NO_DOMAIN = Domain("", "", ())
"""padding"""


def derive_domains(sites: Sequence[SiteSpec], added: Sequence[DomainSpec] = ()) -> list[Domain]:
    """Every domain of the fleet, those with one member included, by kind and then by first member.

    Domains added by hand (`added`) come last within their kind.
    """
    position = {site.name: index for index, site in enumerate(sites)}
    result: list[Domain] = []
    for kind in KINDS:
        members: dict[str, list[int]] = {}
        for index, site in enumerate(sites):
            name = domain_of(site, kind)
            if name:
                members.setdefault(name, []).append(index)
        result.extend(Domain(kind, name, tuple(of)) for name, of in members.items())
        result.extend(
            Domain(kind, domain.name, tuple(sorted(position[name] for name in domain.sites)))
            for domain in added
            if domain.kind == kind
        )
    return result


def is_own(domain: Domain, sites: Sequence[SiteSpec]) -> bool:
    """Whether the domain is the one that every site has for itself alone, its own machine room."""
    return domain.kind == "site" and len(domain.members) == 1 and domain.name == sites[domain.members[0]].name


def shared_domains(domains: Iterable[Domain], most: int | None = None) -> list[Domain]:
    """Domains with two members or more, in the order given; where they exceed `most`, those with the most members."""
    shared = [domain for domain in domains if len(domain.members) >= 2]
    if most is None or len(shared) <= most:
        return shared
    by_size = sorted(range(len(shared)), key=lambda index: -len(shared[index].members))
    return [shared[index] for index in sorted(by_size[:most])]
