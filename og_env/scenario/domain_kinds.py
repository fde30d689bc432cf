"""The fault domains that a site stands in, by kind of dependency."""

from __future__ import annotations

from typing import get_args

from og_env.scenario.specs import Kind, SiteSpec

KINDS: tuple[str, ...] = get_args(Kind)
"""kinds of dependency that sites share"""


def domain_of(site: SiteSpec, kind: str) -> str:
    """Name of the fault domain of this kind that the site stands in; empty where it stands in none."""
    if kind == "site":
        return site.name
    if kind == "region":
        return f"{site.provider}/{site.region}"
    if kind == "metro":
        return f"{site.city} ({site.country})"
    if kind == "tee_vendor":
        return "" if site.tee_vendor == "none" else site.tee_vendor
    return getattr(site, kind)
