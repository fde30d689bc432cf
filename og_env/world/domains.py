"""Fault domains of a fleet: what several sites share, from their attributes and added by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from og_env.scenario.fault_domains import KINDS, domain_of
from og_env.scenario.specs import DomainSpec, SiteSpec


class Domain(NamedTuple):
    """One dependency of one name, e.g. provider aws."""

    kind: str
    """empty for a padded place"""
    name: str
    members: tuple[int, ...]
    """indices of the sites that stand on it, ascending"""


NO_DOMAIN = Domain("", "", ())


def derive_domains(sites: Sequence[SiteSpec], added: Sequence[DomainSpec] = ()) -> list[Domain]:
    """Every domain of the fleet with its members, single-member ones included, by kind and then by first member.

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
    """Whether the domain is a site's own machine room, which every site has."""
    return domain.kind == "site" and len(domain.members) == 1 and domain.name == sites[domain.members[0]].name


def shared_domains(domains: Iterable[Domain], most: int | None = None) -> list[Domain]:
    """Domains with two members or more, in the order given; of more than `most`, those with the most members."""
    shared = [domain for domain in domains if len(domain.members) >= 2]
    if most is None or len(shared) <= most:
        return shared
    by_size = sorted(range(len(shared)), key=lambda index: -len(shared[index].members))
    return [shared[index] for index in sorted(by_size[:most])]
